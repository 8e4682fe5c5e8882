package lane

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// h2client speaks HTTP/2 frame by frame.
type h2client struct {
	t     testing.TB
	c     io.ReadWriteCloser
	fr    *http2.Framer
	write sync.Mutex // for tests that write beside until
	block bytes.Buffer
	enc   *hpack.Encoder
}

func newH2(t testing.TB, l *memListener, settings ...http2.Setting) *h2client {
	t.Helper()
	tc := clientTLS(l.dial(), "h2", "http/1.1")
	c := &h2client{t: t, c: tc, fr: http2.NewFramer(tc, tc)}
	c.enc = hpack.NewEncoder(&c.block)
	c.fr.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	send(t, tc, http2.ClientPreface)
	if p := tc.ConnectionState().NegotiatedProtocol; p != "h2" {
		t.Fatalf("negotiated %q, want h2", p)
	}
	c.check(c.fr.WriteSettings(settings...))
	t.Cleanup(func() { _ = tc.Close() })
	return c
}

func (c *h2client) check(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

// ask sends a head: pairs of names and values.
func (c *h2client) ask(stream uint32, end bool, fields ...string) {
	c.t.Helper()
	c.block.Reset()
	for i := 0; i < len(fields); i += 2 {
		c.check(c.enc.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]}))
	}
	c.check(c.fr.WriteHeaders(http2.HeadersFrameParam{
		StreamID: stream, BlockFragment: c.block.Bytes(), EndStream: end, EndHeaders: true}))
}

// until reads frames until one satisfies want, and returns it; nil is the end of the connection.
func (c *h2client) until(want func(http2.Frame) bool) http2.Frame {
	for {
		f, err := c.fr.ReadFrame()
		if err != nil {
			return nil
		}
		c.write.Lock()
		switch f := f.(type) {
		case *http2.SettingsFrame:
			if !f.IsAck() {
				_ = c.fr.WriteSettingsAck() // the server may be gone
			}
		case *http2.PingFrame:
			_ = c.fr.WritePing(true, f.Data) // as above
		}
		c.write.Unlock()
		if want(f) {
			return f
		}
	}
}

// status reads on to the answer of a stream: its status, or "reset", or "end" of the connection.
func (c *h2client) status(stream uint32) string {
	f := c.until(func(f http2.Frame) bool {
		_, head := f.(*http2.MetaHeadersFrame)
		_, reset := f.(*http2.RSTStreamFrame)
		return f.Header().StreamID == stream && (head || reset)
	})
	switch f := f.(type) {
	case *http2.MetaHeadersFrame:
		return f.PseudoValue("status")
	case *http2.RSTStreamFrame:
		return "reset"
	}
	return "end"
}

func h2Fields(more ...string) []string {
	return append([]string{":method", "GET", ":scheme", "https", ":authority", "a", ":path", "/"}, more...)
}

// streamHead is the head of a request over HTTP/2 or HTTP/3, and what comes of it: a status, or "reset" in place of 400.
type streamHead struct {
	rule   string
	fields []string
	want   string
}

// streamHeads: what net/http lets pass in HTTP/2, or quic-go in HTTP/3, and the lane does not. T8, T13, T24.
func streamHeads() []streamHead {
	request := func(method, authority, path string, more ...string) []string {
		return append([]string{":method", method, ":scheme", "https", ":authority", authority, ":path", path}, more...)
	}
	return []streamHead{
		{"plain", h2Fields(), "200"},
		{"Host like authority", h2Fields("host", "a"), "200"},
		{"Host like authority, normalised", h2Fields("host", "A:443"), "200"},
		{"Host of another port", h2Fields("host", "a:80"), "400"},
		{"Host for authority", []string{":method", "GET", ":scheme", "https", ":path", "/", "host", "a"}, "200"},
		{"asterisk", request("OPTIONS", "a", "*"), "200"},
		{"Host unlike authority", h2Fields("host", "b"), "400"},
		{"Host twice", h2Fields("host", "a", "host", "a"), "400"},
		{"no authority", []string{":method", "GET", ":scheme", "https", ":path", "/"}, "400"},
		{"authority list", request("GET", "a,b", "/"), "400"},
		{"method with a space", request("G ET", "a", "/"), "400"},
		{"space before a value", h2Fields("x", " y"), "400"},
		{"tab behind a value", h2Fields("x", "y\t"), "400"},
		{"empty value", h2Fields("x", ""), "200"},
		{"fragment", request("GET", "a", "/#b"), "400"},
		{"path beyond ASCII", request("GET", "a", "/\xc3\xa9"), "400"},
		{"space in the path", request("GET", "a", "/a b"), "400"},
		{"path of a request line", request("GET", "a", "/ HTTP/1.1\r\nx: y"), "400"},
		{"long path", request("GET", "a", "/"+repeat("a", 2000)), "414"},
		{"many fields", h2Fields(strings.Fields(repeat("x y ", 21))...), "431"},
		{"header list beyond the limit", h2Fields(strings.Fields(repeat("x "+repeat("y", 1000)+" ", 9))...), "431"},
		{"length twice", h2Fields("content-length", "0", "content-length", "0"), "400"},
		{"length with plus", h2Fields("content-length", "+0"), "400"},
		{"length with zeros", h2Fields("content-length", "00"), "400"},
		{"length without body", h2Fields("content-length", "5"), "400"},
		{"transfer-encoding", h2Fields("transfer-encoding", "chunked"), "400"},
		{"connection", h2Fields("connection", "close"), "400"},
		{"upgrade", h2Fields("upgrade", "h2c"), "400"},
		{"forbidden trailer announced", h2Fields("trailer", "cookie"), "400"},
		{"other expectation", h2Fields("expect", "x"), "417"},
		{"CONNECT", []string{":method", "CONNECT", ":authority", "a:443"}, "501"},
	}
}

