package disk

import (
	"bytes"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
)

// effect is one change to the directory, as the file system was asked for it.
type effect struct {
	what  string // create, write, sync, rename, remove, syncdir
	name  string
	to    string // of a rename
	at    int64
	bytes []byte
	index []byte // the index as it was before, nil for none; bbolt keeps it whole by itself
}

// recorder is an FS that notes every effect. The index is not written through it, but by the same goroutine, and so at
// rest during every call.
type recorder struct {
	system
	dir string

	mu      sync.Mutex
	effects []effect
	index   []byte
}

func (r *recorder) note(e effect) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if b, err := os.ReadFile(filepath.Join(r.dir, indexName)); err != nil {
		r.index = nil
	} else if !bytes.Equal(b, r.index) {
		r.index = b
	}
	e.index = r.index
	e.name = filepath.Base(e.name)
	r.effects = append(r.effects, e)
}

// count returns how many effects there have been.
func (r *recorder) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.effects)
}

func (r *recorder) OpenFile(name string, flag int, perm fs.FileMode) (File, error) {
	if flag&os.O_CREATE != 0 {
		r.note(effect{what: "create", name: name})
	}
	f, err := r.system.OpenFile(name, flag, perm)
	return &recordedFile{f, name, r}, err
}

func (r *recorder) Rename(from, to string) error {
	r.note(effect{what: "rename", name: from, to: filepath.Base(to)})
	return r.system.Rename(from, to)
}

func (r *recorder) Remove(name string) error {
	r.note(effect{what: "remove", name: name})
	return r.system.Remove(name)
}

func (r *recorder) SyncDir(name string) error {
	r.note(effect{what: "syncdir", name: name})
	return r.system.SyncDir(name)
}

type recordedFile struct {
	File
	name string
	r    *recorder
}

func (f *recordedFile) WriteAt(b []byte, at int64) (int, error) {
	f.r.note(effect{what: "write", name: f.name, at: at, bytes: bytes.Clone(b)})
	return f.File.WriteAt(b, at)
}

func (f *recordedFile) Sync() error {
	f.r.note(effect{what: "sync", name: f.name})
	return f.File.Sync()
}

// image is what a disk holds: of each file the bytes, and the writes that no sync has made durable.
type image struct {
	files map[string]*imageFile
}

type imageFile struct {
	durable []byte
	pending []effect // writes since the last sync
	named   bool     // its name is durable
	removed bool     // its name is removed, which is not durable yet
}

// imageOf plays effects. Renames count as durable at once: losing one brings back the older file, which the cases of the
// effects before it are.
func imageOf(effects []effect) image {
	m := image{make(map[string]*imageFile)}
	for _, e := range effects {
		f := m.files[e.name]
		switch e.what {
		case "create":
			m.files[e.name] = &imageFile{}
		case "write":
			f.pending = append(f.pending, e)
		case "sync":
			f.durable, f.pending = apply(f.durable, f.pending), nil
		case "rename":
			if f != nil { // not the index
				m.files[e.to] = f
				delete(m.files, e.name)
			}
		case "remove":
			if f != nil {
				f.removed = true
			}
		case "syncdir":
			for name, f := range m.files {
				f.named = true
				if f.removed {
					delete(m.files, name)
				}
			}
		}
	}
	return m
}

func apply(b []byte, writes []effect) []byte {
	b = bytes.Clone(b)
	for _, w := range writes {
		if end := int(w.at) + len(w.bytes); end > len(b) {
			b = append(b, make([]byte, end-len(b))...)
		}
		copy(b[w.at:], w.bytes)
	}
	return b
}

// torn returns effects of which the last, a write, has happened by half.
func torn(effects []effect) []effect {
	out := slices.Clone(effects)
	last := &out[len(out)-1]
	last.bytes = last.bytes[:len(last.bytes)/2]
	return out
}

// killed writes the directory as a killed process leaves it: all that was written is there.
func (m image) killed(t *testing.T, dir string) {
	for name, f := range m.files {
		if !f.removed {
			write(t, filepath.Join(dir, name), apply(f.durable, f.pending))
		}
	}
}

