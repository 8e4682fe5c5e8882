package lane

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/quicvarint"
)

// TestHTTP3Heads: HTTP/3 is as strict as HTTP/2, but for lengths that are repeated and equal, which quic-go makes one of (as
// RFC 9110, section 8.6, allows).
func TestHTTP3Heads(t *testing.T) {
	for _, row := range streamHeads() {
		if row.rule == "length twice" {
			continue
		}
		synctest.Test(t, func(t *testing.T) {
			c := newH3(newRig(t, echo, nil).startHTTP3(serverTLS()))
			if row.rule == "length without body" {
				row.want = "500" // echo's, to whom the end comes too early
			}
			if row.rule == "Host like authority, normalised" {
				row.want = "400" // quic-go compares byte by byte, which RFC 9114, section 4.3.1 lets it
			}
			if got := c.ask(row.fields...); !row.gives(got) {
				t.Errorf("%s: %s, want %s", row.rule, got, row.want)
			}
			if got := c.ask(h2Fields()...); got != "200" {
				t.Errorf("%s: the request behind it: %s, want 200", row.rule, got)
			}
		})
	}
}

// TestHTTP3Refusals are counted and told of like those of HTTP/2.
func TestHTTP3Refusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, echo, nil)
		c := newH3(r.startHTTP3(serverTLS()))
		c.ask(h2Fields("expect", "x")...)
		got := <-r.refusals
		if got.Reason != "expect" || got.Status != 417 || string(got.Line) != "GET / HTTP/3.0" || !got.Secure {
			t.Errorf("refusal %+v of %q", got, got.Line)
		}
	})
}

// TestHTTP3Requests: what a handler sees of a request: content, where there is any, trailers, the connection.
func TestHTTP3Requests(t *testing.T) {
	body := func(s string) io.Reader { return io.NopCloser(strings.NewReader(s)) }
	for _, row := range []struct {
		method string
		body   io.Reader
		header http.Header
		want   string
	}{
		{"GET", nil, nil, `GET /x test length 0 "" trailers map[]`},
		{"HEAD", nil, nil, ""},
		{"GET", body("hello"), nil, `GET /x test length -1 "hello" trailers map[]`},
		{"GET", strings.NewReader("hello"), nil, `GET /x test length 5 "hello" trailers map[]`},
		{"DELETE", nil, nil, `DELETE /x test length 0 "" trailers map[]`},
		{"POST", body("hello"), nil, `POST /x test length -1 "hello" trailers map[]`},
		{"POST", strings.NewReader(""), nil, `POST /x test length 0 "" trailers map[]`},
		{"PUT", body("hello"), http.Header{"X-Sum": {"5"}}, `PUT /x test length -1 "hello" trailers map[X-Sum:[5]]`},
	} {
		synctest.Test(t, func(t *testing.T) {
			n := newRig(t, func(w http.ResponseWriter, r *http.Request) {
				b, err := io.ReadAll(r.Body)
				if err != nil || ConnFrom(r.Context()).TLS == nil || r.TLS.NegotiatedProtocol != "h3" {
					t.Errorf("body: %v; TLS %v", err, r.TLS)
				}
				_, _ = fmt.Fprintf(w, "%s %s %s length %d %q trailers %v", r.Method, r.RequestURI, r.Host, r.ContentLength, b, r.Trailer)
			}, nil).startHTTP3(serverTLS())
			r, err := http.NewRequest(row.method, "https://test/x", row.body)
			if err != nil {
				t.Fatal(err)
			}
			r.Trailer = row.header
			answer, err := n.transport().RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(answer.Body)
			if err != nil || string(b) != row.want || answer.Proto != "HTTP/3.0" {
				t.Errorf("%s: %s %q, %v, want %q", row.method, answer.Proto, b, err, row.want)
			}
		})
	}
}

// TestHTTP3Continue: a client that waits for leave to send its content gets it.
func TestHTTP3Continue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newRig(t, echo, nil).startHTTP3(serverTLS())
		c := newH3(n)
		s := c.send(headersFrame(":method", "POST", ":scheme", "https", ":authority", "a", ":path", "/", "expect", "100-continue"), false)
		in := quicvarint.NewReader(s)
		if kind, err := quicvarint.Read(in); kind != 1 || err != nil {
			t.Fatalf("frame %d, %v, want a head", kind, err)
		}
		length, _ := quicvarint.Read(in)
		_, _ = io.CopyN(io.Discard, in, int64(length))
		_ = s.Close()
		if got := c.status(s); got != "200" {
			t.Errorf("then %s, want 200", got)
		}
	})
}

