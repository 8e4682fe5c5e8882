package edge

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"selvage/edge/internal/lane"
)

// rules are Certificates that a test makes up.
type rules func(c *tls.ConnectionState, host string, trusted bool) bool

func (rules) TLS(string) (*tls.Config, error) { return nil, nil }

func (r rules) Misdirected(c *tls.ConnectionState, host string, trusted bool) bool {
	return r(c, host, trusted)
}

func (rules) Challenge(context.Context, string, string) (string, bool) { return "", false }

// TestMisdirectedRequests: THREATS T26. Whoever keeps the certificates is asked about the name alone, and before the
// cache and the origin.
func TestMisdirectedRequests(t *testing.T) {
	onStage(t, func(t *testing.T, s *stage) {
		s.certs = rules(func(c *tls.ConnectionState, host string, _ bool) bool { return c == nil || c.ServerName != host })
		s.answer = func(*http.Request) (*http.Response, error) {
			return text(200, "hello", "Cache-Control: max-age=60"), nil
		}
		for _, tt := range []struct {
			what, name, host string
			plain            bool
			want             int
		}{
			{"another name", "other.test", "example.com", false, 421},
			{"the name", "example.com", "example.com", false, 200},
			{"the name and a port", "example.com", "example.com:8443", false, 200},
			{"another name, when it is stored", "other.test", "example.com", false, 421},
			{"no TLS, when the site wants it", "", "example.com", true, 421},
		} {
			w, r := httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil)
			r.Host = tt.host
			if !tt.plain {
				r.TLS = &tls.ConnectionState{ServerName: tt.name}
			}
			s.walk(w, r, &lane.Info{})
			if w.Code != tt.want {
				t.Errorf("%s: status = %d, want %d", tt.what, w.Code, tt.want)
			}
		}
		if len(s.asked) != 2 { // one for each spelling of the host: ports are part of the key
			t.Errorf("the origin was asked %d times, want twice", len(s.asked))
		}
	})
}

// TestHSTSField: RFC 6797, section 6.1.
func TestHSTSField(t *testing.T) {
	day := 24 * time.Hour
	none := time.Duration(0)
	for _, tt := range []struct {
		c    HSTSConfig
		want string
	}{
		{HSTSConfig{}, ""},
		{HSTSConfig{MaxAge: &day}, "max-age=86400"},
		{HSTSConfig{MaxAge: &none}, "max-age=0"},
		{HSTSConfig{MaxAge: &day, Subdomains: true, Preload: true}, "max-age=86400; includeSubDomains; preload"},
	} {
		if got := compileHTTPS(HTTPSConfig{HSTS: tt.c}).hsts; got != tt.want {
			t.Errorf("%+v: %q, want %q", tt.c, got, tt.want)
		}
	}
}

// TestClientCert: what the client has shown goes to the origin as RFC 9440 writes it, if it was verified; what it claims in
// fields does not, and does not tell variants apart.
func TestClientCert(t *testing.T) {
	leaf, between := &x509.Certificate{Raw: []byte("leaf")}, &x509.Certificate{Raw: []byte("between")}
	chain := [][]*x509.Certificate{{leaf, between}}
	for _, tt := range []struct {
		what        string
		c           *tls.ConnectionState
		cert, chain string
	}{
		{"nothing", &tls.ConnectionState{}, "", ""},
		{"one", &tls.ConnectionState{PeerCertificates: []*x509.Certificate{leaf}, VerifiedChains: chain}, ":bGVhZg==:", ""},
		{"two", &tls.ConnectionState{PeerCertificates: []*x509.Certificate{leaf, between, leaf}, VerifiedChains: chain},
			":bGVhZg==:", ":YmV0d2Vlbg==:, :bGVhZg==:"},
		{"one that nobody has verified", &tls.ConnectionState{PeerCertificates: []*x509.Certificate{leaf}}, "", ""},
	} {
		in := http.Header{"Client-Cert": {":Zm9yZ2Vk:"}, "Client-Cert-Chain": {":Zm9yZ2Vk:"}}
		c := trust{}.client(&http.Request{RemoteAddr: "192.0.2.1:1", TLS: tt.c, Header: in})
		out := outboundHeader(in, c, "HTTP/1.1", testID)
		if got, rest := out.Get("Client-Cert"), out.Get("Client-Cert-Chain"); got != tt.cert || rest != tt.chain {
			t.Errorf("%s: Client-Cert %q, Client-Cert-Chain %q, want %q, %q", tt.what, got, rest, tt.cert, tt.chain)
		}
		fields := &sentFields{in, c}
		if got, _ := fields.Value("Client-Cert", 0); got != tt.cert {
			t.Errorf("%s: for Vary: %q, want %q", tt.what, got, tt.cert)
		}
	}
}
