package lane

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Limits of what a client may send before a handler sees it, and of the number of clients.
type Limits struct {
	RequestLine int64 // with its line end; beyond: 414
	Head        int64 // request line, field lines and the empty line; beyond: 431
	Fields      int   // field lines; beyond: 431
	Conns       int   // open connections; 0 is three quarters of the descriptor limit
}

// Timeouts of a client connection. 0 is none.
type Timeouts struct {
	Handshake time.Duration // of TLS
	Header    time.Duration // from the first byte of a head to its end, and from the connection to the first byte
	Idle      time.Duration // between two requests
	Write     time.Duration // without progress
}

// Config is what a Server needs.
type Config struct {
	Limits
	Timeouts
	// Refused is told of every head that no handler sees. It is called by the connections' goroutines; nil is nobody.
	Refused func(Refusal)
	// Opened and Closed are told of every connection, in this order and once each. They must not block; nil is nobody.
	Opened func(*Info)
	Closed func(id uint64)
	// Answer answers requests without net/http where it can; nil is never.
	Answer Answerer
	Logger *slog.Logger // nil discards
}

// Server accepts connections, checks what comes on them, and has net/http serve the rest.
type Server struct {
	cfg       Config // Limits and Timeouts as they were at first; settings has those in force
	handler   http.Handler
	settings  atomic.Pointer[settings]
	epoch     time.Time // now counts from it
	lookAgain time.Duration
	draining  atomic.Bool
	lastID    atomic.Uint64
	accepted  atomic.Uint64
	failed    atomic.Uint64 // errors of Accept

	links   *registry
	grudges grudges
	done    chan struct{} // closed when Shutdown begins
	over    chan struct{} // closed when it gives up on what is left
	gaveUp  sync.Once     // closes over
	next    chan func()   // handshakes, for goroutines that rest
	resting atomic.Int32  // goroutines that wait for next

	loops sync.WaitGroup // the accept loops; added to under mu
	hands sync.WaitGroup // handshakes; added to by the accept loops
	lanes sync.WaitGroup // HTTP/1 connections that net/http has not seen; added to by the accept loops and handshakes

	mu sync.Mutex
	// guarded by mu
	listeners map[*net.Listener]struct{}
	quics     []*quicFront // sockets of HTTP/3
	http1     *front
	http2     *front
	retired   []*front // HTTP/2 fronts of earlier settings; they take no new connections
	started   bool

	counting sync.Mutex
	counts   map[string]uint64 // guarded by counting
}

// settings is what Reconfigure swaps. Immutable.
type settings struct {
	Limits
	Timeouts
}

// NewServer returns a Server for handler. Nothing runs before Serve.
func NewServer(cfg Config, handler http.Handler) *Server {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Server{
		cfg: cfg, handler: handler, epoch: time.Now(), lookAgain: lookAgain, done: make(chan struct{}), over: make(chan struct{}),
		next: make(chan func()), links: newRegistry(maxConns(cfg.Limits)),
		listeners: make(map[*net.Listener]struct{}),
		counts:    make(map[string]uint64),
	}
	now := &settings{cfg.Limits, cfg.Timeouts}
	s.settings.Store(now)
	s.http1, s.http2 = s.newHTTP1(), s.newHTTP2(now)
	return s
}

// now is the server's clock. It costs half of time.Now.
func (s *Server) now() time.Duration { return time.Since(s.epoch) }

// Listener is a socket to serve.
type Listener struct {
	net.Listener
	// TLS has every connection begin with a handshake; nil is without. NextProtos are the Server's. The configuration is
	// cloned: what is to change later has to come from its callbacks, and a GetConfigForClient sets NextProtos itself.
	TLS *tls.Config
	// Packets is where the same is served over HTTP/3; nil is nowhere. It needs TLS.
	Packets net.PacketConn
	// Divert may take a connection away before its handshake. Within the time of that it reads what it wants to know, and
	// returns what serves the connection to its end, or nil, having put back what it has read. Nil is never. It needs TLS.
	Divert func(net.Conn) (serve func())
}

// Serve accepts connections from l until Shutdown, and then returns nil; it closes l.
func (s *Server) Serve(l Listener) error {
	if !s.track(&l.Listener) {
		return l.close()
	}
	defer s.untrack(&l.Listener)
	if l.Packets != nil {
		if err := s.serveQUIC(l); err != nil {
			return err
		}
	}
	if l.TLS != nil {
		l.TLS = l.TLS.Clone()
		l.TLS.NextProtos = []string{"h2", "http/1.1"}
	}
	return s.acceptFrom(l)
}

func (l Listener) close() error {
	if l.Packets != nil {
		_ = l.Packets.Close() // nothing was read from it
	}
	return l.Listener.Close()
}

// track registers a listener and starts the fronts with the first. False: the server closes.
func (s *Server) track(l *net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining.Load() {
		return false
	}
	if !s.started {
		s.started = true
		s.startLocked(s.http1)
		s.startLocked(s.http2)
	}
	s.listeners[l] = struct{}{}
	s.loops.Add(1)
	return true
}

