package tlsmgr

import (
	"crypto/tls"
	"slices"
	"strings"

	"golang.org/x/crypto/acme"
)

// binding is what a site binds its connections to: requests for two sites may share a connection only if these are equal.
type binding struct {
	site         string
	certificates string // "" is the listener's
	clients      string // as in clients.mark; "" asks for none
	required     bool   // a client certificate
}

// bind makes the table that Misdirected asks.
func (b *builder) bind() {
	b.bindings = newNames[*binding]()
	b.bindings.fallback = &binding{}
	for _, s := range b.sites {
		own := &binding{
			site: s.Name, certificates: s.identity(), clients: s.clients.mark,
			required: s.clients.auth == tls.RequireAndVerifyClientCert,
		}
		for _, host := range s.Hosts {
			b.bindings.add(host, own)
		}
		if s.Default {
			b.bindings.fallback = own
		}
	}
}

// identity is the same for two sites whose clients cannot tell their certificates apart.
func (s *builtSite) identity() string {
	switch {
	case s.Issuer != "":
		return s.Issuer + " " + s.Name
	case len(s.Certificates) == 0:
		return ""
	}
	var all []string
	for _, c := range s.Certificates {
		all = append(all, c.Cert+"\x00"+c.Key)
	}
	slices.Sort(all)
	return strings.Join(all, "\x00")
}

// Misdirected reports whether a request for host may not be answered on its connection (RFC 9110, section 7.4): the
// handshake was for a site with other certificates or other rules about clients, or for no site at all. c is nil without
// TLS; then a site that requires client certificates has seen none. A trusted proxy brings requests for many sites over
// one connection, and is held to the rules about clients only.
func (m *Manager) Misdirected(c *tls.ConnectionState, host string, trusted bool) bool {
	all := &m.conf.Load().bindings
	asked := all.find(canonicalName(host))
	if c == nil {
		return asked.required
	}
	if c.NegotiatedProtocol == acme.ALPNProto { // whose handshake keeps no site's rules
		return true
	}
	shaken := all.find(canonicalName(c.ServerName))
	switch {
	case asked.required && len(c.VerifiedChains) == 0: // the connection is older than the rule
		return true
	case shaken == asked:
		return false
	case shaken.clients != asked.clients:
		return true
	case trusted || c.ServerName == "":
		return false
	}
	return shaken.certificates != asked.certificates
}
