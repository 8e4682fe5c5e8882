package disk

import (
	"cmp"
	"errors"
	"io"
	"io/fs"
	"slices"
	"time"
)

// stepBytes is how much of the segments the loader reads between two looks at the queue.
const stepBytes = 8 << 20

// loader brings the records found at start into the table: from the index what it knows, and from the segments themselves
// what stands behind that: after a kill the last seconds, without a good index everything. It works in steps, so that what
// is put meanwhile does not wait; nothing that it brings is shown before it is through.
type loader struct {
	w     *writer
	index *index // nil: none that is good
	asked bool   // whether there is an index
	rest  []*segment
	walk  *walker
	all   bool                  // the index knows too little of a segment: the ones behind it are walked whole
	epoch uint64                // the highest
	known map[uint32]int64      // by segment, what the index knew of it: synced, and so good
	good  map[Location]struct{} // body blocks that were walked and are good

	tries  int // to open a file
	rested time.Time
}

func newLoader(w *writer) *loader {
	l := &loader{w: w, known: make(map[uint32]int64), good: make(map[Location]struct{})}
	w.t.mu.RLock()
	for _, s := range w.t.segments {
		l.rest = append(l.rest, s)
	}
	w.t.mu.RUnlock()
	slices.SortFunc(l.rest, func(a, b *segment) int { return cmp.Compare(a.number, b.number) })
	l.asked = len(l.rest) == 0
	return l
}

func (l *loader) openIndex() {
	t := l.w.t
	x, err := t.options.openIndex(t.path(indexName), false)
	if err == nil {
		if l.epoch, err = x.check(t.Identity()); err == nil {
			t.indexBytes.Store(x.bytes())
			l.index, l.asked, l.tries = x, true, 0
			return
		}
		x.abandon(err)
	}
	if l.later("open index", err) {
		return
	}
	l.asked = true
	if !errors.Is(err, fs.ErrNotExist) {
		l.sayWhy(err)
		t.fs.Remove(t.path(indexName)) // whatever it is, another must be able to take its place
	}
}

// openTries is how often a file is tried that cannot be opened, with a pause between two.
const openTries = 12

// later reports whether a file that cannot be opened is to be tried again, as when there are no descriptors left. Nothing that was
// found is shown until then: what this file says of forgotten names has to be heard first.
func (l *loader) later(what string, err error) bool {
	if l.tries++; !unreadable(err) || l.tries == openTries {
		l.tries = 0
		return false
	}
	l.rested = l.w.t.now()
	l.w.t.complain(what, err)
	return true
}

// resting reports whether the loader waits before it tries again.
func (l *loader) resting() bool {
	since := l.w.t.now().Sub(l.rested)
	return since >= 0 && since < retryPause
}

func (l *loader) sayWhy(err error) {
	l.w.t.log.Warn("disk cache index is of no use; all segments are read", "dir", l.w.t.dir, "error", err)
}

// step does a bounded part of the work. It returns true when nothing is left.
func (l *loader) step() bool {
	switch {
	case !l.asked:
		l.openIndex()
	case l.walk != nil:
		l.walkOn()
	case len(l.rest) > 0:
		s := l.rest[0]
		l.rest = l.rest[1:]
		l.load(s)
	default:
		l.finish()
		return true
	}
	return false
}

// load opens a segment, takes what the index knows of it, and begins to walk the rest.
func (l *loader) load(s *segment) {
	t := l.w.t
	if t.segment(s.number) != s {
		return // evicted already
	}
	if err := t.openSegment(s); err != nil {
		if l.later("open segment", err) {
			l.rest = slices.Insert(l.rest, 0, s)
			return
		}
		t.log.Warn("disk cache cannot read a segment", "dir", t.dir, "segment", segmentName(s.number), "error", err)
		l.w.drop(s)
		return
	}
	l.tries = 0
	known := l.fromIndex(s)
	l.known[s.number] = known
	if size := s.size.Load(); size < known {
		t.log.Warn("disk cache segment was cut short", "dir", t.dir, "segment", segmentName(s.number), "size", size, "want", known)
	}
	l.begin(s, known)
}

// begin begins to walk what the index does not know of a segment, if there is anything. A crash leaves that behind all that it
// knows. Where it is before, since a segment that was dropped could not be removed, what later ones say of forgotten names has to
// be heard as well.
func (l *loader) begin(s *segment, known int64) {
	from := known
	if l.all {
		from = 0
	}
	from = max(from, segmentHeaderBytes)
	if s.size.Load() <= from {
		return
	}
	l.all = true
	l.walk = newWalker(s, from)
	l.w.soil(s) // what the walk finds enters the index after a sync
	l.w.t.counters.walked.Add(1)
}

