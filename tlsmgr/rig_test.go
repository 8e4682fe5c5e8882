package tlsmgr

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io/fs"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// testCA issues what tests put into files.
type testCA struct {
	root *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newTestCA(t testing.TB) *testCA {
	t.Helper()
	c, err := issue(&x509.Certificate{
		Subject: pkix.Name{CommonName: "test CA"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(20, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	return &testCA{c.Leaf, c.PrivateKey.(*ecdsa.PrivateKey)}
}

// order is a certificate to be made.
type order struct {
	subject string
	names   []string
	rsa     bool
	until   time.Time // a year, by default
}

func (ca *testCA) issue(t testing.TB, o order) (cert, key []byte) {
	t.Helper()
	var signer crypto.Signer
	signer, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if o.rsa {
		signer, err = rsa.GenerateKey(rand.Reader, 2048)
	}
	if err != nil {
		t.Fatal(err)
	}
	if o.until.IsZero() {
		o.until = time.Now().AddDate(1, 0, 0)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: o.subject}, DNSNames: o.names,
		NotBefore: time.Now().AddDate(0, -1, 0), NotAfter: o.until,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca.root, signer.Public(), ca.key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(signer)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
}

// files writes a certificate and its key into a folder.
func (ca *testCA) files(t testing.TB, folder, name string, o order) FileConfig {
	t.Helper()
	c := FileConfig{Cert: filepath.Join(folder, name+".pem"), Key: filepath.Join(folder, name+".key")}
	cert, key := ca.issue(t, o)
	write(t, c.Cert, cert)
	write(t, c.Key, key)
	return c
}

func write(t testing.TB, name string, text []byte) {
	t.Helper()
	if err := os.WriteFile(name, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// memoryStorage is Storage for as long as a test lasts.
type memoryStorage struct {
	mu     sync.Mutex
	values map[string][]byte
}

func newMemoryStorage() *memoryStorage { return &memoryStorage{values: make(map[string][]byte)} }

func (s *memoryStorage) Load(_ context.Context, name string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	value, ok := s.values[name]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return bytes.Clone(value), nil
}

func (s *memoryStorage) Save(_ context.Context, name string, value []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.values[name] = bytes.Clone(value)
	return nil
}

func (s *memoryStorage) Delete(_ context.Context, name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.values, name)
	return nil
}

// logbook is a log that can be read while it is written.
type logbook struct {
	mu   sync.Mutex
	text bytes.Buffer  // guarded by mu
	want []string      // guarded by mu
	met  chan struct{} // guarded by mu
}

func (l *logbook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text.Write(p)
	l.judgeLocked()
	return len(p), nil
}

// expect returns what is closed when the log has all of these, in this order.
func (l *logbook) expect(want ...string) <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.want, l.met = want, make(chan struct{})
	l.judgeLocked()
	return l.met
}

func (l *logbook) judgeLocked() {
	if l.met == nil {
		return
	}
	rest := l.text.String()
	for _, want := range l.want {
		_, after, found := strings.Cut(rest, want)
		if !found {
			return
		}
		rest = after
	}
	close(l.met)
	l.met = nil
}

// take returns what was written since the last time.
func (l *logbook) take() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.text.Reset()
	return l.text.String()
}

// options are those of a node with one listener, ":443".
func options(l Listener, sites ...Site) Options {
	l.Address = ":443"
	return Options{
		Config: DefaultConfig(), Listeners: []Listener{l}, Sites: sites, Storage: newMemoryStorage(),
		Logger: slog.New(slog.DiscardHandler),
	}
}

func newManager(t testing.TB, o Options) *Manager {
	t.Helper()
	m, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// shaken is the outcome of a handshake.
type shaken struct {
	client, server tls.ConnectionState
	clientErr      error
	serverErr      error
}

// subject is the name of the certificate that the client was shown.
func (s shaken) subject() string {
	if len(s.client.PeerCertificates) == 0 {
		return ""
	}
	return s.client.PeerCertificates[0].Subject.CommonName
}

// shake shakes hands with the listener of m. The server sends one byte afterwards, so that the client gets its tickets.
func shake(t testing.TB, m *Manager, client *tls.Config) (out shaken) {
	t.Helper()
	config, err := m.TLS(":443")
	if err != nil {
		t.Fatal(err)
	}
	near, far := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer far.Close()
		s := tls.Server(far, config)
		if out.serverErr = s.Handshake(); out.serverErr == nil {
			go s.Read(make([]byte, 1)) // the client's last words, or the end
			_, out.serverErr = s.Write([]byte{1})
			out.server = s.ConnectionState()
		}
	}()
	c := tls.Client(near, client)
	if out.clientErr = c.Handshake(); out.clientErr == nil {
		_, out.clientErr = c.Read(make([]byte, 1))
		out.client = c.ConnectionState()
	}
	near.Close()
	<-done
	return out
}

func anyone(name string) *tls.Config { return &tls.Config{ServerName: name, InsecureSkipVerify: true} }
