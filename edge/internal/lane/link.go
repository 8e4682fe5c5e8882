package lane

import (
	"crypto/tls"
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// Info is what a handler may know of the connection a request came on.
type Info struct {
	ID     uint64 // unique in the life of the Server
	Remote net.Addr
	Local  net.Addr
	Secure bool // TLS

	link *link
}

// Reset closes the connection so that the client sees a reset and not an end: for an answer that broke off and whose end
// only the connection's would mark.
func (i *Info) Reset() {
	i.link.discard()
	_ = i.link.Close()
}

// link is an accepted connection, beneath TLS if there is any, and its entry in the registry. Its write deadline means
// progress: a client that takes its bytes slowly is never cut, one that takes none for as long as the patience lasts is.
type link struct {
	net.Conn
	info   Info
	srv    *Server
	agreed *tls.ConnectionState // of HTTP/2: what every request is told; immutable once handed over

	// cut brings the read deadline forward if nothing is under way on the connection, or no more than part of a head where
	// that may be cut too. Set before the link is registered, or by the goroutine that still shakes hands on it.
	cut atomic.Pointer[func(at time.Time, heads bool) bool]

	phase    atomic.Int32 // phase
	since    atomic.Int64 // Unix nanoseconds: the beginning of the phase, if that is idle or opening
	requests atomic.Int64 // handed up; over HTTP/2 the times it became busy
	evicted  atomic.Bool  // told to leave; changed under the registry's mu
	closed   sync.Once

	// guarded by writing
	writing  sync.Mutex
	patience time.Duration // as set from above; 0 is the server's, negative is none at all
	armed    time.Time     // the end of the tick
}

// phase is what a link is doing.
type phase int32

const (
	handshaking phase = iota
	idle              // between two requests, or before the first
	opening           // part of a head has come
	active            // a request is under way
	tunnel            // hijacked
)

func (l *link) enter(p phase) {
	if p == idle || p == opening {
		l.since.Store(time.Now().UnixNano())
	}
	l.phase.Store(int32(p))
	switch {
	case p == idle:
		l.srv.links.idled()
	case l.evicted.Load():
		l.srv.links.spare(l)
	}
}

// writePiece is how much is written at once: as much as a busy client's socket takes, and not so much that a slow one keeps
// the deadline's ticks waiting for its end.
const writePiece = 256 << 10

// Write writes in pieces, each of which may take as long as some of it moves.
func (l *link) Write(p []byte) (int, error) {
	written := 0
	for {
		piece := p[written:min(len(p), written+writePiece)]
		n, err := l.writeOn(piece)
		if written += n; err != nil || written == len(p) {
			return written, err
		}
	}
}

// writeOn writes some of p. The socket tells of progress only when a write ends, so its deadline is a tick, a quarter of the
// patience: one that passes is an error only if nothing has moved for as long as the patience lasts.
func (l *link) writeOn(p []byte) (int, error) {
	for start := time.Now(); ; {
		if err := l.arm(); err != nil {
			return 0, err
		}
		n, err := l.Conn.Write(p)
		if n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			return n, l.unlessTimeout(err)
		}
		if patience := l.patienceNow(); patience < 0 || patience > 0 && time.Since(start) >= patience {
			l.discard() // or the kernel would keep megabytes on offer to a client that takes none
			return 0, err
		}
	}
}

// unlessTimeout forgives a timeout of a write that has moved something, unless no patience is left.
func (l *link) unlessTimeout(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) && l.patienceNow() >= 0 {
		return nil
	}
	return err
}

func (l *link) patienceNow() time.Duration {
	l.writing.Lock()
	defer l.writing.Unlock()
	return l.patienceLocked()
}

func (l *link) patienceLocked() time.Duration {
	if l.patience == 0 {
		return l.srv.settings.Load().Write
	}
	return l.patience
}

// arm begins a new tick if the last is over, so that a busy connection seldom pays for it.
func (l *link) arm() error {
	l.writing.Lock()
	defer l.writing.Unlock()
	if l.patienceLocked() < 0 {
		return os.ErrDeadlineExceeded
	}
	if time.Now().Before(l.armed) {
		return nil
	}
	return l.tickLocked()
}

// tickLocked sets the socket's deadline; none without a patience.
func (l *link) tickLocked() error {
	patience := l.patienceLocked()
	if patience == 0 && l.armed.IsZero() {
		return nil
	}
	l.armed = time.Time{}
	if patience > 0 {
		l.armed = time.Now().Add(max(patience/4, time.Millisecond))
	}
	return l.Conn.SetWriteDeadline(l.armed)
}

// SetWriteDeadline sets the patience to what is left until t; zero is the server's own. A time that has passed ends writing
// at once.
func (l *link) SetWriteDeadline(t time.Time) error {
	l.writing.Lock()
	defer l.writing.Unlock()
	patience := time.Duration(0)
	if !t.IsZero() {
		if patience = time.Until(t); patience <= 0 {
			l.patience, l.armed = -1, time.Time{}
			return l.Conn.SetWriteDeadline(t)
		}
	}
	if patience == l.patience {
		return nil
	}
	spent := l.patience < 0
	if l.patience = patience; spent {
		l.armed = time.Now() // the socket's deadline has passed: it has to be set or lifted
	}
	return l.tickLocked()
}

// SetDeadline sets both; the write side as SetWriteDeadline does.
func (l *link) SetDeadline(t time.Time) error {
	return errors.Join(l.SetReadDeadline(t), l.SetWriteDeadline(t))
}

// CloseWrite ends the sending side, where the network can.
func (l *link) CloseWrite() error {
	if c, ok := l.Conn.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return errors.ErrUnsupported
}

// discard has Close drop what the kernel has not sent yet; the client sees a reset.
func (l *link) discard() {
	if c, ok := l.Conn.(interface{ SetLinger(int) error }); ok {
		_ = c.SetLinger(0) // an error leaves it to the kernel's patience
	}
}

// Close closes the socket and leaves the registry. It never blocks.
func (l *link) Close() error {
	err := net.ErrClosed
	l.closed.Do(func() {
		err = l.Conn.Close()
		l.srv.links.remove(l)
		if l.srv.cfg.Closed != nil {
			l.srv.cfg.Closed(l.info.ID)
		}
	})
	return err
}

// cutIdle ends the wait of an idle connection at the given time. False: something is under way.
func (l *link) cutIdle(at time.Time) bool { return l.cutWait(at, false) }

func (l *link) cutWait(at time.Time, heads bool) bool {
	cut := l.cut.Load()
	return cut != nil && (*cut)(at, heads)
}

// graceEnd is when l may be made to leave for another, if its place is wanted; ok is false for one that may not. Who has come
// for a second request is a regular, and keeps its place while others have sent nothing, one request, or part of a head.
func (l *link) graceEnd() (end time.Time, ok bool) {
	end = time.Unix(0, l.since.Load())
	switch phase(l.phase.Load()) {
	case idle:
		if l.requests.Load() > 1 {
			return end.Add(regularGrace), true
		}
		return end.Add(idleGrace), true
	case opening:
		return end.Add(headGrace), true
	}
	return end, false
}

// cutWaiting is the cut of a link on which no HTTP/1 connection reads: in a handshake, and under HTTP/2.
func (l *link) cutWaiting(at time.Time, _ bool) bool {
	if phase(l.phase.Load()) == active {
		return false
	}
	return l.SetReadDeadline(at) == nil
}
