package cache

import (
	"context"
	"fmt"
	"io"
	"time"

	"golang.org/x/sync/semaphore"
)

// Sizes of the bodies that are filling.
const (
	firstChunk   = 16 << 10 // of a body of unknown length; doubles from there
	largestChunk = 1 << 20
	streamWindow = 8 << 20         // of a body that turned out too large to keep
	errorBody    = 1 << 20         // of a 5xx that is shared by those who wait for it
	budgetWait   = 5 * time.Second // for room among the bodies that are filling
)

// pump moves a body from the origin into an Object. It runs on its own: no client can end it.
type pump struct {
	store    *Store
	fill     *Fill
	object   *Object
	from     io.ReadCloser
	keep     bool  // the Object is in the table and to be stored
	limit    int64 // largest body to hold whole
	budget   *semaphore.Weighted
	reserved int64 // of budget
	window   int64 // once the body is a stream
	chunk    []byte
}

// begin waits for room for the first chunk of a body of the given length, -1 for unknown, beyond what every fetch has.
func (p *pump) begin(ctx context.Context, length int64) error {
	missing := min(p.next(0, length), p.limit) - p.reserved
	if missing <= 0 {
		return nil
	}
	if err := p.store.reserve(ctx, missing); err != nil {
		return err
	}
	p.reserved += missing
	return nil
}

func (p *pump) run() {
	p.store.stats.Filling.Add(1)
	err := p.move()
	p.from.Close()
	body := p.object.Own.Body
	switch {
	case err != nil:
		if p.keep { // first, so that nobody joins what has failed
			p.store.forget(p.object)
			p.store.failed(p.fill, Answer{Err: err})
		}
		body.finish(err)
	case p.keep:
		body.finish(nil)
		p.store.keep(p.object)
	default:
		body.finish(nil)
	}
	p.budget.Release(p.reserved)
	p.store.stats.Filling.Add(-1)
}

// move reads to the end of the body.
func (p *pump) move() error {
	body := p.object.Own.Body
	want, known := body.Length()
	for total := int64(0); !known || total < want; {
		if !body.room(p.store.ctx.Done()) {
			return ErrAbandoned
		}
		if len(p.chunk) == cap(p.chunk) {
			p.grow(total, want)
		}
		n, err := p.from.Read(p.chunk[len(p.chunk):cap(p.chunk)])
		if n > 0 {
			body.append(p.chunk[len(p.chunk) : len(p.chunk)+n])
			p.chunk = p.chunk[:len(p.chunk)+n]
			total += int64(n)
		}
		if total > p.limit && p.window == 0 {
			p.stream(true)
		}
		if p.window > 0 {
			p.giveBack()
		}
		switch {
		case err == io.EOF && known && total < want:
			return io.ErrUnexpectedEOF
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
	}
	return p.end()
}

// end makes sure that a body of known length stops there.
func (p *pump) end() error {
	var more [1]byte
	for {
		switch n, err := p.from.Read(more[:]); {
		case n > 0:
			return fmt.Errorf("%w: body longer than announced", ErrProtocol)
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
	}
}

// grow takes the next chunk. A body that finds no more room among those that are filling becomes a stream.
func (p *pump) grow(total, want int64) {
	size := p.next(total, want)
	if p.window == 0 && !p.claim(min(total+size, p.limit)) {
		p.stream(false)
	}
	if p.window > 0 {
		size = min(size, p.window)
	}
	p.chunk = make([]byte, 0, size)
}

// next is the size of the next chunk: what is left where the length is known, else twice the last, and at most one byte more
// than may be kept, which shows that the body is too large.
func (p *pump) next(total, want int64) int64 {
	size := max(firstChunk, 2*int64(cap(p.chunk)))
	if want >= 0 {
		size = want - total
	}
	if size = min(size, largestChunk); p.window == 0 {
		size = min(size, p.limit+1-total)
	}
	return size
}

// claim makes sure that the budget has room for so many bytes of this body.
func (p *pump) claim(bytes int64) bool {
	missing := bytes - p.reserved
	if missing > 0 && !p.budget.TryAcquire(missing) {
		return false
	}
	p.reserved += max(0, missing)
	return true
}

// stream gives up keeping the body whole: those who read it go on, nobody else joins. One that is too large will be so the
// next time, too.
func (p *pump) stream(tooLarge bool) {
	if p.keep {
		p.keep = false
		p.store.forget(p.object)
		if tooLarge {
			p.store.refuse(p.fill, p.object.Meta.Epoch)
		}
	}
	p.window = min(streamWindow, p.reserved)
	p.object.Own.Body.stream(p.window)
	p.giveBack()
	// From here on its readers set the pace. One of them who takes his time must not keep everybody else's fills waiting.
	if p.store.streams.TryAcquire(p.reserved) {
		p.budget.Release(p.reserved)
		p.budget = p.store.streams
	}
}

// giveBack returns the room of what a stream has moved past.
func (p *pump) giveBack() {
	if over := p.reserved - max(p.window, p.object.Own.Body.held()); over > 0 {
		p.budget.Release(over)
		p.reserved -= over
	}
}
