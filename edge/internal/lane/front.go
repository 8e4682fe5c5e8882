package lane

import (
	"context"
	"log"
	"log/slog"
	"math"
	"net"
	"net/http"
	"sync"
)

// front is an http.Server and the door through which it gets its connections.
type front struct {
	srv  *http.Server
	door *door
	run  sync.WaitGroup // of Serve; added to under the server's mu
}

// close takes no more connections. Those handed over before are net/http's when it returns.
func (f *front) close() {
	_ = f.door.Close() // it has no error
	f.run.Wait()
}

// newHTTP1 returns the front of HTTP/1. All limits and deadlines are zero: below it they are kept by conn and link.
func (s *Server) newHTTP1() *front {
	srv := s.newFront(http.HandlerFunc(s.serveHTTP1))
	srv.Protocols = new(http.Protocols)
	srv.Protocols.SetHTTP1(true)
	srv.MaxHeaderBytes = math.MaxInt32
	srv.ConnState = connState1
	return &front{srv: srv, door: newDoor()}
}

func (s *Server) newFront(h http.Handler) *http.Server {
	return &http.Server{
		Handler:                      h,
		DisableGeneralOptionsHandler: true, // OPTIONS * is the handler's like any other
		ErrorLog:                     s.errorLog(),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, infoKey{}, &linkOf(c).info)
		},
	}
}

func (s *Server) errorLog() *log.Logger {
	return slog.NewLogLogger(s.cfg.Logger.Handler(), slog.LevelWarn)
}

// serveHTTP1 tells clients of a server that drains not to send another request.
func (s *Server) serveHTTP1(w http.ResponseWriter, r *http.Request) {
	if s.draining.Load() {
		w.Header().Set("Connection", "close")
	}
	s.handler.ServeHTTP(w, r)
}

// connState1 follows net/http through an HTTP/1 connection. It runs in the goroutine that serves it, with no Read in flight.
func connState1(nc net.Conn, state http.ConnState) {
	c := connOf(nc)
	switch state {
	case http.StateIdle:
		c.resume()
	case http.StateHijacked:
		c.release()
	}
}

// connState2 follows an HTTP/2 connection: idle is without streams.
func connState2(nc net.Conn, state http.ConnState) {
	switch l := linkOf(nc); state {
	case http.StateIdle:
		l.enter(idle, l.srv.now())
	case http.StateActive:
		l.enter(active, 0)
		l.requests.Add(1)
	}
}

func connOf(nc net.Conn) *conn {
	if c, ok := nc.(*tlsConn); ok {
		return c.conn
	}
	return nc.(*plainConn).conn
}

func linkOf(nc net.Conn) *link {
	if c, ok := nc.(*calmConn); ok {
		return c.link
	}
	return connOf(nc).link
}

// handToHTTP2 hands a connection to the front of the settings in force.
func (s *Server) handToHTTP2(c *calmConn) {
	for {
		s.mu.Lock()
		f := s.http2
		s.mu.Unlock()
		if f.door.hand(c) {
			return
		}
		if s.draining.Load() {
			_ = c.link.Close() // the server closes
			return
		}
	}
}

// door is a listener whose connections are handed in.
type door struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newDoor() *door { return &door{conns: make(chan net.Conn), done: make(chan struct{})} }

// hand passes c to Accept. False: the door is closed, and c still the caller's.
func (d *door) hand(c net.Conn) bool {
	select {
	case d.conns <- c:
		return true
	case <-d.done:
		return false
	}
}

func (d *door) Accept() (net.Conn, error) {
	select {
	case c := <-d.conns:
		return c, nil
	case <-d.done:
		return nil, net.ErrClosed
	}
}

func (d *door) Close() error {
	d.once.Do(func() { close(d.done) })
	return nil
}

// Addr is nobody's address: connections of many listeners come through a door.
func (d *door) Addr() net.Addr { return &net.UnixAddr{Name: "lane", Net: "unix"} }
