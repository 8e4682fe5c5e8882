package tlsmgr

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"os"
)

// policy is how a site shakes hands on a listener. Immutable, apart from the ticket keys that crypto/tls guards itself.
type policy struct {
	label  string // of the site and of what it asks of clients: two policies that differ in these share no ticket
	source CertSource
	config *tls.Config
}

// clients is a compiled ClientsConfig.
type clients struct {
	auth tls.ClientAuthType
	pool *x509.CertPool
	mark string // "" for none; differs where the rules or the CAs do
}

func openClients(c ClientsConfig) (clients, error) {
	if c.CA == "" {
		return clients{}, nil
	}
	text, err := os.ReadFile(c.CA)
	if err != nil {
		return clients{}, fmt.Errorf("clients.ca: %w", err)
	}
	out := clients{auth: tls.RequireAndVerifyClientCert, pool: x509.NewCertPool(), mark: "required "}
	if c.Optional {
		out.auth, out.mark = tls.VerifyClientCertIfGiven, "optional "
	}
	if !out.pool.AppendCertsFromPEM(text) {
		return clients{}, fmt.Errorf("clients.ca: %s holds no certificate", c.CA)
	}
	sum := sha256.Sum256(text)
	out.mark += hex.EncodeToString(sum[:])
	return out, nil
}

// baseConfig is what all handshakes have in common: TLS 1.2 with authenticated encryption, or 1.3 (RFC 9325, section 4.2).
// Of the groups the first guards what is sent today against who records it for a quantum computer.
func baseConfig() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		CipherSuites: []uint16{
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
		},
		CurvePreferences: []tls.CurveID{tls.X25519MLKEM768, tls.X25519, tls.CurveP256},
		NextProtos:       []string{"h2", "http/1.1"}, // as the lane's; it asks for them where a callback gives the configuration
	}
}

func newPolicy(label string, source CertSource, c clients, m *Manager) *policy {
	p := &policy{label: label + "\x00" + c.mark, source: source, config: baseConfig()}
	p.config.GetCertificate = source.Certificate
	p.config.ClientAuth, p.config.ClientCAs = c.auth, c.pool
	p.config.GetEncryptedClientHelloKeys = m.echKeys
	p.config.SetSessionTicketKeys(m.secrets.keys(p.label))
	return p
}

// refusal ends a handshake with the alert unrecognized_name (RFC 6066, section 3): crypto/tls sends it when there is no
// certificate. It must not resume a session either, and agrees on the cheapest key before it comes to that.
func refusal() *policy {
	config := baseConfig()
	config.CurvePreferences = []tls.CurveID{tls.X25519, tls.CurveP256}
	config.SessionTicketsDisabled = true
	source := &fixedSource{}
	config.GetCertificate = source.Certificate
	return &policy{source: source, config: config}
}
