package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
)

// TestInternalCertificates: who trusts what `cert root` prints can use a site with issuer: internal; the state folder is all
// that has to survive.
func TestInternalCertificates(t *testing.T) {
	state := t.TempDir() + "/state"
	c, _, stderr := testConsole()
	if code := run([]string{"cert", "root", "--state", state}, c); code != exitFailed || !strings.Contains(stderr.String(), "no CA yet") {
		t.Errorf("cert root before the first start: exit code = %d, %q, want 1 and a reason", code, stderr)
	}
	tn := startNodeWith(t, `
  - hosts: [site.test]
    origin: app
    tls: {issuer: internal}
tls: {state: `+state+`}
`)
	c, out, stderr := testConsole()
	if code := run([]string{"cert", "root", "--state", state}, c); code != exitOK || strings.Contains(out.String(), "PRIVATE") {
		t.Errorf("cert root: exit code = %d, %q, %q, want 0 and no key", code, out, stderr)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(out.Bytes()) {
		t.Fatalf("cert root printed %q", out)
	}
	response, err := tn.secureClient(roots).Get("https://site.test")
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusOK || response.ProtoMajor != 2 {
		t.Errorf("GET https://site.test: %s %s, want 200 over HTTP/2", response.Proto, response.Status)
	}
	tn.signals <- syscall.SIGTERM
	if err := <-tn.done; err != nil {
		t.Errorf("run: %v", err)
	}
}

// secureClient trusts roots, and finds every host at the node's second listener.
func (tn *testNode) secureClient(roots *x509.CertPool) *http.Client {
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, tn.edge.Addrs()[1].String())
		},
	}
	tn.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}
