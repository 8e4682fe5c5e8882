package edge

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
)

// https is a compiled HTTPSConfig. Immutable.
type https struct {
	redirect *redirect // nil for none
	hsts     string    // value of the field; "" for none
}

func compileHTTPS(cfg HTTPSConfig) https {
	var h https
	if cfg.Redirect != nil && *cfg.Redirect {
		h.redirect = compileRedirect(RedirectConfig{To: "https://{host}{path}{query}"})
	}
	if age := cfg.HSTS.MaxAge; age != nil {
		h.hsts = "max-age=" + strconv.FormatInt(int64(age.Seconds()), 10)
		if cfg.HSTS.Subdomains {
			h.hsts += "; includeSubDomains"
		}
		if cfg.HSTS.Preload {
			h.hsts += "; preload"
		}
	}
	return h
}

// misdirected reports whether the request is for a site that its connection is not for: by the handshake, or by a target
// "https://…" where nothing is encrypted (RFC 9110, section 7.4).
func (x *exchange) misdirected() bool {
	if x.r.URL.Scheme == "https" && x.client.Proto != "https" && !x.client.Trusted {
		return true
	}
	return x.certs.Misdirected(x.r.TLS, hostName(x.client.Host), x.client.Trusted)
}

// challengePrefix is where a CA looks for the answers to its challenges (RFC 8555, section 8.3).
const challengePrefix = "/.well-known/acme-challenge/"

// challenge answers a CA that validates one of our orders. It comes before all rules of the site: those are for clients.
func (x *exchange) challenge() bool {
	token, ok := strings.CutPrefix(x.r.URL.Path, challengePrefix)
	if !ok || x.r.Method != http.MethodGet {
		return false
	}
	text, ok := x.certs.Challenge(x.r.Context(), hostName(x.client.Host), token)
	if !ok {
		return false
	}
	x.w.Header().Set("Cache-Control", "no-store")
	x.give(answer{status: http.StatusOK, contentType: "application/octet-stream", body: text})
	return true
}

// passChallenges keeps the answers of an origin that orders certificates itself out of the cache.
func (x *exchange) passChallenges(path string) {
	if !strings.HasPrefix(path, challengePrefix) {
		return
	}
	route, policy := *x.route, *x.route.policy
	policy.Enabled = false
	route.policy = &policy
	x.route = &route
}

// toHTTPS answers a request over http on a site that wants https.
func (x *exchange) toHTTPS(path string, hasQuery bool) bool {
	if x.site.https.redirect == nil || x.client.Proto == "https" {
		return false
	}
	x.give(x.site.https.redirect.answer(x.client.Host, path, x.rawQuery, hasQuery))
	return true
}

const strictTransport = "Strict-Transport-Security"

// hsts is the site's Strict-Transport-Security, where the origin and the route have none: never over http (RFC 6797, section 7.2).
func (t *transaction) hsts() string {
	if t.site == nil || t.client.Proto != "https" {
		return ""
	}
	return t.site.https.hsts
}

// alternative is the Alt-Svc that tells a client that has come over TCP where there is HTTP/3 (RFC 7838, section 3), where the route
// has none. A trusted proxy is told nothing: it would tell its own clients, and they would go past it.
func (t *transaction) alternative() string {
	if t.client.Trusted {
		return ""
	}
	return t.conn.AltSvc
}

// advertise adds both.
func (x *exchange) advertise() {
	h := x.w.Header()
	if hsts := x.hsts(); hsts != "" && len(h[strictTransport]) == 0 {
		h[strictTransport] = []string{hsts}
	}
	if line := x.alternative(); line != "" && len(h[altSvc]) == 0 {
		h[altSvc] = []string{line}
	}
}

const altSvc = "Alt-Svc"

// verifiedCerts returns what the client has shown, if there is a chain from it to a CA that its site trusts.
func verifiedCerts(c *tls.ConnectionState) []*x509.Certificate {
	if len(c.VerifiedChains) == 0 {
		return nil
	}
	return c.PeerCertificates
}

// announceCerts tells the origin what the client has shown (RFC 9440, section 2).
func (c clientInfo) announceCerts(out http.Header) {
	if len(c.Certs) == 0 {
		return
	}
	out["Client-Cert"] = []string{byteSequence(c.Certs[0])}
	var rest []string
	for _, cert := range c.Certs[1:] {
		rest = append(rest, byteSequence(cert))
	}
	if len(rest) > 0 {
		out["Client-Cert-Chain"] = []string{strings.Join(rest, ", ")}
	}
}

// byteSequence is a certificate as a structured field's item (RFC 9651, section 3.3.5).
func byteSequence(cert *x509.Certificate) string {
	return ":" + base64.StdEncoding.EncodeToString(cert.Raw) + ":"
}
