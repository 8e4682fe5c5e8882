package tlsmgr

import (
	"context"
	"crypto/tls"

	"golang.org/x/crypto/acme"
)

// acmeSource gives the certificates that are ordered for a site.
type acmeSource struct {
	*orders
	demands bool // the site has names that it does not spell out
}

// Certificate implements CertSource. Only the first handshakes of a name wait, for its own order and not for long.
func (s *acmeSource) Certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	name := canonicalName(hello.ServerName)
	ctx, cancel := context.WithTimeout(hello.Context(), handshakePatience)
	defer cancel()
	for {
		c, settled := s.find(name)
		if c == nil && settled == nil && s.demands {
			settled = s.demand(ctx, name)
		}
		if c != nil || settled == nil {
			return c, nil
		}
		select {
		case <-settled:
		case <-ctx.Done():
			return nil, nil
		}
	}
}

// find returns the certificate of a name; or, when it has none yet, what is closed at the end of the attempt to get one, if
// there is an attempt.
func (o *orders) find(name string) (*tls.Certificate, <-chan struct{}) {
	o.mu.Lock()
	s := o.subjects[name]
	if s == nil {
		o.mu.Unlock()
		return nil, nil
	}
	settled := s.settled
	o.mu.Unlock()
	if c := s.certificate.Load(); c != nil { // if it has expired, it is for the client to judge
		return c, nil
	}
	return nil, settled
}

// challenged answers a handshake by which the CA validates a name (RFC 8737): with the certificate of the attempt that is
// under way here, or of one on a node that shares our Storage. It costs strangers nothing to ask, and us little.
func (o *orders) challenged(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	name := canonicalName(hello.ServerName)
	authority, running, known := o.pending(name)
	if !known {
		return nil, nil
	}
	if running != nil {
		return running.manager.GetCertificate(hello)
	}
	text, err := authority.storage.Load(hello.Context(), authority.stored(name+alpnToken))
	if err != nil {
		return nil, nil
	}
	pair, err := tls.X509KeyPair(text, text)
	return &pair, err
}

// answer returns the answer to an HTTP-01 challenge (RFC 8555, section 8.3) that is pending, here or on a node that shares
// our Storage.
func (o *orders) answer(ctx context.Context, name, token string) (string, bool) {
	authority, running, known := o.pending(name)
	if !known {
		return "", false
	}
	if running != nil {
		if answer, ok := running.answer(token); ok {
			return answer, true
		}
	}
	value, err := authority.storage.Load(ctx, authority.stored(token+httpToken))
	return string(value), err == nil
}

// pending returns the attempt for a name that is under way here, nil for none; known says that the name is one of ours.
func (o *orders) pending(name string) (a *authority, running *attempt, known bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	s := o.subjects[name]
	if s == nil || o.authority == nil {
		return nil, nil, false
	}
	return o.authority, s.attempt, true
}

// isChallenge reports whether a hello is a CA's (RFC 8737, section 3): it offers this protocol and no other.
func isChallenge(hello *tls.ClientHelloInfo) bool {
	return len(hello.SupportedProtos) == 1 && hello.SupportedProtos[0] == acme.ALPNProto
}

// challengeConfig is for handshakes by which a CA validates a name. Nothing is served after one.
func challengeConfig(o *orders) *tls.Config {
	config := baseConfig()
	config.NextProtos = []string{acme.ALPNProto}
	config.SessionTicketsDisabled = true
	config.GetCertificate = o.challenged
	return config
}
