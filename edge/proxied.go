package edge

import (
	"bufio"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/pires/go-proxyproto"
)

// Bounds of what comes before a connection's first byte.
const (
	proxyPatience = 5 * time.Second // for the header
	maxProxying   = 1024            // connections whose header has not come
)

// proxiedListener accepts connections that begin with a header of the PROXY protocol, version 1 or 2, which names the client.
// Only listed peers may send one, and they must: from all others the bytes are what they are, a malformed request.
//
// A header is read in a goroutine of its own, so that a peer that is slow to send it holds up nobody: whoever accepts wants
// to know the client's address at once. Close ends them all.
type proxiedListener struct {
	net.Listener
	peers trust
	log   *slog.Logger
	ready chan accepted
	room  chan struct{} // a place for each connection whose header has not come
	done  chan struct{} // closed by Close

	mu      sync.Mutex
	closed  bool                  // guarded by mu
	pending map[net.Conn]struct{} // guarded by mu
	wg      sync.WaitGroup        // the accept loop and the readers; added to under mu, or by the loop
}

// accepted is what Accept returns.
type accepted struct {
	conn net.Conn
	err  error
}

func newProxiedListener(l net.Listener, peers trust, log *slog.Logger) *proxiedListener {
	p := &proxiedListener{
		Listener: l, peers: peers, log: log,
		ready: make(chan accepted), room: make(chan struct{}, maxProxying), done: make(chan struct{}),
		pending: make(map[net.Conn]struct{}),
	}
	p.wg.Go(p.run)
	return p
}

// Accept returns the next connection whose client is known.
func (p *proxiedListener) Accept() (net.Conn, error) {
	select {
	case a := <-p.ready:
		return a.conn, a.err
	case <-p.done:
		return nil, net.ErrClosed
	}
}

// run accepts until Close.
func (p *proxiedListener) run() {
	for {
		c, err := p.Listener.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil || !p.peers.trusts(peerAddr(c.RemoteAddr().String())):
			p.give(accepted{c, err})
		default:
			p.begin(c)
		}
	}
}

// give hands a connection to Accept, or closes it when nobody accepts any more.
func (p *proxiedListener) give(a accepted) {
	select {
	case p.ready <- a:
	case <-p.done:
		if a.conn != nil {
			a.conn.Close()
		}
	}
}

// begin reads the header of a connection, once there is room for that.
func (p *proxiedListener) begin(c net.Conn) {
	select {
	case p.room <- struct{}{}:
	case <-p.done:
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		c.Close()
		return
	}
	p.pending[c] = struct{}{}
	p.wg.Go(func() {
		client, err := readProxyHeader(c)
		p.mu.Lock()
		delete(p.pending, c)
		p.mu.Unlock()
		<-p.room
		if err != nil {
			p.log.Warn("connection refused: no PROXY header", "peer", c.RemoteAddr(), "error", err)
			c.Close()
			return
		}
		p.give(accepted{conn: client})
	})
}

// Close ends the listener and the connections whose header has not come.
func (p *proxiedListener) Close() error {
	p.mu.Lock()
	if !p.closed {
		p.closed = true
		close(p.done)
	}
	for c := range p.pending {
		c.Close()
	}
	p.mu.Unlock()
	err := p.Listener.Close()
	p.wg.Wait()
	return err
}

// proxiedConn is a connection whose header has been read.
type proxiedConn struct {
	net.Conn
	remote net.Addr
	rest   []byte // what came with the header
}

// readProxyHeader reads the header that a connection must begin with. Version 2 could say that 64 KiB follow; the library takes
// up to 4 KiB, in which a client's certificate has room, and refuses what says more (a test holds it to that).
func readProxyHeader(c net.Conn) (*proxiedConn, error) {
	if err := c.SetReadDeadline(time.Now().Add(proxyPatience)); err != nil {
		return nil, err
	}
	in := bufio.NewReader(c)
	header, err := proxyproto.Read(in)
	if err != nil {
		return nil, fmt.Errorf("PROXY header: %w", err)
	}
	out := &proxiedConn{Conn: c, remote: c.RemoteAddr()}
	if n := in.Buffered(); n > 0 {
		out.rest, _ = in.Peek(n) // it is there
	}
	if source, _, ok := header.TCPAddrs(); ok && header.Command.IsProxy() { // else the proxy itself asks: to see how we are
		out.remote = source
	}
	return out, c.SetReadDeadline(time.Time{})
}

// Below returns the connection that this one stands before, and what was read of it and not handed out.
func (c *proxiedConn) Below() (net.Conn, []byte) {
	rest := c.rest
	c.rest = nil
	return c.Conn, rest
}

// putBack makes bytes that were read the next to be read.
func (c *proxiedConn) putBack(read []byte) { c.rest = append(read, c.rest...) }

// RemoteAddr is the client's.
func (c *proxiedConn) RemoteAddr() net.Addr { return c.remote }

// Read gives what came with the header first.
func (c *proxiedConn) Read(p []byte) (int, error) {
	if len(c.rest) == 0 {
		return c.Conn.Read(p)
	}
	n := copy(p, c.rest)
	if c.rest = c.rest[n:]; len(c.rest) == 0 {
		c.rest = nil // and with it the buffer
	}
	return n, nil
}

// Buffered is how much of that is left.
func (c *proxiedConn) Buffered() int { return len(c.rest) }

// SyscallConn returns the socket, for who waits on it without a buffer, and reads what is Buffered before it.
func (c *proxiedConn) SyscallConn() (syscall.RawConn, error) {
	if s, ok := c.Conn.(syscall.Conn); ok {
		return s.SyscallConn()
	}
	return nil, errors.ErrUnsupported
}

// CloseWrite ends the sending side, where the network can.
func (c *proxiedConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// SetLinger says what Close does with bytes that are not sent yet.
func (c *proxiedConn) SetLinger(seconds int) error {
	if l, ok := c.Conn.(interface{ SetLinger(int) error }); ok {
		return l.SetLinger(seconds)
	}
	return errors.ErrUnsupported
}
