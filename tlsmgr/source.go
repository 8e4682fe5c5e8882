package tlsmgr

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/tls"
	"strings"
)

// CertSource is where a policy's certificates come from.
type CertSource interface {
	// Certificate returns the certificate for a handshake, or nil if there is none for that name: the client is then told
	// so. It is called by handshakes and does not hold them up.
	Certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error)
}

// shelf is a set of certificates by the names they are for. Immutable.
type shelf struct {
	byName map[string][]*tls.Certificate // in lower case, with the star of wildcards; the preferred first
	all    []*tls.Certificate
}

// newShelf prefers keys that make handshakes cheap, and otherwise the order of the configuration.
func newShelf(certificates []*tls.Certificate) *shelf {
	s := &shelf{byName: make(map[string][]*tls.Certificate)}
	for _, elliptic := range []bool{true, false} {
		for _, c := range certificates {
			if isElliptic(c) == elliptic {
				s.put(c)
			}
		}
	}
	return s
}

func (s *shelf) put(c *tls.Certificate) {
	s.all = append(s.all, c)
	for _, name := range c.Leaf.DNSNames {
		name = canonicalName(name)
		s.byName[name] = append(s.byName[name], c)
	}
	for _, address := range c.Leaf.IPAddresses {
		s.byName[address.String()] = append(s.byName[address.String()], c)
	}
}

func isElliptic(c *tls.Certificate) bool {
	switch c.Leaf.PublicKey.(type) {
	case *ecdsa.PublicKey, ed25519.PublicKey:
		return true
	}
	return false
}

// covering returns the certificates for a name: those that spell it out, else those with a star in place of its first
// label (RFC 9525, section 6.3).
func (s *shelf) covering(name string) []*tls.Certificate {
	if exact := s.byName[name]; exact != nil {
		return exact
	}
	if _, domain, ok := strings.Cut(name, "."); ok {
		return s.byName["*."+domain]
	}
	return nil
}

// choose returns the first that the client's algorithms allow. If none is, the first: the handshake fails either way, and
// this way with an alert that says why.
func choose(from []*tls.Certificate, hello *tls.ClientHelloInfo) *tls.Certificate {
	if len(from) == 0 {
		return nil
	}
	for _, c := range from[:len(from)-1] {
		if supports(hello, c) {
			return c
		}
	}
	last := from[len(from)-1]
	if len(from) == 1 || supports(hello, last) {
		return last
	}
	return from[0]
}

// supports asks about algorithms only; the name is the caller's affair.
func supports(hello *tls.ClientHelloInfo, c *tls.Certificate) bool {
	if hello.ServerName == "" {
		return hello.SupportsCertificate(c) == nil
	}
	nameless := *hello
	nameless.ServerName = ""
	return nameless.SupportsCertificate(c) == nil
}
