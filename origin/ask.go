package origin

import (
	"io"
	"net"
	"syscall"
)

// asking is a question on a kept connection, from a look at its socket to the first bytes of the answer. It is one stay with
// the socket, where the poller remembers what arrives meanwhile: the read that shows that nothing came before the question,
// as nothing may, spares another that would show that there is no answer yet.
type asking struct {
	head  []byte
	x     *exchange
	asked bool // some of head may have been written
	sent  int  // bytes of head
	n     int  // bytes of the answer, in conn.buf
	err   error
}

// ask writes the head of a request without a body, and waits for the first bytes of its answer, which the next Read returns. The
// connection has been used before, and is a socket's without TLS.
func (c *conn) ask(head []byte) error {
	c.mu.Lock()
	x, err := c.openLocked()
	c.mu.Unlock()
	if err != nil {
		return err
	}
	a := &c.asking
	*a = asking{head: head, x: x}
	if err = c.socket.Read(c.onChange); err != nil {
		a.err = err
	}
	a.head, a.x = nil, nil
	switch {
	case !a.asked:
		return a.err
	case a.sent < len(head) && a.err == nil:
		x.await(forUpload)
		n, err := c.Conn.Write(head[a.sent:])
		if n > 0 {
			x.wrote()
		}
		x.await(forHead)
		return err
	}
	c.take(c.buf[:a.n], a.err)
	return nil
}

// changed is called with the socket at first, and then whenever it has changed. True: that is all.
func (c *conn) changed(fd uintptr) bool {
	a := &c.asking
	n, err := readNow(int(fd), c.buf)
	if err == syscall.EAGAIN {
		return !a.asked && !c.askNow(int(fd))
	}
	if a.n, a.err = n, err; !a.asked { // the second of two answers to the request before, say
		a.err = net.ErrClosed
	}
	return true
}

// askNow writes the question, or what the socket takes of it at once. It reports whether that was all.
func (c *conn) askNow(fd int) bool {
	c.mu.Lock()
	c.unasked = false
	c.mu.Unlock()
	a := &c.asking
	a.asked = true
	n, err := syscall.Write(fd, a.head)
	if a.sent = max(n, 0); a.sent > 0 {
		a.x.wrote()
	}
	if err != nil || a.sent < len(a.head) {
		return false // a write that waits goes on, or says why not
	}
	a.x.await(forHead)
	return true
}

// readNow reads without waiting.
func readNow(fd int, p []byte) (int, error) {
	for {
		n, err := syscall.Read(fd, p)
		switch {
		case err == syscall.EINTR:
		case err != nil:
			return 0, err
		case n == 0:
			return 0, io.EOF
		default:
			return n, nil
		}
	}
}
