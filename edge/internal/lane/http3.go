package lane

import (
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

// http3Conn is an HTTP/3 connection, from its handshake on. It stands in its link for a socket, which it has not for itself:
// of that the link asks nothing but to close.
//
// Its http3.Server is for this connection alone, which keeps the limit it began with.
type http3Conn struct {
	net.Conn // nil
	link     *link
	front    *quicFront
	server   *http3.Server
	shaken   sync.Once
	leave    *time.Timer // closes it unless it is busy
	credit               // for streams that are given up
	account

	mu     sync.Mutex
	quic   *quic.Conn                 // guarded by mu; nil during the handshake
	closed bool                       // guarded by mu
	heads  map[quic.StreamID]struct{} // streams on which no request has come whole; guarded by mu
	busy   int                        // requests under way; guarded by mu, under which the link's phase changes too
}

func (f *quicFront) newConn(client *quic.ClientInfo) *http3Conn {
	s := f.srv
	c := &http3Conn{front: f, credit: newCredit(), account: account{bytes: newCredit()}, heads: make(map[quic.StreamID]struct{})}
	c.link = &link{Conn: c, srv: s, http3: c, info: Info{
		ID: s.lastID.Add(1), Remote: client.RemoteAddr, Local: f.transport.Conn.LocalAddr(), Peer: peerOf(client.RemoteAddr), Secure: true,
	}}
	c.link.info.link = c.link
	cut := c.cut
	c.link.cut.Store(&cut)
	c.server = &http3.Server{Handler: http.HandlerFunc(c.serveHTTP), MaxHeaderBytes: int(s.settings.Load().Head), Logger: s.cfg.Logger}
	c.leave = time.AfterFunc(time.Hour, c.leaveIfIdle)
	c.leave.Stop()
	return c
}

// serve serves the connection until it ends.
func (c *http3Conn) serve(conn *quic.Conn) {
	c.handshakeOver()
	agreed := conn.ConnectionState().TLS
	c.link.info.TLS = &agreed
	if c.begin(conn) {
		c.serveStreams(conn)
	}
	_ = conn.CloseWithError(noError, "") // it has ended, or must not begin: it has no other error
}

const noError = quic.ApplicationErrorCode(http3.ErrCodeNoError)

// begin begins the wait for the first request. False: the connection has been closed meanwhile.
func (c *http3Conn) begin(conn *quic.Conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	c.quic = conn
	c.restLocked()
	return true
}

func (c *http3Conn) handshakeOver() {
	c.shaken.Do(func() {
		c.front.shaking.Add(-1)
		c.link.srv.links.shaken(c.link)
	})
}

// ended follows the end of the connection, or of a handshake that has failed.
func (c *http3Conn) ended() {
	c.handshakeOver()
	c.leave.Stop()
	c.mu.Lock()
	failed := c.quic == nil
	c.mu.Unlock()
	if s := c.link.srv; failed && !s.draining.Load() {
		s.count("handshake")
	}
	_ = c.link.Close() // it is over
}

// Close is for the link.
func (c *http3Conn) Close() error {
	c.mu.Lock()
	c.closed = true
	conn := c.quic
	c.mu.Unlock()
	if conn == nil {
		return nil
	}
	return conn.CloseWithError(noError, "")
}

// cut has an idle connection end at the given time. It takes no lock of c: the registry holds its own.
func (c *http3Conn) cut(at time.Time, _ bool) bool {
	if phase(c.link.phase.Load()) != idle {
		return false
	}
	c.leave.Reset(time.Until(at))
	return true
}

func (c *http3Conn) leaveIfIdle() {
	c.mu.Lock()
	busy := c.busy > 0
	c.mu.Unlock()
	if !busy {
		_ = c.link.Close() // nobody is told
	}
}

// restLocked begins the wait for a request. Streams on which none has come whole do not count as one: otherwise a client
// could hold a connection for ever by beginning them.
func (c *http3Conn) restLocked() {
	s := c.link.srv
	patience := s.settings.Load().Idle
	if s.draining.Load() {
		patience = idleGrace
	}
	if patience > 0 {
		c.leave.Reset(patience)
	}
	c.link.enter(idle, s.now())
}

// enter counts a request in. False: there are more than a client may have open, since it gives up on them.
func (c *http3Conn) enter() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.busy++; c.busy == 1 {
		c.leave.Stop()
		c.link.enter(active, 0)
		c.link.requests.Add(1)
	}
	return c.busy <= quicStreams
}

// exit counts a request out. One that the client has given up costs credit, as over HTTP/2: see calmConn. When the whole
// connection has ended nobody is there to pay.
func (c *http3Conn) exit(r *http.Request) {
	if r.Context().Err() != nil {
		c.charge(resetPrice)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.busy--; c.busy == 0 {
		c.restLocked()
	}
}

// serveHTTP holds a request to the same grammar and limits as one over HTTP/2.
func (c *http3Conn) serveHTTP(w http.ResponseWriter, r *http.Request) {
	defer c.exit(r)
	c.came(streamOf(r))
	if !c.enter() {
		c.flood()
		return
	}
	s := c.link.srv
	now := s.settings.Load()
	r.TLS = c.link.info.TLS
	c.worth.Add(worthOf(r))
	f := checkMessage(r, now.Limits)
	if f == nil {
		var body *http3Body
		body, f = c.receive(w, r)
		defer c.forgive(body)
	}
	switch f {
	case nil:
	case gaveUp:
		c.charge(resetPrice)
		panic(http.ErrAbortHandler)
	default:
		s.refuseMessage(w, r, f)
		return
	}
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{}) // that of the head; HTTP/3 has it
	out := &streamWriter{ResponseWriter: w, server: now.Write, worth: &c.worth}
	defer out.finish()
	s.handler.ServeHTTP(out, r)
}