// powerCut writes the directory as a power cut may leave it: of the writes that were not synced any sectors, and names that
// were not synced there or not.
func (m image) powerCut(t *testing.T, dir string, rng *rand.Rand) {
	for name, f := range m.files {
		if (!f.named || f.removed) && rng.IntN(2) == 0 {
			continue
		}
		write(t, filepath.Join(dir, name), apply(f.durable, someSectors(f.pending, rng)))
	}
}

const sectorBytes = 512

// someSectors leaves some sectors of some writes. The size of the file may tell of writes of which no byte is there.
func someSectors(writes []effect, rng *rand.Rand) (some []effect) {
	keep := rng.IntN(4) // of four sectors
	for _, w := range writes {
		for at := 0; at < len(w.bytes); at += sectorBytes {
			piece := w.bytes[at:min(at+sectorBytes, len(w.bytes))]
			if rng.IntN(4) >= keep {
				if rng.IntN(8) > 0 {
					continue
				}
				piece = make([]byte, len(piece))
			}
			some = append(some, effect{at: w.at + int64(at), bytes: piece})
		}
	}
	return some
}

func write(t *testing.T, name string, b []byte) {
	t.Helper()
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// history is what was done to a Tier over a recorder, and when in effects.
type history struct {
	*rig
	recorder *recorder
	events   []event
	synced   []int // effects at the end of each sync
}

// event is one change of a name.
type event struct {
	began  int // effects when it was asked for
	name   Name
	record Record
	gone   bool
}

// live plays a life: puts, freshenings, streams, removals, syncs, and a restart.
func live(t *testing.T, dir string) *history {
	t.Helper()
	h := &history{recorder: &recorder{dir: dir}}
	o := small()
	o.FS = h.recorder
	h.rig = loaded(t, dir, o)
	for n := range 40 {
		h.change(t, n)
		if n%7 == 6 {
			h.sync()
			h.synced = append(h.synced, h.recorder.count())
		}
		if n == 25 {
			h.stop()
			h.synced = append(h.synced, h.recorder.count())
			h.rig = loaded(t, dir, o)
			h.clean()
		}
	}
	h.stop()
	h.synced = append(h.synced, h.recorder.count())
	return h
}

func (h *history) change(t *testing.T, n int) {
	rec, body := record(n%9, 1000+n*5000)
	e := event{began: h.recorder.count(), name: rec.Name, record: rec}
	switch {
	case n%5 == 4:
		h.Remove(rec.Name)
		e.gone = true
	case n%4 == 3:
		rec, body := record(n%9, 150_000)
		e.record = rec
		if err := h.stream(rec, body, 40_000); err != nil {
			t.Fatal(err)
		}
	default:
		h.put(rec, body)
	}
	run(t, h.rig, func(w *writer) { w.flush() })
	h.events = append(h.events, e)
	if n%6 == 5 && !e.gone {
		fresh := event{began: h.recorder.count(), name: e.name, record: e.record}
		fresh.record.Head = fmt.Appendf(nil, "fresh-%d", n)
		h.Freshen(e.name, fresh.record)
		run(t, h.rig, func(w *writer) { w.flush() })
		h.events = append(h.events, fresh)
	}
}

// must returns what has to be there of each name after so many effects, given that all before durable effects is kept. A
// name with changes that may or may not have been kept is left out.
func (h *history) must(effects, durable int) map[Name]event {
	all := map[Name]event{}
	for _, e := range h.events {
		switch {
		case e.began >= effects:
		case e.began < durable && h.endOf(e) <= durable:
			all[e.name] = e
		default:
			delete(all, e.name)
		}
	}
	return all
}

// endOf returns the number of effects by which an event was done: those when the next one was asked for.
func (h *history) endOf(e event) int {
	for _, other := range h.events {
		if other.began > e.began {
			return other.began
		}
	}
	return h.recorder.count()
}

// Every prefix of what was written, torn or not, with any of what was not synced missing: all that is found is whole and
// true, nothing durable is missing, and nothing forgotten is back.
func TestEveryCrashPoint(t *testing.T) {
	t.Parallel()
	h := live(t, t.TempDir())
	effects := h.recorder.effects
	if len(effects) < 80 {
		t.Fatalf("%d effects, want more to crash between", len(effects))
	}
	for n := range sample(len(effects)-1, 4) {
		what := fmt.Sprintf("after %d effects (%s %s)", n, effects[n-1].what, effects[n-1].name)
		h.revive(t, n, n, "killed "+what, imageOf(effects[:n]).killed)
		if effects[n-1].what == "write" {
			h.revive(t, n, n-1, "killed in the middle, "+what, imageOf(torn(effects[:n])).killed)
		}
		for cut := range uint64(2) {
			h.revive(t, n, h.lastSync(n), "power cut "+what, func(t *testing.T, dir string) {
				imageOf(effects[:n]).powerCut(t, dir, rand.New(rand.NewPCG(uint64(n), cut)))
			})
		}
	}
}

func (h *history) lastSync(before int) (last int) {
	for _, n := range h.synced {
		if n <= before {
			last = n
		}
	}
	return last
}

// revive opens a directory as crash leaves it after so many effects, of which some are durable.
func (h *history) revive(t *testing.T, effects, durable int, what string, crash func(*testing.T, string)) {
	t.Helper()
	dir := t.TempDir()
	defer os.RemoveAll(dir)
	crash(t, dir)
	if index := h.recorder.effects[effects].index; index != nil {
		write(t, filepath.Join(dir, indexName), index)
	}
	must := h.must(effects, durable)
	r := loaded(t, dir, small())
	defer r.stop()
	for n := range 9 {
		got, err := r.get(name(n))
		want, sure := must[name(n)]
		switch {
		case err != nil && err != errAbsent:
			t.Errorf("%s: get %s: %v", what, name(n).Key, err)
		case err == nil && !h.was(got):
			t.Errorf("%s: %s is %s, which never was", what, got.Key, got.Head)
		case sure && want.gone && err == nil:
			t.Errorf("%s: %s is back as %s", what, got.Key, got.Head)
		case sure && !want.gone && (err != nil || !bytes.Equal(got.Head, want.record.Head)):
			t.Errorf("%s: %s is %s (error %v), want %s", what, name(n).Key, got.Head, err, want.record.Head)
		}
	}
	if report, err := r.Scrub(t.Context(), nil); err != nil || !report.Clean() {
		t.Errorf("%s: scrub: %+v, error %v", what, report, err)
	}
}

// was reports whether a record has ever been put like that.
func (h *history) was(got Record) bool {
	return slices.ContainsFunc(h.events, func(e event) bool {
		return !e.gone && e.name == got.Name && e.record.Fill == got.Fill && bytes.Equal(e.record.Head, got.Head)
	})
}

// What a killed process wrote is in the page cache, and perhaps nowhere else: the index must not vouch for it before a sync.
func TestWalkedSegmentIsSyncedBeforeTheIndexKnowsIt(t *testing.T) {
	killed, dir := t.TempDir(), t.TempDir()
	r := loaded(t, killed, small())
	rec, body := record(1, 1000)
	r.put(rec, body)
	run(t, r, func(w *writer) { w.flush(); copyFiles(t, killed, dir) })
	o := small()
	recorder := &recorder{dir: dir}
	o.FS = recorder
	r = loaded(t, dir, o)
	r.want(rec)
	r.clean()
	r.stop()
	synced := slices.IndexFunc(recorder.effects, func(e effect) bool { return e.what == "sync" && e.name == segmentName(1) })
	known := slices.IndexFunc(recorder.effects, func(e effect) bool { return e.what == "rename" && e.to == indexName })
	if synced < 0 || known < 0 || synced > known {
		t.Errorf("segment synced as effect %d, index in place as %d, want the sync first", synced, known)
	}
}
