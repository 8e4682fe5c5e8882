package origin

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// TestHTTP2 is chosen by ALPN, and everything holds there too.
func TestHTTP2(t *testing.T) {
	a := newAuthority(t)
	certificate := a.leaf(t, "origin.test", time.Now().Add(time.Hour))
	release := make(chan struct{})
	defer close(release)
	hang := func(r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-release:
		}
	}
	dial := tlsServer(t, certificate, []string{"h2", "http/1.1"}, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/":
			w.Header().Set("Trailer", "Grpc-Status")
			body, _ := io.ReadAll(r.Body)
			io.WriteString(w, strings.Join([]string{r.Proto, r.Host, r.UserAgent(), r.Header.Get("Accept-Encoding"), string(body)}, "|"))
			w.Header().Set("Grpc-Status", r.Trailer.Get("Sum"))
		case "/silent":
			hang(r)
		case "/hang":
			w.Write([]byte("abc"))
			w.(http.Flusher).Flush()
			hang(r)
		case "/short":
			w.Header().Set("Content-Length", "5")
			w.Write([]byte("abc"))
		case "/abort":
			w.Write([]byte("abc"))
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}
	})
	var dials atomic.Int64
	p := newPool(t, tlsConfig(a), func(ctx context.Context, network, address string) (net.Conn, error) {
		dials.Add(1)
		return dial(ctx, network, address)
	})
	defer p.Close()

	r := newRequest(t, "POST", "/", io.MultiReader(strings.NewReader("abc")))
	r.Host, r.Trailer = "www.example.com", http.Header{"Sum": {"7"}}
	response := wantBody(t, p, r, 200, "HTTP/2.0|www.example.com|||abc")
	if got := response.Trailer.Get("Grpc-Status"); got != "7" {
		t.Errorf("trailer = %q, want 7", got)
	}
	c := tlsConfig(a)
	c.Timeouts.FirstByte = 100 * time.Millisecond
	soon := newPool(t, c, dial)
	defer soon.Close()
	c = tlsConfig(a)
	c.Timeouts.Gap = time.Second // what is there comes meanwhile
	later := newPool(t, c, dial)
	defer later.Close()
	for _, row := range []struct {
		pool                  *Pool
		path, body, errorType string
		status                int
		unreachable           bool
	}{
		{soon, "/silent", "", typeResponseTimeout, 504, true},
		{later, "/hang", "abc", typeReadTimeout, 504, false},
		{p, "/short", "abc", typeResponseIncomplete, 502, false},
		{p, "/abort", "abc", typeResponseIncomplete, 502, false},
	} {
		_, body, err := exchangeOnce(row.pool, newRequest(t, "GET", row.path, nil))
		failure := wantFailure(t, err, row.errorType, row.status)
		if body != row.body || failure.Unreachable != row.unreachable {
			t.Errorf("GET %s: body = %q, unreachable = %t", row.path, body, failure.Unreachable)
		}
	}
	if n := dials.Load(); n != 2 { // before the handshake nobody knows that HTTP/2 needs none apart for bodies
		t.Errorf("%d connections, want 2", n)
	}
}

// TestResetStream: net/http sends a request again whose HTTP/2 stream was reset with PROTOCOL_ERROR, whatever its method, and as often
// as that is its fate. Only for a connection that was kept there is a reason.
func TestResetStream(t *testing.T) {
	for _, row := range []struct {
		method     string
		well, want int64 // requests that are answered, and how often the next is sent
	}{{"POST", 0, 1}, {"POST", 1, 1}, {"GET", 0, 1}, {"GET", 1, 2}} {
		t.Run(fmt.Sprint(row.method, " after ", row.well), func(t *testing.T) {
			a := newAuthority(t)
			var requests atomic.Int64
			p := newPool(t, tlsConfig(a), framedServer(t, a, func(f *http2.Framer, stream uint32) {
				if requests.Add(1) <= row.well {
					writeHead(f, stream, ":status", "200")
					f.WriteData(stream, true, []byte("ok"))
					return
				}
				f.WriteRSTStream(stream, http2.ErrCodeProtocol)
			}))
			defer p.Close()
			for range row.well {
				wantBody(t, p, newRequest(t, "GET", "/", nil), 200, "ok")
			}
			_, err := p.RoundTrip(newRequest(t, row.method, "/", nil))
			wantFailure(t, err, typeTerminated, 502)
			if n := requests.Load() - row.well; n != row.want {
				t.Errorf("the request was sent %d times, want %d", n, row.want)
			}
		})
	}
}

