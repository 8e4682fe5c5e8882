package stream

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"selvage/origin"
)

// Pool is where connections go.
type Pool interface {
	Connect(ctx context.Context, from, to net.Addr) (*origin.Stream, error)
}

// Target is an origin that connections go to.
type Target struct {
	Origin  string
	Pool    Pool
	Traffic *Traffic
}

// Config is what is done with connections. Immutable.
type Config struct {
	Label string
	// ByName has the ClientHello read first.
	ByName bool
	// Target returns where a connection goes by the name that it asks for, "" for none; nil is nowhere.
	Target func(name string) *Target
	// Admits reports whether a client may come; an address that is not valid is a unix socket's.
	Admits func(client netip.Addr) bool

	Hello         time.Duration // for the ClientHello
	Connect       time.Duration // for a connection to an upstream, all attempts together
	Idle          time.Duration // without a byte either way
	MaxConns      int           // that are open; the next are not accepted before one has ended
	MaxPerAddress int           // of those, of one client address; 0 is no bound
}

// Server passes on the connections of one listener, or those that another server makes over to it.
type Server struct {
	config atomic.Pointer[Config]
	ended  func(*Account)
	log    *slog.Logger
	life   context.Context // of connections
	end    context.CancelFunc
	conns  sync.WaitGroup // connections; added to by the accept loop, while it has a place for them

	mu      sync.Mutex
	changed *sync.Cond // a connection has ended, the bound has changed, or the server closes
	// guarded by mu
	listener net.Listener          // nil before Serve
	open     map[net.Conn]struct{} // without what proxies have put before them
	places   int                   // taken, by those that are open and the one that is accepted next
	of       map[netip.Addr]int
	closing  bool
}

// NewServer returns a server that tells ended of every connection, from its own goroutine.
func NewServer(c *Config, ended func(*Account), log *slog.Logger) *Server {
	s := &Server{ended: ended, log: log, open: make(map[net.Conn]struct{}), of: make(map[netip.Addr]int)}
	s.changed = sync.NewCond(&s.mu)
	s.life, s.end = context.WithCancel(context.Background())
	s.config.Store(c)
	return s
}

// Configure says what is done with connections from now on.
func (s *Server) Configure(c *Config) {
	s.config.Store(c)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changed.Broadcast()
}

// Bounds of the wait after an Accept that failed for want of something.
const (
	backoffMin = 5 * time.Millisecond
	backoffMax = time.Second
)

// Serve accepts connections from l until Shutdown, or until l is closed, and closes it.
func (s *Server) Serve(l net.Listener) {
	defer l.Close()
	if !s.listen(l) {
		return
	}
	backoff := time.Duration(0)
	for s.awaitPlace() {
		c, err := l.Accept()
		if err == nil {
			backoff = 0
			s.begin(c)
			continue
		}
		s.leavePlace()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		backoff = min(max(2*backoff, backoffMin), backoffMax)
		s.log.Warn("accept", "error", err, "retry_in", backoff)
		select {
		case <-time.After(backoff):
		case <-s.life.Done():
		}
	}
}

func (s *Server) listen(l net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.listener = l
	return !s.closing
}

// awaitPlace waits until another connection may be open. False: the server closes.
func (s *Server) awaitPlace() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.places >= s.config.Load().MaxConns && !s.closing {
		s.changed.Wait()
	}
	if s.closing {
		return false
	}
	s.places++
	return true
}

func (s *Server) leavePlace() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.places--
	s.changed.Broadcast()
}

// begin starts the life of a connection that has a place.
func (s *Server) begin(c net.Conn) {
	s.conns.Go(func() { s.serve(s.newVisit(c)) })
}

// Takes reports whether there is a target for a name.
func (s *Server) Takes(name string) bool { return s.config.Load().Target(name) != nil }

// Adopt serves a connection that somebody else has accepted, and whose ClientHello was read: it asks for name. It returns
// when the connection is over. Beyond the bound of connections it is refused: nobody can be made to wait here.
func (s *Server) Adopt(c net.Conn, name string, read []byte) {
	v := s.newVisit(c)
	v.account.Name, v.read, v.heard = name, append(read, v.read...), true
	if reason := s.takePlace(v.MaxConns); reason != "" {
		v.refuse(reason)
		return
	}
	s.serve(v)
}

// takePlace takes a place if there is one, and says why not.
func (s *Server) takePlace(limit int) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closing:
		return reasonDrained
	case s.places >= limit:
		return reasonTooMany
	}
	s.places++
	return ""
}

// serve sees a connection that has a place to its end.
func (s *Server) serve(v *visit) {
	s.mu.Lock()
	s.open[v.conn] = struct{}{}
	if s.life.Err() != nil {
		resetConn(v.conn) // after cut has been here
	}
	s.mu.Unlock()
	v.run()
	v.conn.Close()
	s.mu.Lock()
	delete(s.open, v.conn)
	s.mu.Unlock()
	s.leavePlace()
}

// enter counts a connection for its client's address, unless there are too many already.
func (s *Server) enter(client netip.Addr, limit int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if limit > 0 && client.IsValid() && s.of[client] >= limit {
		return false
	}
	s.of[client]++
	return true
}

func (s *Server) leave(client netip.Addr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.of[client]--; s.of[client] == 0 {
		delete(s.of, client)
	}
}

// Shutdown accepts no more connections and waits for the end of those that are open. When ctx ends it cuts what is left and
// returns ctx's error.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.closing = true
	if s.listener != nil {
		_ = s.listener.Close() // its accept loop ends either way
	}
	s.changed.Broadcast()
	s.mu.Unlock()
	giveUp := context.AfterFunc(ctx, s.cut)
	s.drained()
	s.conns.Wait()
	s.end()
	if !giveUp() {
		return ctx.Err()
	}
	return nil
}

// drained waits until no place is taken: so no connection begins any more.
func (s *Server) drained() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.places > 0 {
		s.changed.Wait()
	}
}

// cut ends all connections at once.
func (s *Server) cut() {
	s.end()
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.open {
		resetConn(c)
	}
}