func (h streamHead) gives(got string) bool { return got == h.want || h.want == "400" && got == "reset" }

func TestHTTP2Heads(t *testing.T) {
	for _, row := range streamHeads() {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, echo, nil).start(serverTLS())
			c := newH2(t, r.l)
			c.ask(1, true, row.fields...)
			if got := c.status(1); !row.gives(got) {
				t.Errorf("%s: %s, want %s", row.rule, got, row.want)
			}
			c.ask(3, true, h2Fields()...)
			if got := c.status(3); got != "200" {
				t.Errorf("%s: the request behind it: %s, want 200", row.rule, got)
			}
		})
	}
}

// TestHTTP2Transport: net/http's own client, bodies and trailers, over the lane.
func TestHTTP2Transport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, echo, nil).start(serverTLS())
		tr := &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: clientConfig("h2"), DialContext: r.l.dialContext}
		defer tr.CloseIdleConnections()
		for range 3 {
			req, _ := http.NewRequest("POST", "https://test/x", io.NopCloser(strings.NewReader("hello")))
			answer, err := tr.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(answer.Body)
			if answer.ProtoMajor != 2 || string(body) != `POST /x test "hello" map[]` {
				t.Errorf("%s %q", answer.Proto, body)
			}
		}
		if n := r.Stats().Accepted; n != 1 {
			t.Errorf("accepted = %d, want 1", n)
		}
	})
}

// TestHTTP2ShutWindow: a stream whose client takes nothing is reset when the patience ends; one that takes little is not.
// Nothing waits on the socket for either. T21, T22.
func TestHTTP2ShutWindow(t *testing.T) {
	for _, row := range []struct {
		rule string
		do   func(w http.ResponseWriter, rc *http.ResponseController)
		want time.Duration
	}{
		{"in a Write", func(w http.ResponseWriter, _ *http.ResponseController) {
			_, _ = w.Write(make([]byte, 100<<10))
		}, testTimeouts.Write},
		{"in what is flushed after the handler", func(w http.ResponseWriter, _ *http.ResponseController) {
			_, _ = w.Write(make([]byte, 1<<10))
		}, testTimeouts.Write},
		{"in a Flush", func(w http.ResponseWriter, rc *http.ResponseController) {
			_, _ = w.Write(make([]byte, 1<<10))
			if err := rc.Flush(); err == nil {
				t.Error("Flush: no error")
			}
		}, testTimeouts.Write},
		{"patience set by the handler", func(w http.ResponseWriter, rc *http.ResponseController) {
			_ = rc.SetWriteDeadline(time.Now().Add(time.Hour))
			_, _ = w.Write(make([]byte, 100<<10))
		}, time.Hour},
		{"patience lifted again", func(w http.ResponseWriter, rc *http.ResponseController) {
			_ = rc.SetWriteDeadline(time.Now().Add(time.Hour))
			_ = rc.SetWriteDeadline(time.Time{})
			_, _ = w.Write(make([]byte, 100<<10))
		}, testTimeouts.Write},
		{"no patience", func(w http.ResponseWriter, rc *http.ResponseController) {
			w.(http.Flusher).Flush()
			synctest.Wait() // the head is out
			_ = rc.SetWriteDeadline(time.Unix(1, 0))
			_, _ = w.Write(make([]byte, 1<<10))
		}, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, func(w http.ResponseWriter, r *http.Request) {
				row.do(w, http.NewResponseController(w))
			}, func(c *Config) { c.Idle = 0 }).start(serverTLS())
			c := newH2(t, r.l, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
			c.ask(1, true, h2Fields()...)
			if got := c.status(1); got != "200" {
				t.Fatalf("%s: status %s", row.rule, got)
			}
			start := time.Now()
			if got := c.status(1); got != "reset" || time.Since(start) != row.want {
				t.Errorf("%s: %s after %v, want reset after %v", row.rule, got, time.Since(start), row.want)
			}
		})
	}
}

