package tlsmgr

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net"
	"slices"
	"time"
)

// fixedSource gives one certificate to everybody.
type fixedSource struct{ certificate *tls.Certificate }

// Certificate implements CertSource.
func (s *fixedSource) Certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return s.certificate, nil
}

// selfSigned makes a certificate that nobody trusts. It lasts as long as the process may.
func selfSigned(hosts []string) (*fixedSource, error) {
	template := leafTemplate("Selvage self-signed", hosts, time.Now().AddDate(1, 0, 0))
	c, err := issue(template, nil, nil)
	if err != nil {
		return nil, fmt.Errorf("self-signed certificate: %w", err)
	}
	return &fixedSource{c}, nil
}

// localNames are the names of this machine to itself.
var localNames = []string{"localhost", "*.localhost", "127.0.0.1", "::1"}

// leafTemplate is a server certificate for hosts, and for this machine's own names.
func leafTemplate(subject string, hosts []string, until time.Time) *x509.Certificate {
	t := &x509.Certificate{
		Subject:   pkix.Name{CommonName: subject},
		NotBefore: time.Now().Add(-time.Hour), // clocks differ
		NotAfter:  until,
		KeyUsage:  x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	for _, host := range append(slices.Clone(hosts), localNames...) {
		host = canonicalName(host)
		if address := net.ParseIP(host); address != nil {
			t.IPAddresses = append(t.IPAddresses, address)
		} else if !slices.Contains(t.DNSNames, host) {
			t.DNSNames = append(t.DNSNames, host)
		}
	}
	return t
}

// issue makes a key and a certificate for it, signed by parent; without one, by itself.
func issue(template, parent *x509.Certificate, signer *ecdsa.PrivateKey) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	if parent == nil {
		parent, signer = template, key
	}
	if template.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127)); err != nil {
		return nil, err
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, nil
}
