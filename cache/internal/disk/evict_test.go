package disk

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// bounded fails the test when a directory holds more than its limit and one segment.
func bounded(t *testing.T, r *rig, dir string) {
	t.Helper()
	most := r.options.Limit + r.segmentBytes
	if used := onDisk(t, dir); used > most {
		t.Errorf("directory of %d bytes, want at most %d", used, most)
	}
	if used := r.used(); used > most {
		t.Errorf("%d bytes used, pinned ones included, want at most %d", used, most)
	}
}

func TestFloodStaysWithinTheLimit(t *testing.T) {
	dir := t.TempDir()
	r := loaded(t, dir, small())
	for n := range 400 {
		rec, body := record(n, 100+n*997%100_000)
		r.put(rec, body)
		if n%10 == 0 {
			r.Lookup(name(n - 20)) // so that there is something to rescue
			bounded(t, r, dir)
		}
	}
	if r.Stat().Evicted == 0 || r.Stat().Rescued == 0 {
		t.Errorf("evicted %d, rescued %d, want some", r.Stat().Evicted, r.Stat().Rescued)
	}
	r.clean()
}

func TestFloodOfLargeStreamsStaysWithinTheLimit(t *testing.T) {
	dir := t.TempDir()
	r := loaded(t, dir, small())
	var wg sync.WaitGroup
	var kept atomic.Int64
	for s := range 4 {
		wg.Go(func() {
			for n := range 15 {
				rec, body := record(100*s+n, 500_000)
				switch err := r.stream(rec, body, 30_000); err {
				case nil:
					kept.Add(1)
				case ErrGone: // so slow that the others overtook it
				default:
					t.Errorf("stream: %v", err)
				}
				bounded(t, r, dir)
			}
		})
	}
	wg.Wait()
	if kept.Load() < 30 {
		t.Errorf("%d of 60 streams were kept, want most", kept.Load())
	}
	r.clean()
}

func TestManySmallRecordsStayWithinTheLimit(t *testing.T) {
	dir := t.TempDir()
	r := loaded(t, dir, small())
	for n := range 30_000 {
		rec, body := record(n, 50)
		r.put(rec, body)
		if n%1000 == 0 {
			r.sync()
			bounded(t, r, dir)
		}
	}
	if s := r.Stat(); s.Index < 100_000 || s.Evicted == 0 {
		t.Errorf("index of %d bytes, %d segments evicted, want both to count", s.Index, s.Evicted)
	}
	r.clean()
}

func TestLowerLimitHoldsAfterARestart(t *testing.T) {
	dir := t.TempDir()
	r := loaded(t, dir, small())
	for n := range 100 {
		rec, body := record(n, 30_000)
		r.put(rec, body)
	}
	r.stop()
	o := small()
	o.Limit = 2 << 20
	r = loaded(t, dir, o)
	rec, body := record(1000, 100)
	r.put(rec, body)
	r.sync()
	bounded(t, r, dir)
	r.want(rec)
}

// What is looked up stays while what is not leaves, if it is still useful.
func TestLookedUpRecordsAreRescued(t *testing.T) {
	o := small()
	o.Useful = func(r *Record) bool { return r.Key != name(2).Key }
	r := loaded(t, t.TempDir(), o)
	large, body := record(4, 100_000)
	if err := r.stream(large, body, 10_000); err != nil {
		t.Fatal(err)
	}
	var kept [3]Record
	for n := range kept {
		kept[n], body = record(n, 10_000)
		r.put(kept[n], body)
	}
	freshened := kept[0]
	freshened.Head = []byte("fresh")
	r.Freshen(kept[0].Name, freshened)
	for n := 10; n < 400; n++ {
		rec, body := record(n, 30_000)
		r.put(rec, body)
		r.sync()
		r.Lookup(name(0))
		r.Lookup(name(2))
		r.Lookup(name(4))
	}
	r.want(freshened)
	r.absent(kept[1].Name) // nobody asked for it
	r.absent(kept[2].Name) // no longer useful
	r.want(large)
	r.clean()
}

// What memory serves is never looked up here, and stays as well.
func TestRecordsHeldInMemoryAreRescued(t *testing.T) {
	o := small()
	o.Held = func(hash uint64) bool { return hash == name(1).Hash }
	r := loaded(t, t.TempDir(), o)
	held, body := record(1, 10_000)
	r.put(held, body)
	other, body := record(2, 10_000)
	r.put(other, body)
	for n := 10; n < 400; n++ {
		rec, body := record(n, 30_000)
		r.put(rec, body)
	}
	r.sync()
	r.want(held)
	r.absent(other.Name)
	r.clean()
}

