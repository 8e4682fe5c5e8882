package disk

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"syscall"
	"time"
)

const (
	bufferBytes = 1 << 20                // gathered for one write at most
	syncEvery   = 2 * time.Second        // between two syncs
	tickEvery   = 100 * time.Millisecond // between two looks at the clock
	gatherFor   = 5 * time.Millisecond   // after a job that nobody waits for, for others
	jobsAtOnce  = 64                     // done before anything else is looked at
	compactPart = 4                      // a segment of which less than this part is live is rewritten
)

// writer is the state of the one goroutine that writes: Run. Nobody else touches it.
type writer struct {
	t *Tier

	current   *segment           // appended to; nil for none
	next      uint32             // number of the next segment
	buffer    []byte             // to be appended to current, encoded
	unwritten []*fill            // with blocks in buffer
	unshown   []*publication     // with their commit block in buffer
	tight     bool               // room is being made: no new segment
	spare     int64              // of the room that a full disk was given, what has not been written to yet
	filling   map[*fill]struct{} // bodies of which the end is not here yet

	dirty    []*segment           // written to since their last sync
	newNames bool                 // names have come or gone, which is not durable
	synced   time.Time            // the last time
	spans    map[Location][]share // of records whose body is in several segments

	owed map[id]Name // forgotten, though no segment says so yet

	told   int64     // records dropped, of which the log tells
	toldAt time.Time // the last time

	loader   *loader   // nil: all is loaded
	index    *index    // nil: there is none yet, or it was lost
	changes  changes   // that the index does not know
	rewriter *rewriter // nil: no index is being written
	retry    time.Time // when to try again to write one
}

// Run writes what is put, and keeps the directory within its limit, until ctx ends. Then it takes nothing more, writes and
// syncs all that is queued, and lets go of the directory; open Entries fail from then on.
func (t *Tier) Run(ctx context.Context) error {
	w := &writer{
		t: t, next: t.born, synced: t.now(),
		spans: make(map[Location][]share), filling: make(map[*fill]struct{}), changes: make(changes),
		owed: make(map[id]Name),
	}
	err := w.survive(func() error {
		w.loader = newLoader(w)
		w.work(ctx)
		return w.close()
	})
	<-ctx.Done()
	return err
}

// work does what is queued, much at a time: to be woken for each object costs as much as to write it, and the kernel keeps a file
// in pieces as large as they were written, of which few large ones are read at half the cost.
func (w *writer) work(ctx context.Context) {
	tick := time.NewTicker(tickEvery)
	defer tick.Stop()
	for {
		busy := w.someJobs()
		busy = w.background() || busy
		if !busy {
			w.flush()
			if w.t.queue.gather(tick.C, ctx.Done()) {
				w.tick()
			}
		}
		select {
		case <-tick.C:
			w.tick()
		case <-ctx.Done():
			return
		default:
		}
	}
}

// someJobs does what is queued, up to a bound. It reports whether there was anything.
func (w *writer) someJobs() bool {
	for n := range jobsAtOnce {
		j, ok := w.t.queue.take()
		if !ok {
			return n > 0
		}
		j.do(w)
		w.t.queue.done(j.bytes)
	}
	return true
}

// background does one step of what takes long. It reports whether there is more.
func (w *writer) background() bool {
	switch {
	case w.loader != nil && w.loader.resting():
		return false
	case w.loader != nil:
		if w.loader.step() {
			w.loader = nil
		}
		return true
	case w.rewriter != nil:
		if w.rewriter.step() {
			w.rewriter = nil
		}
		return true
	}
	return false
}

func (w *writer) tick() {
	w.t.collect()
	w.tellDropped()
	if since := w.t.now().Sub(w.synced); since >= 0 && since < syncEvery {
		return
	}
	w.t.countGuests()
	w.sync()
	w.compact()
	if w.index == nil && w.loader == nil && w.rewriter == nil {
		w.rewriter = newRewriter(w)
	}
}

