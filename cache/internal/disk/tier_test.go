package disk

import (
	"context"
	"testing"
)

func TestPutIsFound(t *testing.T) {
	r := loaded(t, t.TempDir(), small())
	for n, length := range []int{0, 1, 1000, blockBytes - 1, blockBytes, blockBytes + 1, 3 * blockBytes, 300_000} {
		rec, body := record(n, length)
		r.put(rec, body)
		r.sync()
		r.want(rec)
	}
	r.clean()
}

func TestPutSharesTheBody(t *testing.T) {
	r := loaded(t, t.TempDir(), small())
	rec, body := record(1, 100_000)
	chunks := [][]byte{body[:10], body[10:70_000], body[70_000:70_000], body[70_000:]}
	if !r.Put(rec, chunks) {
		t.Fatal("dropped")
	}
	r.sync()
	r.want(rec)
	if len(chunks[0]) != 10 || len(chunks[3]) != 30_000 {
		t.Errorf("the caller's chunks have changed: %d and %d bytes", len(chunks[0]), len(chunks[3]))
	}
}

func TestPutOfAnotherLengthIsRefused(t *testing.T) {
	r := loaded(t, t.TempDir(), small())
	rec, body := record(1, 100)
	if r.Put(rec, [][]byte{body[:99]}) {
		t.Error("a body shorter than the record says was taken")
	}
	rec, body = record(1, int(r.MaxBody())+1)
	if r.Put(rec, [][]byte{body}) {
		t.Error("a body larger than MaxBody was taken")
	}
}

func TestStreamsInterleave(t *testing.T) {
	o := small()
	o.Limit = 16 << 20
	r := loaded(t, t.TempDir(), o)
	a, bodyA := record(1, 1_000_000)
	b, bodyB := record(2, 1_500_000)
	wa, wb := begin(t, r, a), begin(t, r, b)
	for len(bodyA)+len(bodyB) > 0 {
		bodyA, bodyB = feed(t, wa, bodyA, 40_000), feed(t, wb, bodyB, 100_000)
	}
	r.absent(a.Name)
	commitTo(t, wa, a)
	r.want(a)
	r.absent(b.Name)
	commitTo(t, wb, b)
	r.want(b)
	r.clean()
}