// TestHTTP2Length: over HTTP/2 an answer of the wrong length is malformed (RFC 9113, section 8.1.1), but a client of HTTP/1 takes it
// for whole with the last byte that was promised. So that one is held back until the stream has ended.
func TestHTTP2Length(t *testing.T) {
	const ends, goesOn = true, false
	for _, row := range []struct {
		name string
		send func(f *http2.Framer, stream uint32)
		want string
	}{
		{"as promised", func(f *http2.Framer, stream uint32) { f.WriteData(stream, ends, []byte("abc")) }, ""},
		{"as promised, with an end of its own", func(f *http2.Framer, stream uint32) {
			f.WriteData(stream, goesOn, []byte("abc"))
			f.WriteData(stream, ends, nil)
		}, ""},
		{"in one frame too long", func(f *http2.Framer, stream uint32) { f.WriteData(stream, ends, []byte("abcd")) }, typeResponseIncomplete},
		{"in one frame more", func(f *http2.Framer, stream uint32) {
			f.WriteData(stream, goesOn, []byte("abc"))
			f.WriteData(stream, ends, []byte("d"))
		}, typeResponseIncomplete},
		{"and then reset", func(f *http2.Framer, stream uint32) {
			f.WriteData(stream, goesOn, []byte("abc"))
			f.WriteRSTStream(stream, http2.ErrCodeInternal)
		}, typeResponseIncomplete},
		{"and no end", func(f *http2.Framer, stream uint32) { f.WriteData(stream, goesOn, []byte("abc")) }, typeReadTimeout},
	} {
		t.Run(row.name, func(t *testing.T) {
			a := newAuthority(t)
			c := tlsConfig(a)
			if row.want == typeReadTimeout {
				c.Timeouts.Gap = 100 * time.Millisecond
			}
			p := newPool(t, c, framedServer(t, a, func(f *http2.Framer, stream uint32) {
				writeHead(f, stream, ":status", "200", "content-length", "3")
				row.send(f, stream)
			}))
			defer p.Close()
			_, body, err := exchangeOnce(p, newRequest(t, "GET", "/", nil))
			if row.want == "" {
				if body != "abc" || err != nil {
					t.Errorf("the body is %q, %v", body, err)
				}
				return
			}
			wantFailure(t, err, row.want, statusOf(row.want))
			if body == "abc" {
				t.Error("the body looks whole")
			}
		})
	}
}

// TestHTTP2Interim: of interim responses there may be as many as over HTTP/1, whoever is told of them.
func TestHTTP2Interim(t *testing.T) {
	for n, want := range map[int]string{maxInterim: "", maxInterim + 1: typeProtocol} {
		a := newAuthority(t)
		p := newPool(t, tlsConfig(a), framedServer(t, a, func(f *http2.Framer, stream uint32) {
			for range n {
				writeHead(f, stream, ":status", "103")
			}
			writeHead(f, stream, ":status", "200")
			f.WriteData(stream, true, []byte("ok"))
		}))
		var got codes
		ctx := WithWitness(t.Context(), &got)
		_, body, err := exchangeOnce(p, newRequest(t, "GET", "/", nil).WithContext(ctx))
		if want != "" {
			wantFailure(t, err, want, 502)
		} else if err != nil || body != "ok" || len(got) != n {
			t.Errorf("after %d: %q, %v, told of %d", n, body, err, len(got))
		}
		p.Close()
	}
}

// TestHTTP2BodyGoesOn from where it broke off, unless trailers were to follow it.
func TestHTTP2BodyGoesOn(t *testing.T) {
	for trailer, want := range map[string]int64{"": 2, "digest": 1} {
		var requests atomic.Int64
		a := newAuthority(t)
		c := tlsConfig(a)
		c.Retry.Attempts = 2
		p := newPool(t, c, framedServer(t, a, func(f *http2.Framer, stream uint32) {
			if requests.Add(1) == 2 {
				writeHead(f, stream, ":status", "206", "etag", `"1"`, "content-length", "2", "content-range", "bytes 1-2/3")
				f.WriteData(stream, true, []byte("bc"))
				return
			}
			fields := []string{":status", "200", "etag", `"1"`, "content-length", "3"}
			if trailer != "" {
				fields = append(fields, "trailer", trailer)
			}
			writeHead(f, stream, fields...)
			f.WriteData(stream, false, []byte("a"))
			f.WriteRSTStream(stream, http2.ErrCodeInternal)
		}))
		_, body, err := exchangeOnce(p, newRequest(t, "GET", "/", nil))
		if whole := err == nil && body == "abc"; whole != (want == 2) || requests.Load() != want {
			t.Errorf("trailer %q: %q, %v after %d requests, want %d", trailer, body, err, requests.Load(), want)
		}
		p.Close()
	}
}

// writeHead writes names and values as the head of an answer.
func writeHead(f *http2.Framer, stream uint32, fields ...string) {
	var head bytes.Buffer
	out := hpack.NewEncoder(&head)
	for pair := range slices.Chunk(fields, 2) {
		out.WriteField(hpack.HeaderField{Name: pair[0], Value: pair[1]})
	}
	f.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: head.Bytes(), EndHeaders: true})
}

// framedServer answers every request over HTTP/2 with the frames that answer writes. At the end of the test it hangs up: p.Close
// may come before net/http is done with a stream, and leaves its connection then.
func framedServer(t *testing.T, a *authority, answer func(f *http2.Framer, stream uint32)) Dialer {
	t.Helper()
	config := &tls.Config{Certificates: []tls.Certificate{a.leaf(t, "origin.test", time.Now().Add(time.Hour))}, NextProtos: []string{"h2"}}
	return dialTo(listen(t, func(raw net.Conn) {
		defer context.AfterFunc(t.Context(), func() { raw.Close() })()
		c := tls.Server(raw, config)
		io.ReadFull(c, make([]byte, len(http2.ClientPreface)))
		framer := http2.NewFramer(c, c)
		framer.WriteSettings()
		for {
			frame, err := framer.ReadFrame()
			if err != nil {
				return
			}
			switch frame := frame.(type) {
			case *http2.SettingsFrame:
				if !frame.IsAck() {
					framer.WriteSettingsAck()
				}
			case *http2.PingFrame:
				framer.WritePing(true, frame.Data)
			case *http2.HeadersFrame:
				answer(framer, frame.StreamID)
			}
		}
	}))
}