// TestHTTP3Connections: HTTP/3 counts among all connections, is told of when it opens and closes, and its number is bounded.
func TestHTTP3Connections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opened, closed := make(chan *Info, 10), make(chan uint64, 10)
		r := newRig(t, echo, func(c *Config) {
			c.Conns = 2
			c.Opened = func(i *Info) { opened <- i }
			c.Closed = func(id uint64) { closed <- id }
		})
		n := r.startHTTP3(serverTLS())
		first := newH3(n)
		synctest.Wait() // half of the places are not for handshakes
		second := newH3(n)
		synctest.Wait()
		if s := r.Stats(); s.Idle != 2 || s.Accepted != 2 || s.Handshaking != 0 {
			t.Errorf("two that have asked for nothing: %+v", s)
		}
		if i := <-opened; i.Peer.String() != "198.51.100.1" || !i.Secure || i.AltSvc != "" || i.Local != packetServer {
			t.Errorf("opened: %+v", i)
		}
		for _, c := range []*h3client{second, first, second} {
			if got := c.ask(h2Fields()...); got != "200" {
				t.Fatalf("status %s", got)
			}
		}
		if _, err := n.dial(); err == nil {
			t.Fatal("a third is let in")
		}
		advance(time.Second) // and the one that asked least has made way
		if got := endOf(context.Cause(first.conn.Context())); got != "end 100" {
			t.Errorf("the one that made way: %s, want its end", got)
		}
		third := newH3(n)
		for _, c := range []*h3client{third, second} {
			if got := c.ask(h2Fields()...); got != "200" {
				t.Errorf("connection %p: status %s, want 200", c, got)
			}
		}
		if id := <-closed; id == 0 {
			t.Error("closed without a number")
		}
	})
}

// TestHTTP3Idle: a connection on which no request is under way is closed, also if the client has begun some.
func TestHTTP3Idle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, echo, nil)
		n := r.startHTTP3(serverTLS())
		c := newH3(n)
		if got := c.ask(h2Fields()...); got != "200" {
			t.Fatalf("status %s", got)
		}
		start := time.Now()
		got := "reset"
		for got == "reset" {
			got = c.status(c.send(headersFrame(h2Fields()...)[:9], false))
		}
		if got != "end 100" || time.Since(start).Round(time.Second) != testTimeouts.Idle {
			t.Errorf("%s after %v, want the end after %v", got, time.Since(start), testTimeouts.Idle)
		}
	})
}

// TestHTTP3NoEarlyData: a client that comes back resumes, and what it sends before the handshake is over is not taken: it might
// be a replay (RFC 8470, section 3).
func TestHTTP3NoEarlyData(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newRig(t, echo, nil).startHTTP3(serverTLS())
		config := clientConfig("h3")
		config.ClientSessionCache = tls.NewLRUClientSessionCache(1)
		for _, resumes := range []bool{false, true} {
			conn, err := n.socket().DialEarly(t.Context(), packetServer, config, nil)
			if err != nil {
				t.Fatal(err)
			}
			c := &h3client{t: t, conn: conn}
			if got := c.ask(h2Fields()...); got != "200" {
				t.Errorf("resumed %v: status %s, want 200", resumes, got)
			}
			if s := conn.ConnectionState(); s.TLS.DidResume != resumes || s.Used0RTT {
				t.Errorf("resumed %v, early data %v, want %v, false", s.TLS.DidResume, s.Used0RTT, resumes)
			}
		}
	})
}