// What others keep in the directory counts, while it is there.
func TestGuestsCount(t *testing.T) {
	dir := t.TempDir()
	guest := filepath.Join(dir, guests[0])
	if err := os.WriteFile(guest, make([]byte, 3<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	r := loaded(t, dir, small())
	flood := func(from int) {
		for n := range 200 {
			rec, body := record(from+n, 30_000)
			r.put(rec, body)
			bounded(t, r, dir)
		}
		r.sync()
	}
	flood(0)
	if used := r.Stat().Used; used < 3<<20 {
		t.Errorf("%d bytes used, want the guest counted", used)
	}
	if err := os.WriteFile(guest, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, r, func(w *writer) { w.synced = time.Time{}; w.tick() })
	flood(1000)
	if segments := r.Stat().Segments; segments < 12 {
		t.Errorf("%d segments when the guest has shrunk, want its room taken", segments)
	}
}

func TestReaderKeepsADroppedSegment(t *testing.T) {
	dir := t.TempDir()
	o := small()
	var mu sync.Mutex
	now := time.Now()
	o.Now = func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		return now
	}
	r := loaded(t, dir, o)
	rec, body := record(1, 150_000)
	r.put(rec, body)
	r.sync()
	slow, quick := open(t, r, rec.Name), open(t, r, rec.Name)
	for n := 10; n < 300; n++ {
		other, body := record(n, 30_000)
		r.put(other, body)
	}
	r.sync()
	bounded(t, r, dir)
	if _, ok := r.Lookup(rec.Name); ok {
		t.Fatal("the record is still there, want it evicted")
	}
	if err := r.check(quick); err != nil {
		t.Errorf("read on a dropped segment: %v", err)
	}
	quick.Close()
	mu.Lock()
	now = now.Add(readerPatience + time.Second)
	mu.Unlock()
	run(t, r, func(w *writer) { w.t.collect() })
	if err := r.check(slow); err == nil {
		t.Error("read on a segment dropped a minute ago: no error")
	}
	slow.Close()
	r.mu.Lock()
	defer r.mu.Unlock()
	if got := len(r.leaving); got != 0 {
		t.Errorf("%d segments are still leaving, want none", got)
	}
}

func open(t *testing.T, r *rig, n Name) *Entry {
	t.Helper()
	ref, ok := r.Lookup(n)
	if !ok {
		t.Fatalf("%s is not there", n.Key)
	}
	e, err := r.Open(ref)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// run does something in the writer goroutine.
func run(t testing.TB, r *rig, do func(*writer)) {
	t.Helper()
	done := make(chan bool)
	if err := r.queue.offer(0, func(w *writer) { do(w); close(done) }); err != nil {
		t.Fatal(err)
	}
	<-done
}

// Readers that hold all that was dropped make the tier refuse what is new, rather than exceed its limit.
func TestPinnedBytesCount(t *testing.T) {
	dir := t.TempDir()
	r := loaded(t, dir, small())
	var pins []*Entry
	for n := range 300 {
		rec, body := record(n, 30_000)
		if r.Put(rec, [][]byte{body}); r.Sync(t.Context()) != nil {
			continue
		}
		if ref, ok := r.Lookup(rec.Name); ok {
			if e, err := r.Open(ref); err == nil {
				pins = append(pins, e)
			}
		}
		bounded(t, r, dir)
	}
	if r.Stat().Dropped == 0 {
		t.Error("nothing was refused")
	}
	for _, e := range pins {
		if err := r.check(e); err != nil {
			t.Errorf("read: %v", err)
		}
		e.Close()
	}
	run(t, r, func(w *writer) { w.t.collect() })
	rec, body := record(1000, 1000)
	r.put(rec, body)
	r.sync()
	r.want(rec)
}

// A body so slow that its first blocks are evicted before its last has come does not exist.
func TestOvertakenStreamIsGone(t *testing.T) {
	r := loaded(t, t.TempDir(), small())
	rec, body := record(1, 200_000)
	w := begin(t, r, rec)
	body = feed(t, w, body, 100_000)
	for n := 10; n < 200; n++ {
		other, body := record(n, 30_000)
		r.put(other, body)
	}
	feed(t, w, body, len(body))
	if err := w.Commit(t.Context(), rec); err != ErrGone {
		t.Errorf("commit: error %v, want %v", err, ErrGone)
	}
	r.absent(rec.Name)
}

// A slot that leads to another name's record is damage, not a hit.
func TestRecordOfAnotherNameIsDamage(t *testing.T) {
	r := loaded(t, t.TempDir(), small())
	rec, body := record(1, 1000)
	r.put(rec, body)
	r.sync()
	s, _ := r.table.find(rec.id())
	other := name(2)
	r.table.put(other.id(), s)
	if _, err := r.get(other); !errors.Is(err, errDamaged) {
		t.Errorf("error %v, want damage", err)
	}
	r.absent(other)
}
