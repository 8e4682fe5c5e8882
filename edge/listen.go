package edge

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	"selvage/edge/internal/lane"
)

// socket is an open listener and how it speaks.
type socket struct {
	listener net.Listener
	tls      *tls.Config // nil is http
}

// openSockets opens all listeners, or none.
func (o Options) openSockets() ([]socket, error) {
	var open []socket
	for _, c := range o.Config.Listeners {
		s, err := o.openSocket(c)
		if err != nil {
			for _, s := range open {
				s.listener.Close()
			}
			return nil, fmt.Errorf("listener %s: %w", c.Address, err)
		}
		open = append(open, s)
	}
	return open, nil
}

func (o Options) openSocket(c ListenerConfig) (s socket, err error) {
	if c.TLS != nil {
		if s.tls, err = o.Certificates.TLS(c.Address); err != nil {
			return s, err
		}
	}
	network, address := "tcp", c.Address
	if path, ok := strings.CutPrefix(c.Address, "unix:"); ok {
		network, address = "unix", path
	}
	if s.listener, err = o.Listen(network, address); err != nil {
		return s, err
	}
	if len(c.ProxyProtocol) > 0 {
		s.listener = newProxiedListener(s.listener, compileTrust(c.ProxyProtocol), o.Logger)
	}
	return s, nil
}

// sameSockets reports which listener a reload would have to change. Certificates are not a matter of sockets.
func sameSockets(old, now []ListenerConfig) error {
	same := slices.EqualFunc(old, now, func(a, b ListenerConfig) bool {
		return a.Address == b.Address && (a.TLS == nil) == (b.TLS == nil) && slices.Equal(a.ProxyProtocol, b.ProxyProtocol)
	})
	if !same {
		return errors.New("listeners changed: they are opened at start only, so restart to change them")
	}
	return nil
}

// laneConfig is what of the configuration concerns connections.
func (e *Edge) laneConfig(c Config) lane.Config {
	return lane.Config{
		Limits: lane.Limits{RequestLine: c.Limits.RequestLine, Head: c.Limits.Head, Fields: c.Limits.Fields, Conns: c.Limits.Conns},
		Timeouts: lane.Timeouts{
			Handshake: c.Timeouts.Handshake, Header: c.Timeouts.Header, Idle: c.Timeouts.Idle, Write: c.Timeouts.Write,
		},
		Refused: e.refusedHead,
		Opened:  func(i *lane.Info) { e.visits.arrive(connID(i.ID), peerAddr(i.Remote.String())) },
		Closed:  func(id uint64) { e.visits.leave(connID(id)) },
		Answer:  e.answerHit,
		Logger:  e.logger,
	}
}

// refusedHead accounts for a request that the lane refused.
func (e *Edge) refusedHead(r lane.Refusal) {
	e.metrics.RefusedHead(r.Reason)
	now := e.clock.Now().Wall
	e.log.Record(&Result{
		Begin: now, Conn: r.Conn, Client: peerAddr(r.Remote.String()), Secure: r.Secure, Target: string(r.Line),
		Status: r.Status, Error: r.Reason,
	})
}
