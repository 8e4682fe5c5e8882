package cache

import (
	"slices"
	"sync"
	"sync/atomic"
)

// maxVariants is the most variants a key keeps; the oldest leaves.
const maxVariants = 64

// table is the registry of everything in memory: key → the newest Vary and its variants. Readers take no lock: buckets are
// chains of entries that only a writer, under its shard's mutex, links and unlinks.
type table struct {
	buckets []atomic.Pointer[entry]
	mask    uint64
	shards  [256]sync.Mutex // of the buckets whose index ends in the shard's number
	count   atomic.Int64    // objects
}

// entry is one cache key.
type entry struct {
	hash uint64
	key  string
	next atomic.Pointer[entry]
	set  atomic.Pointer[variants] // replaced whole, under the shard's mutex
}

// variants is what a key has, newest last. Immutable.
type variants struct {
	vary []string // of the newest response; the others were stored under the same
	list []variant
	only [1]variant // room for the one that most keys have
}

// variant is a place for one variant: what is stored, what is filling, or both while a stored one is being replaced.
type variant struct {
	key     string
	stored  *Object
	filling *Object
}

func newTable(buckets int) *table {
	size := 1 << 10
	for size < buckets {
		size <<= 1
	}
	return &table{buckets: make([]atomic.Pointer[entry], size), mask: uint64(size - 1)}
}

// find returns what is there under a key, or nil.
func (t *table) find(hash uint64, key string) *variants {
	for e := t.buckets[hash&t.mask].Load(); e != nil; e = e.next.Load() {
		if e.hash == hash && e.key == key {
			return e.set.Load()
		}
	}
	return nil
}

// holds reports whether there is anything under some key of that hash.
func (t *table) holds(hash uint64) bool {
	for e := t.buckets[hash&t.mask].Load(); e != nil; e = e.next.Load() {
		if e.hash == hash {
			return true
		}
	}
	return false
}

// change replaces what is there under a key by what edit makes of it; edit gets nil for nothing and returns nil for
// nothing.
func (t *table) change(hash uint64, key string, edit func(*variants) *variants) {
	bucket := &t.buckets[hash&t.mask]
	shard := &t.shards[hash&t.mask&255]
	shard.Lock()
	defer shard.Unlock()
	link := bucket
	for e := link.Load(); e != nil; link, e = &e.next, e.next.Load() {
		if e.hash != hash || e.key != key {
			continue
		}
		old := e.set.Load()
		set := edit(old)
		t.count.Add(int64(set.stored() - old.stored()))
		if set == nil {
			link.Store(e.next.Load())
			return
		}
		e.set.Store(set)
		return
	}
	if set := edit(nil); set != nil {
		e := &entry{hash: hash, key: key}
		e.set.Store(set)
		e.next.Store(bucket.Load())
		bucket.Store(e)
		t.count.Add(int64(set.stored()))
	}
}

// each calls f for every object stored. It sees objects that come or go meanwhile, or not.
func (t *table) each(f func(*Object)) {
	t.eachFrom(0, func(o *Object) bool {
		f(o)
		return true
	})
}

// eachFrom is each from some bucket on, round to the one before it, as long as f returns true.
func (t *table) eachFrom(from uint64, f func(*Object) bool) (all bool) {
	for i := range uint64(len(t.buckets)) {
		for e := t.buckets[(from+i)&t.mask].Load(); e != nil; e = e.next.Load() {
			for _, v := range e.set.Load().list {
				if v.stored != nil && !f(v.stored) {
					return false
				}
			}
		}
	}
	return true
}

// stored counts the objects stored.
func (s *variants) stored() int {
	if s == nil {
		return 0
	}
	n := 0
	for _, v := range s.list {
		if v.stored != nil {
			n++
		}
	}
	return n
}

// get returns the place of a variant.
func (s *variants) get(key string) variant {
	if s != nil {
		for i := range s.list {
			if s.list[i].key == key {
				return s.list[i]
			}
		}
	}
	return variant{}
}

// choose returns the place of the variant that q asks for, and its name. It allocates only for one that is not there.
func (s *variants) choose(q *Query) (v variant, name string) {
	if len(s.vary) == 0 {
		return s.get(""), ""
	}
	var room [256]byte
	key := appendVariant(room[:0], q, s.vary)
	for i := range s.list {
		if s.list[i].key == string(key) {
			return s.list[i], s.list[i].key
		}
	}
	return variant{}, string(key)
}

// with returns s with v in its place, as the newest, and the objects that had to leave: those stored under another Vary,
// and the oldest beyond maxVariants.
func (s *variants) with(vary []string, v variant) (out *variants, gone []*Object) {
	var others []variant
	if s != nil && slices.Equal(s.vary, vary) {
		others = s.list
	} else if s != nil {
		gone = s.objects()
	}
	if slices.ContainsFunc(others, func(old variant) bool { return old.key != v.key }) {
		out = new(variants)
	} else {
		out = v.alone()
	}
	out.vary, out.list = vary, out.only[:0]
	for _, old := range others {
		if old.key != v.key {
			out.list = append(out.list, old)
		}
	}
	if n := len(out.list) - (maxVariants - 1); n > 0 {
		for _, old := range out.list[:n] {
			if old.stored != nil {
				gone = append(gone, old.stored)
			}
		}
		out.list = slices.Delete(out.list, 0, n)
	}
	out.list = append(out.list, v)
	return out, gone
}

// alone returns empty variants for v and no other: those of its object, if nobody has them yet. Whatever else was in them, that
// object would keep in memory for as long as it is there itself.
func (v *variant) alone() *variants {
	o := v.stored
	if v.filling != nil || o == nil || o.room == nil {
		return new(variants)
	}
	room := o.room
	o.room = nil
	return room
}

// objects returns what is stored.
func (s *variants) objects() (all []*Object) {
	for _, v := range s.list {
		if v.stored != nil {
			all = append(all, v.stored)
		}
	}
	return all
}

// without returns s without o, stored or filling; nil when nothing is left.
func (s *variants) without(o *Object) *variants {
	if s == nil {
		return nil
	}
	out := &variants{vary: s.vary, list: slices.Clone(s.list)}
	for i := range out.list {
		v := &out.list[i]
		if v.stored == o {
			v.stored = nil
		}
		if v.filling == o {
			v.filling = nil
		}
	}
	out.list = slices.DeleteFunc(out.list, func(v variant) bool { return v.stored == nil && v.filling == nil })
	if len(out.list) == 0 {
		return nil
	}
	return out
}
