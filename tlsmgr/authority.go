package tlsmgr

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/acme"
	"golang.org/x/crypto/acme/autocert"
)

// authority is an ACME CA (RFC 8555) and our account there.
type authority struct {
	ACMEConfig
	eab       *acme.ExternalAccountBinding // nil for none
	transport http.RoundTripper
	storage   Storage
	log       *slog.Logger

	mu  sync.Mutex
	key *ecdsa.PrivateKey // of the account; guarded by mu; nil before the first order
}

func newAuthority(c ACMEConfig, storage Storage, secret func(string) (string, error), log *slog.Logger) (*authority, error) {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	a := &authority{ACMEConfig: c, storage: storage, log: log, transport: transport}
	if c.CA != "" {
		text, err := os.ReadFile(c.CA)
		if err != nil {
			return nil, fmt.Errorf("acme.ca: %w", err)
		}
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("acme.ca: %s holds no certificate", c.CA)
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: roots}
	}
	if c.EAB.KeyID == "" {
		return a, nil
	}
	text, err := secret(c.EAB.Key)
	if err != nil {
		return nil, fmt.Errorf("acme.eab.key: %w", err)
	}
	key, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(strings.TrimSpace(text), "="))
	if err != nil {
		return nil, errors.New("acme.eab.key: is not base64url") // without the key
	}
	a.eab = &acme.ExternalAccountBinding{KID: c.EAB.KeyID, Key: key}
	return a, nil
}

// stored is the name of a value in Storage: certificates of different CAs, of one for tests for instance, never mix.
func (a *authority) stored(name string) string {
	host := "acme"
	if u, err := url.Parse(a.Directory); err == nil && u.Hostname() != "" {
		host = strings.Map(keyRune, u.Hostname())
	}
	sum := sha256.Sum256([]byte(a.Directory))
	return host + "-" + hex.EncodeToString(sum[:4]) + "+" + name
}

func keyRune(r rune) rune {
	if validKey("a" + string(r)) {
		return r
	}
	return '-'
}

// load returns the certificate that was stored for a name, nil if there is none that is still good.
func (a *authority) load(ctx context.Context, name string) *tls.Certificate {
	text, err := a.storage.Load(ctx, a.stored(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		var pair tls.Certificate
		if pair, err = tls.X509KeyPair(text, text); err == nil {
			if time.Now().Before(pair.Leaf.NotAfter) && pair.Leaf.VerifyHostname(name) == nil {
				return &pair
			}
			return nil
		}
	}
	a.log.Error("a stored certificate cannot be used; another will be ordered", "name", name, "error", err)
	return nil
}

// accountKey loads the key of our account, or makes one.
func (a *authority) accountKey(ctx context.Context) (*ecdsa.PrivateKey, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.key != nil {
		return a.key, nil
	}
	text, err := a.storage.Load(ctx, a.stored("account"))
	if errors.Is(err, fs.ErrNotExist) {
		return a.newAccountLocked(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("load the account's key: %w", err)
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("the account's key in %s is no PEM", a.stored("account"))
	}
	if a.key, err = x509.ParseECPrivateKey(block.Bytes); err != nil {
		return nil, fmt.Errorf("the account's key in %s: %w", a.stored("account"), err)
	}
	return a.key, nil
}

// newAccountLocked saves the key before anything is signed with it: an account whose key is lost is lost.
func (a *authority) newAccountLocked(ctx context.Context) (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, err
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})
	if err := a.storage.Save(ctx, a.stored("account"), text); err != nil {
		return nil, fmt.Errorf("save the account's key: %w", err)
	}
	a.key = key
	return key, nil
}

// attempt is one order for one name, from the account to the certificate. autocert.Manager holds the conversation with the
// CA; there is one for every attempt, so that when to try, and how many at once, is ours to say.
type attempt struct {
	*authority
	name    string
	manager *autocert.Manager
	wire    *acmeTransport

	mu      sync.Mutex
	over    bool              // guarded by mu
	answers map[string]string // to HTTP-01 challenges, by token; guarded by mu
}

// attempt begins an order. ctx ends what it asks of the CA.
func (a *authority) attempt(ctx context.Context, name string) (*attempt, error) {
	key, err := a.accountKey(ctx)
	if err != nil {
		return nil, err
	}
	t := &attempt{authority: a, name: name, answers: make(map[string]string)}
	t.wire = &acmeTransport{base: a.transport, ctx: ctx}
	t.manager = &autocert.Manager{
		Prompt: autocert.AcceptTOS, // the configuration has accepted them, or there would be no authority
		Cache:  t,
		HostPolicy: func(_ context.Context, host string) error {
			if host != name {
				return fmt.Errorf("the order is for %s, not %s", name, host)
			}
			return nil
		},
		Client: &acme.Client{
			Key: key, DirectoryURL: a.Directory, HTTPClient: &http.Client{Transport: t.wire}, RetryBackoff: retryBackoff,
			UserAgent: "selvage",
		},
		Email: a.Email, ExternalAccountBinding: a.eab,
	}
	t.manager.HTTPHandler(nil) // allows HTTP-01; it is answered by Manager.Challenge
	return t, nil
}

// order gets a certificate with an ECDSA key, which every client of TLS 1.2 and later can use.
func (t *attempt) order() (*tls.Certificate, error) {
	defer t.end()
	c, err := t.manager.GetCertificate(&tls.ClientHelloInfo{
		ServerName: t.name, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256},
	})
	if refusals := t.wire.refusals(); err != nil && len(refusals) > 0 {
		return nil, fmt.Errorf("%w: %s", err, strings.Join(refusals, "; ")) // autocert keeps them to itself
	}
	return c, err
}

func (t *attempt) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.over = true
}

// answer returns the answer to an HTTP-01 challenge of this attempt.
func (t *attempt) answer(token string) (string, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	answer, ok := t.answers[token]
	return answer, ok
}
