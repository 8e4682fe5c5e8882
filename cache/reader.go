package cache

import (
	"fmt"
	"io"

	"selvage/cache/internal/disk"
)

// Reader follows a Body from an offset. It belongs to one goroutine.
type Reader struct {
	body *Body
	at   int64
	hint int // chunk that holds at, when nothing was trimmed before it
	base int64
	open bool // counted among the body's readers

	entry    *disk.Entry    // of a body that is on the disk
	err      error          // why there is none
	follower *disk.Follower // of one on its way there, once the window has left this reader behind
}

// NewReader returns a reader that begins at offset at. Close it.
func (b *Body) NewReader(at int64) *Reader {
	r := &Reader{}
	b.Open(r, at)
	return r
}

// Open makes r, which may be reused, a reader of b that begins at offset at.
func (b *Body) Open(r *Reader, at int64) {
	*r = Reader{body: b, at: at}
	if b.below != nil {
		r.entry, r.err = b.below.open()
		return
	}
	if b.complete.Load() {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.readers++
	r.open = true
	if at > b.fastest {
		b.fastest = at
		b.notify() // the writer may wait for it
	}
}

// Close tells the body that this reader has left.
func (r *Reader) Close() {
	if r.entry != nil {
		r.entry.Close()
		r.entry, r.err = nil, io.ErrClosedPipe
	}
	if r.follower != nil {
		r.follower.Close()
		r.follower = nil
	}
	if !r.open {
		return
	}
	r.open = false
	r.body.mu.Lock()
	defer r.body.mu.Unlock()
	r.body.readers--
	r.body.notify()
}

// Next returns the bytes that are there at the reader's offset, at most limit of them, and moves past them. With nothing
// there yet it returns a channel that is closed when that may have changed. At the end it returns io.EOF.
func (r *Reader) Next(limit int64) (p []byte, wait <-chan struct{}, err error) {
	b := r.body
	if b.below != nil {
		return r.fetch(limit)
	}
	if b.complete.Load() {
		return r.take(limit)
	}
	p, wait, err = r.advance(limit)
	if err == ErrFellBehind {
		return r.follow(limit)
	}
	return p, wait, err
}

// advance is Next in the window of a body that is filling.
func (r *Reader) advance(limit int64) (p []byte, wait <-chan struct{}, err error) {
	b := r.body
	b.mu.Lock()
	defer b.mu.Unlock()
	b.trim() // the disk may have written more since
	p, _, err = r.take(limit)
	if p != nil {
		if r.at > b.fastest {
			b.fastest = r.at
			if b.window > 0 {
				b.notify()
			}
		}
		return p, nil, nil
	}
	switch {
	case err == ErrFellBehind:
		return nil, nil, err
	case b.err != nil:
		return nil, nil, b.err
	case b.complete.Load():
		return nil, nil, io.EOF
	}
	return nil, b.waitLocked(), nil
}

// follow reads on the disk what the window has left behind.
func (r *Reader) follow(limit int64) ([]byte, <-chan struct{}, error) {
	if r.follower == nil {
		w := r.body.writer()
		if w == nil {
			return nil, nil, ErrFellBehind
		}
		r.follower = w.Follow()
	}
	p, err := r.follower.Block(r.at)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrFellBehind, err)
	}
	p = p[:min(limit, int64(len(p)))]
	r.at += int64(len(p))
	return p, nil, nil
}

// writer returns who writes the body to the disk, or nil.
func (b *Body) writer() *disk.Writer {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.disk
}

// fetch reads from the disk, a checked block at a time.
func (r *Reader) fetch(limit int64) ([]byte, <-chan struct{}, error) {
	if r.err != nil {
		return nil, nil, r.err
	}
	p, err := r.entry.Block(r.at)
	if err != nil {
		return nil, nil, err
	}
	p = p[:min(limit, int64(len(p)))]
	r.at += int64(len(p))
	return p, nil, nil
}

// take finds the bytes at the reader's offset in the chunks as they are now.
func (r *Reader) take(limit int64) ([]byte, <-chan struct{}, error) {
	b := r.body
	if r.at >= b.end {
		return nil, nil, io.EOF
	}
	if r.at < b.start {
		return nil, nil, ErrFellBehind
	}
	if r.base < b.start || r.hint >= len(b.chunks) || b.window > 0 {
		r.hint, r.base = 0, b.start
	}
	for r.base+int64(len(b.chunks[r.hint])) <= r.at {
		r.base += int64(len(b.chunks[r.hint]))
		r.hint++
	}
	from := r.at - r.base
	p := b.chunks[r.hint][from:min(from+limit, int64(len(b.chunks[r.hint])))]
	r.at += int64(len(p))
	return p, nil, nil
}
