package lane

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

// quicFront is a UDP socket and the HTTP/3 connections on it. quic-go reads the socket and shakes hands; how many may do so
// at once, and who has to prove an address before, is said here.
type quicFront struct {
	srv       *Server
	transport *quic.Transport
	listener  *quic.Listener
	shaking   atomic.Int32   // handshakes under way
	closed    chan struct{}  // by closeQUIC
	run       sync.WaitGroup // the accept loop, the connections it has started, and watch
}

// altSvcAge is for how long a client remembers that there is HTTP/3. One that then finds none comes back over TCP.
const altSvcAge = "86400"

// altSvc tells clients of l's other connections where its HTTP/3 is.
func (l Listener) altSvc() string {
	if l.Packets == nil {
		return ""
	}
	_, port, err := net.SplitHostPort(l.Packets.LocalAddr().String())
	if err != nil {
		return ""
	}
	return `h3=":` + port + `"; ma=` + altSvcAge
}

// serveQUIC begins to serve HTTP/3 on l.Packets, until Shutdown.
func (s *Server) serveQUIC(l Listener) error {
	// quic-go has things to say about the socket's buffers, and would say them on standard error, past the log.
	_ = os.Setenv("QUIC_GO_DISABLE_RECEIVE_BUFFER_WARNING", strconv.FormatBool(true)) // it cannot fail
	f := &quicFront{srv: s, closed: make(chan struct{})}
	f.transport = &quic.Transport{Conn: l.Packets, VerifySourceAddress: f.doubts, ConnContext: f.admit}
	var err error
	if f.listener, err = f.transport.Listen(http3.ConfigureTLSConfig(l.TLS), &quic.Config{
		GetConfigForClient: func(*quic.ClientInfo) (*quic.Config, error) { return s.quicConfig(), nil },
	}); err != nil {
		return errors.Join(fmt.Errorf("http/3 on %s: %w", l.Packets.LocalAddr(), err), l.Packets.Close())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.quics = append(s.quics, f)
	f.run.Go(f.accept)
	f.run.Go(f.watch)
	if s.draining.Load() { // Shutdown has been here before us
		f.stopAccepting()
	}
	return nil
}

// What a client may have open at once, and what it may send before somebody reads it: as over HTTP/2.
const (
	quicStreams       = 100
	quicUniStreams    = 8 // there is use for three (RFC 9114, section 6.2)
	quicStreamBuffer  = 256 << 10
	quicConnectBuffer = 1 << 20
)

// quicConfig is for the connections that begin now. Without Allow0RTT nothing is taken that might be a replay.
func (s *Server) quicConfig() *quic.Config {
	return &quic.Config{
		HandshakeIdleTimeout:           s.settings.Load().Handshake / 2, // in all it may take twice as long
		MaxIdleTimeout:                 pingAfter,
		KeepAlivePeriod:                pingAfter / 2, // or a slow origin would outlast the silence
		MaxIncomingStreams:             quicStreams,
		MaxIncomingUniStreams:          quicUniStreams,
		InitialStreamReceiveWindow:     quicStreamBuffer,
		MaxStreamReceiveWindow:         quicStreamBuffer,
		InitialConnectionReceiveWindow: quicConnectBuffer,
		MaxConnectionReceiveWindow:     quicConnectBuffer,
	}
}

// doubtFrom is how many handshakes may be under way before clients have to prove their address.
const doubtFrom = 32

// doubts reports whether a client has to prove its address before anything is done for it, by a Retry that costs it a round
// trip (RFC 9000, section 8.1.2). Who sends under many addresses that are not its own then has no effect on others.
func (f *quicFront) doubts(net.Addr) bool {
	return f.shaking.Load() >= doubtFrom || f.srv.links.full()
}

var errNoRoom = errors.New("lane: no room for another connection")

// admit lets a handshake begin, if there is room and no grudge. Whoever is refused has TCP, where it can wait.
func (f *quicFront) admit(ctx context.Context, client *quic.ClientInfo) (context.Context, error) {
	s := f.srv
	c := f.newConn(client)
	l := c.link
	if s.cfg.Opened != nil {
		s.cfg.Opened(&l.info)
	}
	if s.grudges.against(l.info.Peer, s.now()) || !s.links.admitNow(l) {
		_ = l.Close() // there is nothing to close
		return nil, errNoRoom
	}
	s.accepted.Add(1)
	f.shaking.Add(1)
	context.AfterFunc(ctx, c.ended)
	return context.WithValue(ctx, infoKey{}, &l.info), nil
}

// accept takes the connections whose handshake is over.
func (f *quicFront) accept() {
	for {
		conn, err := f.listener.Accept(context.Background())
		if err != nil {
			if !f.srv.draining.Load() {
				f.srv.cfg.Logger.Error("http/3 has ended", "error", err)
			}
			return
		}
		c := ConnFrom(conn.Context()).link.http3
		f.run.Go(func() { c.serve(conn) })
	}
}

// stopAccepting ends the accept loop, and the handshakes under way.
func (f *quicFront) stopAccepting() { _ = f.listener.Close() } // it has no error

// closeQUIC closes the sockets. Their connections have ended: until then they need them.
func (s *Server) closeQUIC() {
	s.mu.Lock()
	fronts := s.quics
	s.quics = nil
	s.mu.Unlock()
	for _, f := range fronts {
		close(f.closed)
		_ = f.transport.Close()      // nothing is left to be lost
		_ = f.transport.Conn.Close() // as above
		f.run.Wait()
	}
}
