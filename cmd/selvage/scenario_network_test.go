package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"
)

// memoryNetwork is all the network there is in one scenario: the node listens on it and dials its origins through it.
// Whoever waits in it waits in a sync.Cond or on a channel, so that testing/synctest may move the clock meanwhile: net.Pipe
// would do as much, but it has no buffer and no half-close, and a proxy is made of both.
type memoryNetwork struct {
	mu        sync.Mutex
	listeners map[string]*memoryListener // by address as listened on: ":80", "main:80", "/run/origin.sock"
	deaf      map[string]bool            // addresses that answer no connection attempt, not even by refusing it
	lastPort  int
}

func newMemoryNetwork() *memoryNetwork {
	return &memoryNetwork{listeners: map[string]*memoryListener{}, deaf: map[string]bool{}, lastPort: 40000}
}

// Listen opens a listener. An address is free again as soon as its listener is closed.
func (n *memoryNetwork) Listen(network, address string) (net.Listener, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.listeners[address] != nil {
		return nil, networkError("listen", network, syscall.EADDRINUSE)
	}
	l := &memoryListener{
		network: n, address: address, addr: localAddr(network, address),
		backlog: make(chan *memoryConn, 128), closed: make(chan struct{}),
	}
	n.listeners[address] = l
	return l, nil
}

// Dial connects from an address of the node's own.
func (n *memoryNetwork) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := n.dialFrom(ctx, netip.MustParseAddr("203.0.113.1"), network, address)
	if err != nil {
		return nil, err
	}
	return c, nil
}

// dialFrom connects from the given address.
func (n *memoryNetwork) dialFrom(ctx context.Context, from netip.Addr, network, address string) (*memoryConn, error) {
	n.mu.Lock()
	l, deaf := n.listeners[address], n.deaf[address]
	n.lastPort++
	port := n.lastPort
	n.mu.Unlock()
	if deaf {
		<-ctx.Done()
		return nil, &net.OpError{Op: "dial", Net: network, Err: ctx.Err()}
	}
	if l == nil {
		return nil, networkError("dial", network, syscall.ECONNREFUSED)
	}
	var source net.Addr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, uint16(port)))
	if strings.HasPrefix(network, "unix") {
		source = &net.UnixAddr{Name: "@", Net: "unix"}
	}
	near, far := memoryPipe(source, l.addr)
	select {
	case l.backlog <- far:
		return near, nil
	case <-l.closed:
		return nil, networkError("dial", network, syscall.ECONNREFUSED)
	case <-ctx.Done():
		return nil, &net.OpError{Op: "dial", Net: network, Err: ctx.Err()}
	}
}

// setDeaf makes an address swallow connection attempts, or hear again.
func (n *memoryNetwork) setDeaf(address string, deaf bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.deaf[address] = deaf
}

type memoryListener struct {
	network *memoryNetwork
	address string
	addr    net.Addr
	backlog chan *memoryConn
	once    sync.Once
	closed  chan struct{}
}

func (l *memoryListener) Accept() (net.Conn, error) {
	select {
	case <-l.closed:
		return nil, &net.OpError{Op: "accept", Net: l.addr.Network(), Addr: l.addr, Err: net.ErrClosed}
	default:
	}
	select {
	case c := <-l.backlog:
		return c, nil
	case <-l.closed:
		return nil, &net.OpError{Op: "accept", Net: l.addr.Network(), Addr: l.addr, Err: net.ErrClosed}
	}
}

// Close frees the address and resets whoever was not accepted yet, as a kernel does.
func (l *memoryListener) Close() error {
	l.once.Do(func() {
		l.network.mu.Lock()
		if l.network.listeners[l.address] == l {
			delete(l.network.listeners, l.address)
		}
		l.network.mu.Unlock()
		close(l.closed)
		for {
			select {
			case c := <-l.backlog:
				c.reset()
			default:
				return
			}
		}
	})
	return nil
}

func (l *memoryListener) Addr() net.Addr { return l.addr }

// localAddr makes an address that looks like a real one: code above asks for the port or the network.
func localAddr(network, address string) net.Addr {
	if strings.HasPrefix(network, "unix") {
		return &net.UnixAddr{Name: address, Net: "unix"}
	}
	port := 80
	if _, text, err := net.SplitHostPort(address); err == nil {
		fmt.Sscan(text, &port)
	}
	return &net.TCPAddr{IP: net.IPv4(203, 0, 113, 1), Port: port}
}

// memoryConn is one end of a connection: two flows, one each way.
type memoryConn struct {
	in, out       *flow
	local, remote net.Addr
}

// memoryPipe returns both ends of a connection from source to destination.
func memoryPipe(source, destination net.Addr) (near, far *memoryConn) {
	up, down := newFlow(), newFlow()
	return &memoryConn{in: down, out: up, local: source, remote: destination},
		&memoryConn{in: up, out: down, local: destination, remote: source}
}

