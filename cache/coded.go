package cache

import (
	"encoding/binary"
	"sync/atomic"

	"selvage/cache/internal/disk"
)

// A coding on the disk is a record beside that of its object, under a name of its own. It says of which body it was made: when
// the object has another by now, it is nothing. What purges the object purges it, as nobody comes to it but by the object.

const recordCoded = 'c' // what follows is where purge selectors find it, its tags, the fill it was made of, and its sum

// codedAs is what a record's head says of a coding.
type codedAs struct {
	target Target
	fill   uint64 // of the body it was made of
	coding string
	sum    uint64

	shown atomic.Pointer[shown]
}

// shown is the representation that was last made of a coding, and for which Meta.
type shown struct {
	of *Meta
	r  *Representation
}

// codedName names the coding of an object. No variant begins a part with an empty name, so it is nobody else's.
func codedName(o *Object, coding string) disk.Name {
	return nameOf(o.Hash, o.Key, o.Variant+"\x00"+tagName(coding))
}

// putCoded writes a coding that is kept; one without a body, which does not help, as one without bytes.
func (d *below) putCoded(o *Object, r *Representation) {
	if d == nil || o.fill == 0 {
		return
	}
	head := appendPart(appendPart(appendPart([]byte{recordCoded}, o.Site), o.Host), o.URL)
	head = binary.AppendUvarint(appendList(head, o.Meta.Tags), o.fill)
	head = binary.AppendUvarint(appendPart(head, r.Coding), r.sum)
	record := disk.Record{Name: codedName(o, r.Coding), Fill: disk.NewFill(), Epoch: o.Meta.Epoch, Head: head}
	var chunks [][]byte
	if r.Body != nil {
		record.Length, chunks = r.Body.length, r.Body.chunks
	}
	if !d.tier.Put(record, chunks) {
		d.tier.Remove(record.Name)
	}
}

// readCoded reads the head of a coding's record.
func readCoded(head []byte) (c *codedAs, ok bool) {
	if len(head) == 0 || head[0] != recordCoded {
		return nil, false
	}
	r := metaReader{rest: head[1:]}
	c = &codedAs{target: Target{Site: r.text(), Host: r.text(), URL: r.text(), Tags: r.list()}}
	c.fill, c.coding, c.sum = r.uint(), r.text(), r.uint()
	return c, !r.bad && len(r.rest) == 0
}

// coded returns what the disk has of o in a coding, or nil.
func (d *below) coded(o *Object, q *Query, coding string) *Representation {
	if d == nil || o.fill == 0 {
		return nil
	}
	h := d.head(codedName(o, coding), q)
	if h == nil || h.coded == nil {
		return nil
	}
	if h.coded.fill != o.fill || h.coded.coding != coding {
		h.source.drop()
		return nil
	}
	r := h.represent(o.Meta)
	if r.Body == nil { // nobody will read what was opened
		h.source.drop()
	}
	return r
}

// represent returns the coding as content of the response m.
func (h *head) represent(m *Meta) *Representation {
	if s := h.coded.shown.Load(); s != nil && s.of == m {
		return s.r
	}
	r := &Representation{Coding: h.coded.coding, Final: true, sum: h.coded.sum}
	if h.found.Length > 0 {
		r.Body = &h.body
	}
	s := &shown{m, m.represent(r)}
	h.coded.shown.Store(s)
	return s.r
}

// Choose is Object.Choose with deltas, and with what the disk has besides.
func (s *Store) Choose(o *Object, q *Query, p *Policy) Choice {
	u := p.dictionary(o, q)
	if u != nil {
		if r := s.delta(o, q, u); r != nil {
			return Choice{Representation: r, Varies: true, use: u}
		}
	}
	c := s.chooseCoding(o, q, p)
	c.use = u
	return c
}

// chooseCoding has what belongs to an object in memory come there.
func (s *Store) chooseCoding(o *Object, q *Query, p *Policy) Choice {
	c := o.Choose(q, p)
	if !c.Pending {
		return c
	}
	r := s.disk.coded(o, q, c.Coding)
	switch {
	case r == nil:
		return c
	case r.Body == nil:
		s.raiseCoded(o, r)
		return o.plain(true)
	}
	if up := s.raiseCoded(o, r); up != nil {
		r = up
	}
	return Choice{Representation: r, Varies: true}
}

// raiseCoded makes a coding from the disk part of its object, if that is in memory and the coding is small.
func (s *Store) raiseCoded(o *Object, r *Representation) *Representation {
	up := &Representation{Coding: r.Coding, Final: true, sum: r.sum}
	if o.Own.Body.below != nil {
		return nil
	}
	if r.Body != nil {
		if r.Body.length > s.disk.small {
			return nil
		}
		whole, err := r.Body.whole(s.ctx.Done())
		if err != nil {
			return nil
		}
		up.Body = bodyOf(whole)
	}
	if !s.publish(o, up) {
		return nil
	}
	return o.Meta.represent(up)
}
