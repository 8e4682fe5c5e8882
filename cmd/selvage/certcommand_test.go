package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"selvage/testdata/acmeca"
	"selvage/tlsmgr"
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

// secureClient trusts roots, and finds every host at the node's listeners. It follows no redirects.
func (tn *testNode) secureClient(roots *x509.CertPool) *http.Client {
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			listener := 1
			if strings.HasSuffix(address, ":80") {
				listener = 0
			}
			return new(net.Dialer).DialContext(ctx, network, tn.edge.Addrs()[listener].String())
		},
	}
	tn.t.Cleanup(transport.CloseIdleConnections)
	asked := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &http.Client{Transport: transport, CheckRedirect: asked}
}

// TestOrderedCertificate: a node with nothing but a name gets a certificate by the challenge that its http listener answers,
// and from then on sends http to https. `cert ls` tells of it.
func TestOrderedCertificate(t *testing.T) {
	plain, secure, nobody := freePort(t), freePort(t), freePort(t)
	ca, err := acmeca.Start(acmeca.Rules{HTTPPort: plain, TLSPort: nobody, Setenv: t.Setenv})
	if err != nil {
		t.Fatal(err)
	}
	defer ca.Close()
	folder := t.TempDir()
	if err := os.WriteFile(folder+"/ca.pem", ca.Trust, 0o600); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	tn := startNodeOn(t, fmt.Sprintf(`[{address: "127.0.0.1:%d"}, {address: "127.0.0.1:%d", tls: {}}]`, plain, secure), fmt.Sprintf(`
  - hosts: [site.example.com]
    origin: app
  - hosts: [closed.example.com]
    origin: app
    allow: [192.0.2.1] # the CA is nobody's client
tls: {state: %s/state, acme: {directory: %q, ca: %s/ca.pem, accept_terms: true}}
`, folder, ca.Directory, folder))
	for i, row := range []struct {
		url    string
		status int
		field  string
		value  string // a part of it
	}{
		{"https://site.example.com/", 200, "Cache-Status", "uri-miss"},
		{"https://site.example.com/", 200, "Cache-Status", "hit"},
		{"https://site.example.com/", 200, "Strict-Transport-Security", "max-age=15552000"},
		{"https://closed.example.com/", 403, "Strict-Transport-Security", "max-age=15552000"},
		{"http://site.example.com/a?b", 308, "Location", "https://site.example.com/a?b"},
		{"http://site.example.com/.well-known/acme-challenge/stranger", 308, "Location", "stranger"},
	} {
		response, err := tn.secureClient(ca.Roots).Get(row.url)
		if err != nil {
			t.Fatalf("GET %s: %v", row.url, err)
		}
		response.Body.Close()
		if i == 0 {
			t.Logf("from the start to the first answer over https: %v", time.Since(began).Round(time.Millisecond))
		}
		if got := response.Header.Get(row.field); response.StatusCode != row.status || !strings.Contains(got, row.value) {
			t.Errorf("GET %s: %s, %s %q, want %d, %q", row.url, response.Status, row.field, got, row.status, row.value)
		}
	}

	c, out, stderr := testConsole()
	if code := run([]string{"cert", "ls", "--socket", tn.path("admin.sock")}, c); code != exitOK {
		t.Errorf("cert ls: exit code = %d, %s", code, stderr)
	}
	if !regexp.MustCompile(`(?m)^site\.example\.com +89 +5\dd  Pebble Intermediate CA \S+ +acme$`).MatchString(out.String()) {
		t.Errorf("cert ls:\n%s", out)
	}
	tn.signals <- syscall.SIGTERM
	if err := <-tn.done; err != nil {
		t.Errorf("run: %v", err)
	}
}

// freePort is a port on which nobody listens.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// TestWriteCertificates: a line for each, and what went wrong.
func TestWriteCertificates(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	var out bytes.Buffer
	err := writeCertificates(&out, []tlsmgr.Status{
		{Name: "a.example.com", Source: "acme", Issuer: "R11", Until: now.Add(60*24*time.Hour + time.Hour), Next: now.Add(30 * 24 * time.Hour)},
		{Name: "b.example.com", Source: "acme", Next: now.Add(5 * time.Minute), Failures: 2, Error: "429: too\x1bmany"},
		{Name: "c.example.com", Source: "/etc/c.pem", Issuer: "own", Until: now.Add(-time.Hour)},
	}, now, style{})
	want := `name                              days     next  issuer                    source
a.example.com                       60      30d  R11                       acme
b.example.com                     none       5m  -                         acme
    attempt 2: 429: too�many
c.example.com                       -1        -  own                       /etc/c.pem
`
	want = strings.ReplaceAll(want, `\ufffd`, "\ufffd")
	if err != nil || out.String() != want {
		t.Errorf("%v, got\n%swant\n%s", err, out.String(), want)
	}
}

// TestMakeECHKey: what `cert ech` prints is a file for tls.ech, whatever stands before it, and what goes into the DNS.
func TestMakeECHKey(t *testing.T) {
	c, stdout, _ := testConsole()
	if code := run([]string{"cert", "ech", "cover.example"}, c); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	file := t.TempDir() + "/ech.pem"
	writeFile(t, file, stdout.Bytes())
	_, parameter, _ := strings.Cut(stdout.String(), "parameter ech=")
	parameter, _, _ = strings.Cut(parameter, "\n")
	list, err := base64.StdEncoding.DecodeString(parameter)
	if err != nil {
		t.Fatal(err)
	}
	conf := tlsmgr.DefaultConfig()
	conf.ECH = []string{file}
	m, err := tlsmgr.New(tlsmgr.Options{
		Config: conf, Listeners: []tlsmgr.Listener{{Address: "a", SelfSigned: true}}, Storage: tlsmgr.NewFolder(t.TempDir()),
		Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	server, err := m.TLS("a")
	if err != nil {
		t.Fatal(err)
	}
	near, far := net.Pipe()
	defer near.Close()
	go tls.Server(far, server).Handshake()
	client := tls.Client(near, &tls.Config{ServerName: "hidden.example", InsecureSkipVerify: true, EncryptedClientHelloConfigList: list})
	if err := client.Handshake(); err != nil || !client.ConnectionState().ECHAccepted {
		t.Errorf("%v, accepted %v", err, client.ConnectionState().ECHAccepted)
	}
	if c, _, stderr := testConsole(); run([]string{"cert", "ech", "no name"}, c) == 0 || !strings.Contains(stderr.String(), "no public name") {
		t.Errorf("a public name with a space: %s", stderr)
	}
}
