package origin

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
)

// readSize is how much a conn reads at once, unless more is asked for.
const readSize = 16 << 10

// conn is an HTTP/1 connection below http.Transport (and above TLS), or below a link, that holds the upstream to strict framing.
//
// A burst of bytes is handed up only when all of it keeps the rules: of an overlong answer the end is never seen. Requests are
// strictly one after the other, so at most one exchange is in flight.
type conn struct {
	net.Conn
	upstream string
	wire     *wire           // below TLS; nil without
	socket   syscall.RawConn // nil where there is none, and below TLS, which may have words of its own

	// Owned by whoever reads: http.Transport's read loop, or the reader of a body while that waits; of a link, whoever has it.
	buf   []byte
	ready []byte // checked, not handed up yet: of buf, or of the reader's own bytes within one Read

	asking   asking             // owned by whoever has a link
	onChange func(uintptr) bool // c.changed

	mu       sync.Mutex // guards the following
	err      error      // ends the connection once ready is handed up; written by the reader only
	follower follower
	x        *exchange // in flight, nil between two
	served   bool      // an exchange was begun here
	kept     bool      // and another before it
	unasked  bool      // no byte of the exchange's request was written, so no answer to it can have come
}

func newConn(c net.Conn, w *wire, upstream string) *conn {
	n := &conn{Conn: c, upstream: upstream, wire: w, buf: make([]byte, readSize)}
	if w == nil {
		n.socket, n.onChange = socketOf(c), n.changed
	}
	return n
}

// begin expects the answer to x. Its request has not been written.
func (c *conn) begin(x *exchange) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.kept = c.served
	c.x, c.served, c.unasked = x, true, true
	c.follower.begin(x.method, x.upgrade)
}

func (c *conn) Read(p []byte) (int, error) {
	if len(c.ready) == 0 && c.err == nil {
		// The rest of a large body goes where it is wanted without a copy, less one byte: whoever asks for exactly that rest
		// would else get its end without what follows.
		into := c.buf
		if len(p) > len(c.buf) {
			into = p[:len(p)-1]
		}
		n, err := c.Conn.Read(into)
		c.take(into[:n], err)
	}
	n := copy(p, c.ready)
	c.ready = c.ready[n:]
	if len(c.ready) > 0 {
		return n, nil
	}
	// Bytes and io.EOF together make http.Transport deliver the bytes and not keep the connection.
	return n, c.err
}

// take judges a burst and the error that came with it.
func (c *conn) take(burst []byte, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.unasked && c.kept && len(burst) > 0 { // as between two exchanges: another connection may be tried
		c.ready, c.err = nil, io.EOF
		return
	}
	n, failure := c.follower.follow(burst)
	if c.x != nil {
		c.x.gotFields(&c.follower)
	}
	switch {
	case failure != nil:
		c.ready, c.err = c.refuse(burst, n, failure)
	case err != nil:
		c.ready, c.err = burst, c.broken(err)
	default:
		c.ready = burst
	}
	if c.follower.state == idle || c.follower.state == tunnel {
		c.x = nil
	}
}

// refuse drops the connection for breaking a rule after n good bytes.
func (c *conn) refuse(burst []byte, n int, failure *Failure) ([]byte, error) {
	switch {
	case c.x == nil && c.served: // between two exchanges: nobody's failure, the connection is simply over
		return nil, io.EOF
	case c.x == nil: // it spoke first
		failure.Upstream = c.upstream
		return nil, failure
	case c.follower.state == idle && c.follower.bare: // the answer cannot have a body, so its head is good
		return burst[:n], io.EOF
	}
	return nil, c.fail(failure)
}

// fail ends the exchange in flight, after some bytes of an answer. The error that Read returns would not do: net/http may read
// it as the end of a line, and tries a request again whose kept connection fails at the first byte.
func (c *conn) fail(failure *Failure) error {
	c.x.gotByte()
	c.x.fail(failure)
	return failure
}

// broken says what the end of the connection means to the exchange in flight.
func (c *conn) broken(err error) error {
	switch {
	case !c.served: // it hung up at once; net/http would call that an idle connection closed
		failure := fail(typeTerminated, err)
		failure.Upstream, failure.Unreachable = c.upstream, true
		return failure
	case c.x == nil, !c.follower.started(): // as it is: http.Transport may try another connection
		return err
	case c.follower.state == untilClose && err == io.EOF && c.isWhole():
		return io.EOF
	default:
		return c.fail(fail(typeResponseIncomplete, unexpected(err)))
	}
}

// isWhole judges a body that has ended with the connection. Over TLS that takes the close_notify that protects the end (RFC 9112,
// section 9.8), of which crypto/tls does not tell; and one that answers our own, when the exchange was given up, is no end.
func (c *conn) isWhole() bool {
	cutShort := c.wire != nil && c.wire.ended.Load()
	return !cutShort && c.x.cause() == nil
}

func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

func (c *conn) Write(p []byte) (int, error) {
	x, err := c.writable()
	if err != nil {
		return 0, err
	}
	n, err := c.Conn.Write(p)
	if n > 0 && x != nil {
		x.wrote()
	}
	return n, err
}

// writable refuses to send anything on a connection that is over, or for an exchange that is.
func (c *conn) writable() (*exchange, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	x, err := c.openLocked()
	if err != nil {
		return nil, err
	}
	if c.unasked && c.kept && hasInput(c.socket) {
		// The second of two answers to the request before, say. Once ours is sent it would be taken for the answer to that.
		return nil, net.ErrClosed
	}
	c.unasked = false
	return x, nil
}

// openLocked returns the exchange in flight, if there is anything to send for it and on.
func (c *conn) openLocked() (*exchange, error) {
	if c.err != nil {
		return nil, net.ErrClosed
	}
	if c.x == nil {
		return nil, nil
	}
	return c.x, c.x.cause()
}

// CloseWrite ends one direction of an upgraded connection.
func (c *conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// wire is the connection below TLS. It notes that it ended, which TLS on top does not tell from a proper end.
type wire struct {
	net.Conn
	ended atomic.Bool
}

func (w *wire) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	if err != nil {
		w.ended.Store(true)
	}
	return n, err
}
