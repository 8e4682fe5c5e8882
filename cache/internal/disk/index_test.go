package disk

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"testing"
)

var indexIdentity = [16]byte{42}

// nonceOf returns the nonce of a segment in an index with so many entries in each. No two of them are alike: what bbolt has
// mapped of an index stays so once it was found damaged, and a flipped bit may have it read in another's.
func nonceOf(segment uint32, entries int) uint64 { return uint64(entries)<<32 | uint64(segment) }

// newIndex makes an index with some entries in each of three segments.
func newIndex(t *testing.T, entries int) (path string, all map[Location]entry) {
	t.Helper()
	path, all = filepath.Join(t.TempDir(), indexName), map[Location]entry{}
	x, err := openIndex(path, true)
	if err != nil {
		t.Fatal(err)
	}
	c, marks := make(changes), map[uint32]mark{}
	for number := range uint32(3) {
		marks[number+1] = mark{nonce: nonceOf(number+1, entries), known: 1 << 20}
		for n := range entries {
			e := entry{id{uint64(n), 7}, slot{at: locate(number+1, int64(48+100*n)), head: 60, body: 40, from: number + 1, flags: joined}}
			all[e.at] = e
			c.put(e.id, e.slot)
		}
	}
	if err := errors.Join(x.begin(indexIdentity), x.apply(c, marks, 5), x.settle(), x.close()); err != nil {
		t.Fatal(err)
	}
	return path, all
}

