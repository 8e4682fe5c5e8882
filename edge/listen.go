package edge

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	"selvage/edge/internal/lane"
)

// openSockets opens all listeners, or none.
func (e *Edge) openSockets(o Options) ([]lane.Listener, error) {
	var open []lane.Listener
	for _, c := range o.Config.Listeners {
		l, err := e.openSocket(o, c)
		if err != nil {
			for _, l := range open {
				l.Close()
			}
			return nil, fmt.Errorf("listener %s: %w", c.Address, err)
		}
		open = append(open, l)
	}
	return open, nil
}

func (e *Edge) openSocket(o Options, c ListenerConfig) (l lane.Listener, err error) {
	if c.TLS != nil {
		if l.TLS, err = o.Certificates.TLS(c.Address); err != nil {
			return l, err
		}
	}
	if l.Listener, err = o.listen(c.Address, c.ProxyProtocol); err != nil {
		return l, err
	}
	if c.http3() && o.ListenPacket != nil {
		l.Packets = o.openPackets(c.Address, l.Addr())
	}
	if l.Divert = e.divert(c, o.Config.Streams); l.Divert != nil {
		l.Listener = sharedListener{l.Listener}
	}
	return l, nil
}

// listen opens a socket for connections, from balancers maybe that say who their clients are.
func (o Options) listen(address string, balancers []string) (l net.Listener, err error) {
	network, at := "tcp", address
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		network, at = "unix", path
	}
	if l, err = o.Listen(network, at); err != nil {
		return nil, err
	}
	if len(balancers) > 0 {
		l = newProxiedListener(l, compileTrust(balancers), o.Logger)
	}
	return l, nil
}

// openPackets opens the socket of HTTP/3 beside a TCP listener that is open: the port may have been any. Without it all works
// over TCP, so it is told of, once, and no error.
func (o Options) openPackets(address string, beside net.Addr) net.PacketConn {
	host, _, err := net.SplitHostPort(address)
	var packets net.PacketConn
	if err == nil {
		_, port, _ := net.SplitHostPort(beside.String())
		packets, err = o.ListenPacket("udp", net.JoinHostPort(host, port))
	}
	if err != nil {
		o.Logger.Warn("no HTTP/3 here: its UDP port cannot be had", "listener", address, "error", err)
		return nil
	}
	return packets
}

// http3 reports whether a listener speaks HTTP/3 beside the rest. Behind a balancer that speaks the PROXY protocol it cannot:
// that comes over TCP, and would not say of packets whose they are.
func (c *ListenerConfig) http3() bool {
	if c.HTTP3 != nil {
		return *c.HTTP3
	}
	return c.TLS != nil && len(c.ProxyProtocol) == 0 && !strings.HasPrefix(c.Address, "unix:")
}

// sameSockets reports which listener a reload would have to change. Certificates are not a matter of sockets.
func sameSockets(old, now []ListenerConfig) error {
	same := slices.EqualFunc(old, now, func(a, b ListenerConfig) bool {
		return a.Address == b.Address && (a.TLS == nil) == (b.TLS == nil) && a.http3() == b.http3() &&
			slices.Equal(a.ProxyProtocol, b.ProxyProtocol)
	})
	if !same {
		return errors.New("listeners changed: they are opened at start only, so restart to change them")
	}
	return nil
}

// laneConfig is what of the configuration concerns connections.
func (e *Edge) laneConfig(c Config) lane.Config {
	return lane.Config{
		Limits: lane.Limits{RequestLine: c.Limits.RequestLine, Head: c.Limits.Head, Fields: c.Limits.Fields, Conns: c.connsBeside()},
		Timeouts: lane.Timeouts{
			Handshake: c.Timeouts.Handshake, Header: c.Timeouts.Header, Idle: c.Timeouts.Idle, Write: c.Timeouts.Write,
		},
		Refused: e.refusedHead,
		Opened:  func(i *lane.Info) { e.visits.arrive(connID(i.ID), i.Peer) },
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