// tellDropped says once a minute that records were not kept: the answers do not show it.
func (w *writer) tellDropped() {
	dropped, now := w.t.counters.dropped.Load(), w.t.now()
	if since := now.Sub(w.toldAt); dropped == w.told || since >= 0 && since < time.Minute {
		return
	}
	w.t.log.Warn("disk cache did not keep some records: the disk does not keep up, or takes nothing", "dir", w.t.dir, "records", dropped-w.told)
	w.told, w.toldAt = dropped, now
}

func (w *writer) close() error {
	w.t.queue.close()
	for w.someJobs() {
	}
	err := w.syncAtLast()
	w.t.collect()
	if w.loader != nil {
		w.loader.close()
	}
	if w.rewriter != nil {
		w.rewriter.abandon(nil)
	}
	if w.index != nil {
		err = errors.Join(err, w.index.close())
	}
	w.t.mu.RLock()
	defer w.t.mu.RUnlock()
	for _, s := range w.t.segments {
		s.close()
	}
	for _, s := range w.t.leaving {
		s.close()
	}
	return errors.Join(err, w.t.lock.Close())
}

// syncAtLast is sync when there is no later. A second one says what a failure of the first has left to say.
func (w *writer) syncAtLast() (err error) {
	for range 2 {
		w.t.paused.Store(0)
		err = errors.Join(err, w.sync())
		if len(w.owed) == 0 {
			return err
		}
	}
	return errors.Join(err, fmt.Errorf("%d removed records would be back without the index", len(w.owed)))
}

// put writes a whole record, in one piece if it fits into one segment.
func (w *writer) put(c *commit, body [][]byte) {
	f := &fill{number: c.Fill}
	total := c.Length + blocksOf(c.Length)*blockHeaderBytes + blockHeaderBytes + c.Record.weight()
	if total <= w.t.segmentBytes/2 {
		f.err = w.reserve(total)
	}
	parts := slices.Clone(body)
	for n := range blocksOf(c.Length) {
		w.block(f, &parts, contentOf(c.Length, n))
	}
	w.commit(f, &publication{commit: c})
}

// block appends the next block of a body, taken from the front of parts.
func (w *writer) block(f *fill, parts *[][]byte, size int64) {
	if !w.makeRoom(f, blockHeaderBytes+size) {
		return
	}
	at := w.end()
	w.append(blockHeader{kind: bodyBlock, ordinal: uint32(f.blocks), fill: f.number}, func(b []byte) []byte {
		return move(b, parts, size)
	})
	f.extend(w.current.number, at)
	if n := len(w.unwritten); n == 0 || w.unwritten[n-1] != f {
		w.unwritten = append(w.unwritten, f)
	}
}

// makeRoom makes room for a block of a fill. False: the fill will never be whole.
func (w *writer) makeRoom(f *fill, size int64) bool {
	if f.err != nil {
		return false
	}
	if err := w.reserve(size); err != nil { // which may have ended the fill too, by a flush that failed
		f.fail(err)
	}
	return f.err == nil
}

// move appends size bytes from the front of parts to b, and takes them off parts.
func move(b []byte, parts *[][]byte, size int64) []byte {
	for size > 0 {
		first := (*parts)[0]
		n := min(size, int64(len(first)))
		b = append(b, first[:n]...)
		size -= n
		if (*parts)[0] = first[n:]; n == int64(len(first)) {
			*parts = (*parts)[1:]
		}
	}
	return b
}

// commit appends the commit block of a fill. The record is shown when the block has been written.
func (w *writer) commit(f *fill, p *publication) {
	p.fill, p.id = f, p.commit.id()
	p.commit.extents = f.extents
	content := p.commit.append(nil)
	p.size = blockHeaderBytes + int64(len(content))
	if p.size > w.t.segmentBytes/4 {
		f.fail(ErrTooLarge)
	}
	if !w.makeRoom(f, p.size) {
		w.finish(p, f.err)
		return
	}
	p.at = locate(w.current.number, w.end())
	w.append(blockHeader{kind: commitBlock, ordinal: uint32(f.blocks), fill: f.number}, func(b []byte) []byte {
		return append(b, content...)
	})
	w.unshown = append(w.unshown, p)
}

