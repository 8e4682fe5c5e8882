package origin

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"
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
	c := patientConfig()
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
			if row.errorType == typeConnectTimeout {
				c.Timeouts.Connect = 200 * time.Millisecond
			}
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
