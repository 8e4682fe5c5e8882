package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/coreos/go-systemd/v22/activation"
	"github.com/coreos/go-systemd/v22/daemon"
)

// sockets opens the node's listeners: it takes those that systemd holds for it (sd_listen_fds(3)), so that connections wait
// in them while no node runs, and opens the others.
type sockets struct {
	// Those that nobody has asked for yet.
	inherited []net.Listener
	packets   []net.PacketConn
}

// inheritSockets takes over what systemd has opened.
func inheritSockets() (*sockets, error) {
	s := new(sockets)
	for _, file := range activation.Files(true) {
		if err := s.inherit(file); err != nil {
			return nil, fmt.Errorf("socket %s from systemd: %w", file.Name(), err)
		}
		file.Close() // its socket has another
	}
	return s, nil
}

// inherit takes a socket, for connections or for packets.
func (s *sockets) inherit(file *os.File) error {
	if packets, err := net.FilePacketConn(file); err == nil {
		s.packets = append(s.packets, packets)
		return nil
	}
	l, err := net.FileListener(file)
	if err != nil {
		return err
	}
	s.inherited = append(s.inherited, l)
	return nil
}

// listen opens a listener of the configuration.
func (s *sockets) listen(network, address string) (net.Listener, error) {
	for i, l := range s.inherited {
		if isAt(l.Addr(), network, address) {
			s.inherited = slices.Delete(s.inherited, i, i+1)
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

// listenPacket opens the socket of HTTP/3 beside a listener.
func (s *sockets) listenPacket(network, address string) (net.PacketConn, error) {
	for i, c := range s.packets {
		if isAt(c.LocalAddr(), network, address) {
			s.packets = slices.Delete(s.packets, i, i+1)
			return c, nil
		}
	}
	return net.ListenPacket(network, address)
}

// has reports whether a listener's socket is one of those that systemd holds and nobody has asked for.
func (s *sockets) has(address string) bool {
	return slices.ContainsFunc(s.inherited, func(l net.Listener) bool {
		network, at := networkOf(address)
		return isAt(l.Addr(), network, at)
	})
}

// networkOf takes the address of a listener as the configuration has it.
func networkOf(address string) (network, at string) {
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		return "unix", path
	}
	return "tcp", address
}

// copies returns the same sockets for connections once more: the kernel gives each connection to one of those who accept.
func (s *sockets) copies() (*sockets, error) {
	c := new(sockets)
	for _, l := range s.inherited {
		file, err := l.(interface{ File() (*os.File, error) }).File()
		if err != nil {
			return nil, fmt.Errorf("copy socket %s: %w", l.Addr(), err)
		}
		defer file.Close() // the copy has its own
		if err := c.inherit(file); err != nil {
			return nil, fmt.Errorf("copy socket %s: %w", l.Addr(), err)
		}
	}
	return c, nil
}

// closeUnused closes what the configuration does not ask for: connections would wait there for ever.
func (s *sockets) closeUnused(log *slog.Logger) {
	for _, l := range s.inherited {
		log.Warn("systemd holds a socket that is no listener of the configuration", "address", l.Addr().String())
		l.Close()
	}
	for _, c := range s.packets {
		log.Warn("systemd holds a UDP socket beside which there is no listener with HTTP/3", "address", c.LocalAddr().String())
		c.Close()
	}
	s.inherited, s.packets = nil, nil
}

// isAt reports whether an open socket is what an address of the configuration means.
func isAt(open net.Addr, network, address string) bool {
	switch open := open.(type) {
	case *net.UnixAddr:
		return network == "unix" && open.Name == address
	case *net.TCPAddr:
		return network == "tcp" && isPort(open.IP, open.Port, address)
	case *net.UDPAddr:
		return network == "udp" && isPort(open.IP, open.Port, address)
	}
	return false
}

func isPort(ip net.IP, port int, address string) bool {
	want, err := net.ResolveTCPAddr("tcp", address)
	if err != nil || want.Port != port {
		return false
	}
	return want.IP.Equal(ip) || (len(want.IP) == 0 || want.IP.IsUnspecified()) && ip.IsUnspecified()
}

// tellSystemd tells the service manager what the node does (sd_notify(3)), where there is one that wants to know.
func tellSystemd(log *slog.Logger, state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		log.Warn("systemd was not told", "state", state, "error", err)
	}
}