func TestHTTP2SlowWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		done := make(chan error, 1)
		r := newRig(t, func(w http.ResponseWriter, r *http.Request) {
			_, err := w.Write(make([]byte, 200<<10))
			advanceOnly(time.Hour) // a quiet handler is not a stuck client
			_, more := w.Write(make([]byte, 10<<10))
			done <- errors.Join(err, more)
		}, func(c *Config) { c.Idle = 0 }).start(serverTLS())
		c := newH2(t, r.l, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
		c.ask(1, true, h2Fields()...)
		go func() {
			for range 30 {
				advanceOnly(testTimeouts.Write / 2)
				c.write.Lock()
				_ = c.fr.WriteWindowUpdate(0, 16<<10) // the server may be done
				_ = c.fr.WriteWindowUpdate(1, 16<<10)
				c.write.Unlock()
			}
		}()
		if f := c.until(func(f http2.Frame) bool {
			data, ok := f.(*http2.DataFrame)
			return ok && data.StreamEnded()
		}); f == nil {
			t.Error("the connection ended")
		}
		if err := <-done; err != nil {
			t.Errorf("write: %v", err)
		}
	})
}

// TestHTTP2Shutdown: GOAWAY, the stream under way is answered, the connection ends; an idle one ends too.
func TestHTTP2Shutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		r := newRig(t, func(w http.ResponseWriter, r *http.Request) {
			<-release
			echo(w, r)
		}, nil).start(serverTLS())
		busy, unused := newH2(t, r.l), newH2(t, r.l)
		busy.ask(1, true, h2Fields()...)
		synctest.Wait()
		ended := make(chan error, 1)
		go func() { ended <- r.Shutdown(context.Background()) }()
		isGoAway := func(f http2.Frame) bool { _, ok := f.(*http2.GoAwayFrame); return ok }
		if busy.until(isGoAway) == nil || unused.until(isGoAway) == nil {
			t.Error("no GOAWAY")
		}
		if unused.until(isGoAway) != nil {
			t.Error("an unused connection goes on")
		}
		close(release)
		if got := busy.status(1); got != "200" {
			t.Errorf("under way: %s, want 200", got)
		}
		if err := <-ended; err != nil {
			t.Errorf("Shutdown = %v", err)
		}
	})
}

// TestHTTP2MakesWay: an idle HTTP/2 connection makes way as any other.
func TestHTTP2MakesWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, echo, func(c *Config) { c.Conns = 2 }).start(serverTLS())
		first, second := newH2(t, r.l), newH2(t, r.l)
		first.ask(1, true, h2Fields()...)
		if got := first.status(1); got != "200" {
			t.Fatalf("status %s", got)
		}
		advance(time.Second)
		second.ask(1, true, h2Fields()...)
		if got := second.status(1); got != "200" {
			t.Fatalf("status %s", got)
		}
		third := newH2(t, r.l)
		third.ask(1, true, h2Fields()...)
		if got := third.status(1); got != "200" {
			t.Errorf("status %s", got)
		}
		if got := first.status(3); got != "end" {
			t.Errorf("the one idle longest: %s, want end", got)
		}
	})
}

// TestHTTP2Reconfigure: new connections get the new header list limit; those that are there keep what they were told.
func TestHTTP2Reconfigure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, echo, nil).start(serverTLS())
		old := newH2(t, r.l)
		synctest.Wait()
		limits := testLimits
		limits.Head = 20 << 10
		r.Reconfigure(limits, testTimeouts)
		fresh := newH2(t, r.l)
		for _, row := range []struct {
			c    *h2client
			want string
		}{{old, "431"}, {fresh, "200"}} {
			row.c.ask(1, true, h2Fields(strings.Fields(repeat("x "+repeat("y", 1000)+" ", 12))...)...)
			if got := row.c.status(1); got != row.want {
				t.Errorf("status %s, want %s", got, row.want)
			}
		}
	})
}
