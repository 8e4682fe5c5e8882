package cache

import (
	"context"
	"math/rand/v2"
	"time"

	"selvage/cache/internal/disk"
)

// Holding is a stored response as purges see it. It is valid until the function that is given it returns.
type Holding struct {
	Target
	Bytes        int64 // of its body
	Memory, Disk bool  // the tiers that have it
}

// Each calls yield for every stored response that no purge has removed, each once, until it returns false or ctx ends. It
// holds nothing up; what comes, goes or changes tiers meanwhile is seen, or not. Of what memory has nothing is read from
// the disk, of the rest only the heads: with a million responses there, that takes seconds.
func (s *Store) Each(ctx context.Context, yield func(*Holding) bool) error {
	begin := s.purges.Applied()
	goOn := s.table.eachFrom(0, func(o *Object) bool {
		return ctx.Err() == nil && (o.Verdict(s.purges, begin) == Hard || yield(s.heldInMemory(o)))
	})
	if !goOn || s.disk == nil {
		return context.Cause(ctx)
	}
	return s.disk.tier.Walk(ctx, s.onlyBelow, func(r *disk.Record, _ disk.Location) bool {
		h, ok := s.heldBelow(r)
		return !ok || yield(&h)
	})
}

func (s *Store) heldInMemory(o *Object) *Holding {
	length, _ := o.Own.Body.Length()
	return &Holding{Target: o.target(), Bytes: length, Memory: true, Disk: s.disk != nil && s.disk.tier.Holds(o.name())}
}

// onlyBelow reports whether a record on the disk is to be read, as far as its hash tells: memory does not have it.
func (s *Store) onlyBelow(hash uint64) bool { return !s.table.holds(hash) }

// heldBelow reads a record that only the disk has; false for what is none, or is held by memory or by no purge.
func (s *Store) heldBelow(r *disk.Record) (h Holding, ok bool) {
	t, epoch, ok := s.disk.judged(r)
	if !ok || s.purges.Verdict(&t, epoch, s.purges.Applied()) == Hard {
		return h, false
	}
	set := s.table.find(s.seed.of(r.Key), r.Key)
	if set.get(r.Variant).stored != nil {
		return h, false
	}
	return Holding{Target: t, Bytes: r.Length, Disk: true}, true
}

// judged returns what purges need to know of a record; false of one that is no response.
func (d *below) judged(r *disk.Record) (t Target, epoch uint64, ok bool) {
	if len(r.Head) == 0 || r.Head[0] != recordMeta {
		return t, 0, false
	}
	in := metaReader{rest: r.Head[1:]}
	t = Target{Site: in.text(), Host: in.text(), URL: in.text()}
	var m Meta
	if in.bad || readMeta(&m, in.rest, nil, d.process, d.clock.Now().Mono) != nil {
		return t, 0, false
	}
	t.Tags = m.Tags
	return t, m.Epoch, true
}

// swept is judged for codings too.
func (d *below) swept(r *disk.Record) (t Target, epoch uint64, ok bool) {
	if c, coded := readCoded(r.Head); coded {
		return c.target, r.Epoch, true
	}
	return d.judged(r)
}

// Tally says how much of the cache something concerns.
type Tally struct {
	Objects int64
	Bytes   int64 // of their bodies
	Exact   bool  // false: an estimate, from what could be looked at
}

// samples is how many records on the disk an estimate looks at, at most: they are preads.
const samples = 512

// Count tallies the stored responses that match, each once, and takes no longer than within: what it has not seen by then is
// reckoned to be like what it has. So a few among a million may well be taken for none.
func (s *Store) Count(ctx context.Context, match func(*Target) bool, within time.Duration) Tally {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	half, done := context.WithTimeout(ctx, within/2)
	defer done()
	memory, below := s.countInMemory(half, match), s.countBelow(ctx, match)
	return Tally{memory.Objects + below.Objects, memory.Bytes + below.Bytes, memory.Exact && below.Exact}
}

func (s *Store) countInMemory(ctx context.Context, match func(*Target) bool) Tally {
	var t tally
	begin := s.purges.Applied()
	whole := s.table.eachFrom(rand.Uint64(), func(o *Object) bool {
		target := o.target()
		t.seen++
		if match(&target) && o.Verdict(s.purges, begin) != Hard {
			length, _ := o.Own.Body.Length()
			t.add(length)
		}
		return ctx.Err() == nil
	})
	return t.of(s.table.count.Load(), whole)
}

// countBelow counts what only the disk has: from all records when they are few, else from some.
func (s *Store) countBelow(ctx context.Context, match func(*Target) bool) Tally {
	var t tally
	if s.disk == nil {
		return t.of(0, true)
	}
	look := func(r *disk.Record, _ disk.Location) bool {
		t.seen++
		if h, ok := s.heldBelow(r); ok && match(&h.Target) {
			t.add(h.Bytes)
		}
		return t.seen < samples && ctx.Err() == nil
	}
	records := s.disk.tier.Stat().Records
	if records < samples {
		err := s.disk.tier.Walk(ctx, s.onlyBelow, look)
		return t.of(t.seen, err == nil && ctx.Err() == nil)
	}
	s.disk.tier.Sample(look)
	return t.of(records, false)
}

// tally counts among what is seen.
type tally struct{ seen, objects, bytes int64 }

func (t *tally) add(bytes int64) {
	t.objects++
	t.bytes += bytes
}

// of scales the tally up to all that there is, unless it has seen the whole.
func (t *tally) of(all int64, whole bool) Tally {
	if whole || t.seen == 0 {
		return Tally{t.objects, t.bytes, whole}
	}
	share := max(1, float64(all)/float64(t.seen))
	return Tally{int64(float64(t.objects) * share), int64(float64(t.bytes) * share), false}
}
