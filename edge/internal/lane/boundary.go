package lane

import (
	"errors"
	"io"
	"math"
	"os"
	"time"
)

// The boundary between two requests: a conn waits there, checks the next head, and answers it or clears it for net/http.

// readHead waits for a head that is for net/http and clears it.
func (c *conn) readHead() error {
	if err := c.nextHead(); err != nil {
		return err
	}
	c.accept()
	return nil
}

// nextHead waits for a head that the Answerer does not answer.
func (c *conn) nextHead() error {
	c.rest()
	c.look()
	for c.work == nil || !c.work.found() {
		if err := c.more(); err != nil {
			return c.lost(err)
		}
		c.look()
	}
	if err := c.flush(); err != nil {
		return c.lost(err)
	}
	if f := c.work.fault; f != nil {
		return c.refuse(f)
	}
	return nil
}

// look checks the heads in the stash and answers those it can. It stops at one that is not whole, not right, or not ours, and
// behind the last that the client wants answered.
func (c *conn) look() {
	w := c.work
	for w != nil && !c.last && w.in.len() > 0 && !w.found() && w.out.err == nil {
		w.whole, w.fault = w.head.scan(w.in.bytes())
		if !w.found() || w.fault != nil {
			return
		}
		if w.verdict = c.ask(); w.verdict != Answered {
			return
		}
		c.answered()
	}
}

// more waits for more bytes. What was gathered leaves before that.
func (c *conn) more() error {
	if c.last {
		return c.leave()
	}
	if err := c.flush(); err != nil {
		return err
	}
	switch {
	case c.inEnd != nil:
		return c.inEnd
	case c.held() > 0:
		c.begin()
		return c.fill()
	}
	if c.claim == answering {
		c.rest()
	}
	if c.socket == nil {
		c.take()
		return c.fill()
	}
	return c.wait()
}

// leave ends the sending side behind the last answer, whose records TLS then sends together with its own last words. What
// the client sent behind its last request is not looked at. Neither that nor what it sends before it has a long answer whole
// may reset the answer (RFC 9112, section 9.6).
func (c *conn) leave() error {
	c.spoiled = c.held() > 0 || c.work.in.full() || c.link.full || c.work.out.long
	if c.records == nil {
		return errors.Join(c.flush(), io.EOF)
	}
	w := &c.work.out
	w.seal()
	w.push()
	if w.err == nil {
		w.err = errors.Join(c.stream.CloseWrite(), c.link.SetWriteDeadline(time.Time{})) // TLS lets nothing be written any more
	}
	return errors.Join(c.flush(), io.EOF)
}

// fill reads once, and no longer than the wait for the head may take.
func (c *conn) fill() error {
	for {
		_, err := c.work.in.fill(c.stream, int(c.work.head.limits.Head))
		if !errors.Is(err, os.ErrDeadlineExceeded) || c.expired() {
			return err
		}
	}
}

// lost ends a connection on which no further head comes. net/http is told of nothing but the end: it has seen no byte. An
// answer that was cut short is the last thing the client gets: whatever came behind it, a refusal too, would be taken for
// more of its body.
func (c *conn) lost(err error) error {
	switch {
	case c.flush() != nil:
		_ = c.link.Close() // before TLS says that this was all, or waits for the client to take it
	case errors.Is(err, os.ErrDeadlineExceeded) && c.held() > 0:
		return c.refuse(faultSlowHead)
	}
	c.give()
	return c.die(io.EOF)
}

// accept clears the head that has been checked, with its body if that has a length.
func (c *conn) accept() {
	h := &c.work.head
	c.yield()
	c.link.requests.Add(1)
	c.served = true
	c.cleared, c.state = int64(h.next), watch
	switch {
	case h.encodings > 0:
		c.chunks, c.state = chunks{}, chunked
	case h.length > math.MaxInt64-c.cleared:
		c.cleared = math.MaxInt64 // never to be reached
	default:
		c.cleared += h.length
	}
}

// refuse answers a head that a handler must not see. Nothing of an earlier answer is outstanding: a head is looked at only
// when net/http is idle.
func (c *conn) refuse(f *fault) error {
	c.link.srv.refused(c.link, f, c.work.in.bytes())
	if _, err := c.stream.Write(f.answer(time.Now())); err == nil && !c.link.evicted.Load() {
		linger(c.stream, c.CloseWrite)
	}
	return c.die(io.EOF)
}
