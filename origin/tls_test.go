package origin

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// authority signs the certificates of a test.
type authority struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	file string // PEM, for TLSConfig.CA
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{key: key, cert: cert, file: filepath.Join(t.TempDir(), "ca.pem")}
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	if err := os.WriteFile(a.file, block, 0o600); err != nil {
		t.Fatal(err)
	}
	return a
}

// leaf is a certificate for name that ends at notAfter.
func (a *authority) leaf(t *testing.T, name string, notAfter time.Time) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), DNSNames: []string{name},
		NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: notAfter,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// tlsServer serves HTTP/2 and HTTP/1 on a real socket: crypto/tls and HTTP/2 have deadlines and goroutines of their own.
func tlsServer(t *testing.T, certificate tls.Certificate, protocols []string, handler http.HandlerFunc) (dial Dialer) {
	t.Helper()
	server := httptest.NewUnstartedServer(handler)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.EnableHTTP2 = protocols[0] == "h2"
	server.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}, NextProtos: protocols}
	server.StartTLS()
	t.Cleanup(server.Close)
	return dialTo(server.Listener.Addr())
}

// dialTo connects to a whatever the address asked for.
func dialTo(a net.Addr) Dialer {
	return func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, a.Network(), a.String())
	}
}

func tlsConfig(a *authority) Config {
	c := testConfig()
	c.URLs = []string{"https://origin.test"}
	c.TLS.CA = a.file
	return c
}

func TestTLSVerification(t *testing.T) {
	a, stranger := newAuthority(t), newAuthority(t)
	later := time.Now().Add(time.Hour)
	for _, row := range []struct {
		name        string
		certificate tls.Certificate
		change      func(*TLSConfig)
		errorType   string // "" is success
	}{
		{"good", a.leaf(t, "origin.test", later), nil, ""},
		{"wrong name", a.leaf(t, "other.test", later), nil, typeTLSCertificate},
		{"another name to verify", a.leaf(t, "other.test", later), func(c *TLSConfig) { c.Name = "other.test" }, ""},
		{"expired", a.leaf(t, "origin.test", time.Now().Add(-time.Hour)), nil, typeTLSCertificate},
		{"unknown authority", stranger.leaf(t, "origin.test", later), nil, typeTLSCertificate},
		{"not among the system's", a.leaf(t, "origin.test", later), func(c *TLSConfig) { c.CA = "" }, typeTLSCertificate},
		{"insecure", stranger.leaf(t, "other.test", later), func(c *TLSConfig) { *c = TLSConfig{Insecure: true} }, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			dial := tlsServer(t, row.certificate, []string{"http/1.1"}, func(w http.ResponseWriter, r *http.Request) {
				io.WriteString(w, r.TLS.ServerName)
			})
			c := tlsConfig(a)
			if row.change != nil {
				row.change(&c.TLS)
			}
			p := newPool(t, c, dial)
			defer p.Close()
			_, body, err := exchangeOnce(p, newRequest(t, "GET", "/", nil))
			if row.errorType != "" {
				wantFailure(t, err, row.errorType, 502)
				return
			}
			want := "origin.test"
			if c.TLS.Name != "" {
				want = c.TLS.Name
			}
			if err != nil || body != want {
				t.Errorf("server name = %q, %v; want %q", body, err, want)
			}
		})
	}
}

func TestTLSHandshakeFailures(t *testing.T) {
	a := newAuthority(t)
	for _, row := range []struct {
		name      string
		serve     func(net.Conn)
		errorType string
		status    int
	}{
		{"not TLS", func(c net.Conn) { io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n") }, typeTLSProtocol, 502},
		{"closed", func(c net.Conn) { c.Read(make([]byte, 1024)) }, typeTerminated, 502},
		{"an alert", func(c net.Conn) { c.Read(make([]byte, 4096)); c.Write([]byte{21, 3, 3, 0, 2, 2, 40}) }, typeTLSAlert, 502},
		{"silent", func(c net.Conn) { io.Copy(io.Discard, c) }, typeConnectTimeout, 504},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := tlsConfig(a)
			c.Timeouts.Connect = 200 * time.Millisecond
			p := newPool(t, c, dialTo(listen(t, row.serve)))
			_, err := p.RoundTrip(newRequest(t, "GET", "/", nil))
			if failure := wantFailure(t, err, row.errorType, row.status); !failure.Unreachable {
				t.Error("not unreachable, though there was no connection")
			}
		})
	}
}

// listen serves one connection after the other on loopback.
func listen(t *testing.T, serve func(net.Conn)) net.Addr {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			serve(c)
			c.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return l.Addr()
}

