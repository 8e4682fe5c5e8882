package cache

import (
	"sync/atomic"

	"selvage/cache/internal/ram"
)

// Object is one origin response for one variant, stored or still filling.
type Object struct {
	// Immutable.
	Key     string
	Hash    uint64
	Variant string // VariantKey of the request that asked for it, by Meta.Vary
	Meta    *Meta
	Own     Representation    // as the origin sent it
	Derived []*Representation // what we have made of it, each coding once; of what memory holds
	Site    string
	Host    string
	URL     string // purge URL

	settled <-chan struct{} // closed when the fill that makes Own has left it where it belongs; nil: it came whole

	// checked is the newest purge number up to which no purge concerns the Object: a hit pays one comparison until a new
	// purge comes.
	checked atomic.Uint64
	touched atomic.Int64 // Instant of the last request that counted
	use     atomic.Pointer[dictionaryUse]
	place   ram.Place[*Object]
	fill    uint64    // names the body on the disk; 0 without one
	room    *variants // for the table, if it has not been used; guarded by the table's shard
}

// whole is an Object with what is made for it alone, in one piece: every piece in memory is one more for the collector to look at,
// and what it looks at is seldom in the processor's caches.
type whole struct {
	object Object
	meta   Meta
	body   Body
	set    variants
}

// Verdict says what the purges up to begin say of o: begin is Applied as it was when the request began.
func (o *Object) Verdict(p Purges, begin uint64) Verdict {
	from := o.checked.Load()
	if from >= begin {
		return Valid
	}
	target := o.target()
	v := p.Verdict(&target, from, begin)
	if v == Valid {
		for from < begin && !o.checked.CompareAndSwap(from, begin) {
			from = o.checked.Load()
		}
	}
	return v
}

func (o *Object) target() Target {
	return Target{Site: o.Site, Host: o.Host, URL: o.URL, Tags: o.Meta.Tags}
}

// copy returns o with another Meta, over the same bodies.
func (o *Object) copy(m *Meta, variant string) *Object {
	n := &Object{
		Key: o.Key, Hash: o.Hash, Variant: variant, Meta: m, Own: ownOf(m, o.Own.Body), Derived: o.Derived,
		Site: o.Site, Host: o.Host, URL: o.URL, fill: o.fill, settled: o.settled,
	}
	n.checked.Store(m.Epoch)
	return n
}

// ownOf returns what the origin sent with m.
func ownOf(m *Meta, b *Body) Representation {
	return Representation{Coding: m.Coding, ETag: m.ETag, Head: m.Head, Body: b, Final: true}
}

// freshened returns o with the Meta of a 304 that validated it. A 304 may change Vary, and with it the name of the variant.
func (o *Object) freshened(m *Meta, variant string) *Object {
	n := o.copy(m, variant)
	n.Derived = nil
	for _, r := range o.Derived {
		n.Derived = append(n.Derived, m.represent(r))
	}
	return n
}

// copyOver returns o with the same content in another body.
func (o *Object) copyOver(b *Body) *Object {
	n := o.copy(o.Meta, o.Variant)
	n.Own.Body = b
	return n
}

func (o *Object) placeInMemory() *ram.Place[*Object] { return &o.place }

// overhead is what an Object costs in memory beside its bytes: structs, and an entry of the table.
const overhead = 512

// weight is what an Object that is whole costs in memory.
func (o *Object) weight() int64 {
	length, _ := o.Own.Body.Length()
	sum := length + int64(len(o.Meta.Head.block)+len(o.Key)+len(o.URL)) + overhead
	for _, r := range o.Derived {
		sum += r.weight()
	}
	return sum
}

func (r *Representation) weight() int64 {
	n := int64(len(r.Head.block)) + overhead/2
	if r.Body != nil {
		length, _ := r.Body.Length()
		n += length
	}
	return n
}
