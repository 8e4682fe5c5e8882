package edge

import (
	"bytes"
	"encoding/binary"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// pipeListener accepts what is sent to it.
type pipeListener struct {
	conns chan net.Conn
	done  chan struct{}
}

func newPipeListener() *pipeListener { return &pipeListener{make(chan net.Conn), make(chan struct{})} }

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}
func (l *pipeListener) Close() error   { close(l.done); return nil }
func (l *pipeListener) Addr() net.Addr { return &net.TCPAddr{} }

// from is a connection that comes from an address.
type from struct {
	net.Conn
	address string
}

func (f from) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.ParseIP(f.address), Port: 1234} }

// dial connects from an address.
func (l *pipeListener) dial(address string) net.Conn {
	near, far := net.Pipe()
	l.conns <- from{far, address}
	return near
}

// v2 is a header of version 2 for 192.0.2.1:4660 over TCP.
const v2 = "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x01\x7f\x00\x00\x01\x12\x34\x00\x50"

// v2With is v2 with a vector (PP2_TYPE_NOOP) of so many bytes behind the addresses.
func v2With(size int) string {
	head := []byte(v2[:16])
	binary.BigEndian.PutUint16(head[14:], uint16(12+size))
	vector := append([]byte{4}, binary.BigEndian.AppendUint16(nil, uint16(size-3))...)
	return string(head) + v2[16:] + string(vector) + strings.Repeat("x", size-3)
}

// TestProxyHeader: THREATS T39. A listed peer names the client; another one's header is part of what it asks.
func TestProxyHeader(t *testing.T) {
	for _, tt := range []struct {
		what, peer, sent string
		client           string // "" is a connection that is closed
		rest             string
	}{
		{"version 1", "10.0.0.1", "PROXY TCP4 192.0.2.1 127.0.0.1 4660 80\r\nGET /", "192.0.2.1:4660", "GET /"},
		{"version 1 with IPv6", "10.0.0.1", "PROXY TCP6 2001:db8::1 ::1 4660 80\r\nGET /", "[2001:db8::1]:4660", "GET /"},
		{"version 1 that does not know", "10.0.0.1", "PROXY UNKNOWN\r\nGET /", "10.0.0.1:1234", "GET /"},
		{"version 2", "10.0.0.1", v2 + "GET /", "192.0.2.1:4660", "GET /"},
		{"version 2 with as much more as there may be", "10.0.0.1", v2With(4096-12) + "GET /", "192.0.2.1:4660", "GET /"},
		{"version 2 with more than that", "10.0.0.1", v2With(4096-11) + "GET /", "", ""},
		{"version 2 with all that its length can say", "10.0.0.1", v2With(65535-12) + "GET /", "", ""},
		{"version 2 of the proxy's own, with more than there may be", "10.0.0.1",
			"\r\n\r\n\x00\r\nQUIT\n\x20\x00\xff\xff" + strings.Repeat("\x04", 65535) + "GET /", "", ""},
		{"version 2 of the proxy's own", "10.0.0.1", "\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00GET /", "10.0.0.1:1234", "GET /"},
		{"no header", "10.0.0.1", "GET / HTTP/1.1\r\n", "", ""},
		{"a header that is none", "10.0.0.1", "PROXY TCP4 192.0.2.1\r\nGET /", "", ""},
		{"addresses out of range", "10.0.0.1", "PROXY TCP4 192.0.2.999 127.0.0.1 1 80\r\n", "", ""},
		{"half a header, and nothing more", "10.0.0.1", "PROXY TCP4 192.0", "", ""},
		{"nothing", "10.0.0.1", "", "", ""},
		{"somebody else's header", "192.0.2.66", "PROXY TCP4 10.0.0.1 127.0.0.1 1 80\r\nGET /", "192.0.2.66:1234",
			"PROXY TCP4 10.0.0.1 127.0.0.1 1 80\r\nGET /"},
	} {
		synctest.Test(t, func(t *testing.T) {
			inner := newPipeListener()
			l := newProxiedListener(inner, compileTrust([]string{"10.0.0.0/8"}), slog.New(slog.DiscardHandler))
			client := inner.dial(tt.peer)
			go client.Write([]byte(tt.sent))
			got := make(chan net.Conn, 1)
			go func() {
				if c, err := l.Accept(); err == nil {
					got <- c
				}
			}()
			time.Sleep(2 * proxyPatience)
			synctest.Wait()
			select {
			case c := <-got:
				if c.RemoteAddr().String() != tt.client {
					t.Errorf("%s: client %v, want %s", tt.what, c.RemoteAddr(), tt.client)
				}
				rest := make([]byte, len(tt.rest))
				if _, err := io.ReadFull(c, rest); err != nil || string(rest) != tt.rest {
					t.Errorf("%s: then %q (%v), want %q", tt.what, rest, err, tt.rest)
				}
			default:
				if tt.client != "" {
					t.Errorf("%s: no connection, want one of %s", tt.what, tt.client)
				}
			}
			client.Close()
			l.Close()
		})
	}
}

