// Package acmeca is an ACME CA for tests: pebble, which Let's Encrypt makes for that, in this process. It validates names on
// the loopback, where its resolver says that all of them are.
package acmeca

import (
	"crypto/x509"
	"encoding/pem"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/letsencrypt/pebble/v2/ca"
	"github.com/letsencrypt/pebble/v2/db"
	"github.com/letsencrypt/pebble/v2/va"
	"github.com/letsencrypt/pebble/v2/wfe"
	"github.com/miekg/dns"
)

// Rules say what kind of CA it is.
type Rules struct {
	HTTPPort, TLSPort int    // where names are validated
	Life              uint64 // of certificates, in seconds; 0 is three months
	BadNonces         string // percent; "" is none
	AccountKeys       map[string]string
	// Setenv sets what pebble reads from the environment.
	Setenv func(name, value string)
}

// CA is a CA that runs.
type CA struct {
	Directory string         // the URL of its directory
	Trust     []byte         // PEM: what to trust for Directory
	Roots     *x509.CertPool // what its certificates lead to

	server   *httptest.Server
	resolver *dns.Server
	serving  sync.WaitGroup
	requests atomic.Int64
	orders   atomic.Int64
	accounts sync.Mutex // held by whoever opens one

	mu      sync.Mutex
	instead http.HandlerFunc // guarded by mu; answers in place of the CA, unless nil
}

// Start starts a CA.
func Start(rules Rules) (*CA, error) {
	rules.Setenv("PEBBLE_VA_NOSLEEP", "1")
	rules.Setenv("PEBBLE_AUTHZREUSE", "0")
	rules.Setenv("PEBBLE_WFE_NONCEREJECT", "0"+rules.BadNonces)
	c := &CA{Roots: x509.NewCertPool()}
	resolver, err := c.startResolver()
	if err != nil {
		return nil, err
	}
	silent := log.New(io.Discard, "", 0)
	memory := db.NewMemoryStore()
	for id, key := range rules.AccountKeys {
		if err := memory.AddExternalAccountKeyByID(id, key); err != nil {
			return nil, err
		}
	}
	profiles := map[string]ca.Profile{"only": {ValidityPeriod: rules.Life}} // of several it takes one by chance
	issuer := ca.New(silent, memory, "", "ecdsa", 0, 1, profiles)
	c.Roots.AppendCertsFromPEM(issuer.GetRootCert(0).PEM())
	validator := va.New(silent, rules.HTTPPort, rules.TLSPort, false, resolver, memory)
	front := wfe.New(silent, memory, validator, issuer, []string{"ca.test"}, false, len(rules.AccountKeys) > 0, 1, 1)

	c.server = httptest.NewUnstartedServer(c.counting(front.Handler()))
	c.server.Config.ErrorLog = silent
	c.server.StartTLS()
	c.Directory = c.server.URL + wfe.DirectoryPath
	c.Trust = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.server.Certificate().Raw})
	return c, nil
}

// Close ends it.
func (c *CA) Close() {
	c.server.CloseClientConnections()
	c.server.Close()
	_ = c.resolver.Shutdown() // it may not have begun
	c.serving.Wait()
}

// Requests counts what the CA has been asked.
func (c *CA) Requests() int64 { return c.requests.Load() }

// Orders counts the orders among them.
func (c *CA) Orders() int64 { return c.orders.Load() }

// Answer puts a handler in place of the CA; nil puts the CA back.
func (c *CA) Answer(h http.HandlerFunc) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.instead = h
}

func (c *CA) counting(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.requests.Add(1)
		c.mu.Lock()
		instead := c.instead
		c.mu.Unlock()
		if instead != nil {
			instead(w, r)
			return
		}
		switch {
		case strings.HasPrefix(r.URL.Path, "/order-plz"):
			c.orders.Add(1)
		case strings.HasPrefix(r.URL.Path, "/sign-me-up"): // two at once that find the same account would race in pebble
			c.accounts.Lock()
			defer c.accounts.Unlock()
		}
		next.ServeHTTP(w, r)
	})
}

// startResolver answers every question for an address with the loopback.
func (c *CA) startResolver() (address string, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	c.resolver = &dns.Server{Listener: l, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, question *dns.Msg) {
		answer := new(dns.Msg).SetReply(question)
		if q := question.Question[0]; q.Qtype == dns.TypeA {
			header := dns.RR_Header{Name: q.Name, Rrtype: dns.TypeA, Class: dns.ClassINET}
			answer.Answer = []dns.RR{&dns.A{Hdr: header, A: net.IPv4(127, 0, 0, 1)}}
		}
		_ = w.WriteMsg(answer)
	})}
	started := make(chan struct{})
	c.resolver.NotifyStartedFunc = func() { close(started) }
	c.serving.Go(func() { _ = c.resolver.ActivateAndServe() })
	<-started
	return l.Addr().String(), nil
}
