package disk

import (
	"errors"
	"slices"
)

// fit drops the oldest segments until there is room for all of the current one. What was sought since it was written
// and is still useful moves into the current one first, as far as half of it will hold.
func (w *writer) fit() error {
	for w.claimed() > w.t.options.Limit {
		first := w.t.oldest(w.current)
		if first == nil {
			return errNoRoom // readers hold what was dropped
		}
		w.t.counters.evicted.Add(1)
		w.tight = true
		w.empty(first, w.wanted)
		w.tight = false
	}
	return nil
}

// held returns the bytes that dropping segments would not free.
func (w *writer) held() int64 {
	w.t.mu.RLock()
	defer w.t.mu.RUnlock()
	sum := 2*w.t.indexBytes.Load() + w.t.guestBytes.Load()
	for _, s := range w.t.leaving {
		sum += s.size.Load()
	}
	return sum
}

// claimed returns the bytes that are taken, the whole of the current segment and of an index to succeed this one included.
func (w *writer) claimed() int64 {
	sum := w.t.used() + w.t.indexBytes.Load()
	if w.current != nil {
		sum += w.t.segmentBytes - w.current.size.Load()
	}
	return sum
}

// wanted reports whether a record that was looked up is still worth a place.
func (w *writer) wanted(r *Record) bool { return w.t.options.Useful == nil || w.t.options.Useful(r) }

// always is for a segment that is dropped only because there is little in it.
func always(*Record) bool { return true }

// empty moves what keep says from a segment to the current one, and drops it with the rest.
func (w *writer) empty(s *segment, keep func(*Record) bool) {
	w.flush()
	all := w.dependents(s)
	slices.SortFunc(all, byLocation)
	for _, p := range all {
		if p.flags&(removed|leaving) == 0 && !w.rescue(s, p, keep) {
			break
		}
	}
	w.flush()
	for _, p := range all {
		if p.at.segment() != s.number {
			w.disown(p)
		}
	}
	w.flush()
	w.keepForgotten(s)
	w.drop(s)
}

// dependents returns the slots of all records with a part in a segment. It looks at the whole table, which costs about as
// much as the look-ups that made the segment grow old.
func (w *writer) dependents(s *segment) []placed {
	return w.t.table.where(func(of slot) bool {
		if of.at.segment() == s.number || of.from == s.number {
			return true
		}
		return of.flags&spans != 0 && slices.ContainsFunc(w.spans[of.at], func(sh share) bool { return sh.segment == s.number })
	})
}

// rescue moves what a record has in a segment to the current one, if keep says so. While room is being made, only what was
// sought is worth it, and half of the current segment stays for what is new. False: nothing more can be written.
func (w *writer) rescue(s *segment, p placed, keep func(*Record) bool) bool {
	if w.tight && (!w.sought(p) || !w.fits(w.sizeIn(s, p)+w.t.segmentBytes/2)) {
		return true // not worth reading; something smaller may fit
	}
	e, err := w.t.read(p)
	if err != nil {
		return true
	}
	defer e.Close()
	if !keep(&e.Record) {
		return true
	}
	f := w.transfer(s, e)
	w.commit(f, &publication{was: p.at, commit: &commit{Record: e.Record}})
	if f.err == nil {
		w.t.counters.rescued.Add(1)
	}
	return !errors.Is(f.err, ErrUnavailable) && !errors.Is(f.err, ErrClosed)
}

// sought reports whether a record was asked for since it was written, here or in memory above.
func (w *writer) sought(p placed) bool {
	return p.flags&hit != 0 || w.t.options.Held != nil && w.t.options.Held(p.hash)
}

// sizeIn returns the bytes that moving a record out of a segment takes, at most.
func (w *writer) sizeIn(s *segment, p placed) int64 {
	size := int64(p.head) + recordOverhead
	for _, sh := range w.sharesOf(p.slot) {
		if sh.segment == s.number {
			size += sh.bytes
		}
	}
	return size
}

// transfer writes those blocks of a body anew that are in a segment; the others stay where they are.
func (w *writer) transfer(s *segment, e *Entry) *fill {
	f := &fill{number: e.Fill}
	for n := range blocksOf(e.Length) {
		at := e.blockAt(n)
		if at.segment() != s.number {
			f.extend(at.segment(), at.offset())
			continue
		}
		content, err := e.Block(n * blockBytes)
		if err != nil {
			f.err = err
			return f
		}
		w.block(f, &[][]byte{content}, int64(len(content)))
	}
	return f
}

// drop removes a segment and every record that has a part in it.
func (w *writer) drop(s *segment) {
	if w.t.segment(s.number) != s {
		return
	}
	for _, p := range w.dependents(s) {
		if gone, had := w.t.table.take(p.id, p.at); had {
			w.retire(gone)
		}
	}
	if w.current == s {
		w.leave(ErrGone)
	}
	w.dirty = slices.DeleteFunc(w.dirty, func(d *segment) bool { return d == s })
	w.changes.drop(s.number)
	w.t.discard(s)
	w.newNames = true // the index hears of it once it cannot come back
}

// compact rewrites one segment of which little is live, if there is one, so that purged space comes back before the
// segment's turn.
func (w *writer) compact() {
	if w.loader != nil || !w.t.available() {
		return
	}
	s := w.sparsest()
	if s == nil {
		return
	}
	w.t.counters.compacted.Add(1)
	w.empty(s, always)
}

// sparsest returns the segment with the smallest part that is live, or says what is forgotten, if that is small enough. What
// belongs to a body without an end is not live, and not dead either.
func (w *writer) sparsest() (s *segment) {
	filling := make(map[uint32]bool)
	for f := range w.filling {
		for _, e := range f.extents {
			filling[e.segment] = true
		}
	}
	w.t.mu.RLock()
	defer w.t.mu.RUnlock()
	least := 1.0 / compactPart
	for _, other := range w.t.segments {
		part := float64(other.live.Load()+other.forgotten) / float64(other.size.Load())
		if other != w.current && other.file != nil && !filling[other.number] && part < least {
			s, least = other, part
		}
	}
	return s
}
