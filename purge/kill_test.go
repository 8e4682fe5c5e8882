package purge

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"sync"
	"testing"

	"selvage/cache"
)

// purgerEnv names the journal of a process that does nothing but purge until it is killed.
const purgerEnv = "SELVAGE_TEST_PURGER"

// kill -9 between the answer and anything else: what a process has answered is in force, and in the history, when the next
// one opens its journal. The kernel is the point, so the process is a real one.
func TestAKilledProcessHasForgottenNothingItAnswered(t *testing.T) {
	if path := os.Getenv(purgerEnv); path != "" {
		purgeForever(path)
	}
	if testing.Short() {
		t.Skip("real processes take real time")
	}
	rounds := 4
	if os.Getenv("SELVAGE_SOAK") != "" {
		rounds = 200
	}
	path, answered, newest := journalPath(t), 0, uint64(0)
	for range rounds {
		purges := killedPurger(t, path, 1+rand.IntN(60))
		j := mustOpen(t, path)
		if found := j.Recovered(); found.Damage != nil {
			t.Fatalf("after a kill: %v", found.Damage)
		}
		for _, p := range purges {
			expectInForce(t, j, p)
			if _, ok := j.Find(p.number); !ok {
				t.Errorf("purge %d was answered, and is not in the history", p.number)
			}
			if p.number <= newest {
				t.Errorf("purge %d has a number that an earlier process may have used: %d was told", p.number, newest)
			}
		}
		answered += len(purges)
		newest = j.Applied()
		mustClose(t, j)
	}
	t.Logf("%d kills, %d purges answered before them", rounds, answered)
}

// purgeForever answers on standard output, a line for each purge.
func purgeForever(path string) {
	j, err := Open(path, Options{})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	var answer sync.Mutex
	for worker := range 3 {
		go func() {
			for i := 0; ; i++ {
				tag := fmt.Sprintf("%d-%d-%d", os.Getpid(), worker, i)
				number, err := j.Add(Entry{Kind: cache.Hard, Tags: []string{tag}})
				answer.Lock()
				fmt.Println(number, tag, err)
				answer.Unlock()
			}
		}()
	}
	select {}
}

// killedPurger starts one, kills it after so many answers, and returns all that it gave.
func killedPurger(t *testing.T, path string, answers int) (all []numbered) {
	t.Helper()
	c := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
	c.Env = append(os.Environ(), purgerEnv+"="+path)
	out, err := c.StdoutPipe()
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		var number uint64
		var tag string
		if n, _ := fmt.Sscan(lines.Text(), &number, &tag); n < 2 || number == 0 {
			break // cut short by the kill
		}
		all = append(all, numbered{number, Entry{Kind: cache.Hard, Tags: []string{tag}}})
		if len(all) == answers {
			c.Process.Kill()
		}
	}
	c.Process.Kill()
	c.Wait()
	if len(all) < answers {
		t.Fatalf("%d answers before the process ended, want %d", len(all), answers)
	}
	return all
}