// TestSlowProxyHeader: who is slow to send a header holds up nobody, and not the end either.
func TestSlowProxyHeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := newPipeListener()
		l := newProxiedListener(inner, compileTrust([]string{"10.0.0.0/8"}), slog.New(slog.DiscardHandler))
		began := time.Now()
		slow, quick := inner.dial("10.0.0.1"), inner.dial("10.0.0.2")
		go quick.Write([]byte(v2))
		if c, err := l.Accept(); err != nil || c.RemoteAddr().String() != "192.0.2.1:4660" {
			t.Errorf("accept: %v, want the quick one", err)
		}
		l.Close()
		if _, err := slow.Read(make([]byte, 1)); err == nil || time.Since(began) > 0 {
			t.Errorf("the slow one after the end: %v, %v later, want it closed at once", err, time.Since(began))
		}
		if _, err := l.Accept(); err == nil {
			t.Error("accept after the end: no error")
		}
	})
}

// TestProxiedSocket: whoever has used up what came with the header may wait on the socket itself. Sockets of the kernel, because
// others have none.
func TestProxiedSocket(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, rest := range []string{"", "GET /"} {
		client, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(client, v2+rest); err != nil {
			t.Fatal(err)
		}
		server, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		c, err := readProxyHeader(server)
		if err != nil {
			t.Fatal(err)
		}
		if c.Buffered() > len(rest) {
			t.Errorf("%d bytes are left of %q", c.Buffered(), rest)
		}
		if _, err := io.ReadFull(c, make([]byte, len(rest))); err != nil || c.rest != nil {
			t.Errorf("after %q: %v, and a buffer is kept = %v", rest, err, c.rest != nil)
		}
		socket, err := c.SyscallConn()
		if err != nil || socket.Control(func(uintptr) {}) != nil {
			t.Errorf("no socket: %v", err)
		}
		client.Close()
		c.Close()
	}
}

// FuzzProxyHeader: whatever a listed peer sends first, it is refused, or what follows the header comes through unchanged.
func FuzzProxyHeader(f *testing.F) {
	f.Add([]byte("PROXY TCP4 192.0.2.1 127.0.0.1 4660 80\r\n"))
	f.Add([]byte("PROXY UNKNOWN whatever\r\n"))
	f.Add([]byte(v2))
	f.Add([]byte(strings.Replace(v2, "\x00\x0c", "\xff\xff", 1)))
	const request = "GET / HTTP/1.1\r\nHost: example.com\r\n\r\n"
	f.Fuzz(func(t *testing.T, sent []byte) {
		near, far := net.Pipe()
		go func() {
			near.Write(sent)
			near.Write([]byte(request))
			near.Close()
		}()
		defer far.Close()
		c, err := readProxyHeader(from{far, "10.0.0.1"})
		if err != nil {
			return
		}
		rest, err := io.ReadAll(c)
		if err != nil || !bytes.HasSuffix(append(sent, request...), rest) {
			t.Errorf("after the header: %q (%v), want an end of what was sent", rest, err)
		}
		if host := peerAddr(c.RemoteAddr().String()); !host.IsValid() {
			t.Errorf("client %v is no address", c.RemoteAddr())
		}
	})
}
