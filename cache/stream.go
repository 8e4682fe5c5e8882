package cache

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/cespare/xxhash/v2"

	"selvage/encode"
)

// streams are the codings that are being made while clients wait for them: of each body each once, however many they are.
type streams struct {
	mu      sync.Mutex
	running map[streamKey]*Body
}

// streamKey names a coding of a body.
type streamKey struct {
	own    *Body
	coding encode.Coding
}

// Stream gives a Choice that is Pending its body, which follows the object's own as that comes. Release it once there is a
// Reader. Without room for another body the choice becomes the object's own representation, and for a client who cannot take
// that the error is ErrBusy.
func (s *Store) Stream(o *Object, p *Policy, c Choice) (Choice, error) {
	coding, _ := encode.Named(c.Coding)
	body, ok := s.follow(o, p.Codings, coding)
	switch {
	case ok:
		c.Body, c.Pending, c.held = body, false, true
		return c, nil
	case coding == encode.Identity:
		return c, ErrBusy
	}
	return o.plain(true), nil
}

// follow returns the body of the coding that is being made, or begins to make it.
func (s *Store) follow(o *Object, c *Codings, coding encode.Coding) (body *Body, ok bool) {
	key := streamKey{o.Own.Body, coding}
	if body, late := s.coding.join(key); body != nil || late {
		return body, body != nil
	}
	if !s.enterCoder(o, coding) {
		return nil, false
	}
	body, first := s.coding.begin(key)
	if !first {
		s.leaveCoder(o, coding)
		s.coded.Release(s.entry())
		return body, body != nil
	}
	s.fills.Go(func() { s.stream(o, c, key, body) })
	return body, true
}

// join keeps a place in the body of a coding that is being made. A body that is too large to be kept whole cannot be joined late;
// it is decoded anew for who cannot do without.
func (all *streams) join(key streamKey) (body *Body, late bool) {
	all.mu.Lock()
	defer all.mu.Unlock()
	return all.joinLocked(key)
}

func (all *streams) joinLocked(key streamKey) (body *Body, late bool) {
	running := all.running[key]
	if running != nil && running.join() {
		return running, false
	}
	return nil, running != nil && key.coding != encode.Identity
}

// begin is join for who has room to make the coding: first says that it is for him to do.
func (all *streams) begin(key streamKey) (body *Body, first bool) {
	all.mu.Lock()
	defer all.mu.Unlock()
	if body, late := all.joinLocked(key); body != nil || late {
		return body, false
	}
	body = newBody(-1)
	if all.running[key] == nil {
		all.running[key] = body
	}
	return body, true
}

// stream makes a coding in haste. Once whole it is part of the object, until there is a better one.
func (s *Store) stream(o *Object, c *Codings, key streamKey, body *Body) {
	defer s.coding.leave(key, body)
	own, known := o.Own.Body.Length()
	if !known {
		own = -1
	}
	limit := min(s.max, c.MaxSize)
	p := &pump{
		store: s, body: body, of: key.own, from: s.coder(o, key.coding, own), limit: limit, most: limit,
		entries: s.coded, entry: s.entry(), budget: s.coded,
	}
	p.run()
	s.leaveCoder(o, key.coding)
	if !body.Complete() {
		return
	}
	if o.settled != nil {
		<-o.settled
	}
	if key.coding == encode.Identity { // there is no better one
		s.keepCoded(o, &Representation{Final: true, Body: body, sum: body.hash()})
		return
	}
	if s.publish(o, &Representation{Coding: key.coding.String(), Body: body}) || o.Own.Body.below != nil {
		s.improve(o, c, key.coding)
	}
}

// leastCoders is the room of encoders and decoders, however small the memory: 25 of the ones, or one of the largest others.
const leastCoders = 32 << 20

// enterCoder takes the room of an encoder or a decoder, and of what it gives. An encoder has it at once or not at all: the client
// can do without. A decoder waits for it, as a fill does.
func (s *Store) enterCoder(o *Object, coding encode.Coding) bool {
	if coding == encode.Identity {
		return s.enterDecoder(o)
	}
	if !s.EnterEncoder() {
		return false
	}
	if !s.coded.TryAcquire(s.entry()) {
		s.LeaveEncoder()
		s.encoding.Meter.LeavePlain()
		return false
	}
	return true
}

func (s *Store) enterDecoder(o *Object) bool {
	ctx, cancel := context.WithTimeout(s.ctx, budgetWait)
	defer cancel()
	if s.coders.Acquire(ctx, o.decoderRoom()) != nil {
		return false
	}
	if s.coded.Acquire(ctx, s.entry()) != nil {
		s.coders.Release(o.decoderRoom())
		return false
	}
	return true
}

// decoderRoom is what a decoder of o's content holds.
func (o *Object) decoderRoom() int64 {
	own, _ := encode.Named(o.Own.Coding)
	return encode.ReaderRoom(own)
}

// leaveCoder gives back the room of an encoder or a decoder.
func (s *Store) leaveCoder(o *Object, coding encode.Coding) {
	if coding == encode.Identity {
		s.coders.Release(o.decoderRoom())
	} else {
		s.LeaveEncoder()
	}
}

