package origin

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
)

// bursts is a connection that gives one burst at each Read, and keeps what is written.
type bursts struct {
	net.Conn
	coming  []string
	written strings.Builder
}

func (b *bursts) Read(p []byte) (int, error) {
	if len(b.coming) == 0 {
		return 0, io.EOF
	}
	n := copy(p, b.coming[0])
	b.coming = b.coming[1:]
	return n, nil
}

func (b *bursts) Write(p []byte) (int, error) { return b.written.Write(p) }

// TestUnaskedBytesEndTheConnection in the way that lets http.Transport try the next request elsewhere.
func TestUnaskedBytesEndTheConnection(t *testing.T) {
	wire := &bursts{coming: []string{ok2, "HTTP/1.1 200 OK\r\n"}}
	c := newConn(wire, nil, "origin.test:80")
	c.begin(newExchange(newRequest(t, "GET", "/", nil), testUpstream(t)))
	p := make([]byte, 1024)
	if n, err := c.Read(p); n != len(ok2) || err != nil {
		t.Fatalf("Read = %d, %v; want the answer", n, err)
	}
	if n, err := c.Read(p); n != 0 || err != io.EOF {
		t.Errorf("Read = %d, %v; want 0, EOF", n, err)
	}
	if n, err := io.WriteString(c, "POST / HTTP/1.1\r\n"); n != 0 || err == nil || wire.written.Len() != 0 {
		t.Errorf("Write = %d, %v on a connection that is over", n, err)
	}
}

// TestAnAnswerBeforeItsRequestIsNone: it came for nobody, and the request may go elsewhere.
func TestAnAnswerBeforeItsRequestIsNone(t *testing.T) {
	c := newConn(&bursts{coming: []string{ok2, ok2}}, nil, "origin.test:80")
	p := make([]byte, 1024)
	begin(t, c)
	io.WriteString(c, "GET / HTTP/1.1\r\n")
	if n, err := c.Read(p); n != len(ok2) || err != nil {
		t.Fatalf("Read = %d, %v; want the answer", n, err)
	}
	begin(t, c)
	if n, err := c.Read(p); n != 0 || err != io.EOF {
		t.Errorf("Read = %d, %v; want 0, EOF", n, err)
	}
}

// TestNoRequestFollowsUnaskedBytes that nobody has read yet. They wait in the kernel, so the socket is a real one.
func TestNoRequestFollowsUnaskedBytes(t *testing.T) {
	for name, unasked := range map[string]func(far *net.TCPConn){
		"an answer": func(far *net.TCPConn) { io.WriteString(far, ok2) },
		"the end":   func(far *net.TCPConn) { far.CloseWrite() },
	} {
		t.Run(name, func(t *testing.T) {
			near, far := socketPair(t)
			c := newConn(near, nil, "origin.test:80")
			begin(t, c)
			io.WriteString(c, "GET / HTTP/1.1\r\n")
			io.WriteString(far, ok2)
			if n, err := c.Read(make([]byte, 1024)); n != len(ok2) || err != nil {
				t.Fatalf("Read = %d, %v; want the answer", n, err)
			}
			unasked(far)
			raw, _ := near.SyscallConn()
			raw.Read(func(uintptr) bool { return hasInput(raw) }) // returns when it has
			begin(t, c)
			if n, err := io.WriteString(c, "GET / HTTP/1.1\r\n"); n != 0 || !errors.Is(err, net.ErrClosed) {
				t.Errorf("Write = %d, %v; want 0, closed", n, err)
			}
		})
	}
}

func begin(t *testing.T, c *conn) {
	t.Helper()
	c.begin(newExchange(newRequest(t, "GET", "/", nil), testUpstream(t)))
}

// socketPair returns the two ends of a connection.
func socketPair(t *testing.T) (near, far *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	other, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { other.Close() })
	return c.(*net.TCPConn), other.(*net.TCPConn)
}

// TestNothingIsWrittenForAFailedExchange: what gotConn relies on.
func TestNothingIsWrittenForAFailedExchange(t *testing.T) {
	wire := new(bursts)
	c := newConn(wire, nil, "origin.test:80")
	ctx, cancel := context.WithCancelCause(t.Context())
	gone := errors.New("gone")
	c.begin(newExchange(newRequest(t, "POST", "/", nil).WithContext(ctx), testUpstream(t)))
	cancel(gone)
	if n, err := io.WriteString(c, "POST / HTTP/1.1\r\n"); n != 0 || !errors.Is(err, gone) || wire.written.Len() != 0 {
		t.Errorf("Write = %d, %v; want 0, %v", n, err, gone)
	}
}

// TestSmallReads: what is handed up does not depend on how much is asked for.
func TestSmallReads(t *testing.T) {
	c := newConn(&bursts{coming: []string{ok2[:20], ok2[20:]}}, nil, "origin.test:80")
	c.begin(newExchange(newRequest(t, "GET", "/", nil), testUpstream(t)))
	var got []byte
	for p := make([]byte, 3); ; {
		n, err := c.Read(p)
		got = append(got, p[:n]...)
		if err != nil {
			break
		}
	}
	if string(got) != ok2 {
		t.Errorf("read %q, want %q", got, ok2)
	}
}