func begin(t *testing.T, r *rig, rec Record) *Writer {
	t.Helper()
	w, err := r.Begin(rec.Fill)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func feed(t *testing.T, w *Writer, body []byte, piece int) []byte {
	t.Helper()
	n := min(piece, len(body))
	if err := w.Append(t.Context(), body[:n]); err != nil {
		t.Fatal(err)
	}
	return body[n:]
}

func commitTo(t *testing.T, w *Writer, rec Record) {
	t.Helper()
	if err := w.Commit(t.Context(), rec); err != nil {
		t.Fatal(err)
	}
}

func TestStreamWithoutCommitIsNothing(t *testing.T) {
	dir := t.TempDir()
	r := loaded(t, dir, small())
	rec, body := record(1, 200_000)
	w := begin(t, r, rec)
	feed(t, w, body, len(body))
	w.Abort()
	if err := w.Commit(t.Context(), rec); err == nil {
		t.Error("commit after abort: no error")
	}
	r.absent(rec.Name)
	r.stop()
	loaded(t, dir, small()).absent(rec.Name)
}

func TestStreamCommitOfAnotherBodyIsRefused(t *testing.T) {
	r := loaded(t, t.TempDir(), small())
	rec, body := record(1, 1000)
	w := begin(t, r, rec)
	feed(t, w, body[:999], 999)
	if err := w.Commit(t.Context(), rec); err == nil {
		t.Error("commit of fewer bytes than the record says: no error")
	}
	r.absent(rec.Name)
}

func TestStreamLargerThanMaxBodyIsRefused(t *testing.T) {
	r := loaded(t, t.TempDir(), small())
	rec, body := record(1, int(r.MaxBody())+1)
	if err := r.stream(rec, body, 50_000); err != ErrTooLarge {
		t.Errorf("error %v, want %v", err, ErrTooLarge)
	}
}

// Names with the same hash are told apart, and each has its own record.
func TestCollidingHashes(t *testing.T) {
	dir := t.TempDir()
	r := loaded(t, dir, small())
	var all []Record
	for n := range 20 {
		rec, body := record(n, 100)
		rec.Hash = 7
		rec.Variant = "v"
		r.put(rec, body)
		all = append(all, rec)
	}
	r.sync()
	for range 2 {
		for _, rec := range all {
			r.want(rec)
		}
		other := all[0].Name
		other.Variant = "w"
		r.absent(other)
		r.stop()
		r = loaded(t, dir, small())
	}
}

func TestNewestOfANameWins(t *testing.T) {
	dir := t.TempDir()
	r := loaded(t, dir, small())
	var last Record
	for range 5 {
		var body []byte
		last, body = record(1, 5000)
		r.put(last, body)
	}
	r.sync()
	r.want(last)
	if got := r.Stat().Records; got != 1 {
		t.Errorf("%d records, want 1", got)
	}
	r.stop()
	loaded(t, dir, small()).want(last)
}

func TestFreshenKeepsTheBody(t *testing.T) {
	for _, length := range []int{0, 500, 200_000} {
		dir := t.TempDir()
		r := loaded(t, dir, small())
		rec, body := record(1, length)
		r.put(rec, body)
		fresh := rec
		fresh.Head, fresh.Epoch = []byte("fresh"), 99
		if !r.Freshen(rec.Name, fresh) { // while the body is in the queue
			t.Fatal("dropped")
		}
		r.sync()
		r.want(fresh)
		r.clean()
		r.stop()
		r = loaded(t, dir, small())
		r.want(fresh)
		r.stop()
	}
}

func TestFreshenUnderAnotherName(t *testing.T) {
	r := loaded(t, t.TempDir(), small())
	rec, body := record(1, 500)
	r.put(rec, body)
	fresh := rec
	fresh.Name = name(2)
	r.Freshen(rec.Name, fresh)
	r.Remove(rec.Name)
	r.sync()
	r.absent(rec.Name)
	r.want(fresh)
}

// A 304 for a body that another fill has replaced meanwhile must not put its head over the new body.
func TestFreshenOfAReplacedBodyIsNothing(t *testing.T) {
	r := loaded(t, t.TempDir(), small())
	old, body := record(1, 500)
	r.put(old, body)
	r.sync()
	replaced, body := record(1, 500)
	r.put(replaced, body)
	r.Freshen(old.Name, old)
	r.sync()
	r.want(replaced)
}

func TestRemove(t *testing.T) {
	dir := t.TempDir()
	r := loaded(t, dir, small())
	queued, body := record(1, 100)
	r.put(queued, body)
	r.Remove(queued.Name) // while it is in the queue
	again, body := record(2, 100)
	r.put(again, body)
	r.Remove(again.Name)
	again, body = record(2, 100)
	r.put(again, body)
	r.sync()
	r.absent(queued.Name)
	r.want(again)
	r.stop()
	r = loaded(t, dir, small())
	r.absent(queued.Name)
	r.want(again)
	r.Remove(again.Name)
	r.absent(again.Name) // at once
	r.clean()
}

func TestSeedAndIdentityLast(t *testing.T) {
	dir := t.TempDir()
	r := loaded(t, dir, small())
	seed, identity := r.Seed(), r.Identity()
	r.stop()
	r = loaded(t, dir, small())
	if r.Seed() != seed || r.Identity() != identity {
		t.Errorf("seed %x, identity %x after a restart, want %x, %x", r.Seed(), r.Identity(), seed, identity)
	}
}

func TestReset(t *testing.T) {
	dir := t.TempDir()
	r := loaded(t, dir, small())
	old, body := record(1, 100)
	r.put(old, body)
	if err := r.Reset([16]byte{1}); err != nil {
		t.Fatal(err)
	}
	r.absent(old.Name)
	rec, body := record(2, 100)
	r.put(rec, body)
	r.clean()
	r.want(rec)
	r.stop()
	r = loaded(t, dir, small())
	r.absent(old.Name)
	r.want(rec)
	if r.Identity() != [16]byte{1} || r.Stat().Walked != 0 {
		t.Errorf("identity %x, %d segments walked, want the new one, and an index of it", r.Identity(), r.Stat().Walked)
	}
}

func TestResetBeforeRun(t *testing.T) {
	dir := t.TempDir()
	r := loaded(t, dir, small())
	old, body := record(1, 100)
	r.put(old, body)
	r.stop()
	tier, err := Open(dir, small())
	if err != nil {
		t.Fatal(err)
	}
	if err := tier.Reset([16]byte{2}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := tier.Run(ctx); err != nil {
		t.Fatal(err)
	}
	loaded(t, dir, small()).absent(old.Name)
}

func TestUntrustedRecordsAreDropped(t *testing.T) {
	dir := t.TempDir()
	r := loaded(t, dir, small())
	rec, body := record(77, 100) // of epoch 77
	r.put(rec, body)
	r.stop()
	o := small()
	told := []uint64{}
	o.Trust = func(highest uint64) bool { told = append(told, highest); return highest < 77 }
	r = loaded(t, dir, o)
	r.absent(rec.Name)
	r.stop()
	r = loaded(t, dir, o)
	r.stop()
	if len(told) != 2 || told[0] != 77 || told[1] != 0 {
		t.Errorf("asked to trust %v, want 77, and 0 after what had it was dropped", told)
	}
}

func TestClosedTierTakesAndFindsNothing(t *testing.T) {
	r := loaded(t, t.TempDir(), small())
	rec, body := record(1, 100)
	r.put(rec, body)
	r.sync()
	ref, _ := r.Lookup(rec.Name)
	w := begin(t, r, rec)
	r.stop()
	if r.Put(rec, [][]byte{body}) || r.Freshen(rec.Name, rec) {
		t.Error("put or freshen after the end was taken")
	}
	if err := w.Append(t.Context(), bodyOf(1, 100_000)); err != ErrClosed {
		t.Errorf("append: error %v, want %v", err, ErrClosed)
	}
	if _, err := r.Open(ref); err == nil {
		t.Error("open after the end: no error")
	}
}

func TestEachSeesEveryRecord(t *testing.T) {
	r := loaded(t, t.TempDir(), small())
	for n := range 10 {
		rec, body := record(n, 1000*n)
		r.put(rec, body)
	}
	r.sync()
	seen := map[string]Location{}
	if err := r.Each(t.Context(), func(rec *Record, at Location) bool { seen[rec.Key] = at; return true }); err != nil {
		t.Fatal(err)
	}
	if len(seen) != 10 {
		t.Errorf("saw %v, want ten records", seen)
	}
}
