package disk

import (
	"context"
	"fmt"
)

// recordOverhead is counted for a record in the queue beside its bytes.
const recordOverhead = 256

func (r *Record) weight() int64 {
	return recordOverhead + int64(len(r.Key)+len(r.Variant)+len(r.Head))
}

// Put queues a whole response. It never waits: false means that it was dropped, and counted. Neither r's bytes nor the
// body's may change from here on; they are shared, not copied.
func (t *Tier) Put(r Record, body [][]byte) bool {
	weight := r.weight()
	length := int64(0)
	for _, p := range body {
		length += int64(len(p))
	}
	ok := length == r.Length && length <= t.MaxBody() && r.Fill != 0 && t.available()
	ok = ok && t.queue.leave(weight+length, func(w *writer) {
		w.put(&commit{Record: r}, body)
	}) == nil
	if !ok {
		t.counters.dropped.Add(1)
	}
	return ok
}

// Freshen queues a new head for the body that r.Fill names: the one stored under old, or put before and still in the
// queue. When old has another body by then, or none, nothing happens; also under another name than r's, old itself stays.
func (t *Tier) Freshen(old Name, r Record) bool {
	if r.Fill == 0 || !t.available() {
		return false
	}
	return t.queue.offer(r.weight(), func(w *writer) { w.freshen(old.id(), &r) }) == nil
}

// Remove forgets a name: at once, and after a restart too. What is put under the name later is found again.
func (t *Tier) Remove(n Name) {
	i := n.id()
	t.forget(i, 0, n)
}

// Discard forgets the record of a name that is at a location, but may find it again after a crash: whoever calls this knows
// then as well that it is of no use. It costs no write.
func (t *Tier) Discard(n Name, at Location) { t.forget(n.id(), at, Name{}) }

// forget takes the record of a name out of sight, at once, and off the disk; only the one at a location unless that
// is 0. It is never refused for want of room.
func (t *Tier) forget(i id, at Location, n Name) {
	had := t.table.hide(i, at)
	if !had && at != 0 {
		return
	}
	t.queue.offer(0, func(w *writer) { w.forget(i, at, n, had) })
}

// Writer puts one body of which the end is not here yet. It belongs to one goroutine.
type Writer struct {
	t     *Tier
	fill  *fill
	parts [][]byte // not queued yet: less than a block
	size  int64    // of parts
	total int64
	ended bool
}

// fill is a body on its way to the disk.
type fill struct {
	number uint64

	// Owned by the writer goroutine.
	blocks  int64 // appended, though they may still be in the buffer
	extents []extent
	err     error // why it will never be whole

	landing *landing // of a Writer's; nil of one that comes whole
}

// fail gives a fill up.
func (f *fill) fail(err error) {
	f.err = err
	f.landing.end(err)
}

// extend notes where the next block of the fill stands.
func (f *fill) extend(segment uint32, offset int64) {
	f.blocks++
	if n := len(f.extents); n > 0 {
		last := &f.extents[n-1]
		end := int64(last.offset) + int64(last.blocks)*(blockHeaderBytes+blockBytes)
		if last.segment == segment && end == offset {
			last.blocks++
			return
		}
	}
	f.extents = append(f.extents, extent{segment, uint32(offset), 1})
}

// Begin begins the body that the number names. End it with Commit or Abort.
func (t *Tier) Begin(number uint64) (*Writer, error) {
	if number == 0 || !t.available() {
		return nil, ErrUnavailable
	}
	return &Writer{t: t, fill: &fill{number: number, landing: &landing{}}}, nil
}

// Append adds bytes, which may not change from here on. It waits while the disk is behind: so the disk paces the origin. An
// error is for good.
func (w *Writer) Append(ctx context.Context, p []byte) error {
	if w.total += int64(len(p)); w.total > w.t.MaxBody() {
		return ErrTooLarge
	}
	if err := w.fill.landing.failure(); err != nil {
		return err
	}
	for w.size+int64(len(p)) >= blockBytes {
		n := blockBytes - w.size
		w.parts = append(w.parts, p[:n])
		p = p[n:]
		if err := w.queue(ctx, w.parts, blockBytes); err != nil {
			return err
		}
		w.parts, w.size = nil, 0
	}
	if len(p) > 0 {
		w.parts = append(w.parts, p)
		w.size += int64(len(p))
	}
	return nil
}

// queue hands one block to the writer goroutine.
func (w *Writer) queue(ctx context.Context, parts [][]byte, size int64) error {
	f := w.fill
	if !w.t.available() {
		return ErrUnavailable
	}
	return w.t.queue.wait(ctx, size, func(to *writer) {
		to.filling[f] = struct{}{}
		to.block(f, &parts, size)
	})
}

// Commit makes the record exist and returns once it can be found. r.Fill and r.Length must be those of the body.
func (w *Writer) Commit(ctx context.Context, r Record) error {
	if err := w.commit(ctx, r); err != nil {
		w.Abort()
		return err
	}
	w.ended, w.parts = true, nil
	return nil
}

func (w *Writer) commit(ctx context.Context, r Record) error {
	if w.ended || r.Fill != w.fill.number || r.Length != w.total {
		return fmt.Errorf("commit of %d bytes as %d: not the body that was written", w.total, r.Length)
	}
	if w.size > 0 {
		if err := w.queue(ctx, w.parts, w.size); err != nil {
			return err
		}
	}
	f, done := w.fill, make(chan error, 1)
	err := w.t.queue.wait(ctx, r.weight(), func(to *writer) {
		to.commit(f, &publication{commit: &commit{Record: r}, done: func(err error) { done <- err }})
		to.flush()
		delete(to.filling, f)
	})
	if err != nil {
		return err
	}
	return await(ctx, w.t, done)
}

// await returns what the writer goroutine answers.
func await(ctx context.Context, t *Tier, done <-chan error) error {
	select {
	case err := <-done:
		return err
	case <-t.halted:
		return ErrClosed
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Abort forgets the body; after Commit it does nothing.
func (w *Writer) Abort() {
	if w.ended {
		return
	}
	w.ended, w.parts = true, nil
	f := w.fill
	f.landing.end(ErrGone)
	w.t.queue.offer(0, func(to *writer) { delete(to.filling, f) })
}

// Sync returns once everything queued before is on disk and durable.
func (t *Tier) Sync(ctx context.Context) error {
	done := make(chan error, 1)
	if err := t.queue.offer(0, func(w *writer) { done <- w.sync() }); err != nil {
		return err
	}
	return await(ctx, t, done)
}
