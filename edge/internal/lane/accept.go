package lane

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"runtime/debug"
	"syscall"
	"time"
)

// Bounds of the wait after an Accept that failed for want of something.
const (
	backoffMin = 5 * time.Millisecond
	backoffMax = time.Second
)

// acceptFrom is the accept loop of one listener.
func (s *Server) acceptFrom(l Listener) error {
	altSvc := l.altSvc()
	backoff := time.Duration(0)
	for {
		c, err := l.Accept()
		switch {
		case err == nil:
			backoff = 0
			s.admit(c, l, altSvc)
		case s.draining.Load():
			return nil
		case !passing(err):
			return err
		default:
			s.failed.Add(1)
			s.links.relieve()
			backoff = min(max(2*backoff, backoffMin), backoffMax)
			s.cfg.Logger.Warn("accept", "error", err, "retry_in", backoff)
			s.pause(backoff)
		}
	}
}

// passing reports whether an error of Accept is about the moment and not about the listener.
func passing(err error) bool {
	for _, e := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM,
		syscall.ECONNABORTED, syscall.ECONNRESET, syscall.EINTR, syscall.EPERM, syscall.EPROTO} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

func (s *Server) pause(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-s.done:
	}
}

// admit waits until there is room for c, and starts it.
func (s *Server) admit(c net.Conn, from Listener, altSvc string) {
	l := &link{Conn: c, srv: s, info: Info{
		ID: s.lastID.Add(1), Remote: c.RemoteAddr(), Local: c.LocalAddr(), Peer: peerOf(c.RemoteAddr()),
		Secure: from.TLS != nil, AltSvc: altSvc,
	}}
	l.info.link = l
	l.since.Store(int64(s.now()))
	if s.cfg.Opened != nil {
		s.cfg.Opened(&l.info)
	}
	if from.TLS == nil {
		l.enter(active, 0) // until it waits
	}
	cut := l.cutWaiting
	l.cut.Store(&cut)
	if !s.links.admit(l) {
		_ = l.Close() // the server closes
		return
	}
	s.accepted.Add(1)
	if from.TLS == nil {
		s.lanes.Go(func() { s.run(&plainConn{newConn(l, l, nil)}) })
		return
	}
	s.shake(func() {
		if from.Divert == nil || !s.divert(l, from.Divert) {
			s.handshake(l, from.TLS)
		}
	})
}

// divert has a connection served by whoever wants it. It keeps its place among all, as a tunnel.
func (s *Server) divert(l *link, wanted func(net.Conn) func()) bool {
	serve := wanted(l.Conn)
	if serve == nil {
		return false
	}
	tunnelled := func(time.Time, bool) bool { return false }
	l.cut.Store(&tunnelled)
	l.enter(tunnel, s.now())
	s.links.shaken(l)
	_ = l.Conn.SetDeadline(time.Time{}) // an error shows in what follows
	s.lanes.Go(func() {
		serve()
		_ = l.Close() // it is over either way
	})
	return true
}

func peerOf(remote net.Addr) netip.Addr {
	if at, ok := remote.(interface{ AddrPort() netip.AddrPort }); ok { // TCP and UDP
		return at.AddrPort().Addr().Unmap().WithZone("")
	}
	return netip.Addr{}
}

// run is the life of an HTTP/1 connection until the first request that is for net/http. It has a goroutine of its own from the
// beginning: the stack of one that has shaken hands is large.
func (s *Server) run(nc net.Conn) {
	c := connOf(nc)
	defer func() {
		if p := recover(); p != nil {
			s.cfg.Logger.Error("panic", "remote", c.link.info.Remote, "error", p, "stack", string(debug.Stack()))
			_ = nc.Close() // nobody is told
		}
	}()
	for {
		err := c.nextHead()
		if err == nil && c.work.verdict == Decline {
			break
		}
		if err == nil {
			err = c.serve()
		}
		if err != nil {
			c.abandon(nc)
			return
		}
	}
	c.accept()
	if !s.http1.door.hand(nc) {
		_ = nc.Close() // the server closes
	}
}

// abandon closes a connection that is over. TLS does not say so to a client that takes nothing.
func (c *conn) abandon(nc net.Conn) {
	if c.work != nil && c.work.out.err != nil {
		_ = c.link.Close() // nobody is told
	}
	_ = nc.Close() // it is over either way
}

// handshake shakes hands and hands the connection over.
func (s *Server) handshake(l *link, config *tls.Config) {
	r := &records{link: l}
	t := tls.Server(r, config)
	err := t.HandshakeContext(context.Background())
	s.links.shaken(l)
	if err != nil {
		s.handshakeFailed(l, err)
		return
	}
	_ = l.SetDeadline(time.Time{}) // an error shows at the next Read
	agreed := t.ConnectionState()
	l.info.TLS = &agreed
	if agreed.NegotiatedProtocol == "h2" {
		l.enter(idle, s.now())
		s.handToHTTP2(newCalmConn(t, l))
		return
	}
	s.lanes.Go(func() { s.run(&tlsConn{newConn(l, t, r), t}) })
}

// handshakeFailed closes a connection that did not become one. A client that speaks plain HTTP is told so.
func (s *Server) handshakeFailed(l *link, err error) {
	var record tls.RecordHeaderError
	if errors.As(err, &record) && record.Conn != nil && looksLikeHTTP(record.RecordHeader) {
		s.refused(l, faultPlainHTTP, record.RecordHeader[:])
		_ = l.SetDeadline(time.Time{}) // an error shows in the Write
		if _, err := l.Write(faultPlainHTTP.answer(time.Now())); err == nil {
			linger(l, l.CloseWrite)
		}
	} else {
		s.count("handshake")
		s.cfg.Logger.Debug("tls handshake", "remote", l.info.Remote, "error", err)
	}
	_ = l.Close() // nothing is lost
}

// looksLikeHTTP reports whether the five bytes where a TLS record header should be begin a request line.
func looksLikeHTTP(b [5]byte) bool {
	for i, c := range b {
		if (c < 'A' || c > 'Z') && (i < 3 || c != ' ' && c != '/') {
			return false
		}
	}
	return true
}

// maxConns is the bound of open connections. Origins, logs and the disk need descriptors too.
func maxConns(l Limits) int {
	if l.Conns > 0 {
		return l.Conns
	}
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		return 768 // of the usual 1024
	}
	return int(max(1, min(files.Cur, 1<<20)/4*3))
}
