package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go/http3"
)

// TestTLSInEveryVersion: a connection is for the site of its handshake, a ticket too, and a client's certificate is told to the
// origin by us alone, over each version of HTTP. THREATS T26, T28, T44.
func TestTLSInEveryVersion(t *testing.T) {
	sites := newTLSSites(t)
	for version, transport := range map[string]func(*tls.Config) http.RoundTripper{
		"HTTP/1.1": func(c *tls.Config) http.RoundTripper { return &http.Transport{TLSClientConfig: c} },
		"HTTP/2.0": func(c *tls.Config) http.RoundTripper {
			return &http.Transport{TLSClientConfig: c, ForceAttemptHTTP2: true}
		},
		"HTTP/3.0": func(c *tls.Config) http.RoundTripper { return &http3.Transport{TLSClientConfig: c} },
	} {
		t.Run(version, func(t *testing.T) {
			visit := func(c *tls.Config) *siteVisitor {
				c.InsecureSkipVerify = true // whom it trusts is no matter here
				return &siteVisitor{t, version, "https://" + sites.node.address, transport(c)}
			}
			testMisdirected(visit)
			testClientCerts(visit, sites.client)
			testForeignTickets(visit)
		})
	}
}

// testMisdirected: 421 for a site that the handshake was not for, also once its answer is stored.
func testMisdirected(visit func(*tls.Config) *siteVisitor) {
	right, wrong := visit(&tls.Config{ServerName: "b.test"}), visit(&tls.Config{ServerName: "a.test"})
	defer right.leave()
	defer wrong.leave()
	for range 2 {
		right.wants("b.test", 200, "hello ")
	}
	for _, host := range []string{"b.test", "clients.test", "nobody.test"} {
		wrong.wants(host, 421, "")
	}
	wrong.wants("a.test", 200, "hello ")
	shared := visit(&tls.Config{ServerName: "listener.test"})
	defer shared.leave()
	shared.wants("listener.test", 200, "hello ")
	shared.wants("also-listener.test", 421, "") // which has the same certificate
}

// testClientCerts: the origin is told of the certificate that was shown, and never of one that was only claimed.
func testClientCerts(visit func(*tls.Config) *siteVisitor, cert tls.Certificate) {
	shown := ":" + base64.StdEncoding.EncodeToString(cert.Certificate[0]) + ":"
	with := visit(&tls.Config{ServerName: "clients.test", Certificates: []tls.Certificate{cert}})
	defer with.leave()
	with.wants("clients.test", 200, "hello "+shown)
	none := visit(&tls.Config{ServerName: "optional.test"})
	defer none.leave()
	none.wants("optional.test", 200, "hello ")
	refused := visit(&tls.Config{ServerName: "clients.test"})
	defer refused.leave()
	if _, err := refused.ask("clients.test"); err == nil {
		refused.t.Errorf("%s: a client without a certificate is let in", refused.version)
	}
}

// testForeignTickets: a ticket of one site resumes there, and nowhere else.
func testForeignTickets(visit func(*tls.Config) *siteVisitor) {
	kept := new(anyTicket)
	for _, row := range []struct {
		name    string
		resumes bool
	}{{"a.test", false}, {"a.test", true}, {"b.test", false}, {"optional.test", false}} {
		v := visit(&tls.Config{ServerName: row.name, ClientSessionCache: kept})
		answer, err := v.ask(row.name)
		switch {
		case err != nil:
			v.t.Errorf("%s: %s: %v", v.version, row.name, err)
		case answer.TLS.DidResume != row.resumes:
			v.t.Errorf("%s: %s: resumed %v, want %v", v.version, row.name, !row.resumes, row.resumes)
			fallthrough
		default:
			_ = answer.Body.Close() // it is of no matter
		}
		kept.frozen = true // the first site's
		v.leave()
	}
}

// anyTicket offers one session to all servers.
type anyTicket struct {
	session *tls.ClientSessionState
	frozen  bool
}

func (a *anyTicket) Get(string) (*tls.ClientSessionState, bool) { return a.session, a.session != nil }
func (a *anyTicket) Put(_ string, s *tls.ClientSessionState) {
	if !a.frozen && s != nil {
		a.session = s
	}
}

// tlsSites is a program with sites that differ in what they ask of clients, before an origin that says whose certificate it was
// told of.
type tlsSites struct {
	node   *process
	client tls.Certificate
}

func newTLSSites(t *testing.T) tlsSites {
	t.Helper()
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		w.Header().Set("Vary", "Client-Cert")
		_, _ = io.WriteString(w, "hello "+strings.Join(append(r.Header["Client-Cert"], r.Header["Client-Cert-Chain"]...), " "))
	}))
	t.Cleanup(origin.Close)
	g := newProgram(t, buildProgram(t), origin.URL, t.TempDir(), "16MiB")
	key, ca := newKey(t), filepath.Join(g.folder, "clients.pem")
	self := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der := sign(t, self, self, key, key)
	writePEM(t, ca, "CERTIFICATE", der)
	writeFile(t, g.config(), fmt.Appendf(nil, `
version: 1
memory: 8MiB
listeners: [{address: "127.0.0.1:0", tls: {self_signed: true}}]
log: {format: "off"}
tls: {state: %q}
admin: {socket: %q}
origins: {app: {urls: [%q]}}
sites:
  - {hosts: [a.test], origin: app, tls: {issuer: self_signed}}
  - {hosts: [b.test], origin: app, tls: {issuer: self_signed}}
  - {hosts: [listener.test], origin: app}
  - {hosts: [also-listener.test], origin: app}
  - {hosts: [clients.test], origin: app, tls: {issuer: self_signed, clients: {ca: %q}}}
  - {hosts: [optional.test], origin: app, tls: {issuer: self_signed, clients: {ca: %q, optional: true}}}
`, g.cache, g.socket(), origin.URL, ca, ca))
	return tlsSites{g.startReady(t), tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}}
}

// siteVisitor asks over one version of HTTP, and claims a certificate in every request.
type siteVisitor struct {
	t       *testing.T
	version string
	url     string
	through http.RoundTripper
}

func (v *siteVisitor) ask(host string) (*http.Response, error) {
	r, err := http.NewRequest("GET", v.url+"/", nil)
	if err != nil {
		v.t.Fatal(err)
	}
	r.Host = host
	r.Header = http.Header{"Client-Cert": {":Zm9yZ2Vk:"}, "Client-Cert-Chain": {":Zm9yZ2Vk:"}}
	return v.through.RoundTrip(r)
}

// wants asks, and says what is wrong with the answer. One that came over TCP tells of HTTP/3.
func (v *siteVisitor) wants(host string, status int, body string) {
	v.t.Helper()
	answer, err := v.ask(host)
	if err != nil {
		v.t.Errorf("%s: %s: %v", v.version, host, err)
		return
	}
	defer answer.Body.Close()
	got, err := io.ReadAll(answer.Body)
	if err != nil || answer.Proto != v.version || answer.StatusCode != status || status == 200 && string(got) != body {
		v.t.Errorf("%s: %s: %s %s %q, %v, want %d %q", v.version, host, answer.Proto, answer.Status, got, err, status, body)
	}
	if told := answer.Header.Get("Alt-Svc"); status == 200 && strings.HasPrefix(told, "h3=") == (v.version == "HTTP/3.0") {
		v.t.Errorf("%s: %s: Alt-Svc: %s", v.version, host, told)
	}
}

func (v *siteVisitor) leave() {
	switch tr := v.through.(type) {
	case *http3.Transport:
		_ = tr.Close() // all is over
	case *http.Transport:
		tr.CloseIdleConnections()
	}
}