// EnterEncoder reports whether there is room for another encoder while a client waits, and time on a processor; then LeaveEncoder
// gives it back. All of them together hold at most a quarter of what the memory tier does: a body may come, or go, as slowly as it
// likes, and what finds no room goes out plain.
func (s *Store) EnterEncoder() bool {
	if !encode.Behind() && s.coders.TryAcquire(encode.FastRoom) {
		return true
	}
	s.encoding.Meter.LeavePlain()
	return false
}

// LeaveEncoder gives back what EnterEncoder took.
func (s *Store) LeaveEncoder() { s.coders.Release(encode.FastRoom) }

func (all *streams) leave(key streamKey, body *Body) {
	all.mu.Lock()
	defer all.mu.Unlock()
	if all.running[key] == body {
		delete(all.running, key)
	}
}

// coder returns o's content in a coding, as it comes.
func (s *Store) coder(o *Object, coding encode.Coding, length int64) io.ReadCloser {
	from := newFollower(o.Own.Body, s.ctx.Done())
	return &guarded{ReadCloser: s.machine(o, coding, length, from), from: from}
}

// guarded turns a fault of an encoder or a decoder, which work on bytes from anywhere, into the end of the body they make. The
// machine is not used again.
type guarded struct {
	io.ReadCloser
	from   *follower
	broken bool
}

// Read implements io.Reader.
func (g *guarded) Read(p []byte) (n int, err error) {
	defer func() {
		if fault := recover(); fault != nil {
			g.broken = true
			n, err = 0, fmt.Errorf("content coding: %v", fault)
		}
	}()
	return g.ReadCloser.Read(p)
}

// Close implements io.Closer.
func (g *guarded) Close() error {
	if g.broken {
		return g.from.Close()
	}
	return g.ReadCloser.Close()
}

// machine returns what reads from in one form and gives it in another.
func (s *Store) machine(o *Object, coding encode.Coding, length int64, from *follower) io.ReadCloser {
	if coding != encode.Identity {
		e := &encoder{from: from}
		e.to = s.encoding.Meter.NewWriter(&e.out, coding, encode.Fast, length)
		return e
	}
	own, _ := encode.Named(o.Own.Coding)
	plain, err := encode.NewReader(from, own, encode.DefaultLimits())
	if err != nil { // Choose asks for no coding that nobody can decode
		return from
	}
	return decoder{plain, from}
}

// Encoder returns an encoder for a response that is not stored, of length bytes or -1. The room for it is the caller's to take:
// see EnterEncoder.
func (s *Store) Encoder(w io.Writer, coding encode.Coding, length int64) *encode.Writer {
	return s.encoding.Meter.NewWriter(w, coding, encode.Fast, length)
}

// decoder closes what it reads, too.
type decoder struct {
	io.ReadCloser
	from *follower
}

func (d decoder) Close() error {
	d.from.Close()
	return d.ReadCloser.Close()
}

// encoder gives what it reads encoded. Whenever there is nothing to read for a moment, all that was read can be decoded from
// what it has given.
type encoder struct {
	from  *follower
	to    *encode.Writer
	out   bytes.Buffer
	dirty bool // more has been written than flushed
	err   error
}

// encodePause is how long a body may pause without a flush, which costs some of the gain.
const encodePause = 5 * time.Millisecond

// Read implements io.Reader.
func (e *encoder) Read(p []byte) (int, error) {
	for e.out.Len() == 0 {
		if e.err != nil {
			return 0, e.err
		}
		e.step()
	}
	return e.out.Read(p)
}

func (e *encoder) step() {
	b, wait, err := e.from.Next(64 << 10)
	switch {
	case wait != nil:
		e.err = e.pause(wait)
	case err == io.EOF:
		if e.err = e.to.Close(); e.err == nil {
			e.err = io.EOF
		}
	case err != nil:
		e.err = err
	default:
		e.dirty = true
		_, e.err = e.to.Write(b)
	}
}

// pause waits for more, and flushes when that takes long.
func (e *encoder) pause(wait <-chan struct{}) error {
	if !e.dirty {
		return e.from.wait(wait)
	}
	moment := time.NewTimer(encodePause)
	defer moment.Stop()
	select {
	case <-wait:
		return nil
	case <-moment.C:
		e.dirty = false
		return e.to.Flush()
	}
}

// Close implements io.Closer.
func (e *encoder) Close() error {
	e.to.Abort()
	e.from.Close()
	return nil
}

// follower reads a Body as it comes.
type follower struct {
	Reader
	over <-chan struct{} // ends the waiting
}

func newFollower(b *Body, over <-chan struct{}) *follower {
	f := &follower{over: over}
	b.Open(&f.Reader, 0)
	return f
}

// Read implements io.Reader.
func (f *follower) Read(p []byte) (int, error) {
	for {
		b, wait, err := f.Next(int64(len(p)))
		if wait == nil {
			return copy(p, b), err
		}
		if err := f.wait(wait); err != nil {
			return 0, err
		}
	}
}

func (f *follower) wait(more <-chan struct{}) error {
	select {
	case <-more:
		return nil
	case <-f.over:
		return ErrAbandoned
	}
}

// Close implements io.Closer.
func (f *follower) Close() error {
	f.Reader.Close()
	return nil
}

// hash sums a body that memory holds whole.
func (b *Body) hash() uint64 {
	var d xxhash.Digest
	d.Reset()
	for _, c := range b.chunks {
		d.Write(c)
	}
	return d.Sum64()
}
