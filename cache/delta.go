package cache

import (
	"context"
	"iter"
	"slices"
	"weak"

	"github.com/cespare/xxhash/v2"

	"selvage/encode"
)

// A delta is an object's content told as the difference from an older version's, in the coding dcz (RFC 9842, section 5). It is
// one of the object's representations, kept in memory alone: made in the background once a client has asked for it, who gets
// another coding meanwhile.

// maxDeltas is how many an object has at most, each to another version.
const maxDeltas = 4

// isDelta reports whether r is one.
func (r *Representation) isDelta() bool { return r.Of != encode.Hash{} }

// delta returns o as the difference from what the client has, or nil. What there is not, it has made.
func (s *Store) delta(o *Object, q *Query, u *dictionaryUse) *Representation {
	if !q.Present.Has(HasDictionary) || o.Own.Body.below != nil || !o.Own.Body.Complete() {
		return nil
	}
	h, ok := q.wantsDelta(u.of.order)
	if !ok {
		return nil
	}
	d := s.dictionaries.find(o.family(u), h)
	if d == nil {
		return nil
	}
	// A journal that no longer has the row of a hard purge says MustValidate.
	if s.purges.Verdict(&d.target, d.epoch, s.purges.Applied()) >= MustValidate {
		s.dictionaries.drop(o.family(u), d)
		return nil
	}
	if r := o.deltaTo(h); r != nil {
		return r.orNothing()
	}
	later := s.later(o)
	s.encoding.Workshop.Do(comparison{weak.Make(o.Own.Body), h}, func(context.Context, *encode.Pace) { s.makeDelta(later(), u, d) })
	return nil
}

// comparison names the making of a delta.
type comparison struct {
	own weak.Pointer[Body]
	old encode.Hash
}

// deltas are those of o, the oldest first.
func (o *Object) deltas() iter.Seq[*Representation] {
	return func(yield func(*Representation) bool) {
		for _, r := range o.Derived {
			if r.isDelta() && !yield(r) {
				return
			}
		}
	}
}

// deltaTo returns the delta to a dictionary, or nil.
func (o *Object) deltaTo(h encode.Hash) *Representation {
	for r := range o.deltas() {
		if r.Of == h {
			return r
		}
	}
	return nil
}

// orNothing returns nil for what does not help.
func (r *Representation) orNothing() *Representation {
	if r.Body == nil {
		return nil
	}
	return r
}

// wantsDelta returns the dictionary that the client names, and whether it likes a delta to that at least as well as the best of
// the other codings.
func (q *Query) wantsDelta(order []encode.Coding) (encode.Hash, bool) {
	weight := q.deltaWeight()
	if weight == 0 || weight < q.offer.of(bitOf(q.Prefer(order))) ||
		q.Control.NoTransform || q.Present&HasRange != 0 || q.isOpaque() {
		return encode.Hash{}, false
	}
	var lines []string
	for i := 0; ; i++ {
		line, ok := q.field("Available-Dictionary", i)
		if !ok {
			return encode.ParseAvailable(lines)
		}
		lines = append(lines, line)
	}
}

// isOpaque reports whether a page of another origin asks for something that it cannot read: the length of a delta might tell of
// it. Clients must see to that (RFC 9842, section 9.3.2); it costs little not to rely on them.
func (q *Query) isOpaque() bool {
	mode, _ := q.field("Sec-Fetch-Mode", 0)
	site, known := q.field("Sec-Fetch-Site", 0)
	return mode == "no-cors" && known && site != "same-origin"
}

// makeDelta adds to o, if that is still there, what tells it from d. Of what does not help nothing but that is kept.
func (s *Store) makeDelta(o *Object, u *dictionaryUse, d *dictionary) {
	if o == nil {
		return
	}
	old, ok := s.dictionaryContent(d)
	if !ok { // it is there no more, or is another by now
		s.dictionaries.drop(o.family(u), d)
		return
	}
	plain, err := o.Own.Body.whole(s.ctx.Done())
	if err != nil {
		return
	}
	r := &Representation{Coding: encode.DCZ.String(), Final: true, Of: d.hash}
	if encode.CanDelta(int64(len(old)), int64(len(plain))) {
		delta := s.encoding.Meter.AppendDelta(nil, plain, old, d.hash, encode.Best)
		if encode.Helps(int64(len(plain)), int64(len(delta))) && int64(len(delta)) < o.smallest() {
			r.Body, r.sum = bodyOf(slices.Clone(delta)), xxhash.Sum64(delta)
		}
	}
	s.publish(o, r)
}

// smallest is the length of o in the best of the codings that are kept.
func (o *Object) smallest() int64 {
	least, _ := o.Own.Body.Length()
	for _, r := range o.Derived {
		if r.Final && r.Body != nil && !r.isDelta() {
			least = min(least, r.Body.length)
		}
	}
	return least
}
