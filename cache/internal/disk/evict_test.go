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

// After a kill the index may know a record of which the body has left with an older segment.
func TestRecordWhoseBodyIsEvictedIsNotLoaded(t *testing.T) {
	dir := t.TempDir()
	r := loaded(t, dir, small())
	rec, body := record(1, 100_000)
	r.put(rec, body)
	large, body := record(2, 300_000) // over two segments
	if err := r.stream(large, body, 50_000); err != nil {
		t.Fatal(err)
	}
	rec.Head = []byte("fresh") // in the second one
	r.Freshen(rec.Name, rec)
	r.clean()
	killed := clone(t, dir)
	if err := remove(segmentName(1))(killed); err != nil {
		t.Fatal(err)
	}
	r = loaded(t, killed, small())
	if got := r.Stat().Records; got != 0 {
		t.Errorf("%d records without the segment of their bodies, want none", got)
	}
	r.clean()
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

func TestRemovedSpaceComesBack(t *testing.T) {
	dir := t.TempDir()
	r := loaded(t, dir, small())
	var left []Record
	for n := range 100 {
		rec, body := record(n, 30_000)
		r.put(rec, body)
		if n%20 == 0 {
			left = append(left, rec)
		}
	}
	before := onDisk(t, dir)
	for n := range 100 {
		if n%20 != 0 {
			r.Remove(name(n))
		}
	}
	for range 40 {
		run(t, r, func(w *writer) { w.sync(); w.compact() })
	}
	if after := onDisk(t, dir); after > before/4 {
		t.Errorf("%d bytes after most was removed, %d before, want a quarter at most", after, before)
	}
	for _, rec := range left {
		r.want(rec)
	}
	r.clean()
	r.stop()
	// What was forgotten stays so without the index, though the segments that said so were rewritten.
	if err := remove(indexName)(dir); err != nil {
		t.Fatal(err)
	}
	r = loaded(t, dir, small())
	for n := range 100 {
		if n%20 != 0 {
			r.absent(name(n))
		}
	}
	for _, rec := range left {
		r.want(rec)
	}
}

// A body under way is not live yet, but its segments must not be taken for dead.
func TestCompactionSparesBodiesUnderWay(t *testing.T) {
	o := small()
	o.Limit = 8 << 20
	r := loaded(t, t.TempDir(), o)
	rec, body := record(1, 900_000)
	w := begin(t, r, rec)
	for len(body) > 0 {
		body = feed(t, w, body, 100_000)
		run(t, r, func(w *writer) { w.sync(); w.compact(); w.compact() })
	}
	commitTo(t, w, rec)
	r.want(rec)
	run(t, r, func(w *writer) { w.compact() })
	r.want(rec)
}

func TestForgottenStaysForgottenWhileCompacting(t *testing.T) {
	dir := t.TempDir()
	r := loaded(t, dir, small())
	// The first segment keeps a record that is then removed from a later one, which is compacted before the first.
	victim, body := record(0, 30_000)
	r.put(victim, body)
	for n := 1; n < 8; n++ {
		rec, body := record(n, 30_000)
		r.put(rec, body)
	}
	for n := 100; n < 107; n++ {
		rec, body := record(n, 30_000)
		r.put(rec, body)
	}
	r.Remove(victim.Name)
	for n := 200; n < 230; n++ {
		rec, body := record(n, 30_000)
		r.put(rec, body)
	}
	for n := 100; n < 107; n++ {
		r.Remove(name(n))
	}
	for range 5 {
		run(t, r, func(w *writer) { w.sync(); w.compact() })
	}
	if r.Stat().Compacted == 0 {
		t.Fatal("nothing was compacted")
	}
	r.stop()
	if err := remove(indexName)(dir); err != nil {
		t.Fatal(err)
	}
	r = loaded(t, dir, small())
	r.absent(victim.Name)
	r.some(name(1))
}

// What says that names are forgotten moves also out of a segment of which nothing else is left, and then stays where it is.
func TestForgottenOutlivesItsSegment(t *testing.T) {
	dir := t.TempDir()
	o := small()
	o.Limit = 8 << 20
	r := loaded(t, dir, o)
	fill := func(from, count int) {
		for n := range count {
			rec, body := record(from+n, 30_000)
			r.put(rec, body)
		}
		r.sync()
	}
	fill(0, 8) // the first segment
	fill(100, 4)
	for n := range 4 { // of which the second tells
		r.Remove(name(2 * n))
	}
	fill(104, 4)
	fill(200, 8)
	for n := range 8 { // so that it holds nothing else
		r.Remove(name(100 + n))
	}
	fill(300, 8)
	before := int64(0)
	for range 20 {
		before = r.Stat().Compacted
		run(t, r, func(w *writer) { w.sync(); w.compact() })
	}
	if s := r.Stat(); s.Compacted == 0 || s.Compacted != before {
		t.Errorf("%d segments compacted, %d before the last time: want some, and an end of it", s.Compacted, before)
	}
	r.stop()
	if err := remove(indexName)(dir); err != nil {
		t.Fatal(err)
	}
	r = loaded(t, dir, o)
	for n := range 4 {
		r.absent(name(2 * n))
		r.some(name(2*n + 1))
	}
	for n := range 8 {
		r.absent(name(100 + n))
	}
}

// A record may die with the first of its segments while an older one of its name, which was written between its first block and
// its last, still stands. That one stays superseded, with the index and without.
func TestSupersededStaysSoWhenTheNewerIsEvicted(t *testing.T) {
	dir := t.TempDir()
	r := loaded(t, dir, small())
	newer, body := record(1, 300_000)
	w := begin(t, r, newer)
	body = feed(t, w, body, 200_000)
	r.sync()
	for n := 10; n < 13; n++ {
		rec, body := record(n, 30_000)
		r.put(rec, body)
	}
	older, olderBody := record(1, 20_000)
	r.put(older, olderBody)
	r.sync()
	feed(t, w, body, len(body))
	commitTo(t, w, newer)
	r.want(newer)
	run(t, r, func(w *writer) { // as when its turn has come
		w.tight = true
		w.empty(w.t.oldest(w.current), func(*Record) bool { return false })
		w.tight = false
	})
	r.absent(newer.Name)
	r.clean()
	without := clone(t, dir)
	if err := remove(indexName)(without); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{clone(t, dir), without} {
		r := loaded(t, dir, small())
		r.absent(older.Name)
		r.some(name(12))
	}
}

// some fails the test unless some record of the name is there.
func (r *rig) some(n Name) {
	r.tb.Helper()
	if _, err := r.get(n); err != nil {
		r.tb.Errorf("get %s: %v", n.Key, err)
	}
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

// A record that is removed while it is being moved must not come back at its new place.
func TestRemovedWhileRescued(t *testing.T) {
	r := loaded(t, t.TempDir(), small())
	rec, body := record(1, 1000)
	r.put(rec, body)
	r.sync()
	run(t, r, func(w *writer) {
		p := w.dependents(w.current)[0]
		w.rescue(w.current, p, always)
		r.table.hide(p.id, 0) // what Remove does at once
		w.flush()
	})
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
