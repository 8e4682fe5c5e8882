package lane

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/quic-go/qpack"
	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	"github.com/quic-go/quic-go/quicvarint"
	"github.com/quic-go/quic-go/testutils/simnet"
)

// packetNet is a network of packets in memory, with a server on it.
type packetNet struct {
	t      testing.TB
	router simnet.PerfectRouter
	last   byte // of the clients' addresses
}

var packetServer = &net.UDPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 443}

// startHTTP3 serves HTTP/3 beside TCP until the end of the test.
func (r *rig) startHTTP3(config *tls.Config) *packetNet {
	n := &packetNet{t: r.t}
	r.packets = simnet.NewBlockingSimConn(packetServer, &n.router)
	r.start(config)
	return n
}

// socket is a client's, at an address of its own.
func (n *packetNet) socket() *quic.Transport {
	n.last++
	at := &net.UDPAddr{IP: net.IPv4(198, 51, 100, n.last), Port: 4711}
	tr := &quic.Transport{Conn: simnet.NewBlockingSimConn(at, &n.router)}
	n.t.Cleanup(func() {
		_ = tr.Close()
		_ = tr.Conn.Close()
	})
	return tr
}

// mute is a socket that hears nothing.
func (n *packetNet) mute() *quic.Transport {
	tr := n.socket()
	n.router.AddNode(tr.Conn.LocalAddr(), nobody{})
	return tr
}

type nobody struct{}

func (nobody) RecvPacket(simnet.Packet) {}

// dial connects, or says why not.
func (n *packetNet) dial() (*quic.Conn, error) {
	return n.socket().Dial(context.Background(), packetServer, clientConfig("h3"), nil)
}

// transport is an HTTP/3 client of its own.
func (n *packetNet) transport() *http3.Transport {
	socket := n.socket()
	tr := &http3.Transport{
		TLSClientConfig: clientConfig("h3"),
		Dial: func(ctx context.Context, _ string, config *tls.Config, cfg *quic.Config) (*quic.Conn, error) {
			return socket.Dial(ctx, packetServer, config, cfg)
		},
	}
	n.t.Cleanup(func() { _ = tr.Close() })
	return tr
}

// get asks for a path, and returns the answer's status and body.
func get3(t testing.TB, tr *http3.Transport, path string) (status int, body string) {
	t.Helper()
	r, err := http.NewRequest("GET", "https://test"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := tr.RoundTrip(r)
	if err != nil {
		t.Fatalf("GET %s: %v", path, err)
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatalf("GET %s: %v", path, err)
	}
	return answer.StatusCode, string(b)
}

// h3client speaks HTTP/3 frame by frame.
type h3client struct {
	t       testing.TB
	conn    *quic.Conn
	control *quic.SendStream // once asked for
}

func newH3(n *packetNet) *h3client {
	n.t.Helper()
	conn, err := n.dial()
	if err != nil {
		n.t.Fatal(err)
	}
	return &h3client{t: n.t, conn: conn}
}

// controlStream is the client's, with its settings sent.
func (c *h3client) controlStream() *quic.SendStream {
	c.t.Helper()
	if c.control == nil {
		s, err := c.conn.OpenUniStream()
		if err != nil {
			c.t.Fatal(err)
		}
		if _, err := s.Write([]byte{0, 4, 0}); err != nil {
			c.t.Fatal(err)
		}
		c.control = s
	}
	return c.control
}

// headersFrame is a head: pairs of names and values.
func headersFrame(fields ...string) []byte {
	var block bytes.Buffer
	enc := qpack.NewEncoder(&block)
	for i := 0; i < len(fields); i += 2 {
		_ = enc.WriteField(qpack.HeaderField{Name: fields[i], Value: fields[i+1]}) // a buffer has no errors
	}
	frame := quicvarint.Append(nil, 1)
	frame = quicvarint.Append(frame, uint64(block.Len()))
	return append(frame, block.Bytes()...)
}

// send opens a stream and writes raw on it.
func (c *h3client) send(raw []byte, end bool) *quic.Stream {
	c.t.Helper()
	s, err := c.conn.OpenStreamSync(context.Background())
	if err != nil {
		c.t.Fatal(err)
	}
	if _, err := s.Write(raw); err != nil {
		c.t.Fatal(err)
	}
	if end {
		_ = s.Close()
	}
	return s
}

// ask sends a whole request without content, and returns the status of its answer, or "reset", or "end" of the connection.
func (c *h3client) ask(fields ...string) string {
	c.t.Helper()
	return c.status(c.send(headersFrame(fields...), true))
}

func (c *h3client) status(s *quic.Stream) string {
	in := quicvarint.NewReader(s)
	for {
		kind, err := quicvarint.Read(in)
		if err != nil {
			return endOf(err)
		}
		length, err := quicvarint.Read(in)
		if err != nil {
			return endOf(err)
		}
		block := make([]byte, length)
		if _, err := io.ReadFull(in, block); err != nil {
			return endOf(err)
		}
		if kind != 1 {
			continue
		}
		next := qpack.NewDecoder().Decode(block)
		for f, err := next(); err == nil; f, err = next() {
			if f.Name == ":status" && !strings.HasPrefix(f.Value, "1") {
				return f.Value
			}
		}
	}
}

func endOf(err error) string {
	var reset *quic.StreamError
	var closed *quic.ApplicationError
	switch {
	case errors.As(err, &reset):
		return "reset"
	case errors.As(err, &closed):
		return "end " + strconv.FormatUint(uint64(closed.ErrorCode), 16)
	}
	return "end: " + err.Error()
}
