package disk

import (
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// agree fails the test unless a directory as a kill leaves it, with nobody in it, tells the same with its index and without.
func agree(t *testing.T, dir, when string) {
	t.Helper()
	byIndex, bySegments := told(t, dir, ""), told(t, dir, indexName)
	if !slices.Equal(byIndex, bySegments) {
		t.Errorf("%s: the index does not say what the segments say (-segments +index):\n%s", when, cmp.Diff(bySegments, byIndex))
	}
}

// told returns a line for every record that is found in a copy of a directory, in order.
func told(t *testing.T, dir, without string) (all []string) {
	t.Helper()
	copied, err := os.MkdirTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(copied)
	for _, name := range files(t, dir) {
		if base := filepath.Base(name); base != without {
			lend(t, name, filepath.Join(copied, base))
		}
	}
	r := loaded(t, copied, Options{Limit: 1 << 40, segmentBytes: 256 << 10})
	defer r.stop()
	err = r.Each(t.Context(), func(rec *Record, _ Location) bool {
		all = append(all, fmt.Sprintf("%s %s %s: %d bytes", rec.Key, rec.Variant, rec.Head, rec.Length))
		return true
	})
	if err != nil {
		t.Error(err)
	}
	slices.Sort(all)
	return all
}

// lend puts a file under another name. A segment, which no second process ever changes, is linked, anything else copied.
func lend(t *testing.T, from, to string) {
	t.Helper()
	if filepath.Ext(from) == ".seg" {
		if err := os.Link(from, to); err != nil {
			t.Error(err)
		}
		return
	}
	b, err := os.ReadFile(from)
	if err != nil {
		t.Error(err)
	}
	write(t, to, b)
}

// watched is an FS that has somebody look before every effect.
type watched struct {
	system
	look func(what, name string)
}

func (f *watched) OpenFile(name string, flag int, perm fs.FileMode) (File, error) {
	if flag&os.O_CREATE != 0 {
		f.look("create", name)
	}
	file, err := f.system.OpenFile(name, flag, perm)
	return &watchedFile{file, name, f}, err
}

func (f *watched) Rename(from, to string) error {
	f.look("rename", from)
	return f.system.Rename(from, to)
}

func (f *watched) Remove(name string) error {
	f.look("remove", name)
	return f.system.Remove(name)
}

func (f *watched) SyncDir(name string) error {
	f.look("syncdir", name)
	return f.system.SyncDir(name)
}

type watchedFile struct {
	File
	name string
	fs   *watched
}

func (f *watchedFile) WriteAt(b []byte, at int64) (int, error) {
	f.fs.look("write", f.name)
	return f.File.WriteAt(b, at)
}

func (f *watchedFile) Sync() error {
	f.fs.look("sync", f.name)
	return f.File.Sync()
}

// Killed before any effect, in a directory in which everything moves: large bodies over several segments, records put again,
// removed and freshened, segments evicted with something to rescue and compacted, restarts.
func TestIndexAndSegmentsAgreeAfterEveryKill(t *testing.T) {
	t.Parallel()
	lives, kills := uint64(2), 40
	if soaking() {
		lives, kills = 8, 500
	}
	for seed := range lives {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			m := &crowded{t: t, dir: t.TempDir(), rng: rand.New(rand.NewPCG(seed, 7)), rare: 500 / kills}
			o := Options{Limit: 4 << 20, segmentBytes: 256 << 10, FS: &watched{look: m.look}}
			for range 4 {
				m.rig = loaded(t, m.dir, o)
				for range 120 {
					m.step()
				}
				m.stop()
				m.count()
			}
			agree(t, m.dir, "at the end")
			if m.evicted == 0 || m.rescued == 0 || m.compacted == 0 || m.kills < kills {
				t.Errorf("%d segments evicted, %d records rescued, %d segments compacted, %d kills: want some of each, and %d kills",
					m.evicted, m.rescued, m.compacted, m.kills, kills)
			}
		})
	}
}

// crowded is a directory in which everything moves.
type crowded struct {
	*rig
	t    *testing.T
	dir  string
	rng  *rand.Rand
	rare int // one effect of so many is looked at

	effects, kills              int // owned by the writer, while there is one
	evicted, rescued, compacted int64
}

// look compares before an effect.
func (m *crowded) look(what, name string) {
	if m.effects++; m.effects%m.rare == 0 {
		m.kills++
		agree(m.t, m.dir, fmt.Sprintf("before effect %d (%s %s)", m.effects, what, filepath.Base(name)))
	}
}

func (m *crowded) count() {
	s := m.Stat()
	m.evicted, m.rescued, m.compacted = m.evicted+s.Evicted, m.rescued+s.Rescued, m.compacted+s.Compacted
}

func (m *crowded) step() {
	rec, body := record(m.rng.IntN(30), m.rng.IntN(1<<m.rng.IntN(18)))
	switch at := m.rng.IntN(100); {
	case at < 30:
		m.put(rec, body)
	case at < 40:
		rec, body := record(m.rng.IntN(30), 200_000+m.rng.IntN(300_000))
		m.stream(rec, body, 1+m.rng.IntN(100_000))
	case at < 50:
		m.freshen(rec.Name)
	case at < 60:
		m.Remove(rec.Name)
	case at < 90:
		m.Lookup(rec.Name)
	default:
		run(m.t, m.rig, func(w *writer) { w.sync(); w.compact() })
	}
}

// freshen gives the record of a name, if there is one, another head.
func (m *crowded) freshen(n Name) {
	m.sync()
	if rec, err := m.get(n); err == nil {
		rec.Head = fmt.Appendf(nil, "fresh-%d", m.rng.Uint64())
		m.Freshen(n, rec)
	}
}
