package disk

import "slices"

// publication is a commit block on its way to the disk. Its record is shown once the block is there.
type publication struct {
	id     id
	was    Location // show it only in place of the one there; 0 is always
	at     Location
	size   int64 // of the block on disk
	fill   *fill
	commit *commit
	done   func(error) // nil: nobody asks
}

// share is what a record has in one segment.
type share struct {
	segment uint32
	bytes   int64
}

// finish tells whoever waits for a record what came of it.
func (w *writer) finish(p *publication, err error) {
	switch {
	case err != nil && p.commit.removed:
		w.owe(p.commit.Name)
	case err != nil:
		w.t.counters.dropped.Add(1)
	}
	if p.done != nil {
		p.done(err)
	}
}

// publish shows a record, or tells why not.
func (w *writer) publish(p *publication, err error) {
	if err == nil {
		err = p.fill.err
	}
	for _, e := range p.commit.extents {
		if err == nil && w.t.segment(e.segment) == nil {
			err = ErrGone // overtaken by the eviction of its first blocks
		}
	}
	defer func() { w.finish(p, err) }()
	if err != nil {
		return
	}
	if p.at.segment() >= w.t.born {
		w.t.noteEpoch(p.commit.Epoch)
	}
	s, shares := place(p)
	if p.commit.removed {
		w.t.segment(p.at.segment()).forgotten += p.size
		w.bury(p.id, s)
	} else {
		w.show(p.id, p.was, s, shares)
	}
}

// place describes a publication as a slot, and says what it has in each segment.
func place(p *publication) (slot, []share) {
	s := slot{at: p.at, head: uint32(p.size)}
	bodies := p.commit.shares()
	switch {
	case len(bodies) > 1:
		s.flags |= spans
	case len(bodies) == 1:
		s.from, s.body = bodies[0].segment, uint32(bodies[0].bytes)
		first := p.commit.extents[0]
		if len(p.commit.extents) == 1 && locate(first.segment, int64(first.offset)+bodies[0].bytes) == p.at &&
			int64(s.head)+int64(s.body) <= joinedBytes {
			s.flags |= joined
		}
	}
	return s, append(bodies, share{p.at.segment(), p.size})
}

// shares returns what the body has in each segment, on disk.
func (c *commit) shares() (all []share) {
	rest := c.Length
	for _, e := range c.extents {
		content := min(rest, int64(e.blocks)*blockBytes)
		rest -= content
		bytes := content + int64(e.blocks)*blockHeaderBytes
		if i := slices.IndexFunc(all, func(s share) bool { return s.segment == e.segment }); i >= 0 {
			all[i].bytes += bytes
			continue
		}
		all = append(all, share{e.segment, bytes})
	}
	return all
}

// show puts a record into the table and the index; was as in publication.
func (w *writer) show(i id, was Location, s slot, shares []share) {
	gone := slot{}
	if was == 0 {
		gone = w.t.table.put(i, s)
	} else if old, ok := w.t.table.find(i); ok && w.t.table.move(i, was, s) {
		gone = old
	} else {
		return
	}
	if gone.at == s.at {
		return // a newer one is there already
	}
	if s.flags&spans != 0 {
		w.spans[s.at] = shares
	}
	w.count(shares, +1)
	w.changes.put(i, s)
	w.retire(gone)
}

// count adds a record's bytes to what is live, or takes them off.
func (w *writer) count(shares []share, sign int64) {
	for _, sh := range shares {
		if s := w.t.segment(sh.segment); s != nil {
			s.live.Add(sign * sh.bytes)
		}
	}
}

// retire takes a slot that has left the table out of the books.
func (w *writer) retire(s slot) {
	if s.at == 0 || s.flags&removed != 0 {
		return
	}
	w.count(w.sharesOf(s), -1)
	delete(w.spans, s.at)
	w.changes.remove(s.at)
}

func (w *writer) sharesOf(s slot) []share {
	if s.flags&spans != 0 {
		return w.spans[s.at]
	}
	return []share{{s.at.segment(), int64(s.head)}, {s.from, int64(s.body)}}
}

// freshen writes a new head for a body that is here.
func (w *writer) freshen(old id, r *Record) {
	w.flush()
	f := &fill{number: r.Fill, blocks: blocksOf(r.Length)}
	f.extents, f.err = w.bodyOf(old, r)
	w.commit(f, &publication{commit: &commit{Record: *r}})
}

// bodyOf returns where the body of a record stands that is stored under another name, or under the same with another head.
func (w *writer) bodyOf(old id, r *Record) ([]extent, error) {
	s, ok := w.t.table.find(old)
	if !ok || s.flags&(removed|leaving) != 0 {
		return nil, ErrGone
	}
	e, err := w.t.read(placed{old, s})
	if err != nil {
		return nil, err
	}
	defer e.Close()
	if e.Fill != r.Fill || e.Length != r.Length {
		return nil, ErrGone
	}
	return e.extents, nil
}

// reset drops all that there is: it may be of another cache.
func (w *writer) reset() {
	w.flush()
	if w.loader != nil {
		w.loader.forgetAll()
	}
	w.t.epoch.Store(0)
	for s := w.t.oldest(nil); s != nil; s = w.t.oldest(nil) {
		w.drop(s)
	}
	w.t.resets.Add(-1)
	if w.rewriter != nil {
		w.rewriter.abandon(nil)
	}
	if w.index != nil { // it bears the old identity
		w.index.close()
		w.index = nil
	}
	w.rewriter = nil
	if w.loader == nil {
		w.rewriter = newRewriter(w)
	}
}
