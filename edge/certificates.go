package edge

import (
	"context"
	"crypto/tls"
	"errors"
)

// Certificates is what the edge asks of whoever keeps them. It is called by many connections and requests at once.
type Certificates interface {
	// TLS returns the configuration of the listener at an address of the configuration. It stays good over reloads.
	TLS(address string) (*tls.Config, error)
	// Misdirected reports whether a request for host may not be answered on its connection: the handshake was for another
	// site. c is nil without TLS; trusted says that the peer is a proxy whose word is believed.
	Misdirected(c *tls.ConnectionState, host string, trusted bool) bool
	// Challenge returns the answer to an ACME challenge (RFC 8555, section 8.3) that is pending for host. Tokens come from
	// strangers.
	Challenge(ctx context.Context, host, token string) (answer string, ok bool)
}

// noCertificates is for nodes that are given none.
type noCertificates struct{}

func (noCertificates) TLS(string) (*tls.Config, error) {
	return nil, errors.New("nobody keeps certificates here")
}

func (noCertificates) Misdirected(*tls.ConnectionState, string, bool) bool { return false }

func (noCertificates) Challenge(context.Context, string, string) (string, bool) { return "", false }
