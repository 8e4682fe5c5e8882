package main

import (
	"math/rand/v2"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

// The crash tests do to the built program what can only be done to a process: SIGKILL, files changed under it, a disk that is
// full. An origin whose pages say what they are stands behind it, and every byte of every answer is compared.
//
// They take real time, since processes, signals and a kernel have no other. `go test` plays a few rounds; SELVAGE_SOAK=1,
// which `make soak` sets, hundreds.

// soaking reports whether the stated number of rounds is wanted.
func soaking() bool { return os.Getenv("SELVAGE_SOAK") != "" }

// crashSize is how much of everything there is.
type crashSize struct {
	kills   int
	damages int   // times that every kind of damage is done
	pages   int   // at the origin; in a soak more than the disk tier holds
	load    int64 // bytes asked for before a kill, at most
	records int   // on the disk at a start
}

func crashSizes() crashSize {
	if soaking() {
		return crashSize{kills: 220, damages: 10, pages: 200, load: 128 << 20, records: 1_000_000}
	}
	return crashSize{kills: 5, damages: 1, pages: 12, load: 16 << 20, records: 20_000}
}

func TestCrash(t *testing.T) {
	if testing.Short() {
		t.Skip("real processes take real time")
	}
	binary := buildProgram(t)
	t.Run("start", func(t *testing.T) { testStart(t, binary) }) // by itself: it is about time
	var rest errgroup.Group
	rest.SetLimit(crashesAtOnce)
	for _, row := range []struct {
		name string
		test func(t *testing.T, binary string)
	}{ // the longest first
		{"kill", testKills}, {"replaced", testReplaced}, {"full disk", testFullDisk}, {"permission lost", testPermissionLost},
		{"few descriptors", testFewDescriptors}, {"damaged segment", damaging("*.seg")}, {"damaged index", damaging("index")},
		{"damaged identity", damaging("identity")}, {"damaged journal", damaging("purges")}, {"links", testLinks},
		{"read-only", testReadOnly}, {"permissions", testPermissions}, {"removed", testRemoved}, {"in use", testInUse},
		{"foreign", testForeign},
	} {
		rest.Go(func() error {
			t.Run(row.name, func(t *testing.T) { row.test(t, binary) })
			return nil
		})
	}
	_ = rest.Wait()
}

// crashesAtOnce is how many crash tests run at once, however few processors there are: most of their time they wait for a process
// that waits, as it does for five seconds after an error of the disk.
const crashesAtOnce = 6

func newPageOriginAt(began time.Time) *pageOrigin {
	return &pageOrigin{began: began, changes: make(map[int][]time.Time), promises: newPromises()}
}

// newPageOrigin starts an origin that outlives the processes in front of it.
func newPageOrigin(t *testing.T) (o *pageOrigin, url string) {
	t.Helper()
	o = newPageOriginAt(time.Now())
	server := httptest.NewServer(o)
	t.Cleanup(server.Close)
	return o, server.URL
}

// readyWithin is how long a start may take, whatever the process before has left: two seconds, where others leave it the time.
func readyWithin() time.Duration {
	if soaking() {
		return 2 * time.Second
	}
	return longEnough / 2
}

// testKills kills processes at random moments: under load, and while they read what the one before has left. After each the
// cache is asked for all it has.
func testKills(t *testing.T, binary string) {
	size := crashSizes()
	origin, url := newPageOrigin(t)
	g := newProgram(t, binary, url, filepath.Join(t.TempDir(), "cache"), "64MiB")
	var sum tally
	survived, kept, slowest := int64(0), 0, time.Duration(0)
	for round := 0; round < size.kills && !t.Failed(); round++ {
		if round%4 == 3 {
			killNewborn(t, g)
		}
		p := g.startReady(t)
		p.await(loadedMessage)
		v := newVisitors(p, origin, size.pages)
		v.sweep(true)
		survived += v.answers.Load()
		if err := v.purge(rand.IntN(size.pages)); err != nil {
			t.Error(err)
		}
		enough, leave := v.load(rand.Int64N(size.load))
		<-enough
		v.ending.Store(true)
		p.kill()
		leave()
		p.healthy()
		p.unharmed()
		kept = origin.killed()
		records := g.agree(t, origin)
		sum.add(&v.tally)
		slowest = max(slowest, p.took)
		if round%20 == 19 {
			t.Logf("kill %d of %d: %v; %d responses on the disk, %d purges hold", round+1, size.kills, &sum, records, kept)
		}
	}
	if survived == 0 {
		t.Error("nothing was found on the disk after any kill")
	}
	if slowest > readyWithin() {
		t.Errorf("the slowest start took %v, want at most %v", slowest, readyWithin())
	}
	if kept == 0 {
		t.Error("no purge was made that a kill may not undo")
	}
	t.Logf("%d kills: %v; %d found after a kill; the slowest start took %v", size.kills, &sum, survived, slowest.Round(time.Millisecond))
}

const loadedMessage = "disk cache loaded"

// killNewborn kills a process in the middle of its start.
func killNewborn(t *testing.T, g *program) {
	t.Helper()
	p := g.start(t)
	p.await([]string{"serving", loadedMessage}[rand.IntN(2)])
	p.kill()
	p.healthy()
	p.unharmed()
}

// unharmed reports what the log of a process says when the index and the segments do not agree. A kill is no excuse for that:
// what was written stays written, and the rest ends where the last write has ended.
func (p *process) unharmed() {
	p.t.Helper()
	for _, sign := range []string{"damaged record", "is of no use", "starts empty", `"level":"ERROR"`} {
		if p.said.holds(sign) {
			p.t.Errorf("after a kill the program says %q:\n%s", sign, p.said)
		}
	}
}