func (c *memoryConn) Read(p []byte) (int, error)  { return c.in.read(p) }
func (c *memoryConn) Write(p []byte) (int, error) { return c.out.write(p) }
func (c *memoryConn) LocalAddr() net.Addr         { return c.local }
func (c *memoryConn) RemoteAddr() net.Addr        { return c.remote }

// CloseWrite ends the outgoing flow: the other end reads what is under way and then io.EOF.
func (c *memoryConn) CloseWrite() error {
	c.out.end(nil)
	return nil
}

func (c *memoryConn) Close() error {
	c.out.end(nil)
	c.in.abandon()
	c.in.setDeadline(&c.in.readBy, time.Time{})
	c.out.setDeadline(&c.out.writeBy, time.Time{})
	return nil
}

// reset closes as a TCP RST does: the other end reads what it has, then an error instead of io.EOF.
func (c *memoryConn) reset() {
	c.out.end(syscall.ECONNRESET)
	c.Close()
}

// peerGone is closed once the other end was closed for good: nobody will read what is written here.
func (c *memoryConn) peerGone() <-chan struct{} { return c.out.abandoned }

// ended reports that the other end said its last byte, and that all of it was read.
func (c *memoryConn) ended() bool {
	c.in.mu.Lock()
	defer c.in.mu.Unlock()
	return c.in.last && c.in.data.Len() == 0
}

func (c *memoryConn) SetDeadline(t time.Time) error {
	c.SetReadDeadline(t)
	return c.SetWriteDeadline(t)
}

func (c *memoryConn) SetReadDeadline(t time.Time) error {
	c.in.setDeadline(&c.in.readBy, t)
	return nil
}

func (c *memoryConn) SetWriteDeadline(t time.Time) error {
	c.out.setDeadline(&c.out.writeBy, t)
	return nil
}

// flowBytes is what one direction holds before its writer waits, about a socket's buffer.
const flowBytes = 64 << 10

// flow is one direction of a connection.
type flow struct {
	mu              sync.Mutex
	moved           sync.Cond // anything below changed
	data            bytes.Buffer
	last            bool  // no more will be written
	failure         error // what the reader gets after the last byte instead of io.EOF
	abandoned       chan struct{}
	readBy, writeBy flowDeadline
}

type flowDeadline struct {
	timer  *time.Timer
	set    int // how often it was set: an older timer that fires late changes nothing
	passed bool
}

func newFlow() *flow {
	f := &flow{abandoned: make(chan struct{})}
	f.moved.L = &f.mu
	return f
}

func (f *flow) read(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for {
		switch {
		case f.isAbandoned():
			return 0, &net.OpError{Op: "read", Net: "tcp", Err: net.ErrClosed}
		case f.readBy.passed:
			return 0, &net.OpError{Op: "read", Net: "tcp", Err: os.ErrDeadlineExceeded}
		case f.data.Len() > 0 || len(p) == 0:
			f.moved.Broadcast()
			n, _ := f.data.Read(p)
			return n, nil
		case f.failure != nil:
			return 0, networkError("read", "tcp", f.failure)
		case f.last:
			return 0, io.EOF
		}
		f.moved.Wait()
	}
}

func (f *flow) write(p []byte) (written int, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for {
		switch {
		case f.isAbandoned():
			return written, networkError("write", "tcp", syscall.EPIPE)
		case f.last:
			return written, &net.OpError{Op: "write", Net: "tcp", Err: net.ErrClosed}
		case f.writeBy.passed:
			return written, &net.OpError{Op: "write", Net: "tcp", Err: os.ErrDeadlineExceeded}
		case len(p) == 0:
			return written, nil
		}
		if room := min(flowBytes-f.data.Len(), len(p)); room > 0 {
			f.data.Write(p[:room])
			p, written = p[room:], written+room
			f.moved.Broadcast()
			continue
		}
		f.moved.Wait()
	}
}

// end is the writer's: no more bytes follow, because it finished (nil) or broke off.
func (f *flow) end(failure error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.last {
		f.last, f.failure = true, failure
		f.moved.Broadcast()
	}
}

// abandon is the reader's: nobody will read again.
func (f *flow) abandon() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.isAbandoned() {
		close(f.abandoned)
		f.data.Reset()
		f.moved.Broadcast()
	}
}

func (f *flow) isAbandoned() bool {
	select {
	case <-f.abandoned:
		return true
	default:
		return false
	}
}

func (f *flow) setDeadline(d *flowDeadline, t time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	d.set++
	set := d.set
	d.passed = !t.IsZero() && !t.After(time.Now())
	if !t.IsZero() && !d.passed {
		d.timer = time.AfterFunc(time.Until(t), func() { f.expire(d, set) })
	}
	f.moved.Broadcast()
}

// expire passes the deadline, unless another was set since.
func (f *flow) expire(d *flowDeadline, set int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if d.set == set {
		d.passed = true
		f.moved.Broadcast()
	}
}

func networkError(op, network string, err error) error {
	return &net.OpError{Op: op, Net: network, Err: os.NewSyscallError(op, err)}
}
