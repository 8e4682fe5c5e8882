package lane

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"math"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// conn is an HTTP/1 connection as net/http reads it: one checked head, then exactly its body, then nothing until net/http
// says that it is idle.
//
// net/http has at most one Read in flight, and none while it calls the ConnState hook; Close and the deadlines may come at
// any time.
type conn struct {
	stream // the link, or TLS on the link
	link   *link

	// owned by whoever reads: first by run, then by Read, and by the ConnState hook between two Reads
	state   state
	work    *work // nil while nothing is under way
	cleared int64 // bytes next in line that may be handed up
	chunks  chunks
	end     error // dead: what every Read returns
	readErr error // what ended ready
	inEnd   error // what ended the reading while pipelined requests were waiting in the stash
	served  bool  // at least one head was handed up or answered
	last    bool  // the client wants no further answer
	spoiled bool  // unread bytes may be left that must not reset the answer

	// immutable
	records *records           // of TLS; nil without
	socket  syscall.RawConn    // nil where there is none
	onReady func(uintptr) bool // c.ready

	context context.Context // of requests that are served here; nil before the first
	remote  string          // their RemoteAddr
	vigil   vigil           // over them

	joint *Writer // owned by the handler that answers: see Info.WriteRest

	reading atomic.Bool
	closed  atomic.Bool
	wake    chan struct{} // a deadline was set, or Close was called

	mu sync.Mutex
	// guarded by mu
	claim   claim         // on the read deadline
	waitEnd time.Duration // of the wait for a head, on the server's clock; 0 is never
	armed   time.Duration // the socket's read deadline, likewise; unknown when it was set from above
	until   time.Time     // the read deadline set from above
}

// stream is what a conn runs on: a *link or a *tls.Conn.
type stream interface {
	net.Conn
	CloseWrite() error
}

type state uint8

const (
	boundary state = iota // before a head, or within it
	chunked               // in a chunked body
	watch                 // the message is over or cleared to its end; the answer is being made
	raw                   // hijacked: nothing is looked at
	dead
)

// maxStash bounds what a client may send ahead while its request is answered. A full stash is not read beyond.
const maxStash = 16 << 10

// plainConn is a conn without TLS. A type of its own: net/http takes whatever has a ConnectionState for TLS.
type plainConn struct{ *conn }

// tlsConn is a conn on TLS.
type tlsConn struct {
	*conn
	tls *tls.Conn
}

// newConn returns a conn on l, or on TLS on l that writes to r.
func newConn(l *link, on stream, r *records) *conn {
	c := &conn{stream: on, link: l, records: r, wake: make(chan struct{}, 1), armed: unknown}
	c.socket, c.onReady = socketOf(l.Conn), c.ready
	l.info.http1 = c
	cut := c.cutWait
	l.cut.Store(&cut)
	return c
}

// ReadFrom copies src to the connection in large writes, past net/http's buffer. Never by sendfile: nothing could check
// the bytes before they leave.
func (c plainConn) ReadFrom(src io.Reader) (int64, error) {
	return io.Copy(struct{ io.Writer }{c.conn}, src)
}

// ConnectionState returns what the handshake agreed on.
func (c tlsConn) ConnectionState() tls.ConnectionState { return c.tls.ConnectionState() }

// Read hands up what is cleared, and clears more.
func (c *conn) Read(p []byte) (int, error) {
	if c.reading.Swap(true) {
		return 0, errors.New("lane: concurrent read")
	}
	defer c.reading.Store(false)
	for {
		if c.cleared > 0 {
			return c.hand(p)
		}
		if err := c.advance(); err != nil {
			return 0, err
		}
	}
}

// hand moves cleared bytes: those in the stash, or straight from the connection.
func (c *conn) hand(p []byte) (n int, err error) {
	p = p[:min(int64(len(p)), c.cleared)]
	if c.held() > 0 {
		n = c.work.in.take(p)
	} else {
		n, err = c.stream.Read(p)
	}
	if c.state != raw {
		c.cleared -= int64(n)
	}
	return n, err
}

// held is how many bytes are in the stash.
func (c *conn) held() int {
	if c.work == nil {
		return 0
	}
	return c.work.in.len()
}

// advance clears more bytes, or says why there are none.
func (c *conn) advance() error {
	switch c.state {
	case boundary:
		return c.readHead()
	case chunked:
		return c.readChunks()
	case watch:
		return c.watch()
	default:
		return c.end
	}
}

func (c *conn) die(err error) error {
	c.state, c.end, c.cleared = dead, err, 0
	return err
}

// readChunks clears as much of a chunked body as is known to be well-formed.
func (c *conn) readChunks() error {
	for {
		ready, end, err := c.chunks.follow(c.work.in.bytes())
		if end {
			c.state = watch
		}
		if ready > 0 {
			// A fault further on is found again when these bytes are gone.
			c.cleared = int64(ready)
			return nil
		}
		if err != nil {
			c.spoiled = true
			return c.die(err)
		}
		if _, err := c.work.in.fill(c.stream, maxStash); err != nil {
			return err
		}
	}
}

// watch waits for the client to leave while its request is answered, and keeps what it sends ahead. It returns only errors.
// A client that has sent further requests and then ended its side still wants the answers, so that is not leaving.
func (c *conn) watch() error {
	for c.inEnd == nil && c.work.in.len() < maxStash {
		_, err := c.work.in.fill(c.stream, maxStash)
		switch {
		case err == nil:
		case errors.Is(err, io.EOF) && c.work.in.len() > 0:
			c.inEnd = err
		default:
			return err
		}
	}
	return c.block()
}

// block waits, without reading, until the read deadline passes, the connection is closed, or the server gives up on all there are:
// it closes the links beneath, of which nothing but a Read would tell.
func (c *conn) block() error {
	for !c.closed.Load() {
		c.mu.Lock()
		until := c.until
		c.mu.Unlock()
		var timer <-chan time.Time
		if !until.IsZero() {
			left := time.Until(until)
			if left <= 0 {
				return os.ErrDeadlineExceeded
			}
			timer = time.After(left)
		}
		select {
		case <-c.wake:
		case <-timer:
		case <-c.link.srv.over:
			return net.ErrClosed
		}
	}
	return net.ErrClosed
}

// resume is called when net/http has become idle: the next head may come. A message that was not wholly handed up leaves
// bytes that must never be taken for a request.
func (c *conn) resume() {
	if c.reading.Load() || c.state != watch || c.cleared > 0 {
		c.spoiled = true
		_ = c.die(io.EOF) // the next Read says so
		return
	}
	c.state = boundary
}

// release is called when a handler takes the connection.
func (c *conn) release() {
	c.state, c.cleared = raw, math.MaxInt64
	c.link.enter(tunnel, 0)
}

// CloseWrite ends the sending side, of TLS and of the socket beneath.
func (c *conn) CloseWrite() error {
	err := c.stream.CloseWrite()
	if c.stream != stream(c.link) {
		err = c.link.CloseWrite()
	}
	return err
}

// Close closes the connection. Where unread bytes would reset the answer it lingers first: net/http calls Close under its
// own lock only for idle connections, and those are never spoiled.
func (c *conn) Close() error {
	if c.closed.Swap(true) {
		return net.ErrClosed
	}
	c.rouse()
	if c.spoiled {
		linger(c.stream, c.CloseWrite)
	}
	return c.stream.Close()
}
