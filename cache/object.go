package cache

import (
	"sync/atomic"
)

// Object is one origin response for one variant, stored or still filling.
type Object struct {
	// Immutable.
	Key     string
	Hash    uint64
	Variant string // VariantKey of the request that asked for it, by Meta.Vary
	Meta    *Meta
	Own     Representation // as the origin sent it
	Site    string
	Host    string
	URL     string // purge URL

	// checked is the newest purge number up to which no purge concerns the Object: a hit pays one comparison until a new
	// purge comes.
	checked atomic.Uint64
	touched atomic.Int64 // Instant of the last request that counted
	cost    int64
	fill    uint64 // names the body on the disk; 0 without one
}

// Representation is one coding of an Object's content.
type Representation struct {
	Coding string // "" is identity
	ETag   string
	Body   *Body
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

// freshened returns o with the Meta of a 304 that validated it, over the same bodies. A 304 may change Vary, and with it the
// name of the variant.
func (o *Object) freshened(m *Meta, variant string) *Object {
	n := &Object{
		Key: o.Key, Hash: o.Hash, Variant: variant, Meta: m, Own: o.Own,
		Site: o.Site, Host: o.Host, URL: o.URL, fill: o.fill,
	}
	n.Own.ETag = m.ETag
	n.checked.Store(m.Epoch)
	return n
}

// copyOver returns o with the same content in another body.
func (o *Object) copyOver(b *Body) *Object {
	n := &Object{
		Key: o.Key, Hash: o.Hash, Variant: o.Variant, Meta: o.Meta, Own: o.Own,
		Site: o.Site, Host: o.Host, URL: o.URL, fill: o.fill,
	}
	n.Own.Body = b
	n.checked.Store(o.Meta.Epoch)
	return n
}

// overhead is what an Object costs in memory beside its bytes: structs, table entry and policy.
const overhead = 512

func (o *Object) weigh() {
	length, _ := o.Own.Body.Length()
	o.cost = length + int64(len(o.Meta.Head.block)+len(o.Key)+len(o.URL)) + overhead
}
