package cache

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"time"
	"weak"

	"github.com/cespare/xxhash/v2"

	"selvage/encode"
)

// Encoding is what a Store makes codings with.
type Encoding struct {
	Meter    *encode.Meter    // counts; nil does not
	Workshop *encode.Workshop // makes what is kept, and is closed with the Store; nil: what was made in haste is kept
}

// Encoding is what codings are made with, and counted by.
func (s *Store) Encoding() Encoding { return s.encoding }

// retryDerive is how long a coding made in haste is sent before the next attempt at a better one, when the last found the
// workshop's queue full.
const retryDerive = time.Second

// Improve sees to it that a coding of o that is sent for want of a better one gives way to that. It costs next to nothing
// where there is nothing to do.
func (s *Store) Improve(o *Object, p *Policy, c Choice, now Instant) {
	if c.Final || c.Pending {
		return
	}
	last := c.tried.Load()
	if last != 0 && now.Sub(Instant(last)) < retryDerive || !c.tried.CompareAndSwap(last, int64(now)) {
		return
	}
	if coding, ok := encode.Named(c.Coding); ok {
		s.improve(o, p.Codings, coding)
	}
}

// improve has the best coding of o made in the background, once for all who ask. The key is the body: a 304 may have given it
// another Meta meanwhile, and that makes no difference.
func (s *Store) improve(o *Object, c *Codings, coding encode.Coding) {
	length, known := o.Own.Body.Length()
	if s.encoding.Workshop == nil || !known || !c.Keeps(length) {
		return
	}
	later := s.later(o)
	s.encoding.Workshop.Do(errand{weak.Make(o.Own.Body), coding}, func(ctx context.Context, pace *encode.Pace) {
		if o := later(); o != nil {
			s.derive(ctx, o, coding, pace)
		}
	})
}

// errand names a coding that is to be made of a body, if that is still there by then.
type errand struct {
	own    weak.Pointer[Body]
	coding encode.Coding
}

// later returns a function that finds o again, or what a 304 has made of it, as long as it may be of use. What waits in the
// workshop's queue holds no body by that: memory lets go of what it likes, however long the queue is.
func (s *Store) later(o *Object) func() *Object {
	find := func() *Object { return o }
	if o.Own.Body.below == nil {
		hash, key, variant, own := o.Hash, o.Key, o.Variant, weak.Make(o.Own.Body)
		find = func() *Object { return s.storedAs(hash, key, variant, own.Value()) }
	}
	return func() *Object {
		if o := find(); o != nil && o.Verdict(s.purges, s.purges.Applied()) != Hard {
			return o
		}
		return nil
	}
}

// derive makes the coding of o that is kept. Of what does not help nothing but that is kept.
func (s *Store) derive(ctx context.Context, o *Object, coding encode.Coding, pace *encode.Pace) {
	plain, err := o.Own.Body.whole(s.ctx.Done())
	if err != nil {
		return // of the disk, or the end
	}
	coded, err := s.encoding.Meter.Keep(ctx, plain, coding, pace)
	switch {
	case errors.Is(err, encode.ErrUseless):
		s.keepCoded(o, &Representation{Coding: coding.String(), Final: true})
	case err == nil:
		s.keepCoded(o, &Representation{
			Coding: coding.String(), Final: true, Body: bodyOf(slices.Clip(coded)), sum: xxhash.Sum64(coded),
		})
	}
}

// keepCoded leaves a coding with its object: in memory, on the disk, or in both.
func (s *Store) keepCoded(o *Object, r *Representation) {
	if s.publish(o, r) || o.Own.Body.below != nil {
		s.disk.putCoded(o, r)
	}
}

// storedAs returns what memory has under a name, or nil: it may have been freshened since, but its body has to be that one.
func (s *Store) storedAs(hash uint64, key, variant string, own *Body) *Object {
	if now := s.table.find(hash, key).get(variant).stored; now != nil && now.Own.Body == own {
		return now
	}
	return nil
}

// publish adds a representation to o, unless memory has something else in its place by now, or o was purged. It is part of the
// object: epoch, times and tags are the object's, and so are its ends.
func (s *Store) publish(o *Object, r *Representation) (published bool) {
	if o.Verdict(s.purges, s.purges.Applied()) == Hard {
		return false
	}
	var n, replaced *Object
	if !s.place(o, func(_ *variants, v *variant) bool {
		if replaced = v.stored; replaced == nil || replaced.Own.Body != o.Own.Body {
			return false
		}
		n = replaced.with(replaced.Meta.represent(r))
		v.stored = n
		return true
	}) {
		return false
	}
	s.hold(n, replaced)
	return true
}

// whole returns all of a body that is complete, in one piece.
func (b *Body) whole(over <-chan struct{}) ([]byte, error) {
	if b.below == nil && len(b.chunks) == 1 {
		return b.chunks[0], nil
	}
	r := newFollower(b, over)
	defer r.Close()
	out := bytes.NewBuffer(make([]byte, 0, b.length))
	_, err := out.ReadFrom(r)
	return out.Bytes(), err
}
