package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// promises are what nodes have acknowledged: of a page that was purged, or invalidated by an unsafe method, no request that
// begins later gets an older version, also after a kill.
type promises struct {
	lock  sync.Mutex
	count int               // ever made; guarded by lock
	made  map[int][]promise // by page number; guarded by lock
	asked map[int]bool      // whether a purge of the page was ever asked for, acknowledged or not; guarded by lock
}

// promise is one of them.
type promise struct {
	version int64 // the oldest that may still be served
	number  int   // of all that were ever made
	written bool  // so that a kill does not undo it
}

func newPromises() promises {
	return promises{made: make(map[int][]promise), asked: make(map[int]bool)}
}

// note notes a promise. That of a purge is written by then. What an unsafe method has invalidated is written a moment later, and
// until then a kill undoes it, as README's limits say; how long that takes is the machine's to say. But the next purge that is
// asked for takes it along.
func (m *promises) note(number int, version int64, written bool) {
	m.lock.Lock()
	defer m.lock.Unlock()
	m.count++
	m.made[number] = append(m.made[number], promise{version, m.count, written})
}

// ask notes that a purge is being asked for. It returns how many promises were made before.
func (m *promises) ask(number int) (before int) {
	m.lock.Lock()
	defer m.lock.Unlock()
	m.asked[number] = true
	return m.count
}

// written notes that the first promises ever made are written.
func (m *promises) written(first int) {
	m.lock.Lock()
	defer m.lock.Unlock()
	for _, all := range m.made {
		for i := range all {
			all[i].written = all[i].written || all[i].number <= first
		}
	}
}

// oldest returns the oldest version of a page that may be served to a request that begins now.
func (m *promises) oldest(number int) (version int64) {
	m.lock.Lock()
	defer m.lock.Unlock()
	for _, p := range m.made[number] {
		version = max(version, p.version)
	}
	return version
}

// mayBePurged reports whether a purge was asked for of the page that a line of a list begins with.
func (m *promises) mayBePurged(line string) bool {
	var number int
	fmt.Sscanf(line, pageHost+"/page/%d ", &number)
	m.lock.Lock()
	defer m.lock.Unlock()
	return m.asked[number]
}

// killed forgets what may not have been written when the node was killed. It returns how many promises are left.
func (m *promises) killed() (left int) {
	m.lock.Lock()
	defer m.lock.Unlock()
	for number, all := range m.made {
		m.made[number] = slices.DeleteFunc(all, func(p promise) bool { return !p.written })
		left += len(m.made[number])
	}
	return left
}

var unsafeMethods = []string{"POST", "PUT", "PATCH", "DELETE"}

// invalidate changes a page by an unsafe method, through the node.
func (v *visitors) invalidate(number int) error {
	r, err := http.NewRequest(unsafeMethods[rand.IntN(len(unsafeMethods))], fmt.Sprintf("http://%s/page/%d", v.p.address, number), strings.NewReader("x"))
	if err != nil {
		return err
	}
	r.Host = pageHost
	response, err := v.client.Do(r)
	if err != nil {
		return fmt.Errorf("%w: %w", errCut, err)
	}
	response.Body.Close()
	version, err := strconv.ParseInt(response.Header.Get("X-Version"), 10, 64)
	if response.StatusCode != http.StatusNoContent || err != nil {
		return fmt.Errorf("%s: status = %d, version %v", r.Method, response.StatusCode, err)
	}
	v.origin.note(number, version, false)
	v.purges.Add(1)
	return nil
}

// purge changes a page at the origin, and has an operator purge it.
func (v *visitors) purge(number int) error {
	version, before := v.origin.change(number), v.origin.ask(number)
	target := "http://admin/v1/cache?url=" + url.QueryEscape(fmt.Sprintf("%s/page/%d", pageHost, number))
	r, err := http.NewRequest("DELETE", target, nil)
	if err != nil {
		return err
	}
	response, err := v.p.admin.Do(r)
	if err != nil {
		return fmt.Errorf("%w: %w", errCut, err)
	}
	defer response.Body.Close()
	if text, err := io.ReadAll(response.Body); response.StatusCode != http.StatusOK || err != nil {
		return fmt.Errorf("purge: status = %d, %s, %v", response.StatusCode, text, err)
	}
	v.origin.note(number, version, true)
	v.origin.written(before)
	v.purges.Add(1)
	return nil
}

// agree has the program look at copies of a directory that a killed process has left. Every record is whole, and the index
// tells the same as the segments do without it; but for what was purged, which the sweeper takes away without a word in the
// segments, since the journal has one. It returns how many responses there are. A directory that fails is kept under
// `go test -artifacts`.
func (g *program) agree(t *testing.T, o *pageOrigin) int {
	t.Helper()
	whole, segments := linkFolder(t, g.cache, ""), linkFolder(t, g.cache, "index")
	defer os.RemoveAll(whole) // or it would keep what is evicted until the test ends
	defer os.RemoveAll(segments)
	out, err := exec.Command(g.binary, "cache", "scrub", "--json", "--path", whole).Output()
	var report struct{ Clean bool }
	if err != nil || json.Unmarshal(out, &report) != nil || !report.Clean {
		t.Errorf("scrub after a kill: %v\n%s", err, out)
	}
	byIndex, bySegments := g.list(t, whole), g.list(t, segments)
	bySegments = slices.DeleteFunc(bySegments, func(line string) bool {
		return o.mayBePurged(line) && !slices.Contains(byIndex, line)
	})
	if !slices.Equal(byIndex, bySegments) {
		t.Errorf("the index does not say what the segments say (-segments +index):\n%s", cmp.Diff(bySegments, byIndex))
	}
	if t.Failed() {
		if err := os.CopyFS(t.ArtifactDir(), os.DirFS(g.cache)); err != nil {
			t.Error(err)
		}
	}
	return len(byIndex)
}

// list returns a line for every response in a cache directory, in order.
func (g *program) list(t *testing.T, folder string) (all []string) {
	t.Helper()
	out, err := exec.Command(g.binary, "cache", "ls", "--json", "--path", folder).Output()
	if err != nil {
		t.Errorf("ls after a kill: %v\n%s", err, out)
	}
	for line := range strings.Lines(string(out)) {
		var s struct {
			URL     string
			Length  int64
			Epoch   uint64
			Variant []string
		}
		if err := json.Unmarshal([]byte(line), &s); err != nil {
			t.Fatal(err)
		}
		all = append(all, fmt.Sprintf("%s %v: %d bytes, epoch %d", s.URL, s.Variant, s.Length, s.Epoch))
	}
	slices.Sort(all)
	return all
}

// linkFolder returns a folder with the same files but one. Segments, which nobody writes to any more, are shared.
func linkFolder(t *testing.T, from, without string) string {
	t.Helper()
	to := t.TempDir()
	entries, err := os.ReadDir(from)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		old, fresh := filepath.Join(from, e.Name()), filepath.Join(to, e.Name())
		switch {
		case e.Name() == without:
		case filepath.Ext(e.Name()) == ".seg" && os.Link(old, fresh) == nil:
		default:
			writeFile(t, fresh, readFile(t, old))
		}
	}
	return to
}
