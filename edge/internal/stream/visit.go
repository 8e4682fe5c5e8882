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

// Proxied is a connection whose other end is a proxy that has said who the client is.
type Proxied interface {
	net.Conn
	// Below returns the connection itself, and what was read of it and not handed out.
	Below() (c net.Conn, read []byte)
}

// visit is a connection from its beginning to its end.
type visit struct {
	*Server
	*Config
	conn     net.Conn
	read     []byte // of it, and not passed on
	heard    bool   // the ClientHello was read
	from, to net.Addr
	account  Account
}

func (s *Server) newVisit(c net.Conn) *visit {
	cfg := s.config.Load()
	v := &visit{Server: s, Config: cfg, conn: c, from: c.RemoteAddr(), to: c.LocalAddr()}
	v.account = Account{Begin: time.Now(), Client: addressOf(v.from), Stream: cfg.Label}
	if p, ok := c.(Proxied); ok {
		v.conn, v.read = p.Below()
	}
	return v
}

// addressOf is a client's address, which is not valid for a unix socket's.
func addressOf(a net.Addr) netip.Addr {
	if at, ok := a.(*net.TCPAddr); ok {
		return at.AddrPort().Addr().Unmap().WithZone("")
	}
	return netip.Addr{}
}

// run sees the connection to its end, and tells of it.
func (v *visit) run() {
	if reason := v.admit(); reason != "" {
		v.refuse(reason)
		return
	}
	v.tell("")
}

func (v *visit) refuse(reason string) {
	resetConn(v.conn)
	v.tell(reason)
}

func (v *visit) tell(reason string) {
	v.account.Error, v.account.Total = reason, time.Since(v.account.Begin)
	v.ended(&v.account)
}

// admit looks whether the client may come, and serves it if so. It returns why not, or why the connection was cut.
func (v *visit) admit() string {
	client := v.account.Client
	if !v.Admits(client) {
		return reasonDenied
	}
	if !v.enter(client, v.MaxPerAddress) {
		return reasonTooMany
	}
	defer v.leave(client)
	if v.ByName && !v.heard {
		if err := v.hear(); err != nil {
			return helloReason(err)
		}
	}
	target := v.Target(v.account.Name)
	if target == nil {
		return reasonNoRoute
	}
	v.account.Origin = target.Origin
	return v.pass(target)
}

// hear reads the ClientHello.
func (v *visit) hear() error {
	if err := v.conn.SetReadDeadline(time.Now().Add(v.Hello)); err != nil {
		return err
	}
	came := bytes.NewReader(v.read) // with the header of a proxy
	name, read, err := ReadHello(io.MultiReader(came, v.conn))
	if err != nil {
		return err
	}
	v.account.Name, v.read = name, append(read, v.read[len(v.read)-came.Len():]...)
	return v.conn.SetReadDeadline(time.Time{})
}

// pass joins the client with an upstream.
func (v *visit) pass(to *Target) string {
	to.Traffic.Total.Add(1)
	to.Traffic.Open.Add(1)
	defer to.Traffic.Open.Add(-1)
	up, err := v.connect(to.Pool)
	if err != nil {
		return connectReason(err)
	}
	defer up.Release()
	j := &joint{client: newEnd(v.conn), upstream: newEnd(up.Conn), idle: v.Idle, traffic: to.Traffic}
	err = j.run(v.read)
	a := &v.account
	a.Upstream, a.Received, a.Sent = up.Upstream, j.received.Load(), j.sent.Load()
	return cutReason(err)
}

func (v *visit) connect(p Pool) (*origin.Stream, error) {
	ctx, cancel := context.WithTimeout(v.life, v.Connect)
	defer cancel()
	began := time.Now()
	defer func() { v.account.Connect = time.Since(began) }()
	return p.Connect(ctx, v.from, v.to)
}
