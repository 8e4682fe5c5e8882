package disk

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

// model is what a Tier should hold: the newest record of every name, or less, since what is old may have left.
type model struct {
	*rig
	t    *testing.T
	rng  *rand.Rand
	dir  string
	want map[Name]Record
}

// Random puts, streams, freshenings, removals, look-ups, compactions and restarts, clean and not: what is found is the newest
// of its name, whole; what was removed is not found; and while there is room, everything is.
func TestModel(t *testing.T) {
	seeds := uint64(3)
	if soaking() {
		seeds = 30
	}
	for seed := range seeds {
		for _, limit := range []int64{3 << 20, 64 << 20} {
			t.Run(fmt.Sprintf("seed %d, %d MiB", seed, limit>>20), func(t *testing.T) {
				t.Parallel()
				m := &model{t: t, rng: rand.New(rand.NewPCG(seed, 0)), want: map[Name]Record{}}
				o := Options{Limit: limit, segmentBytes: 256 << 10}
				m.dir = t.TempDir()
				m.rig = loaded(t, m.dir, o)
				for range 600 {
					m.step(o)
				}
				m.compare(limit >= 64<<20)
				m.restart(o, m.dir)
				m.compare(limit >= 64<<20)
			})
		}
	}
}

func (m *model) step(o Options) {
	rec, body := m.draw()
	switch at := m.rng.IntN(100); {
	case at < 45:
		m.put(rec, body)
		m.want[rec.Name] = rec
	case at < 55:
		m.sync() // so that it is the newest
		if m.stream(rec, body, 1+m.rng.IntN(100_000)) == nil {
			m.want[rec.Name] = rec
		}
	case at < 70:
		m.freshen(rec)
	case at < 80:
		m.Remove(rec.Name)
		delete(m.want, rec.Name)
	case at < 95:
		m.look(rec.Name)
	case at < 98:
		run(m.t, m.rig, func(w *writer) { w.sync(); w.compact() })
	case at < 99:
		m.restart(o, m.dir)
	default:
		m.kill(o)
	}
}

// draw draws a name of a few, some with the same hash, and a new record of it.
func (m *model) draw() (Record, []byte) {
	length := m.rng.IntN(1 << m.rng.IntN(18))
	rec, body := record(m.rng.IntN(60), length)
	rec.Hash %= 16
	if m.rng.IntN(4) == 0 {
		rec.Variant = "gzip"
	}
	return rec, body
}

func (m *model) freshen(rec Record) {
	old, ok := m.want[rec.Name]
	if !ok {
		return
	}
	old.Head = rec.Head
	if m.queue.waiting() == 0 && m.rng.IntN(2) == 0 {
		m.sync()
	}
	if m.Freshen(rec.Name, old) {
		m.sync()
		if got, err := m.get(rec.Name); err == nil && bytes.Equal(got.Head, old.Head) {
			m.want[rec.Name] = old
		}
	}
}

func (m *model) look(n Name) {
	m.sync()
	got, err := m.get(n)
	want, ok := m.want[n]
	switch {
	case err != nil && err != errAbsent:
		m.t.Errorf("get %v: %v", n, err)
	case err == nil && (!ok || got.Fill != want.Fill || !bytes.Equal(got.Head, want.Head)):
		m.t.Errorf("get %v: found %s, want %s (there: %v)", n, got.Head, want.Head, ok)
	case err != nil:
		delete(m.want, n) // it has left
	}
}

// compare looks at every name, and has Scrub look at the rest.
func (m *model) compare(everything bool) {
	m.sync()
	for n := range m.want {
		if _, ok := m.Lookup(n); everything && !ok {
			m.t.Errorf("%v is not there, and nothing had to leave", n)
		}
		m.look(n)
	}
	report := m.clean()
	if got, most := report.Records, int64(len(m.want)); got > most {
		m.t.Errorf("%d records, want at most %d", got, most)
	}
}

func (m *model) restart(o Options, dir string) {
	if err := m.stop(); err != nil {
		m.t.Errorf("stop: %v", err)
	}
	m.dir = dir
	m.rig = loaded(m.t, dir, o)
}

// kill goes on with the files as they were at a moment of which the process knew nothing.
func (m *model) kill(o Options) {
	dir := m.t.TempDir()
	run(m.t, m.rig, func(w *writer) {
		w.flush() // what is not written yet is lost, and the model would have to know
		copyFiles(m.t, m.dir, dir)
	})
	agree(m.t, dir, "after a kill")
	m.restart(o, dir)
}

func copyFiles(tb testing.TB, from, to string) {
	for _, name := range files(tb, from) {
		b, err := os.ReadFile(name)
		if err == nil {
			err = os.WriteFile(filepath.Join(to, filepath.Base(name)), b, 0o600)
		}
		if err != nil {
			tb.Error(err)
		}
	}
}
