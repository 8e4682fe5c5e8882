package cache

import (
	"errors"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"selvage/cache/internal/disk"
)

// Errors of a body's readers.
var (
	// ErrFellBehind: the body is too large to keep whole and the reader's place in it is gone.
	ErrFellBehind = errors.New("reader fell behind the window of a body that is not kept")
	// ErrAbandoned: nobody wanted the rest of a body that is not kept.
	ErrAbandoned = errors.New("no reader left")
)

// Body is the content of a Representation: one writer fills it, any number of readers follow, each at its own pace. Once
// complete it never changes and is read without a lock.
//
// A body that memory will not keep becomes a window of its most recent bytes. If it is written to the disk meanwhile, a reader
// that the window has left behind, or who comes late, reads there. If not, the writer waits for the fastest reader, and one
// that is left behind gets ErrFellBehind.
//
// Slices handed out point into the body. Nobody writes to them, and they stay valid until the reader's next call.
type Body struct {
	complete atomic.Bool // set after everything below is final
	below    *source     // where the bytes are when memory does not hold them; immutable

	mu      sync.Mutex
	chunks  [][]byte      // consecutive; guarded by mu until complete
	first   [1][]byte     // room for the chunk that most bodies are
	start   int64         // offset of chunks[0]
	end     int64         // offset behind the last byte
	length  int64         // announced length, -1 when unknown; end once complete
	err     error         // why it will never be complete
	window  int64         // most bytes to hold; 0 is all
	disk    *disk.Writer  // has what the window leaves behind; nil: nobody has
	changed chan struct{} // closed at the next change; nil when nobody waits
	pausing bool          // a crowd was told less than crowdPause ago
	untold  bool          // and more has come since
	readers int
	fastest int64 // furthest offset any reader has come to
}

// newBody returns an empty body; length is -1 when unknown. It counts one reader, who has yet to come: see Release.
func newBody(length int64) *Body {
	b := new(Body)
	b.begin(length)
	return b
}

func (b *Body) begin(length int64) { b.length, b.readers, b.chunks = length, 1, b.first[:0] }

// bodyOf returns a complete body of one piece.
func bodyOf(p []byte) *Body {
	b := &Body{chunks: [][]byte{p}, end: int64(len(p)), length: int64(len(p))}
	b.complete.Store(true)
	return b
}

// join keeps a place for a reader who wants the body from its first byte, as newBody does. False: it has failed, or is a window
// that has moved on.
func (b *Body) join() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil || b.start > 0 {
		return false
	}
	b.readers++
	return true
}

// Release gives up the place kept for the reader who asked for the body to be filled, once it has opened a Reader or has
// decided not to.
func (b *Body) Release() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.readers--
	b.notify()
}

// Length returns the length of the whole body and whether it is known.
func (b *Body) Length() (int64, bool) {
	if b.complete.Load() {
		return b.length, true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.length, b.length >= 0
}

// Streams reports whether the body is a window of what nobody keeps: only who began early has it whole.
func (b *Body) Streams() bool {
	if b.complete.Load() {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.window > 0 && b.disk == nil
}

// held is how many bytes are kept.
func (b *Body) held() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.end - b.start
}

// Complete reports whether all of the body is here.
func (b *Body) Complete() bool { return b.complete.Load() }

// Arrived returns how many bytes have come so far.
func (b *Body) Arrived() int64 {
	if b.complete.Load() {
		return b.end
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.end
}

// append adds bytes that the body then owns. It may be given the rest of the capacity of the last chunk.
func (b *Body) append(p []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n := len(b.chunks); n > 0 && continues(b.chunks[n-1], p) {
		b.chunks[n-1] = b.chunks[n-1][:len(b.chunks[n-1])+len(p)]
	} else {
		b.chunks = append(b.chunks, p)
	}
	b.end += int64(len(p))
	b.trim()
	b.tell()
}

// pieces returns the chunks that are there.
func (b *Body) pieces() [][]byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.chunks)
}

// A crowd of readers is told of new bytes at once, and then not again for crowdPause: each of them writes once what has come
// meanwhile, in place of once for every read from the origin.
const (
	crowd      = 16
	crowdPause = 2 * time.Millisecond
)

// tell says that bytes have come. The caller holds mu.
func (b *Body) tell() {
	switch {
	case b.readers < crowd:
		b.notify()
	case b.pausing:
		b.untold = true
	default:
		b.notify()
		b.pausing = true
		time.AfterFunc(crowdPause, b.tellRest)
	}
}

// tellRest ends a pause, and begins the next one if bytes came meanwhile.
func (b *Body) tellRest() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.pausing = false
	if b.untold {
		b.untold = false
		b.tell()
	}
}

// continues reports whether p stands right behind last in the same memory.
func continues(last, p []byte) bool {
	return cap(last)-len(last) >= len(p) && &last[:len(last)+1][len(last)] == &p[0]
}

// trim drops chunks that the window has left behind, but none that the disk has yet to write, or without a disk the fastest
// reader has yet to read. The caller holds mu.
func (b *Body) trim() {
	if b.window == 0 {
		return
	}
	needed := b.fastest
	if b.disk != nil {
		needed = b.disk.Landed()
	}
	for len(b.chunks) > 1 {
		next := b.start + int64(len(b.chunks[0]))
		if b.end-next < b.window || next > needed {
			return
		}
		b.start = next
		b.chunks[0] = nil
		b.chunks = b.chunks[1:]
	}
}

// finish makes the body complete, or failed for good if err is not nil.
func (b *Body) finish(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == nil {
		b.err = err
	}
	if b.err == nil {
		b.length = b.end
		b.clip()
		b.complete.Store(b.window == 0)
		if b.window > 0 {
			b.err = io.EOF // whole for those who kept up, never reusable
		}
	}
	b.notify()
}

// clip gives back what the last chunk took too much. The caller holds mu.
func (b *Body) clip() {
	if n := len(b.chunks); n > 0 {
		if last := b.chunks[n-1]; cap(last)-len(last) > len(last)/8 {
			b.chunks[n-1] = slices.Clone(last)
		}
	}
}

// stream turns the body into a window of the given size.
func (b *Body) stream(window int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.window = window
	b.trim()
	b.notify()
}

// writtenTo says who writes the body to the disk, from its first byte; nil: nobody any more.
func (b *Body) writtenTo(w *disk.Writer) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.disk = w
	b.notify()
}

// room waits until the writer of a streaming body may add more. False: nobody reads it any more, or all is over.
func (b *Body) room(over <-chan struct{}) bool {
	for {
		b.mu.Lock()
		if b.window == 0 || b.disk != nil || (b.readers > 0 && b.end-b.fastest < b.window) {
			b.mu.Unlock()
			return true
		}
		if b.readers == 0 {
			b.mu.Unlock()
			return false
		}
		wait := b.waitLocked()
		b.mu.Unlock()
		select {
		case <-wait:
		case <-over:
			return false
		}
	}
}

func (b *Body) notify() {
	if b.changed != nil {
		close(b.changed)
		b.changed = nil
	}
}

func (b *Body) waitLocked() <-chan struct{} {
	if b.changed == nil {
		b.changed = make(chan struct{})
	}
	return b.changed
}