// TestCloseNotify: a body that ends with the connection is whole only if TLS says so.
func TestCloseNotify(t *testing.T) {
	a := newAuthority(t)
	certificate := a.leaf(t, "origin.test", time.Now().Add(time.Hour))
	const untilClose = "HTTP/1.1 200 OK\r\n\r\nhello"
	for _, row := range []struct {
		name   string
		answer string
		polite bool
		whole  bool
	}{
		{"until close, with close_notify", untilClose, true, true},
		{"until close, cut", untilClose, false, false},
		{"length, cut after it", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", false, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			addr := listen(t, func(raw net.Conn) {
				c := tls.Server(raw, &tls.Config{Certificates: []tls.Certificate{certificate}})
				c.Read(make([]byte, 4096))
				io.WriteString(c, row.answer)
				if row.polite {
					c.Close()
				}
			})
			p := newPool(t, tlsConfig(a), dialTo(addr))
			defer p.Close()
			_, body, err := exchangeOnce(p, newRequest(t, "GET", "/", nil))
			if body != "hello" {
				t.Errorf("body = %q, want hello", body)
			}
			if row.whole && err != nil {
				t.Error(err)
			}
			if !row.whole {
				wantFailure(t, err, typeResponseIncomplete, 502)
			}
		})
	}
}

// TestOwnCloseNotify: an upstream that was given up, and says goodbye to our goodbye, has not ended its body.
func TestOwnCloseNotify(t *testing.T) {
	a := newAuthority(t)
	certificate := a.leaf(t, "origin.test", time.Now().Add(time.Hour))
	dial := dialTo(listen(t, func(raw net.Conn) {
		c := tls.Server(raw, &tls.Config{Certificates: []tls.Certificate{certificate}})
		c.Read(make([]byte, 4096))
		io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\nhello")
		io.Copy(io.Discard, c)
		c.Close()
	}))
	c := tlsConfig(a)
	c.Timeouts.Gap = 50 * time.Millisecond
	p := newPool(t, c, func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := dial(ctx, network, address)
		return late{c}, err
	})
	defer p.Close()
	_, _, err := exchangeOnce(p, newRequest(t, "GET", "/", nil))
	wantFailure(t, err, typeReadTimeout, 504)
}

// late is a connection that is closed by the other side before this one is done with it.
type late struct{ net.Conn }

func (late) Close() error { return nil }

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
	c := tlsConfig(a)
	c.Timeouts.FirstByte, c.Timeouts.Gap = 200*time.Millisecond, 200*time.Millisecond
	var dials atomic.Int64
	p := newPool(t, c, func(ctx context.Context, network, address string) (net.Conn, error) {
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
	for _, row := range []struct {
		path, body, errorType string
		status                int
		unreachable           bool
	}{
		{"/silent", "", typeResponseTimeout, 504, true},
		{"/hang", "abc", typeReadTimeout, 504, false},
		{"/short", "abc", typeResponseIncomplete, 502, false},
		{"/abort", "abc", typeResponseIncomplete, 502, false},
	} {
		_, body, err := exchangeOnce(p, newRequest(t, "GET", row.path, nil))
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
			c := tlsConfig(a)
			c.Timeouts.Idle = 50 * time.Millisecond // p.Close may come before net/http is done with the second stream
			p := newPool(t, c, framedServer(t, a, func(f *http2.Framer, stream uint32) {
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
			c.Timeouts.Gap, c.Timeouts.Idle = 100*time.Millisecond, 50*time.Millisecond
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
		c := tlsConfig(a)
		c.Timeouts.Idle = 50 * time.Millisecond
		p := newPool(t, c, framedServer(t, a, func(f *http2.Framer, stream uint32) {
			for range n {
				writeHead(f, stream, ":status", "103")
			}
			writeHead(f, stream, ":status", "200")
			f.WriteData(stream, true, []byte("ok"))
		}))
		ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
			Got1xxResponse: func(int, textproto.MIMEHeader) error { return nil },
		})
		_, body, err := exchangeOnce(p, newRequest(t, "GET", "/", nil).WithContext(ctx))
		if want != "" {
			wantFailure(t, err, want, 502)
		} else if err != nil || body != "ok" {
			t.Errorf("after %d: %q, %v", n, body, err)
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

// framedServer answers every request over HTTP/2 with the frames that answer writes.
func framedServer(t *testing.T, a *authority, answer func(f *http2.Framer, stream uint32)) Dialer {
	t.Helper()
	config := &tls.Config{Certificates: []tls.Certificate{a.leaf(t, "origin.test", time.Now().Add(time.Hour))}, NextProtos: []string{"h2"}}
	return dialTo(listen(t, func(raw net.Conn) {
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
