package disk

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
)

// landing is what of a fill is in a segment, for those who read the body while it is being written.
type landing struct {
	mu      sync.Mutex
	bytes   int64    // guarded by mu, as is all below
	extents []extent // of them
	err     error    // why no more will come, and what there is may leave
}

// note tells what has been written, unless that is all over.
func (l *landing) note(f *fill) {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if f.err == nil && l.err == nil {
		l.bytes, l.extents = f.blocks*blockBytes, slices.Clone(f.extents)
	}
}

func (l *landing) end(err error) {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil {
		l.err = err
	}
}

func (l *landing) failure() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// find returns where a block is.
func (l *landing) find(n int64) (Location, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return 0, l.err
	}
	for _, e := range l.extents {
		if n < int64(e.blocks) {
			return locate(e.segment, int64(e.offset)+n*(blockHeaderBytes+blockBytes)), nil
		}
		n -= int64(e.blocks)
	}
	return 0, io.EOF
}

// Landed returns how many bytes from the body's begin a Follower finds. Of a body that has ended it may be more than there
// are.
func (w *Writer) Landed() int64 {
	w.fill.landing.mu.Lock()
	defer w.fill.landing.mu.Unlock()
	return w.fill.landing.bytes
}

// Follow returns a reader of the body that is being written. It may go on after Commit; Abort ends it.
func (w *Writer) Follow() *Follower { return &Follower{t: w.t, fill: w.fill, have: -1} }

// Follower reads a body while it is being written. It belongs to one goroutine; Close it.
type Follower struct {
	t       *Tier
	fill    *fill
	in      *segment // of the last block, pinned
	block   *[]byte  // the last block read; pooled
	have    int64    // ordinal of the block in content, -1 for none
	content []byte
}

// Block returns the bytes of the body from an offset to the end of the block that holds it, checked. They are valid until
// the next call and not to be changed. What has not landed is io.EOF.
func (f *Follower) Block(offset int64) ([]byte, error) {
	if n := offset / blockBytes; n != f.have {
		f.have = -1
		at, err := f.fill.landing.find(n)
		if err == nil {
			err = f.read(n, at)
		}
		if err != nil {
			return nil, err
		}
		f.have = n
	}
	if offset %= blockBytes; offset < int64(len(f.content)) {
		return f.content[offset:], nil
	}
	return nil, io.EOF
}

// read reads and checks one block, of which the length is not known: the last one is shorter.
func (f *Follower) read(n int64, at Location) error {
	if !f.pin(at.segment()) {
		return ErrGone
	}
	if f.block == nil {
		f.block = takeBuffer(blockHeaderBytes + blockBytes)
	}
	size, err := f.in.file.ReadAt(*f.block, at.offset())
	switch {
	case errors.Is(err, os.ErrClosed):
		return ErrGone
	case err != nil && err != io.EOF:
		f.t.complain("read", err)
		return err
	}
	b := (*f.block)[:size]
	h, err := decodeBlockHeader(b, f.in.nonce, at.offset())
	if err == nil && (h.kind != bodyBlock || h.fill != f.fill.number || int64(h.ordinal) != n) {
		err = fmt.Errorf("block: of another body: %w", errDamaged)
	}
	if err == nil {
		f.content = b[blockHeaderBytes:min(size, blockHeaderBytes+int(h.length))]
		err = h.check(f.content)
	}
	if errors.Is(err, errDamaged) {
		f.t.damaged(at, err)
	}
	return err
}

// pin pins a segment in place of the one before.
func (f *Follower) pin(number uint32) bool {
	if f.in != nil && f.in.number == number {
		return true
	}
	f.unpin()
	f.in = f.t.pin(number)
	return f.in != nil
}

func (f *Follower) unpin() {
	if f.in != nil {
		f.in.unpin()
		f.in = nil
	}
}

// Close lets go of what was read.
func (f *Follower) Close() {
	f.unpin()
	giveBuffer(f.block)
	f.block, f.content, f.have = nil, nil, -1
}
