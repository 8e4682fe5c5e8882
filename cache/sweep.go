package cache

import (
	"context"
	"time"

	"selvage/cache/internal/disk"
)

// How fast a sweep goes. What it frees is never served again anyway, so it takes its time.
const (
	sweepDelay  = time.Second // from a purge on, so that one sweep does for many, and fills that it has overtaken have ended
	sweepPause  = 10 * time.Millisecond
	sweepMemory = 1000 // objects between two pauses
	sweepDisk   = 100  // heads read between two pauses
)

// Sweep frees the memory and the disk space of what hard purges have removed, until ctx ends. purged has something in it when
// there were such purges. A sweep goes over everything, at no more than a hundred thousand objects and ten thousand records
// a second, and after it comes a rest as long as the sweep.
//
// A record is taken off the disk without a word written there: should a crash bring it back, its epoch still tells that it
// was purged, and the next sweep finds it. Space is free once the segment holds little else and is compacted.
func (s *Store) Sweep(ctx context.Context, purged <-chan struct{}) error {
	for rest := sweepDelay; ; {
		select {
		case <-ctx.Done():
			return nil
		case <-purged:
		}
		if !pause(ctx, rest) {
			return nil
		}
		begun := time.Now()
		s.sweep(ctx, s.purges.Applied())
		rest = max(sweepDelay, time.Since(begun))
	}
}

// sweep frees what was purged up to a number.
func (s *Store) sweep(ctx context.Context, upTo uint64) {
	p := pacer{ctx: ctx, every: sweepMemory}
	s.table.eachFrom(0, func(o *Object) bool {
		if o.Verdict(s.purges, upTo) == Hard {
			s.discard(o)
			s.stats.SweptMemory.Add(1)
		}
		return p.step()
	})
	if s.disk == nil {
		return
	}
	select {
	case <-s.disk.tier.Loaded():
		s.sweepDisk(pacer{ctx: ctx, every: sweepDisk}, upTo)
	case <-ctx.Done():
	}
}

// sweepDisk has no errors: what cannot be read is found damaged by whoever asks for it.
func (s *Store) sweepDisk(p pacer, upTo uint64) {
	all := func(uint64) bool { return true }
	_ = s.disk.tier.Walk(p.ctx, all, func(r *disk.Record, at disk.Location) bool {
		if t, epoch, ok := s.disk.swept(r); ok && s.purges.Verdict(&t, epoch, upTo) == Hard {
			s.disk.tier.Discard(r.Name, at)
			s.stats.SweptDisk.Add(1)
		}
		return p.step()
	})
}

// pacer keeps a loop to a number of steps between two pauses.
type pacer struct {
	ctx   context.Context
	every int
	steps int
}

// step reports whether to go on.
func (p *pacer) step() bool {
	if p.steps++; p.steps%p.every != 0 {
		return true
	}
	return pause(p.ctx, sweepPause)
}

// pause reports whether the time has passed before ctx ended.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
