package tlsmgr

import (
	"crypto/tls"
	"strings"
	"testing"
)

// unrecognized reports whether the client was told that its name is not known (RFC 6066, section 3).
func (s shaken) unrecognized() bool {
	return s.clientErr != nil && strings.HasSuffix(s.clientErr.Error(), "unrecognized name")
}

// TestChoosing: a handshake gets the certificate of the site that its server name belongs to.
func TestChoosing(t *testing.T) {
	ca, folder := newTestCA(t), t.TempDir()
	file := func(subject string, names ...string) FileConfig {
		return ca.files(t, folder, subject, order{subject: subject, names: names})
	}
	sites := []Site{
		{Name: "shop", Hosts: []string{"shop.example", "www.shop.example"}, SiteConfig: SiteConfig{Certificates: []FileConfig{
			file("apex", "shop.example"), file("star", "*.shop.example"),
		}}},
		{Name: "all", Hosts: []string{"*.example"}, SiteConfig: SiteConfig{Certificates: []FileConfig{file("example", "*.example")}}},
		{Name: "plain", Hosts: []string{"plain.example"}},
	}
	bare := newManager(t, options(Listener{}, sites...))
	fallback := newManager(t, options(Listener{FileConfig: file("listener", "node.example")}, sites...))
	for _, tt := range []struct {
		what, name string
		m          *Manager
		want       string // "" is the alert
	}{
		{"a name that a certificate spells out", "shop.example", bare, "apex"},
		{"letters of either case", "SHOP.example", bare, "apex"},
		{"a name under a wildcard", "www.shop.example", bare, "star"},
		{"a site's wildcard", "other.example", bare, "example"},
		{"a star in a certificate stands for one label", "a.b.example", bare, ""},
		{"a site without a certificate", "plain.example", bare, ""},
		{"a site without a certificate has its listener's", "plain.example", fallback, "listener"},
		{"a name that no site has", "stranger.test", bare, ""},
		{"a name that no site has, and a listener's certificate", "stranger.test", fallback, "listener"},
		{"a site's own certificate is not mended with its listener's", "a.b.example", fallback, ""},
		{"no name", "", bare, ""},
		{"no name, and a listener's certificate", "", fallback, "listener"},
	} {
		got := shake(t, tt.m, anyone(tt.name))
		if got.subject() != tt.want || (tt.want == "") != got.unrecognized() {
			t.Errorf("%s: %q got certificate %q (%v), want %q", tt.what, tt.name, got.subject(), got.clientErr, tt.want)
		}
	}
}

// TestDefaultSite: the default site's certificate is for all names that no other site has.
func TestDefaultSite(t *testing.T) {
	ca := newTestCA(t)
	file := ca.files(t, t.TempDir(), "a", order{subject: "default", names: []string{"a.example", "b.example"}})
	m := newManager(t, options(Listener{}, Site{Name: "d", Default: true, SiteConfig: SiteConfig{Certificates: []FileConfig{file}}}))
	for name, want := range map[string]string{"a.example": "default", "b.example": "default", "": "default", "c.example": ""} {
		if got := shake(t, m, anyone(name)); got.subject() != want {
			t.Errorf("%q got certificate %q (%v), want %q", name, got.subject(), got.clientErr, want)
		}
	}
}

// TestAlgorithms: of two certificates for a name a client gets the one whose key it can use, of two that it can use the
// elliptic one.
func TestAlgorithms(t *testing.T) {
	ca, folder := newTestCA(t), t.TempDir()
	both := []FileConfig{
		ca.files(t, folder, "r", order{subject: "rsa", names: []string{"a.example"}, rsa: true}),
		ca.files(t, folder, "e", order{subject: "ecdsa", names: []string{"a.example"}}),
	}
	m := newManager(t, options(Listener{}, Site{Name: "a", Hosts: []string{"a.example"}, SiteConfig: SiteConfig{Certificates: both}}))
	for _, tt := range []struct {
		what   string
		suites []uint16
		most   uint16
		want   string
	}{
		{"1.3", nil, tls.VersionTLS13, "ecdsa"},
		{"1.2", nil, tls.VersionTLS12, "ecdsa"},
		{"1.2 with RSA alone", []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256}, tls.VersionTLS12, "rsa"},
		{"1.2 with ECDSA alone", []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}, tls.VersionTLS12, "ecdsa"},
	} {
		client := anyone("a.example")
		client.MaxVersion, client.CipherSuites = tt.most, tt.suites
		if got := shake(t, m, client); got.subject() != tt.want {
			t.Errorf("%s: certificate %q (%v), want %q", tt.what, got.subject(), got.clientErr, tt.want)
		}
	}
}

// TestPolicy: THREATS T25. TLS 1.2 with authenticated encryption or 1.3, and a key exchange that a quantum computer does not
// undo where the client has one.
func TestPolicy(t *testing.T) {
	m := newManager(t, options(Listener{SelfSigned: true}))
	for _, tt := range []struct {
		what  string
		most  uint16
		suite uint16
		curve tls.CurveID
		ok    bool
	}{
		{"1.3", tls.VersionTLS13, 0, tls.X25519MLKEM768, true},
		{"1.3 with an old group", tls.VersionTLS13, 0, tls.X25519, true},
		{"1.3 with P-256", tls.VersionTLS13, 0, tls.CurveP256, true},
		{"1.3 with P-521", tls.VersionTLS13, 0, tls.CurveP521, false},
		{"1.2 with GCM", tls.VersionTLS12, tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.X25519, true},
		{"1.2 with ChaCha20", tls.VersionTLS12, tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.CurveP256, true},
		{"1.2 with CBC", tls.VersionTLS12, tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA, tls.X25519, false},
		{"1.2 without forward secrecy", tls.VersionTLS12, tls.TLS_RSA_WITH_AES_128_GCM_SHA256, tls.X25519, false},
		{"1.1", tls.VersionTLS11, 0, tls.X25519, false},
		{"1.0", tls.VersionTLS10, 0, tls.X25519, false},
	} {
		client := anyone("localhost")
		client.MinVersion, client.MaxVersion, client.CurvePreferences = tls.VersionTLS10, tt.most, []tls.CurveID{tt.curve}
		if tt.suite != 0 {
			client.CipherSuites = []uint16{tt.suite}
		}
		got := shake(t, m, client)
		if ok := got.clientErr == nil && got.serverErr == nil; ok != tt.ok {
			t.Errorf("%s: %v, %v; want success %v", tt.what, got.clientErr, got.serverErr, tt.ok)
		} else if ok && (got.client.Version != tt.most || got.client.CurveID != tt.curve) {
			t.Errorf("%s: version %x, group %v, want %x, %v", tt.what, got.client.Version, got.client.CurveID, tt.most, tt.curve)
		}
	}
	if got := shake(t, m, anyone("localhost")); got.client.CurveID != tls.X25519MLKEM768 {
		t.Errorf("a client that has it all: group %v, want X25519MLKEM768", got.client.CurveID)
	}
}

// TestProtocols: the configuration that a callback gives speaks what the lane speaks.
func TestProtocols(t *testing.T) {
	m := newManager(t, options(Listener{SelfSigned: true}))
	for _, offered := range []string{"h2", "http/1.1"} {
		client := anyone("localhost")
		client.NextProtos = []string{offered}
		if got := shake(t, m, client); got.client.NegotiatedProtocol != offered {
			t.Errorf("a client that offers %s: agreed on %q (%v)", offered, got.client.NegotiatedProtocol, got.clientErr)
		}
	}
}