// append encodes one block, of which add appends the content, behind what is in the buffer.
func (w *writer) append(h blockHeader, add func([]byte) []byte) {
	start, at := len(w.buffer), w.end()
	w.buffer = add(append(w.buffer, make([]byte, blockHeaderBytes)...))
	content := w.buffer[start+blockHeaderBytes:]
	h.length, h.content = uint32(len(content)), crc32.Checksum(content, castagnoli)
	h.append(w.buffer[:start], w.current.nonce, at)
}

// end returns the offset in the current segment at which the next block will stand.
func (w *writer) end() int64 { return w.current.size.Load() + int64(len(w.buffer)) }

// fits reports whether the current segment has room for n more bytes.
func (w *writer) fits(n int64) bool { return w.current != nil && w.end()+n <= w.t.segmentBytes }

// reserve makes sure that the current segment has room for n more bytes in one piece.
func (w *writer) reserve(n int64) error {
	if w.fits(n) {
		if int64(len(w.buffer))+n <= bufferBytes {
			return nil
		}
		if w.flush(); w.fits(n) {
			return nil
		}
	}
	if w.tight {
		return errNoRoom
	}
	return w.roll()
}

// roll begins a new segment and makes room for it. The number of a segment is never used twice by a process.
func (w *writer) roll() error {
	w.flush()
	w.current = nil
	w.t.collect()
	switch {
	case !w.t.available():
		return ErrUnavailable
	case w.held()+w.t.segmentBytes > w.t.options.Limit:
		return errNoRoom
	}
	s, err := w.t.createSegment(w.next)
	w.next++
	if err != nil {
		w.failed("create segment", err)
		return err
	}
	w.newNames = true
	w.t.mu.Lock()
	w.t.segments[s.number] = s
	w.t.mu.Unlock()
	w.current = s
	w.soil(s)
	if err := w.fit(); err != nil {
		w.lose(s)
		return err
	}
	if w.current != s {
		return ErrUnavailable // given up when a write failed that made room
	}
	return nil
}

func (w *writer) soil(s *segment) {
	if !slices.Contains(w.dirty, s) {
		w.dirty = append(w.dirty, s)
	}
}

// flush appends the buffer to the current segment with one pwrite, and shows the records of which the commit block is in
// it. After an error the bytes may be there in part. They are cut off, or the segment is dropped with them: the next start would
// find them, and whatever was forgotten since.
func (w *writer) flush() {
	if len(w.buffer) == 0 {
		return
	}
	s := w.current
	size := s.size.Load()
	written, err := s.file.WriteAt(w.buffer, size)
	if err == nil {
		s.size.Store(size + int64(len(w.buffer)))
		w.spare = max(0, w.spare-int64(len(w.buffer)))
		w.soil(s)
	}
	fills, publications := w.unwritten, w.unshown
	w.buffer, w.unwritten, w.unshown = w.buffer[:0], nil, nil
	if err != nil {
		err = fmt.Errorf("append to segment: %w", err)
		for _, f := range fills {
			f.fail(err)
		}
		w.failed("append to segment", err)
		if written > 0 && s.file.Truncate(size) != nil {
			w.lose(s)
		}
	}
	for _, f := range fills {
		f.landing.note(f)
	}
	for _, p := range publications {
		w.publish(p, err)
	}
}

// failed answers an error of a write: a full disk costs the oldest segment, anything else a pause, after which a new
// segment is tried. Of a disk that is full again before half of the room was used, somebody else takes what comes free: to lose
// more helps nobody, and each body that breaks off on the way is cut for who reads it.
func (w *writer) failed(what string, err error) {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		if first := w.t.oldest(w.current); first != nil && w.spare == 0 {
			w.t.complain(what, err)
			w.spare = first.size.Load() / 2
			w.lose(first)
			return
		}
	}
	w.spare = 0
	w.leave(err)
	w.t.pause(what, err)
}

// leave gives up the current segment, and with it what has not been written to it yet.
func (w *writer) leave(err error) {
	fills, publications := w.unwritten, w.unshown
	w.current, w.buffer, w.unwritten, w.unshown = nil, w.buffer[:0], nil, nil
	for _, f := range fills {
		f.fail(err)
	}
	for _, p := range publications {
		w.publish(p, err)
	}
}