// fromIndex takes the records of a segment from the index, and returns how much of the segment that was. On damage the
// index is given up, and every segment is walked.
func (l *loader) fromIndex(s *segment) int64 {
	if l.index == nil {
		return 0
	}
	m, err := l.index.entries(s.number, s.nonce, func(e entry) {
		if e.at.offset()+int64(e.head) <= s.size.Load() {
			l.admit(e.id, e.slot)
		}
	})
	if err == nil {
		return m.known
	}
	l.sayWhy(err)
	l.giveUpIndex(err)
	return 0
}

// giveUpIndex has all segments loaded again, without it. What it has told already is found again at the same place.
func (l *loader) giveUpIndex(err error) {
	l.index.abandon(err)
	l.index = nil
	again := make([]*segment, 0, len(l.known))
	for number := range l.known {
		if s := l.w.t.segment(number); s != nil {
			again = append(again, s)
		}
	}
	slices.SortFunc(again, func(a, b *segment) int { return cmp.Compare(a.number, b.number) })
	l.rest = append(again, l.rest...)
	clear(l.known)
}

// admit brings a record from the index into the table.
func (l *loader) admit(i id, s slot) {
	shares := []share{{s.at.segment(), int64(s.head)}, {s.from, int64(s.body)}}
	if s.flags&spans != 0 {
		c, err := l.w.t.readCommit(s)
		if err != nil {
			return
		}
		shares = append(c.shares(), share{s.at.segment(), int64(s.head)})
	}
	for _, sh := range shares {
		if sh.bytes > 0 && l.w.t.segment(sh.segment) == nil {
			return // its body has been evicted, of which the index had not heard when the process ended
		}
	}
	l.w.show(i, 0, s, shares)
}

// walkOn reads on in the segment that is being walked.
func (l *loader) walkOn() {
	if l.w.t.segment(l.walk.s.number) != l.walk.s {
		l.walk = nil
		return
	}
	for until := l.walk.at + stepBytes; l.walk.at < until; {
		b, err := l.walk.next()
		if err != nil {
			l.endWalk(err)
			return
		}
		l.found(&b)
	}
}

func (l *loader) endWalk(err error) {
	if err != io.EOF { // as a crash leaves it, or damage
		l.w.t.log.Info("disk cache segment ends early", "dir", l.w.t.dir, "segment", segmentName(l.walk.s.number),
			"offset", l.walk.at, "error", err)
	}
	l.walk = nil
}

// found judges a block that was walked. A record exists if its commit block is good, and every block of its body that the
// index did not vouch for has been walked and is good.
func (l *loader) found(b *walked) {
	switch {
	case b.content == nil:
		return
	case b.kind == bodyBlock:
		l.good[b.at] = struct{}{}
	case b.commit != nil && l.whole(b.commit):
		p := &publication{
			id: b.commit.id(), at: b.at, size: blockHeaderBytes + int64(b.length),
			fill: &fill{}, commit: b.commit,
		}
		l.epoch = max(l.epoch, b.commit.Epoch)
		l.w.publish(p, nil)
	}
}

func (l *loader) whole(c *commit) bool {
	for at := range c.blocks {
		if _, ok := l.good[at]; !ok && at.offset() >= l.known[at.segment()] {
			return false
		}
	}
	return true
}

// blocks ranges over where the blocks of the body are.
func (c *commit) blocks(yield func(Location) bool) {
	for _, e := range c.extents {
		for n := range int64(e.blocks) {
			if !yield(locate(e.segment, int64(e.offset)+n*(blockHeaderBytes+blockBytes))) {
				return
			}
		}
	}
}

// finish shows what was loaded, unless the caller does not trust it.
func (l *loader) finish() {
	l.close()
	w := l.w
	w.loader = nil
	for _, p := range w.t.table.where(func(s slot) bool { return s.flags&removed != 0 }) {
		w.t.table.take(p.id, p.at)
	}
	if trust := w.t.options.Trust; trust == nil || trust(l.epoch) {
		w.t.noteEpoch(l.epoch)
	} else {
		w.t.log.Warn("disk cache is dropped: its records are newer than the purge journal", "dir", w.t.dir)
		l.dropFound()
	}
	w.t.ready.Store(true)
	close(w.t.loaded)
	w.t.log.Info("disk cache loaded", "dir", w.t.dir, "records", w.t.table.count.Load(), "segments walked", w.t.counters.walked.Load())
	w.rewriter = newRewriter(w)
}

// dropFound drops what was there at start.
func (l *loader) dropFound() {
	l.w.flush()
	for s := l.w.t.oldest(l.w.current); s != nil && s.number < l.w.t.born; s = l.w.t.oldest(l.w.current) {
		l.w.drop(s)
	}
}

// forgetAll ends the loading with nothing.
func (l *loader) forgetAll() { l.asked, l.rest, l.walk, l.epoch = true, nil, nil, 0 }

func (l *loader) close() {
	if l.index != nil {
		l.index.close()
		l.index = nil
	}
}
