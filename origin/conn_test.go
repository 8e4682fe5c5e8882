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
	c.begin(newExchange(newRequest(t, "GET", "/", nil), "origin.test:80", testConfig().Timeouts))
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

// TestNothingIsWrittenForAFailedExchange: what gotConn relies on.
func TestNothingIsWrittenForAFailedExchange(t *testing.T) {
	wire := new(bursts)
	c := newConn(wire, nil, "origin.test:80")
	ctx, cancel := context.WithCancelCause(t.Context())
	gone := errors.New("gone")
	c.begin(newExchange(newRequest(t, "POST", "/", nil).WithContext(ctx), "origin.test:80", testConfig().Timeouts))
	cancel(gone)
	if n, err := io.WriteString(c, "POST / HTTP/1.1\r\n"); n != 0 || !errors.Is(err, gone) || wire.written.Len() != 0 {
		t.Errorf("Write = %d, %v; want 0, %v", n, err, gone)
	}
}

// TestSmallReads: what is handed up does not depend on how much is asked for.
func TestSmallReads(t *testing.T) {
	c := newConn(&bursts{coming: []string{ok2[:20], ok2[20:]}}, nil, "origin.test:80")
	c.begin(newExchange(newRequest(t, "GET", "/", nil), "origin.test:80", testConfig().Timeouts))
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
