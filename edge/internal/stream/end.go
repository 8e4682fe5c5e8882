package stream

import (
	"io"
	"net"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// end is one side of a joint. It is read by one goroutine and written by another.
type end struct {
	net.Conn
	socket syscall.RawConn // nil where there is none: then a buffer is held while it waits
	tcp    *net.TCPConn    // that the kernel can copy to; nil for others

	// Owned by the reader.
	buf   *[]byte // taken when there is something to read
	n     int
	err   error
	ready func(fd uintptr) bool // e.readNow, made once

	// Owned by the writer.
	until time.Time // the write deadline

	told atomic.Bool // that our side has ended
}

// bufSize holds most messages whole, and is more than a busy socket has at once only while little comes.
const bufSize = 16 << 10

var buffers = sync.Pool{New: func() any { return new(make([]byte, bufSize)) }}

func newEnd(c net.Conn) *end {
	e := &end{Conn: c}
	e.ready = e.readNow
	if s, ok := c.(syscall.Conn); ok {
		e.socket, _ = s.SyscallConn() // an error is one of Read too
	}
	if runtime.GOOS == "linux" {
		e.tcp, _ = c.(*net.TCPConn)
	}
	return e
}

// take waits for bytes and reads them into a buffer, which give returns.
func (e *end) take() ([]byte, error) {
	if e.socket == nil {
		e.buf = buffers.Get().(*[]byte)
		e.n, e.err = e.Conn.Read(*e.buf)
	} else if err := e.socket.Read(e.ready); err != nil {
		return nil, err
	}
	return (*e.buf)[:e.n], e.err
}

// readNow reads what the socket has. False: nothing, wait for more.
func (e *end) readNow(fd uintptr) bool {
	e.buf = buffers.Get().(*[]byte)
	for {
		n, err := syscall.Read(int(fd), *e.buf)
		switch {
		case err == syscall.EINTR:
			continue
		case err == syscall.EAGAIN:
			e.give()
			return false
		case err != nil:
			n, err = 0, os.NewSyscallError("read", err)
		case n == 0:
			err = io.EOF
		}
		e.n, e.err = n, err
		return true
	}
}

func (e *end) give() {
	if e.buf != nil {
		buffers.Put(e.buf)
		e.buf = nil
	}
}

// patient puts the write deadline between half and the whole of a time ahead, so that a busy end seldom pays for it.
func (e *end) patient(idle time.Duration) error {
	now := time.Now()
	if e.until.Sub(now) >= idle/2 {
		return nil
	}
	e.until = now.Add(idle)
	return e.SetWriteDeadline(e.until)
}

// ended judges an end that was read. A kernel tells of a reset once, to whichever call comes first. If that is a write, a read
// behind it sees a clean end, but the socket has no peer any more. One that both sides have ended has none either.
func (e *end) ended() error {
	if e.tcp == nil || e.told.Load() {
		return nil
	}
	var err error
	if outside := e.socket.Control(func(fd uintptr) { _, err = syscall.Getpeername(int(fd)) }); outside != nil {
		return outside
	}
	return os.NewSyscallError("getpeername", err)
}

// closeWrite ends the sending side.
func (e *end) closeWrite() error {
	e.told.Store(true)
	if half, ok := e.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return syscall.ENOTSUP
}

// reset closes e so that the other side sees no proper end.
func (e *end) reset() { resetConn(e.Conn) }

func resetConn(c net.Conn) {
	if l, ok := c.(interface{ SetLinger(int) error }); ok {
		_ = l.SetLinger(0) // without it the end is a clean one
	}
	c.Close()
}
