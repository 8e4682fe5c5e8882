package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"syscall"

	"github.com/coreos/go-systemd/v22/activation"
	"github.com/coreos/go-systemd/v22/daemon"
)

// sockets opens the node's listeners: it takes those that systemd holds for it (sd_listen_fds(3)), so that connections wait
// in them while no node runs, and opens the others.
type sockets struct {
	inherited []net.Listener // those that nobody has asked for yet
}

// inheritSockets takes over what systemd has opened.
func inheritSockets() (*sockets, error) {
	s := new(sockets)
	for _, file := range activation.Files(true) {
		l, err := net.FileListener(file)
		if err != nil {
			return nil, fmt.Errorf("socket %s from systemd: %w", file.Name(), err)
		}
		file.Close() // l has its own
		s.inherited = append(s.inherited, l)
	}
	return s, nil
}

// listen opens a listener of the configuration.
func (s *sockets) listen(network, address string) (net.Listener, error) {
	for i, l := range s.inherited {
		if isAt(l.Addr(), network, address) {
			s.inherited = append(s.inherited[:i], s.inherited[i+1:]...)
			return l, nil
		}
	}
	l, err := net.Listen(network, address)
	if network == "unix" && errors.Is(err, syscall.EADDRINUSE) {
		if err := removeStale(address); err != nil {
			return nil, err
		}
		return net.Listen(network, address)
	}
	return l, err
}

// closeUnused closes what the configuration does not ask for: connections would wait there for ever.
func (s *sockets) closeUnused(log *slog.Logger) {
	for _, l := range s.inherited {
		log.Warn("systemd holds a socket that is no listener of the configuration", "address", l.Addr().String())
		l.Close()
	}
	s.inherited = nil
}

// isAt reports whether an open socket is what an address of the configuration means.
func isAt(open net.Addr, network, address string) bool {
	switch open := open.(type) {
	case *net.UnixAddr:
		return network == "unix" && open.Name == address
	case *net.TCPAddr:
		want, err := net.ResolveTCPAddr("tcp", address)
		if network != "tcp" || err != nil || want.Port != open.Port {
			return false
		}
		return want.IP.Equal(open.IP) || (len(want.IP) == 0 || want.IP.IsUnspecified()) && open.IP.IsUnspecified()
	}
	return false
}

// tellSystemd tells the service manager what the node does (sd_notify(3)), where there is one that wants to know.
func tellSystemd(log *slog.Logger, state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		log.Warn("systemd was not told", "state", state, "error", err)
	}
}
