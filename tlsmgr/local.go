package tlsmgr

import (
	"context"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"
)

// localCA is the node's own certificate authority, for development and tests. Its root is what a browser is told to trust,
// so its key is kept like any other secret.
type localCA struct {
	root *x509.Certificate
	key  *ecdsa.PrivateKey
}

const (
	localCAKey = "local-ca.pem" // in Storage: the root, then its key
	rootYears  = 10
	// leafLife is how long the certificates of a localCA last. Clients accept no more than 398 days of any, and a short life
	// makes renewal an everyday matter.
	leafLife = 7 * 24 * time.Hour
)

// openLocalCA loads the CA, or makes one and saves it.
func openLocalCA(ctx context.Context, storage Storage) (*localCA, error) {
	text, err := storage.Load(ctx, localCAKey)
	if errors.Is(err, fs.ErrNotExist) {
		return newLocalCA(ctx, storage)
	}
	if err != nil {
		return nil, fmt.Errorf("load the local CA: %w", err)
	}
	pair, err := tls.X509KeyPair(text, text)
	if err != nil {
		return nil, fmt.Errorf("local CA: %w", withoutPackage(err))
	}
	key, ok := pair.PrivateKey.(*ecdsa.PrivateKey)
	switch {
	case !ok || !pair.Leaf.IsCA:
		return nil, fmt.Errorf("local CA: %s holds something else", localCAKey)
	case time.Now().Add(leafLife).After(pair.Leaf.NotAfter):
		return newLocalCA(ctx, storage) // whoever trusted the old one has to be told anyway
	}
	return &localCA{pair.Leaf, key}, nil
}

func newLocalCA(ctx context.Context, storage Storage) (*localCA, error) {
	now := time.Now()
	c, err := issue(&x509.Certificate{
		Subject:   pkix.Name{CommonName: "Selvage local CA " + now.Format("2006-01-02")},
		NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(rootYears, 0, 0),
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		IsCA:     true, BasicConstraintsValid: true, MaxPathLenZero: true,
	}, nil, nil)
	if err != nil {
		return nil, fmt.Errorf("make the local CA: %w", err)
	}
	key := c.PrivateKey.(*ecdsa.PrivateKey)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("make the local CA: %w", err)
	}
	text := append(encodeCertificate(c.Leaf), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})...)
	if err := storage.Save(ctx, localCAKey, text); err != nil {
		return nil, fmt.Errorf("save the local CA: %w", err)
	}
	return &localCA{c.Leaf, key}, nil
}

// LocalRoot returns the root certificate of the node's own CA, as PEM, for those who are to trust it. fs.ErrNotExist: there
// is none yet.
func LocalRoot(ctx context.Context, storage Storage) ([]byte, error) {
	text, err := storage.Load(ctx, localCAKey)
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(text, text)
	if err != nil {
		return nil, fmt.Errorf("local CA: %w", withoutPackage(err))
	}
	return encodeCertificate(pair.Leaf), nil
}

func encodeCertificate(c *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
}

// localSource gives certificates of the local CA for a fixed set of hosts. A handshake that finds less than a third of the
// life left makes the next one: that takes a fraction of a millisecond, once in days.
type localSource struct {
	ca    *localCA
	hosts []string

	mu      sync.Mutex
	current *tls.Certificate // guarded by mu; nil before the first handshake
}

// Certificate implements CertSource.
func (s *localSource) Certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if s.current != nil && now.Before(s.current.Leaf.NotAfter.Add(-leafLife/3)) {
		return s.current, nil
	}
	c, err := issue(leafTemplate("Selvage", s.hosts, now.Add(leafLife)), s.ca.root, s.ca.key)
	if err != nil {
		return nil, fmt.Errorf("local CA: %w", err)
	}
	s.current = c
	return c, nil
}
