package disk

import (
	"cmp"
	"math/rand/v2"
	"sync"
	"sync/atomic"
)

// slot is what memory holds of a record: enough to find it, to read it in one go where it lies in one piece, and to know
// what is freed when it leaves.
type slot struct {
	at    Location // of the commit block
	head  uint32   // bytes of the commit block on disk
	body  uint32   // bytes of body blocks on disk in segment from; 0 for none
	from  uint32   // the segment of the body
	flags slotFlags
}

type slotFlags uint8

const (
	joined  slotFlags = 1 << iota // the body stands right before the commit block, and both are small
	spans                         // the body lies in several segments
	hit                           // looked up since it was written
	removed                       // not a record: what is older than this location is forgotten
	leaving                       // out of sight; the writer has yet to say so on disk
)

// persistent are the flags that the index keeps.
const persistent = joined | spans

const shards = 256

// table is the map from names to records that look-ups use. Without pointers the garbage collector does not look into it.
type table struct {
	shards [shards]shard
	count  atomic.Int64
}

type shard struct {
	mu sync.Mutex
	m  map[id]slot // guarded by mu
}

func newTable() *table {
	t := &table{}
	for i := range t.shards {
		t.shards[i].m = make(map[id]slot)
	}
	return t
}

// open locks and returns the shard of an id.
func (t *table) open(i id) *shard {
	s := &t.shards[(i.hash^i.check)%shards]
	s.mu.Lock()
	return s
}

// find returns the slot of an id.
func (t *table) find(i id) (slot, bool) {
	s := t.open(i)
	defer s.mu.Unlock()
	found, ok := s.m[i]
	return found, ok
}

// has reports whether an id has a record.
func (t *table) has(i id) bool {
	found, ok := t.find(i)
	return ok && found.flags&removed == 0
}

// touch is find for a look-up: it sets the access bit.
func (t *table) touch(i id) (slot, bool) {
	s := t.open(i)
	defer s.mu.Unlock()
	found, ok := s.m[i]
	if ok && found.flags&hit == 0 {
		found.flags |= hit
		s.m[i] = found
	}
	return found, ok
}

// put makes n the slot of an id unless there is one at the same or a higher location. It returns the slot that has left:
// the older one, n itself, or none.
func (t *table) put(i id, n slot) (gone slot) {
	s := t.open(i)
	defer s.mu.Unlock()
	old, ok := s.m[i]
	if ok && old.at >= n.at {
		return n
	}
	if !ok {
		t.count.Add(1)
	}
	s.m[i] = n
	return old
}

// hide takes the slot of an id out of sight, and leaves it to the writer to take it away; the one at a location only, unless
// that is 0. What is on disk is thus in the table, or dead, at any time.
func (t *table) hide(i id, at Location) bool {
	s := t.open(i)
	defer s.mu.Unlock()
	found, ok := s.m[i]
	if !ok || at != 0 && found.at != at {
		return false
	}
	found.flags |= leaving
	s.m[i] = found
	return true
}

// move puts n in the place of the slot at was, if it is still there and in sight.
func (t *table) move(i id, was Location, n slot) bool {
	s := t.open(i)
	defer s.mu.Unlock()
	if s.m[i].at != was || s.m[i].flags&leaving != 0 {
		return false
	}
	s.m[i] = n
	return true
}

// any returns a slot of some shard, chosen at random, or none.
func (t *table) any() (placed, bool) {
	s := &t.shards[rand.N(shards)]
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, found := range s.m { // Go begins anywhere
		return placed{i, found}, true
	}
	return placed{}, false
}

// take removes the slot of an id; the one at a location only, unless that is 0.
func (t *table) take(i id, at Location) (slot, bool) {
	s := t.open(i)
	defer s.mu.Unlock()
	found, ok := s.m[i]
	if !ok || (at != 0 && found.at != at) {
		return slot{}, false
	}
	delete(s.m, i)
	t.count.Add(-1)
	return found, true
}

// placed is a slot with its id.
type placed struct {
	id
	slot
}

func byLocation(a, b placed) int { return cmp.Compare(a.at, b.at) }

// where returns all slots for which keep says so. It is called with a shard locked and must not use the table.
func (t *table) where(keep func(slot) bool) (all []placed) {
	for i := range t.shards {
		all = t.shards[i].where(keep, all)
	}
	return all
}

func (s *shard) where(keep func(slot) bool, all []placed) []placed {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, found := range s.m {
		if keep(found) {
			all = append(all, placed{i, found})
		}
	}
	return all
}
