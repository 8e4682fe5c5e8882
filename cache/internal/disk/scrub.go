package disk

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
)

// counters count since the process began.
type counters struct {
	reads, dropped, evicted, rescued, compacted, corrupt, walked, diskErrors, syncFailures atomic.Int64
}

// Stat tells what there is, and what has been done since the process began.
type Stat struct {
	Loaded   bool
	Writable bool  // not in a pause after an error of the disk
	Records  int64 // that can be found
	Live     int64 // bytes of theirs on disk
	Used     int64 // bytes of the directory, with what was dropped and is still read
	Index    int64 // of them, of the index
	Limit    int64
	Segments int
	Queued   int64 // bytes on their way to the disk

	Reads         int64 // records opened
	Dropped       int64 // records not kept: queue full, disk unavailable, or overtaken
	Evicted       int64 // segments dropped for room
	Rescued       int64 // records moved out of one that was to be dropped
	Compacted     int64 // segments rewritten because little of them was live
	CorruptBlocks int64
	Walked        int64 // segments of which something was read at start, since the index did not know it
	DiskErrors    int64
	SyncFailures  int64
}

// Stat returns the figures as they are now.
func (t *Tier) Stat() Stat {
	c := &t.counters
	out := Stat{
		Loaded: t.ready.Load(), Writable: t.available(), Records: t.table.count.Load(), Used: t.used(),
		Index: t.indexBytes.Load(), Limit: t.options.Limit, Queued: t.queue.waiting(),
		Reads: c.reads.Load(), Dropped: c.dropped.Load(), Evicted: c.evicted.Load(), Rescued: c.rescued.Load(),
		Compacted: c.compacted.Load(), CorruptBlocks: c.corrupt.Load(), Walked: c.walked.Load(), DiskErrors: c.diskErrors.Load(),
		SyncFailures: c.syncFailures.Load(),
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	out.Segments = len(t.segments)
	for _, s := range t.segments {
		out.Live += s.live.Load()
	}
	return out
}

// inOrder returns what can be found now, in the order of the disk.
func (t *Tier) inOrder() []placed {
	all := t.table.where(t.shown)
	slices.SortFunc(all, byLocation)
	return all
}

// Each reads the head of every record and calls f with it, until f returns false or ctx ends. Records that come or go
// meanwhile are seen or not; those that move are seen.
func (t *Tier) Each(ctx context.Context, f func(*Record, Location) bool) error {
	return t.Walk(ctx, func(uint64) bool { return true }, f)
}

// Walk is Each for the records whose names have a hash that want says yes to; the others are not read.
func (t *Tier) Walk(ctx context.Context, want func(hash uint64) bool, f func(*Record, Location) bool) error {
	for _, p := range t.inOrder() {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if !want(p.hash) {
			continue
		}
		if c, at := t.newest(p.id); c != nil && !f(&c.Record, at) {
			return nil
		}
	}
	return nil
}

// newest reads the commit block of an id, where it stands by now, or returns nil.
func (t *Tier) newest(i id) (*commit, Location) {
	for before := Location(0); ; {
		s, ok := t.table.find(i)
		if !ok || !t.shown(s) || s.at == before {
			return nil, 0
		}
		if c, err := t.readCommit(s); err == nil && c.id() == i {
			return c, s.at
		}
		before = s.at // it may have moved meanwhile
	}
}

// Sample reads the heads of records chosen at random, some perhaps twice, and calls f with them, until f returns false.
func (t *Tier) Sample(f func(*Record, Location) bool) {
	for t.table.count.Load() > 0 {
		p, ok := t.table.any()
		if !ok || !t.shown(p.slot) {
			continue
		}
		c, err := t.readCommit(p.slot)
		if err == nil && c.id() == p.id && !f(&c.Record, p.at) {
			return
		}
	}
}

// Report is what Scrub has found.
type Report struct {
	Records int64      // read
	Bytes   int64      // of their bodies
	Damaged []Location // of records that were forgotten because of damage
	Missing int64      // records that the index does not know
	Orphans int64      // records that only the index knows
}

// Clean reports whether all was well.
func (r *Report) Clean() bool { return len(r.Damaged) == 0 && r.Missing == 0 && r.Orphans == 0 }

// Scrub reads and checks every record, forgets those that are damaged, and compares the index with what there is. progress,
// which may be nil, is told the bytes read so far, and those there are, on disk.
func (t *Tier) Scrub(ctx context.Context, progress func(done, total int64)) (Report, error) {
	var r Report
	all := t.inOrder()
	done, total := int64(0), t.Stat().Live
	for _, p := range all {
		if ctx.Err() != nil {
			return r, context.Cause(ctx)
		}
		n, err := t.verify(p)
		switch {
		case err == nil:
			r.Records++
			r.Bytes += n
		case !errors.Is(err, ErrGone):
			r.Damaged = append(r.Damaged, p.at)
		}
		done += int64(p.head) + n + blocksOf(n)*blockHeaderBytes
		if progress != nil {
			progress(min(done, total), total)
		}
	}
	return r, t.compareIndex(ctx, &r)
}

// verify reads a record whole.
func (t *Tier) verify(p placed) (length int64, err error) {
	e, err := t.Open(Ref{p})
	if err != nil {
		return 0, err
	}
	defer e.Close()
	for n := range blocksOf(e.Length) {
		if _, err := e.Block(n * blockBytes); err != nil {
			return 0, err
		}
	}
	return e.Length, nil
}

// compareIndex has the writer compare the index with the table, when both are at rest.
func (t *Tier) compareIndex(ctx context.Context, r *Report) error {
	done := make(chan error, 1)
	var missing, orphans int64
	err := t.queue.offer(0, func(w *writer) {
		var err error
		missing, orphans, err = w.compareIndex()
		done <- err
	})
	if err == nil {
		err = await(ctx, t, done)
	}
	if err == nil {
		r.Missing, r.Orphans = missing, orphans
	}
	return err
}

func (w *writer) compareIndex() (missing, orphans int64, err error) {
	for again := true; again; again = len(w.changes) > 0 { // a sync may have to make room once more
		for w.background() { // the index is being written
		}
		if err := w.sync(); err != nil || w.index == nil {
			return 0, 0, errors.Join(err, errNoIndex(w))
		}
	}
	found := int64(0)
	for number, m := range w.marks() {
		_, err := w.index.entries(number, m.nonce, func(e entry) {
			if s, ok := w.t.table.find(e.id); ok && s.at == e.at {
				found++
			} else {
				orphans++
			}
		})
		if err != nil {
			return 0, 0, err
		}
	}
	return w.t.table.count.Load() - found, orphans, nil
}

func errNoIndex(w *writer) error {
	if w.index == nil {
		return errors.New("no index for now")
	}
	return nil
}