// readIndex returns all that an index by newIndex has.
func readIndex(path string, entries int) (all map[Location]entry, err error) {
	x, err := openIndex(path, false)
	if err != nil {
		return nil, err
	}
	if _, err := x.check(indexIdentity); err != nil {
		x.abandon(err)
		return nil, err
	}
	defer x.close()
	all = map[Location]entry{}
	for number := range uint32(3) {
		_, err := x.entries(number+1, nonceOf(number+1, entries), func(e entry) { all[e.at] = e })
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}

func TestIndexKeepsWhatIsApplied(t *testing.T) {
	for _, entries := range []int{0, 1, 1000, 20_000} {
		path, want := newIndex(t, entries)
		got, err := readIndex(path, entries)
		if err != nil || !maps.Equal(got, want) {
			t.Errorf("%d entries: read %d of %d, error %v", entries, len(got), len(want), err)
		}
	}
}

func TestIndexForgetsWhatLeaves(t *testing.T) {
	x, err := openIndex(filepath.Join(t.TempDir(), indexName), true)
	if err != nil {
		t.Fatal(err)
	}
	defer x.close()
	marks := map[uint32]mark{1: {nonce: 1, known: 100}, 2: {nonce: 2, known: 100}}
	c := make(changes)
	a, b := locate(1, 48), locate(2, 48)
	c.put(id{1, 1}, slot{at: a})
	c.put(id{2, 2}, slot{at: b})
	gone := make(changes)
	gone.remove(a)
	gone.remove(locate(1, 99)) // which was never there
	gone.drop(2)
	again := errors.Join(x.begin(indexIdentity), x.apply(c, marks, 1), x.apply(c, marks, 1), x.apply(gone, marks, 2), x.apply(gone, marks, 2))
	if again != nil {
		t.Fatal(again)
	}
	for number, want := range map[uint32]mark{1: {nonce: 1, known: 100}, 2: {}} {
		m, err := x.entries(number, uint64(number), func(e entry) { t.Errorf("%v is still there", e.at) })
		if err != nil || m != want {
			t.Errorf("segment %d: mark %+v, error %v, want %+v", number, m, err, want)
		}
	}
}

func TestIndexOfAnotherCacheOrNonceIsNothing(t *testing.T) {
	path, _ := newIndex(t, 3)
	x, err := openIndex(path, false)
	if err != nil {
		t.Fatal(err)
	}
	defer x.close()
	if _, err := x.check([16]byte{1}); !errors.Is(err, errOtherCache) {
		t.Errorf("another identity: error %v, want %v", err, errOtherCache)
	}
	m, err := x.entries(1, 99, func(e entry) { t.Errorf("found %v of another file's segment", e.at) })
	if err != nil || m.known != 0 {
		t.Errorf("another nonce: mark %+v, error %v, want nothing", m, err)
	}
}

// Bits of a small index flipped in turn: an error, or entries that are true, or fewer. Never a panic, and never a walk
// without end.
func TestIndexWithAFlippedBit(t *testing.T) {
	const entries = 300
	path, want := newIndex(t, entries)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for bit := 0; bit < 8*len(b); bit += 97 + bit%613 {
		poke := func(with byte) {
			if err := overwriteAt(path, int64(bit/8), b[bit/8]^with); err != nil {
				t.Fatal(err)
			}
		}
		poke(1 << (bit % 8))
		got, err := readIndex(path, entries)
		poke(0)
		if err != nil {
			continue
		}
		for at, e := range got {
			if e != want[at] {
				t.Fatalf("bit %d: entry %v is %+v, want %+v", bit, at, e, want[at])
			}
		}
	}
}

func overwriteAt(name string, at int64, with ...byte) error {
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(with, at)
	return errors.Join(err, f.Close())
}

// A branch that points back to itself would have bbolt go round for ever.
func TestIndexThatGoesRoundIsDamaged(t *testing.T) {
	const entries = 1000
	path, _ := newIndex(t, entries)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	size, found := os.Getpagesize(), 0
	for at := 2 * size; at+size <= len(b); at += size {
		page := b[at : at+size]
		number := pageOrder.Uint64(page)
		if number != uint64(at/size) || pageOrder.Uint16(page[8:]) != branchPage {
			continue
		}
		found++
		child := page[pageHeaderBytes+8 : pageHeaderBytes+16]
		was := pageOrder.Uint64(child)
		pageOrder.PutUint64(child, number)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		pageOrder.PutUint64(child, was)
		if _, err := readIndex(path, entries); !errors.Is(err, errDamaged) {
			t.Errorf("page %d points to itself: error %v, want damage", number, err)
		}
	}
	if found < 3 {
		t.Errorf("%d branches, want one for each segment", found)
	}
}

// An index that is written while a record is being removed, before the segments say so, knows the record: or after a kill it would
// tell another tale than they do.
func TestIndexWrittenDuringARemoval(t *testing.T) {
	dir, killed := t.TempDir(), t.TempDir()
	r := loaded(t, dir, small())
	rec, body := record(1, 1000)
	r.put(rec, body)
	r.clean()
	run(t, r, func(w *writer) {
		r.Remove(rec.Name) // for the writer to do after this
		w.rewriter = newRewriter(w)
		for !w.rewriter.step() {
		}
		w.rewriter = nil
		copyFiles(t, dir, killed)
	})
	r.absent(rec.Name)
	r.clean()
	for _, without := range []string{"nothing", indexName} {
		again := clone(t, killed)
		os.Remove(filepath.Join(again, without))
		r := loaded(t, again, small())
		if r.want(rec); r.Stat().Records != 1 {
			t.Errorf("without %q there are %d records, want the one", without, r.Stat().Records)
		}
	}
}

// The index is written anew when half of it is free.
func TestMostlyFreeIndexIsRewritten(t *testing.T) {
	dir := t.TempDir()
	o := small()
	o.Limit, o.segmentBytes = 64<<20, 4<<20
	r := loaded(t, dir, o)
	for n := range 30_000 {
		rec, body := record(n, 10)
		r.put(rec, body)
	}
	r.clean()
	before := r.Stat().Index
	for n := range 29_900 {
		r.Remove(name(n))
	}
	r.clean()
	r.clean()
	if after := r.Stat().Index; before < 3*indexWorth/2 || after > indexWorth { // below that it is not worth it
		t.Errorf("index of %d bytes after nearly all was removed, %d before", after, before)
	}
	r.stop()
	r = loaded(t, dir, o)
	if got := r.Stat(); got.Records != 100 || got.Walked != 0 {
		t.Errorf("%d records, %d segments walked, want 100 and none", got.Records, got.Walked)
	}
}
