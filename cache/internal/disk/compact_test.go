package disk

import (
	"errors"
	"sync"
	"testing"
)

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

// What a segment says of a forgotten name is no longer so once the name has a record again: said anew behind that one, it would
// count without the index.
func TestPutAgainOutlivesTheSegmentThatForgot(t *testing.T) {
	dir := t.TempDir()
	r := loaded(t, dir, small())
	fill := func(from, count int) {
		for n := range count {
			rec, body := record(from+n, 30_000)
			r.put(rec, body)
		}
	}
	fill(0, 8) // the first segment
	fill(100, 4)
	r.Remove(name(1)) // the second one says so
	fill(104, 4)
	again, body := record(1, 300_000)
	if err := r.stream(again, body, 50_000); err != nil {
		t.Fatal(err)
	}
	fill(200, 8)
	for n := range 8 {
		r.Remove(name(100 + n))
	}
	r.sync()
	run(t, r, func(w *writer) { w.compact() })
	if got := r.Stat().Compacted; got != 1 {
		t.Fatalf("%d segments compacted, want the second", got)
	}
	r.want(again)
	fill(300, 1) // with which the index comes to know where compaction has written
	r.stop()
	agree(t, dir, "after compaction")
	r = loaded(t, dir, small())
	r.want(again)
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

// Who lists records, or checks them, misses none because it is moved meanwhile.
func TestMovedWhileListed(t *testing.T) {
	dir, all := filled(t)
	move := func(r *rig) {
		run(t, r, func(w *writer) {
			s := w.t.oldest(nil)
			if err := w.roll(); err != nil {
				t.Error(err)
			}
			w.empty(s, always)
		})
	}
	r := loaded(t, dir, small())
	seen := map[string]Location{}
	err := r.Each(t.Context(), func(rec *Record, at Location) bool {
		if len(seen) == 0 {
			move(r)
		}
		seen[rec.Key] = at
		return true
	})
	if err != nil || len(seen) != len(all) {
		t.Errorf("%d records seen of %d, error %v", len(seen), len(all), err)
	}
	if now, _ := r.table.find(all[1].id()); seen[all[1].Key] != now.at {
		t.Errorf("%s seen at %v, want %v, where it was by then", all[1].Key, seen[all[1].Key], now.at)
	}
	moved := sync.OnceFunc(func() { move(r) })
	report, err := r.Scrub(t.Context(), func(int64, int64) { moved() })
	if err != nil || report.Records != int64(len(all)) {
		t.Errorf("%d records checked of %d, error %v", report.Records, len(all), err)
	}
}

// Nor may it without the index: its new place was written, though nobody was told of it, and the old one is gone when the writer
// comes to say that the name is forgotten.
func TestRemovedWhileRescuedStaysForgotten(t *testing.T) {
	dir := t.TempDir()
	r := loaded(t, dir, small())
	rec, body := record(1, 1000)
	r.put(rec, body)
	r.sync()
	run(t, r, func(w *writer) {
		s, all := w.current, w.dependents(w.current)
		if err := w.roll(); err != nil {
			t.Error(err)
		}
		r.Remove(rec.Name) // for the writer to do after this
		w.rescue(s, all[0], always)
		w.flush()
		w.drop(s)
	})
	r.sync()
	r.absent(rec.Name)
	r.stop()
	if err := remove(indexName)(dir); err != nil {
		t.Fatal(err)
	}
	r = loaded(t, dir, small())
	r.absent(rec.Name)
}

// Nor with an index that knows the place where the name was forgotten: it has to know the one before, too.
func TestIndexKnowsAllThatWasWritten(t *testing.T) {
	dir := t.TempDir()
	r := loaded(t, dir, small())
	rec, body := record(1, 1000)
	r.put(rec, body)
	r.sync()
	run(t, r, func(w *writer) {
		s, all := w.current, w.dependents(w.current)
		r.Remove(rec.Name) // for the writer to do after this
		err := w.roll()
		w.rescue(s, all[0], always) // nothing else is ever written to this segment
		w.flush()
		w.drop(s)
		if err = errors.Join(err, w.roll()); err != nil {
			t.Error(err)
		}
	})
	other, body := record(2, 1000)
	r.put(other, body)
	r.stop()
	agree(t, dir, "after a clean end")
	r = loaded(t, dir, small())
	r.absent(rec.Name)
	if walked := r.Stat().Walked; walked > 0 {
		t.Errorf("%d segments walked after a clean end, want none", walked)
	}
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