func (s *Server) untrack(l *net.Listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.listeners[l]; ok {
		delete(s.listeners, l)
		_ = (*l).Close() // nothing was accepted after the error that ended the loop
	}
	s.loops.Done()
}

func (s *Server) startLocked(f *front) {
	f.run.Go(func() {
		if err := f.srv.Serve(f.door); !errors.Is(err, net.ErrClosed) && !errors.Is(err, http.ErrServerClosed) {
			s.cfg.Logger.Error("http server ended", "error", err)
		}
	})
}

// Reconfigure puts new limits and timeouts in force for the heads and connections that begin from now on. Connections that
// speak HTTP/2 already keep the header list limit and the idle timeout they began with.
func (s *Server) Reconfigure(l Limits, t Timeouts) {
	now := &settings{l, t}
	s.links.resize(maxConns(l))
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.settings.Swap(now)
	if old.Head == now.Head && old.Idle == now.Idle || s.draining.Load() {
		return
	}
	s.retired = append(s.retired, s.http2)
	_ = s.http2.door.Close() // it has no error
	s.http2 = s.newHTTP2(now)
	if s.started {
		s.startLocked(s.http2)
	}
}

// Shutdown stops accepting, lets every request that has come be answered, closes connections as they become idle (those of
// HTTP/2 after GOAWAY, for which HTTP/3 has no door: see serveStreams), and returns when none is left. Hijacked connections count
// too. When ctx ends it closes what is left and returns ctx's error.
func (s *Server) Shutdown(ctx context.Context) error {
	inTime := context.AfterFunc(ctx, s.giveUp)
	s.stopAccepting()
	s.links.hasten(time.Now().Add(idleGrace))
	s.hands.Wait() // they have been hastened too
	var goaway sync.WaitGroup
	for _, f := range s.http2Fronts() {
		f.close()
		// Its error is ctx's, which is returned below.
		goaway.Go(func() { _ = f.srv.Shutdown(ctx) })
	}
	s.drain(ctx)
	goaway.Wait()
	// Only now: a request that came meanwhile may have been net/http's. Handlers whose connections were given up on are not waited for,
	// here or there: they may be waiting for what is stopped next.
	if ctx.Err() == nil {
		s.lanes.Wait()
	} else {
		s.giveUp() // or who exits next might be first
	}
	s.http1.close()
	s.closeQUIC()
	if !inTime() {
		return ctx.Err()
	}
	return nil
}

// giveUp closes what is left.
func (s *Server) giveUp() {
	s.gaveUp.Do(func() { close(s.over) })
	s.links.drop()
}

// stopAccepting ends the accept loops.
func (s *Server) stopAccepting() {
	s.mu.Lock()
	if !s.draining.Swap(true) {
		close(s.done)
	}
	for l := range s.listeners {
		_ = (*l).Close() // its accept loop ends either way
		delete(s.listeners, l)
	}
	quics := s.quics
	s.mu.Unlock()
	s.links.close()
	for _, f := range quics {
		f.stopAccepting()
	}
	s.loops.Wait()
}

// drain waits for the last connection. An HTTP/2 connection that was handed over as the GOAWAYs went out may have missed
// its own: idle connections are cut now and then.
func (s *Server) drain(ctx context.Context) {
	const sweep = 2 * time.Second
	for ctx.Err() == nil {
		round, cancel := context.WithTimeout(ctx, sweep)
		drained := s.links.drained(round)
		cancel()
		if drained {
			return
		}
		s.links.hasten(time.Now().Add(idleGrace))
	}
}

// http2Fronts returns those of HTTP/2.
func (s *Server) http2Fronts() []*front {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]*front{s.http2}, s.retired...)
}

// Stats is a moment's account of a Server.
type Stats struct {
	Handshaking, Idle, Active, Tunnels int // open connections

	Accepted     uint64
	AcceptErrors uint64
	Refused      map[string]uint64 // by reason: heads, failed handshakes ("handshake") and HTTP/2 faults ("http2-…")
}

// Stats counts.
func (s *Server) Stats() Stats {
	n := s.links.count()
	s.counting.Lock()
	defer s.counting.Unlock()
	return Stats{
		Handshaking: n[handshaking], Idle: n[idle], Active: n[opening] + n[active], Tunnels: n[tunnel],
		Accepted: s.accepted.Load(), AcceptErrors: s.failed.Load(), Refused: maps.Clone(s.counts),
	}
}

func (s *Server) count(reason string) {
	s.counting.Lock()
	defer s.counting.Unlock()
	s.counts[reason]++
}

type infoKey struct{}

// ConnFrom returns the connection of a request by its context, or nil.
func ConnFrom(ctx context.Context) *Info {
	info, _ := ctx.Value(infoKey{}).(*Info)
	return info
}