// TestHTTP3SlowReader: an answer that the client does not take is given up when the patience ends. T22.
func TestHTTP3SlowReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		given := make(chan error, 1)
		n := newRig(t, func(w http.ResponseWriter, r *http.Request) {
			_, err := w.Write(make([]byte, 10<<20))
			given <- err
			panic(http.ErrAbortHandler)
		}, nil).startHTTP3(serverTLS())
		c := newH3(n)
		s := c.send(headersFrame(h2Fields()...), true)
		start := time.Now()
		if err := <-given; err == nil || time.Since(start).Round(time.Second) != testTimeouts.Write {
			t.Errorf("written after %v: %v, want an error after %v", time.Since(start), err, testTimeouts.Write)
		}
		if _, err := io.Copy(io.Discard, s); endOf(err) != "reset" {
			t.Errorf("the client sees %v, want a reset", err)
		}
	})
}

// TestHTTP3Shutdown: what is under way is answered, and what comes meanwhile; then the connection ends. An unused one ends at
// once, and no other begins.
func TestHTTP3Shutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		r := newRig(t, func(w http.ResponseWriter, r *http.Request) {
			<-release
			echo(w, r)
		}, nil)
		n := r.startHTTP3(serverTLS())
		busy, unused := newH3(n), newH3(n)
		asked := busy.send(headersFrame(h2Fields()...), true)
		synctest.Wait()
		ended := make(chan error, 1)
		go func() { ended <- r.Shutdown(context.Background()) }()
		<-unused.conn.Context().Done()
		advance(10 * time.Second)
		if _, err := n.dial(); err == nil {
			t.Error("a new connection is let in")
		}
		meanwhile := busy.send(headersFrame(h2Fields()...), true)
		advance(time.Second)
		close(release)
		for _, s := range []*quic.Stream{asked, meanwhile} {
			if got := busy.status(s); got != "200" {
				t.Errorf("stream %d: %s, want 200", s.StreamID(), got)
			}
		}
		if err := <-ended; err != nil {
			t.Errorf("Shutdown = %v", err)
		}
		<-busy.conn.Context().Done() // the client is told a moment later
		if got := endOf(context.Cause(busy.conn.Context())); got != "end 100" {
			t.Errorf("the connection: %s, want H3_NO_ERROR", got)
		}
	})
}

// TestHTTP3ShutdownForced: what is under way when the time is over is cut.
func TestHTTP3ShutdownForced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, nil)
		n := r.startHTTP3(serverTLS())
		c := newH3(n)
		asked := c.send(headersFrame(h2Fields()...), true)
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := r.Shutdown(ctx); err == nil {
			t.Error("Shutdown: no error")
		}
		if got := c.status(asked); !strings.HasPrefix(got, "end") {
			t.Errorf("under way: %s, want the end", got)
		}
	})
}

// TestHTTP3Retry: while many handshakes are under way, a client has to prove its address, and gets in all the same.
func TestHTTP3Retry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, echo, func(c *Config) { c.Conns = 1000 })
		n := r.startHTTP3(serverTLS())
		for range doubtFrom + 5 { // begun, and then nothing
			ctx, cancel := context.WithCancel(t.Context())
			go func() { _, _ = n.mute().Dial(ctx, packetServer, clientConfig("h3"), nil) }()
			synctest.Wait()
			defer cancel()
		}
		if got := r.Stats().Handshaking; got != doubtFrom {
			t.Errorf("%d handshakes under way, want %d: whose address is not proved gets no further", got, doubtFrom)
		}
		if status, _ := get3(t, n.transport(), "/"); status != 200 {
			t.Errorf("a client that proves its address: %d, want 200", status)
		}
		advance(testTimeouts.Handshake + time.Second)
		if s := r.Stats(); s.Handshaking != 0 || s.Refused["handshake"] != doubtFrom {
			t.Errorf("after the handshake's time: %d under way, %d counted", s.Handshaking, s.Refused["handshake"])
		}
	})
}

// TestAltSvc: connections beside HTTP/3 know of it, and no others.
func TestAltSvc(t *testing.T) {
	for _, row := range []struct {
		packets net.PacketConn
		want    string
	}{
		{nil, ""},
		{addrOnly{}, `h3=":443"; ma=86400`},
	} {
		if got := (Listener{Packets: row.packets}).altSvc(); got != row.want {
			t.Errorf("%v: %q, want %q", row.packets, got, row.want)
		}
	}
}

type addrOnly struct{ net.PacketConn }

func (addrOnly) LocalAddr() net.Addr { return packetServer }
