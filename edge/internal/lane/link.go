package lane

import (
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
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
	Peer   netip.Addr // of Remote: IPv4 as such, without a zone; not valid for a unix socket
	Secure bool       // TLS
	// TLS is what the handshake has agreed on; nil without, and until it is over. Immutable.
	TLS *tls.ConnectionState
	// AltSvc is what the Alt-Svc field of answers says (RFC 7838, section 3), on a connection beside whose socket HTTP/3 is
	// served; "" on others.
	AltSvc string

	link  *link
	http1 *conn // on the link, where HTTP/1 is spoken
}

// Reset closes the connection so that the client sees a reset and not an end: for an answer that broke off and whose end
// only the connection's would mark.
func (i *Info) Reset() {
	l := i.link
	l.discard()
	if l.inside.Load() {
		l.broken.Store(true)
		return
	}
	_ = l.Close() // nobody is told
}

// link is an accepted connection, beneath TLS if there is any, and its entry in the registry. Its write deadline means
// progress: a client that takes its bytes slowly is never cut, one that takes none for as long as the patience lasts is.
type link struct {
	net.Conn
	info  Info
	srv   *Server
	http3 *http3Conn // whose link it is; nil for others
	heldSocket

	// cut brings the read deadline forward if nothing is under way on the connection, or no more than part of a head where
	// that may be cut too. Set before the link is registered, or by the goroutine that still shakes hands on it.
	cut atomic.Pointer[func(at time.Time, heads bool) bool]

	phase    atomic.Int32 // phase
	since    atomic.Int64 // on the server's clock: the beginning of the phase, if that is handshaking, idle or opening
	requests atomic.Int64 // handed up or answered; over HTTP/2 the times it became busy
	evicted  atomic.Bool  // told to leave; changed under the registry's mu
	hurried  bool         // its handshake was told to end; guarded by the registry's mu
	closed   sync.Once

	// guarded by writing
	writing  sync.Mutex
	patience time.Duration // as set from above; 0 is the server's, negative is none at all
	armed    time.Duration // the end of the tick, on the server's clock
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

// enter notes a new phase, and for idle and opening that it begins now.
func (l *link) enter(p phase, now time.Duration) {
	if p == idle || p == opening {
		l.since.Store(int64(now))
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
const writePiece = 1 << 20

// Read reads without waiting while ready has the socket.
func (l *link) Read(p []byte) (n int, err error) {
	if l.inside.Load() && !l.ahead() {
		n, err = l.heldSocket.read(p)
	} else {
		n, err = l.Conn.Read(p)
	}
	l.full = n == len(p)
	return n, err
}

// ahead reports whether something was read from the socket before it was ours, and comes first.
func (l *link) ahead() bool {
	b, ok := l.Conn.(interface{ Buffered() int })
	return ok && b.Buffered() > 0
}

// Write writes in pieces, each of which may take as long as some of it moves.
func (l *link) Write(p []byte) (int, error) {
	written := 0
	for {
		piece := p[written:min(len(p), written+writePiece)]
		n, err := l.writeOn(piece, nil)
		if written += n; err != nil || written == len(p) {
			return written, err
		}
	}
}

// writeBuffers writes a piece that is in several places, and takes it from them.
func (l *link) writeBuffers(b *net.Buffers) error {
	for len(*b) > 0 {
		if _, err := l.writeOn(nil, b); err != nil {
			return err
		}
	}
	return nil
}

// writeOn writes some of p, or of b if there is one. The socket tells of progress only when a write ends, so its deadline is
// a tick, a quarter of the patience: one that passes is an error only if nothing has moved for as long as the patience lasts.
func (l *link) writeOn(p []byte, b *net.Buffers) (int, error) {
	start := l.srv.now()
	for now := start; ; now = l.srv.now() {
		if err := l.arm(now); err != nil {
			return 0, err
		}
		n, err := l.writeOnce(p, b)
		if err == nil || n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			return n, l.unlessTimeout(err)
		}
		if patience := l.patienceNow(); patience < 0 || patience > 0 && l.srv.now()-start >= patience {
			l.discard() // or the kernel would keep megabytes on offer to a client that takes none
			return 0, err
		}
	}
}

func (l *link) writeOnce(p []byte, b *net.Buffers) (int, error) {
	if b == nil {
		return l.Conn.Write(p)
	}
	n, err := b.WriteTo(l.Conn)
	return int(n), err
}

// unlessTimeout forgives a timeout of a write that has moved something, unless no patience is left.
func (l *link) unlessTimeout(err error) error {
	if err != nil && errors.Is(err, os.ErrDeadlineExceeded) && l.patienceNow() >= 0 {
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
func (l *link) arm(now time.Duration) error {
	l.writing.Lock()
	defer l.writing.Unlock()
	if l.patienceLocked() < 0 {
		return os.ErrDeadlineExceeded
	}
	if now < l.armed {
		return nil
	}
	return l.tickLocked(now)
}

// tickLocked sets the socket's deadline; none without a patience.
func (l *link) tickLocked(now time.Duration) error {
	patience := l.patienceLocked()
	if patience == 0 && l.armed == 0 {
		return nil
	}
	l.armed = 0
	if patience == 0 {
		return l.Conn.SetWriteDeadline(time.Time{})
	}
	l.armed = now + max(patience/4, time.Millisecond)
	return l.Conn.SetWriteDeadline(l.srv.epoch.Add(l.armed))
}

// SetWriteDeadline sets the patience to what is left until t; zero is the server's own. A time that has passed ends writing
// at once.
func (l *link) SetWriteDeadline(t time.Time) error {
	l.writing.Lock()
	defer l.writing.Unlock()
	patience := time.Duration(0)
	if !t.IsZero() {
		if patience = time.Until(t); patience <= 0 {
			l.patience, l.armed = -1, 0
			return l.Conn.SetWriteDeadline(t)
		}
	}
	if patience == l.patience {
		return nil
	}
	spent, now := l.patience < 0, l.srv.now()
	if l.patience = patience; spent {
		l.armed = now // the socket's deadline has passed: it has to be set or lifted
	}
	return l.tickLocked(now)
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

func (l *link) waitingSince() time.Duration { return time.Duration(l.since.Load()) }

// graceEnd is when l may be made to leave for another, if its place is wanted; ok is false for one that may not. Who has come
// for a second request is a regular, and keeps its place while others have sent nothing, one request, or part of a head.
func (l *link) graceEnd() (end time.Time, ok bool) {
	now := phase(l.phase.Load()) // before its beginning: enter stores them the other way round
	end = l.srv.epoch.Add(l.waitingSince())
	switch now {
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
