package tlsmgr

import (
	"crypto/tls"

	"golang.org/x/crypto/acme"
)

// binding is what a site binds its connections to.
type binding struct {
	clients  string // as in clients.mark; "" asks for none
	required bool   // a client certificate
}

// bind makes the table that Misdirected asks.
func (b *builder) bind() {
	b.bindings = newNames[*binding]()
	b.bindings.fallback = &binding{}
	for _, s := range b.sites {
		own := &binding{clients: s.clients.mark, required: s.clients.auth == tls.RequireAndVerifyClientCert}
		for _, host := range s.Hosts {
			b.bindings.add(host, own)
		}
		if s.Default {
			b.bindings.fallback = own
		}
	}
}

// Misdirected reports whether a request for host may not be answered on its connection (RFC 9110, section 7.4): the
// handshake was for another site, or for none. c is nil without TLS; then a site that requires client certificates has seen
// none. A client that names no site in its handshake, and a trusted proxy, which brings requests for many sites over one
// connection, are held to the rules about clients only.
func (m *Manager) Misdirected(c *tls.ConnectionState, host string, trusted bool) bool {
	all := &m.conf.Load().bindings
	asked := all.find(canonicalName(host))
	if c == nil {
		return asked.required
	}
	if c.NegotiatedProtocol == acme.ALPNProto { // whose handshake keeps no site's rules
		return true
	}
	shaken := asked
	if c.ServerName != host {
		shaken = all.find(canonicalName(c.ServerName))
	}
	switch {
	case asked.required && len(c.VerifiedChains) == 0: // the connection is older than the rule
		return true
	case shaken == asked:
		return false
	case shaken.clients != asked.clients:
		return true
	}
	return !trusted && c.ServerName != ""
}
