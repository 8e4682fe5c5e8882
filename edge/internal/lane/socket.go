package lane

import (
	"errors"
	"io"
	"net"
	"os"
	"sync/atomic"
	"syscall"
)

// A conn that waits for a request holds no memory for it: RawConn.Read calls ready whenever its socket has changed, and only
// then a work is taken. The requests are answered within that call, where the poller remembers what arrives meanwhile. So a
// read that did not fill its buffer has emptied the socket, and need not be followed by one that only says so: of a hit's
// three system calls this is one.
//
// Such a read may leave one thing behind of which no further event comes: the client's FIN, when it came right after the
// request. So only a client that waits for its answers and is quick to come back is believed to do so again, and lookAgain
// later its socket is read all the same.

// socketOf returns the socket of c, or nil where there is none.
func socketOf(c net.Conn) syscall.RawConn {
	s, ok := c.(syscall.Conn)
	if !ok {
		return nil
	}
	socket, err := s.SyscallConn()
	if err != nil {
		return nil // closed, as the next Read says, or on something else
	}
	return socket
}

// wait waits without a work, and answers requests. It returns when something is left in the stash.
func (c *conn) wait() error {
	c.give()
	for {
		err := c.socket.Read(c.onReady)
		switch {
		case err == nil:
			return c.readErr
		case !errors.Is(err, os.ErrDeadlineExceeded) || c.expired():
			return err
		}
	}
}

// ready reads what there is and answers what it can. False: nothing is left, wait for more.
func (c *conn) ready(fd uintptr) (done bool) {
	c.link.hold(int(fd))
	defer c.link.letGo()
	for {
		c.take()
		_, err := c.work.in.fill(c.stream, int(c.work.head.limits.Head))
		if err == nil {
			if c.look(); c.last || c.held() > 0 {
				return true
			}
			if !c.spent() {
				continue
			}
			err = errDry
		}
		if err == errDry {
			if err = c.pause(); err == nil {
				return false
			}
		}
		c.readErr = err
		return true
	}
}

// spent reports whether TLS has handed over all that there was. It need not be asked for more: that would cost an allocation.
func (c *conn) spent() bool {
	in := &c.work.in
	return c.records != nil && c.link.dry && c.records.borders.lone() && in.w < len(in.buf)
}

// pause begins the next wait. What was gathered leaves before that.
func (c *conn) pause() error {
	if err := c.flush(); err != nil {
		return err
	}
	c.give()
	switch {
	case c.claim == answering:
		c.rest()
	case c.link.blind: // part of a record has come
		c.remind()
	}
	return nil
}

// errDry says that a socket has nothing to read. To TLS it is a timeout, after which one may read on.
var errDry net.Error = dryError{}

type dryError struct{}

func (dryError) Error() string   { return "nothing to read" }
func (dryError) Timeout() bool   { return true }
func (dryError) Temporary() bool { return true }

// heldSocket is the socket of a link while ready runs.
type heldSocket struct {
	inside atomic.Bool // ready runs: its goroutine cannot close the socket, it would wait for itself
	broken atomic.Bool // to be closed as soon as ready is left

	// owned by whoever reads
	fd    int
	trust bool // a short read empties the socket
	dry   bool // nothing is left to read
	blind bool // that is not what the socket said
	full  bool // the last read filled its buffer: there may be more
}

func (h *heldSocket) hold(fd int) {
	h.fd, h.dry, h.blind = fd, false, false
	h.inside.Store(true)
}

// writeNow writes what the socket takes at once. It is for the goroutine of ready: to others the socket may be gone, and its
// number another's.
func (h *heldSocket) writeNow(p []byte) int {
	n, err := syscall.Write(h.fd, p)
	if err != nil {
		return 0 // a write that waits will say so
	}
	return n
}

func (h *heldSocket) letGo() {
	h.blind = false
	h.inside.Store(false)
}

// read reads without waiting.
func (h *heldSocket) read(p []byte) (int, error) {
	if h.dry {
		return 0, errDry
	}
	for {
		n, err := syscall.Read(h.fd, p)
		switch {
		case err == syscall.EINTR:
		case err == syscall.EAGAIN:
			h.dry = true
			return 0, errDry
		case err != nil:
			return 0, err
		case n == 0:
			return 0, io.EOF
		default:
			h.blind = h.trust && n < len(p)
			h.dry = h.blind
			return n, nil
		}
	}
}
