package origin

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestProtocols: what is spoken, by what is configured and what the upstream can. HTTP/2 has goroutines and deadlines of its
// own, so these are real sockets.
func TestProtocols(t *testing.T) {
	a := newAuthority(t)
	certificate := a.leaf(t, "origin.test", time.Now().Add(time.Hour))
	for _, row := range []struct {
		protocol, scheme string
		speaks           []string // h2 and http/1.1, or h2c
		want             string   // version, or error type
	}{
		{"auto", "http", []string{"http/1.1"}, "HTTP/1.1"},
		{"auto", "http", []string{"h2c", "http/1.1"}, "HTTP/1.1"},
		{"http1", "http", []string{"h2c", "http/1.1"}, "HTTP/1.1"},
		{"http2", "http", []string{"h2c", "http/1.1"}, "HTTP/2.0"},
		{"http2", "http", []string{"h2c"}, "HTTP/2.0"},
		{"auto", "https", []string{"h2", "http/1.1"}, "HTTP/2.0"},
		{"auto", "https", []string{"http/1.1"}, "HTTP/1.1"},
		{"http1", "https", []string{"h2", "http/1.1"}, "HTTP/1.1"},
		{"http2", "https", []string{"h2", "http/1.1"}, "HTTP/2.0"},
		{"http2", "https", []string{"http/1.1"}, typeTLSAlert},
	} {
		t.Run(fmt.Sprint(row.protocol, " ", row.scheme, " ", row.speaks), func(t *testing.T) {
			c := tlsConfig(a)
			c.Protocol = row.protocol
			handler := func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Proto) }
			var dial Dialer
			if row.scheme == "https" {
				dial = tlsServer(t, certificate, row.speaks, handler)
			} else {
				c.URLs, c.TLS = []string{"http://origin.test"}, TLSConfig{}
				dial = plainServer(t, row.speaks, handler)
			}
			p := newPool(t, c, dial)
			defer p.Close()
			for range 2 {
				response, body, err := exchangeOnce(p, newRequest(t, "GET", "/", nil))
				if err != nil {
					wantFailure(t, err, row.want, 502)
				} else if body != row.want || response.Proto != row.want {
					t.Errorf("spoke %s, and %s back; want %s", body, response.Proto, row.want)
				}
			}
		})
	}
}

func plainServer(t *testing.T, speaks []string, handler http.HandlerFunc) Dialer {
	server := httptest.NewUnstartedServer(handler)
	server.Config.Protocols = new(http.Protocols)
	for _, protocol := range speaks {
		switch protocol {
		case "h2c":
			server.Config.Protocols.SetUnencryptedHTTP2(true)
		default:
			server.Config.Protocols.SetHTTP1(true)
		}
	}
	server.Start()
	t.Cleanup(server.Close)
	return dialTo(server.Listener.Addr())
}

// TestClientCertificate: an upstream that wants one gets it, and without it there is no answer.
func TestClientCertificate(t *testing.T) {
	a := newAuthority(t)
	later := time.Now().Add(time.Hour)
	own := a.leaf(t, "edge.test", later)
	cert, key := writePair(t, own)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, r.TLS.PeerCertificates[0].DNSNames[0])
	}))
	server.TLS = &tls.Config{Certificates: []tls.Certificate{a.leaf(t, "origin.test", later)}, ClientAuth: tls.RequireAnyClientCert}
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	for _, with := range []bool{true, false} {
		c := tlsConfig(a)
		if with {
			c.TLS.Cert, c.TLS.Key = cert, key
		}
		p := newPool(t, c, dialTo(server.Listener.Addr()))
		_, body, err := exchangeOnce(p, newRequest(t, "GET", "/", nil))
		if with && (err != nil || body != "edge.test") {
			t.Errorf("with a certificate: %q, %v", body, err)
		}
		if !with && err == nil {
			t.Errorf("without one: %q, want a failure", body)
		}
		p.Close()
	}
}

// writePair writes a certificate and its key as PEM files.
func writePair(t *testing.T, own tls.Certificate) (cert, key string) {
	t.Helper()
	folder := t.TempDir()
	cert, key = filepath.Join(folder, "cert.pem"), filepath.Join(folder, "key.pem")
	der, err := x509.MarshalPKCS8PrivateKey(own.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{
		cert: {Type: "CERTIFICATE", Bytes: own.Certificate[0]}, key: {Type: "PRIVATE KEY", Bytes: der},
	} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

// TestExpiryOnOneOfThree: the certificate of one upstream runs out; no request fails, and it is ejected.
func TestExpiryOnOneOfThree(t *testing.T) {
	a := newAuthority(t)
	handler := func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "ok") }
	dials := map[string]Dialer{}
	c := tlsConfig(a)
	c.URLs, c.Retry = nil, DefaultConfig().Retry
	for i := range 3 {
		name := fmt.Sprintf("u%d.test", i)
		ends := time.Now().Add(time.Hour)
		if i == 1 {
			ends = time.Now().Add(-time.Minute)
		}
		c.URLs = append(c.URLs, "https://"+name)
		dials[name+":443"] = tlsServer(t, a.leaf(t, name, ends), []string{"h2", "http/1.1"}, handler)
	}
	p := newPool(t, c, func(ctx context.Context, network, address string) (net.Conn, error) {
		return dials[address](ctx, network, address)
	})
	defer p.Close()
	for range 30 {
		wantBody(t, p, newRequest(t, "GET", "/", nil), 200, "ok")
	}
	if s := p.Status().Upstreams[1]; s.State != StateEjected || s.Why != "failures in a row: tls_certificate_error" {
		t.Errorf("u1 is %s (%s), want it ejected for its certificate", s.State, s.Why)
	}
}
