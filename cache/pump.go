package cache

import (
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/sync/semaphore"

	"selvage/cache/internal/disk"
)

// Sizes of the bodies that are filling.
const (
	firstChunk   = 16 << 10 // of a body of unknown length; doubles from there
	largestChunk = 1 << 20
	streamWindow = 8 << 20         // of a body that turned out too large to keep
	errorBody    = 1 << 20         // of a 5xx that is shared by those who wait for it
	budgetWait   = 5 * time.Second // for room among the bodies that are filling
)

// pump moves a body from the origin into an Object, or what we make of an Object's. It runs on its own: no client can end it.
type pump struct {
	store    *Store
	from     io.ReadCloser
	body     *Body
	fill     *Fill   // of a body from the origin, as is object
	object   *Object // nil otherwise, and then keep is false
	of       *Body   // of what we make: what it is made of; nil otherwise
	keep     bool    // the Object is in the table and to be stored: by memory, or as long as it is written to the disk
	limit    int64   // largest body to hold whole
	most     int64   // largest body to store
	entries  *semaphore.Weighted
	entry    int64 // taken from entries, for the first chunk; 0 once the body is a stream
	budget   *semaphore.Weighted
	reserved int64 // taken from budget, for the others
	window   int64 // once the body is a stream
	chunk    []byte
	down     *disk.Writer // to the disk, of a body that memory will not keep; nil before and without
}

func (p *pump) run() {
	err := p.move()
	p.from.Close()
	if err != nil {
		p.fail(err)
	} else {
		p.body.finish(nil)
		p.settle()
	}
	p.leaveEntry()
	p.budget.Release(p.reserved)
}

// room is what was taken for the body.
func (p *pump) room() int64 { return p.entry + p.reserved }

// arrived reports whether run waits for nobody: the whole body is known to be here, and fits in what is reserved for it.
func (p *pump) arrived() bool {
	from, ok := p.from.(interface{ Arrived() bool })
	length, known := p.body.Length()
	return ok && known && length <= min(p.room(), p.limit) && p.store.inMemory(length) && from.Arrived()
}

// fail ends a body that will never be whole.
func (p *pump) fail(err error) {
	if p.keep { // first, so that nobody joins what has failed
		p.drop()
		p.store.failed(p.fill, Answer{Err: err})
	}
	p.leaveDisk()
	p.body.finish(err)
}

// drop takes the Object out of the table: those who read it go on, nobody else joins.
func (p *pump) drop() {
	p.keep = false
	p.store.forget(p.object)
}

// settle leaves a whole body where it belongs. One that goes to the disk stays in the table until it is found there.
func (p *pump) settle() {
	if p.down != nil {
		p.land()
	}
	length, _ := p.body.Length()
	switch {
	case p.keep && p.window == 0 && p.store.inMemory(length):
		p.store.keep(p.object)
	case p.keep && p.down != nil:
		p.store.sink(p.object)
	case p.keep:
		p.drop()
	}
}

// land makes the disk show the body that was written there.
func (p *pump) land() {
	if p.down.Commit(p.store.ctx, p.store.disk.record(p.object)) != nil {
		p.leaveDisk()
		return
	}
	p.store.disk.putVary(p.object)
	p.store.markers.drop(p.object.Hash)
}

// move reads to the end of the body.
func (p *pump) move() error {
	body := p.body
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
			p.fall(p.chunk[len(p.chunk) : len(p.chunk)+n])
			p.chunk = p.chunk[:len(p.chunk)+n]
			total += int64(n)
		}
		p.bound(total)
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

// grow takes the next chunk: the size it would like, or what is left of its reserve. A body that finds no more room among
// those that are filling becomes a stream.
func (p *pump) grow(total, want int64) {
	size := p.next(total, want)
	if p.window == 0 && !p.claim(min(total+size, p.limit)) {
		size = min(size, p.room()-total)
	}
	if size <= 0 {
		size = firstChunk
		if p.keep && p.down == nil {
			p.goDown()
		}
		p.stream()
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
	missing := bytes - p.room()
	if missing > 0 && !p.budget.TryAcquire(missing) {
		return false
	}
	p.reserved += max(0, missing)
	return true
}

// bound does what the size of the body asks for, once it is known to be above a limit.
func (p *pump) bound(total int64) {
	if p.keep && p.down == nil && !p.store.inMemory(total) {
		p.goDown()
	}
	switch {
	case total > p.most:
		p.outgrow()
	case total > p.limit, p.of != nil && p.of.Streams(): // what is made of what nobody keeps is not kept
		p.stream()
	}
	if p.window > 0 {
		p.giveBack()
	}
}

// outgrow gives up storing the body. It will be too large the next time, too.
func (p *pump) outgrow() {
	if p.keep {
		p.drop()
		p.store.refuse(p.fill, p.object.Meta.Epoch)
	}
	p.leaveDisk()
	p.stream()
}

// stream gives up holding the body whole. Without a disk that has what memory lets go, nobody else may join.
func (p *pump) stream() {
	if p.keep && p.down == nil {
		p.drop()
	}
	if p.window == 0 {
		p.narrow()
	}
}

// narrow turns the body into a window, with an account of its own: from here on its readers set the pace, and one of them who
// takes his time must not keep everybody else's fills waiting. Where that account has nothing left the body keeps what it has
// grown by, so that others may not grow, but not the room by which others begin: a chunk is no more than a pass has in hand.
func (p *pump) narrow() {
	p.window = min(streamWindow, p.room())
	p.body.stream(p.window)
	p.leaveEntry()
	p.giveBack()
	if p.store.streams.TryAcquire(p.reserved) {
		p.budget.Release(p.reserved)
		p.budget = p.store.streams
	}
}

// leaveEntry returns the room of the first chunk.
func (p *pump) leaveEntry() {
	if p.entry > 0 {
		p.entries.Release(p.entry)
		p.entry = 0
	}
}

// giveBack returns the room of what a stream has moved past.
func (p *pump) giveBack() {
	if over := p.reserved - max(p.window, p.body.held()); over > 0 {
		p.budget.Release(over)
		p.reserved -= over
	}
}

// goDown begins to write the body to the disk, with what has come of it.
func (p *pump) goDown() {
	if p.store.disk == nil {
		return
	}
	w, err := p.store.disk.tier.Begin(p.object.fill)
	if err != nil {
		return
	}
	p.down = w
	p.body.writtenTo(w)
	for _, c := range p.body.pieces() {
		p.fall(c)
	}
}

// fall writes bytes of the body to the disk, if it goes there, and waits for the disk if need be.
func (p *pump) fall(b []byte) {
	if p.down == nil {
		return
	}
	switch err := p.down.Append(p.store.ctx, b); {
	case errors.Is(err, disk.ErrTooLarge):
		p.outgrow()
	case err != nil:
		p.leaveDisk()
	}
}

// leaveDisk forgets what was written of the body. From then on nobody has what memory has let go.
func (p *pump) leaveDisk() {
	if p.down == nil {
		return
	}
	p.down.Abort()
	p.down = nil
	p.body.writtenTo(nil)
	if p.keep && p.window > 0 {
		p.drop()
	}
}
