package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// upstreamName is what the certificates of upstreams are for.
const upstreamName = "upstream.test"

// writeUpstreamCertificates writes what upstreams show, valid.pem and expired.pem, each with its key, and the CA of both, ca.pem.
func writeUpstreamCertificates(t *testing.T) (folder string) {
	t.Helper()
	folder = t.TempDir()
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "a CA"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	caKey := newKey(t)
	writePEM(t, filepath.Join(folder, "ca.pem"), "CERTIFICATE", sign(t, ca, ca, caKey, caKey))
	for name, end := range map[string]time.Time{"valid": time.Now().Add(time.Hour), "expired": time.Now().Add(-time.Hour)} {
		leaf, key := &x509.Certificate{
			SerialNumber: big.NewInt(2), DNSNames: []string{upstreamName}, NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: end,
		}, newKey(t)
		writePEM(t, filepath.Join(folder, name+".pem"), "CERTIFICATE", sign(t, leaf, ca, key, caKey))
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		writePEM(t, filepath.Join(folder, name+".key"), "PRIVATE KEY", der)
	}
	return folder
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func sign(t *testing.T, template, parent *x509.Certificate, key, by *ecdsa.PrivateKey) (der []byte) {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), by)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func writePEM(t *testing.T, name, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}
