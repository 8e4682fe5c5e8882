package edge

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
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
func openSockets(configs []ListenerConfig, listen func(network, address string) (net.Listener, error)) ([]socket, error) {
	if listen == nil {
		listen = net.Listen
	}
	var open []socket
	for _, c := range configs {
		s, err := openSocket(c, listen)
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

func openSocket(c ListenerConfig, listen func(network, address string) (net.Listener, error)) (s socket, err error) {
	if c.TLS != nil {
		if s.tls, err = serverTLS(*c.TLS); err != nil {
			return s, err
		}
	}
	if path, ok := strings.CutPrefix(c.Address, "unix:"); ok {
		if err := removeStale(path); err != nil {
			return s, err
		}
		s.listener, err = listen("unix", path)
		return s, err
	}
	s.listener, err = listen("tcp", c.Address)
	return s, err
}

// removeStale removes the socket file of a process that is gone. One that somebody answers on stays, and opening fails.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("%s is there and no socket", path)
	}
	if c, err := net.Dial("unix", path); err == nil {
		c.Close()
		return nil
	}
	return os.Remove(path)
}

// serverTLS is a listener's TLS: 1.2 with AEAD ciphers or 1.3. The lane adds the protocols.
func serverTLS(c TLSConfig) (*tls.Config, error) {
	load := selfSigned
	if !c.SelfSigned {
		load = func() (tls.Certificate, error) { return tls.LoadX509KeyPair(c.Cert, c.Key) }
	}
	certificate, err := load()
	if err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	return &tls.Config{
		Certificates: []tls.Certificate{certificate},
		MinVersion:   tls.VersionTLS12,
		CipherSuites: []uint16{
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
		},
	}, nil
}

// sameSockets reports which listener a reload would have to change.
func sameSockets(old, now []ListenerConfig) error {
	same := slices.EqualFunc(old, now, func(a, b ListenerConfig) bool {
		return a.Address == b.Address && (a.TLS == nil) == (b.TLS == nil) && (a.TLS == nil || *a.TLS == *b.TLS)
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
