package cache

import (
	"math/rand/v2"
	"sync/atomic"

	"selvage/cache/internal/disk"
)

// head is what was read and decoded of a record on the disk: an Object, or the Vary of a key. It holds no bytes of a body and
// keeps nothing on the disk, so it may stay in memory for as long as there is room, and spare the next hits the reading.
type head struct {
	found  *disk.Found
	isVary bool
	vary   []string // newest of the key
	coded  *codedAs // of a coding, whose bytes are body

	object Object // otherwise, with all that it points to
	meta   Meta
	body   Body
	source source
	few    [16]line
}

// heads are those read lately, each in one of the few places that its location leads to, where a newer one takes the place of
// any. A location never has two records, so what is there under it is right.
type heads struct{ sets []headSet }

// headSet fills a cache line: what is not looked for is not touched.
type headSet [4]struct {
	at   atomic.Uint64 // the location of head, or soon
	head atomic.Pointer[head]
}

// Sizes of heads: with what they point to they take about a sixteenth of what the memory tier does, or 32 MiB: a small memory
// in front of a large disk is where they count most.
const (
	bytesPerHead = 16 * 2 << 10
	largestHead  = 4 << 10 // that stays
	fewestHeads  = 16 << 10
)

func newHeads(memory int64) heads {
	return heads{make([]headSet, max(fewestHeads, memory/bytesPerHead)/int64(len(headSet{})))}
}

func (h *heads) set(at disk.Location) *headSet {
	const golden = 0x9E3779B97F4A7C15 // spreads locations, which are multiples of about the same
	return &h.sets[uint64(at)*golden>>16%uint64(len(h.sets))]
}

// at returns the head of a location, or nil.
func (h *heads) at(l disk.Location) *head {
	set := h.set(l)
	for i := range set {
		if set[i].at.Load() != uint64(l) {
			continue
		}
		if d := set[i].head.Load(); d != nil && d.found.Location() == l {
			return d
		}
	}
	return nil
}

func (h *heads) keep(d *head) {
	if len(d.found.Head) > largestHead {
		return
	}
	l := d.found.Location()
	set := h.set(l)
	place := &set[rand.IntN(len(set))]
	for i := range set {
		if set[i].head.Load() == nil {
			place = &set[i]
			break
		}
	}
	place.head.Store(d)
	place.at.Store(uint64(l))
}

// find returns what the disk has for q. The Object's body is read from there: see Body.Open.
func (d *below) find(q *Query) *Object {
	if d == nil {
		return nil
	}
	h := d.head(nameOf(q.Hash, q.Key, ""), q)
	if h != nil && h.isVary {
		h = d.head(nameOf(q.Hash, q.Key, VariantKey(q, h.vary)), q)
	}
	if h == nil || h.isVary || h.coded != nil {
		return nil
	}
	return &h.object
}

// named returns what the disk has of a variant, or nil.
func (d *below) named(hash uint64, key, variant string) *Object {
	if d == nil {
		return nil
	}
	h := d.head(nameOf(hash, key, variant), &Query{Hash: hash})
	if h == nil || h.isVary || h.coded != nil {
		return nil
	}
	return &h.object
}

// head returns the head of exactly that name, or nil. The first block of its body is checked by then, before anybody is told
// that it exists.
func (d *below) head(n disk.Name, q *Query) *head {
	ref, ok := d.tier.Lookup(n)
	if !ok {
		return nil
	}
	h := d.heads.at(ref.Location())
	if h == nil {
		return d.read(ref, n, q)
	}
	if h.found.Key != n.Key || h.found.Variant != n.Variant || !h.isVary && h.source.prepare() != nil {
		return nil
	}
	return h
}

// read reads the head of a record.
func (d *below) read(ref disk.Ref, n disk.Name, q *Query) *head {
	e, err := d.tier.Open(ref)
	if err != nil {
		return nil
	}
	h := &head{found: e.Found}
	if e.Key != n.Key || e.Variant != n.Variant || !d.decode(h, q) || !h.isVary && h.source.park(e) != nil {
		e.Close()
		return nil
	}
	if h.isVary {
		e.Close()
	}
	d.heads.keep(h)
	return h
}

// decode reads what a record's head says.
func (d *below) decode(h *head, q *Query) bool {
	f := h.found
	if h.vary, h.isVary = readVary(f.Head); h.isVary {
		return true
	}
	var isCoded bool
	if h.coded, isCoded = readCoded(f.Head); isCoded {
		h.open(d.tier)
		return true
	}
	if len(f.Head) == 0 || f.Head[0] != recordMeta {
		return false
	}
	r := metaReader{rest: f.Head[1:]}
	site, host, url := r.text(), r.text(), r.text()
	if readMeta(&h.meta, r.rest, h.few[:], d.process, d.clock.Now().Mono) != nil {
		return false
	}
	h.open(d.tier)
	o := &h.object
	o.Key, o.Hash, o.Variant, o.fill = f.Key, q.Hash, f.Variant, f.Fill
	o.Site, o.Host, o.URL = site, host, url
	o.Meta, o.Own = &h.meta, ownOf(&h.meta, &h.body)
	o.checked.Store(h.meta.Epoch)
	return true
}

// open makes the record's bytes a body.
func (h *head) open(t *disk.Tier) {
	h.source.tier, h.source.found = t, h.found
	h.body.below, h.body.length, h.body.end = &h.source, h.found.Length, h.found.Length
	h.body.complete.Store(true)
}

// readVary reads a record that names the Vary of a key.
func readVary(head []byte) (vary []string, ok bool) {
	if len(head) == 0 || head[0] != recordVary {
		return nil, false
	}
	r := metaReader{rest: head[1:]}
	vary = r.list()
	return vary, !r.bad
}
