package stream

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/netip"
	"time"

	"selvage/origin"
)

// Proxied is a connection that came through a proxy which has said who the client is.
type Proxied interface {
	net.Conn
	// Below returns the connection itself, and what was read of it already.
	Below() (c net.Conn, read []byte)
}

// serve sees a connection to its end.
func (s *Server) serve(c net.Conn) {
	cfg := s.config.Load()
	a := &Account{Begin: time.Now(), Client: addressOf(c), Stream: cfg.Label}
	if a.Error = s.admit(c, cfg, a); a.Error != "" {
		resetConn(c)
	}
	a.Total = time.Since(a.Begin)
	s.ended(a)
}

// addressOf is the client's address, which is not valid for a unix socket's.
func addressOf(c net.Conn) netip.Addr {
	if at, ok := c.RemoteAddr().(*net.TCPAddr); ok {
		return at.AddrPort().Addr().Unmap().WithZone("")
	}
	return netip.Addr{}
}

// admit looks whether the client may come, and serves it if so. It returns why not, or why the connection was cut.
func (s *Server) admit(c net.Conn, cfg *Config, a *Account) string {
	if !cfg.Admits(a.Client) {
		return reasonDenied
	}
	if !s.enter(a.Client, cfg.MaxPerAddress) {
		return reasonTooMany
	}
	defer s.leave(a.Client)
	from, to := c.RemoteAddr(), c.LocalAddr()
	var read []byte
	if p, ok := c.(Proxied); ok {
		c, read = p.Below()
	}
	if cfg.ByName {
		var reason string
		if read, reason = hear(c, read, cfg.Hello, a); reason != "" {
			return reason
		}
	}
	target := cfg.Target(a.Name)
	if target == nil {
		return reasonNoRoute
	}
	a.Origin = target.Origin
	return s.pass(visit{conn: c, read: read, from: from, to: to, target: target}, cfg, a)
}

// hear reads the ClientHello.
func hear(c net.Conn, read []byte, patience time.Duration, a *Account) (all []byte, reason string) {
	if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return nil, reasonLeft
	}
	name, all, err := ReadHello(io.MultiReader(bytes.NewReader(read), c))
	if err == nil {
		err = c.SetReadDeadline(time.Time{})
	}
	if err != nil {
		return nil, helloReason(err)
	}
	a.Name = name
	return all, ""
}

// visit is a client that has a target.
type visit struct {
	conn     net.Conn
	read     []byte // of it, and not passed on
	from, to net.Addr
	target   *Target
}

// pass joins a client with an upstream.
func (s *Server) pass(v visit, cfg *Config, a *Account) string {
	traffic := v.target.Traffic
	traffic.Total.Add(1)
	traffic.Open.Add(1)
	defer traffic.Open.Add(-1)
	up, err := s.connect(v, cfg, a)
	if err != nil {
		return connectReason(err)
	}
	defer up.Release()
	a.Upstream = up.Upstream
	j := &joint{client: newEnd(v.conn), upstream: newEnd(up.Conn), idle: cfg.Idle, traffic: traffic}
	err = j.run(v.read)
	a.Received, a.Sent = j.received.Load(), j.sent.Load()
	return cutReason(err)
}

func (s *Server) connect(v visit, cfg *Config, a *Account) (*origin.Stream, error) {
	ctx, cancel := context.WithTimeout(s.life, cfg.Connect)
	defer cancel()
	began := time.Now()
	up, err := v.target.Pool.Connect(ctx, v.from, v.to)
	a.Connect = time.Since(began)
	return up, err
}
