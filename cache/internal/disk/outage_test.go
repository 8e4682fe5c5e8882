package disk

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// A disk that fails now and then, in whatever it is asked for but reads, for one call or for some in a row, also at a start. Once it has recovered, the index tells what the segments tell, and nothing that was removed is there.
func TestIndexAndSegmentsAgreeAfterOutages(t *testing.T) {
	t.Parallel()
	seeds := uint64(4)
	if soaking() {
		seeds = 600
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			m := &outage{t: t, dir: t.TempDir(), rng: rand.New(rand.NewPCG(seed, 11)), clock: newClock(), disk: &faulty{}, gone: map[Name]bool{}}
			for range 4 {
				m.live(50 + m.rng.IntN(100))
			}
			if m.failed < 20 {
				t.Errorf("%d calls have failed, want some", m.failed)
			}
		})
	}
}

// outage is a directory on a disk that fails now and then.
type outage struct {
	*rig
	t      *testing.T
	dir    string
	rng    *rand.Rand
	clock  *clock
	disk   *faulty
	fault  error
	left   int // calls that fail still
	failed int
	gone   map[Name]bool // removed, and not put since
}

// live has a process use the directory, and end well.
func (m *outage) live(steps int) {
	m.disk.set(m.fail(rand.New(rand.NewPCG(m.rng.Uint64(), 0))))
	o := talking(m.t, withFaults(m.clock, m.disk))
	tier, err := Open(m.dir, o)
	for err != nil { // until it succeeds, as an operator would
		tier, err = Open(m.dir, o)
	}
	m.rig = running(m.t, tier)
	awaitLoaded(m.rig, m.clock)
	for range steps {
		m.step()
	}
	m.disk.set(nil)
	m.clock.advance(indexRetry)
	run(m.t, m.rig, func(w *writer) { w.tick() })
	m.clean()
	for n, gone := range m.gone {
		if gone {
			m.absent(n)
		}
	}
	if err := m.stop(); err != nil {
		m.t.Errorf("stop: %v", err)
	}
	agree(m.t, m.dir, "after outages")
	m.wantGone()
}

// fail returns a fault of one call in forty or so, and of some that follow.
func (m *outage) fail(rng *rand.Rand) func(int, string) error {
	return func(_ int, what string) error {
		if m.left == 0 && rng.IntN(40) == 0 {
			m.left, m.fault = 1+rng.IntN(6), faults[rng.IntN(len(faults))]
		}
		if m.left == 0 || what == "read" {
			return nil
		}
		m.left--
		m.failed++
		if what == "open" || what == "size" {
			return syscall.EMFILE
		}
		return m.fault
	}
}

func (m *outage) step() {
	rec, body := record(m.rng.IntN(30), m.rng.IntN(1<<m.rng.IntN(18)))
	switch at := m.rng.IntN(100); {
	case at < 40:
		m.replace(rec, m.Put(rec, [][]byte{body}))
	case at < 50:
		rec, body := record(m.rng.IntN(30), 200_000+m.rng.IntN(300_000))
		m.replace(rec, m.stream(rec, body, 1+m.rng.IntN(100_000)) == nil)
	case at < 60:
		if old, err := m.get(rec.Name); err == nil {
			old.Head = rec.Head
			m.Freshen(rec.Name, old)
		}
	case at < 70:
		m.replace(rec, false)
	case at < 80:
		m.Lookup(rec.Name)
	case at < 90:
		m.clock.advance(retryPause)
	default:
		run(m.t, m.rig, func(w *writer) { w.tick() })
	}
}

// replace forgets what a record that was not taken would have replaced.
func (m *outage) replace(rec Record, taken bool) {
	if !taken {
		m.Remove(rec.Name)
	}
	m.gone[rec.Name] = !taken
}

// wantGone reports what was removed and is there again, with the index or without.
func (m *outage) wantGone() {
	dir := clone(m.t, m.dir)
	defer os.RemoveAll(dir)
	for range 2 {
		r := loaded(m.t, dir, small())
		for n, gone := range m.gone {
			if _, err := r.get(n); gone && err != errAbsent {
				m.t.Errorf("get %s: error %v, want that it is not there", n.Key, err)
			}
		}
		r.stop()
		os.Remove(filepath.Join(dir, indexName))
	}
}
