package tlsmgr

import (
	"crypto/x509"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"selvage/testdata/acmeca"
)

func orderedSite(hosts ...string) Site { return Site{Name: hosts[0], Hosts: hosts} }

// TestIssue: a certificate by each of the challenges, for two names at once; strangers' names cost the CA nothing; and a
// restart orders nothing.
func TestIssue(t *testing.T) {
	for _, challenge := range []string{"tls-alpn-01", "http-01"} {
		t.Run(challenge, func(t *testing.T) {
			at := listenBoth(t)
			rules := acmeca.Rules{HTTPPort: port(at.http), TLSPort: port(at.tls)}
			if challenge == "http-01" {
				rules.TLSPort = closedPort(t)
			} else {
				rules.HTTPPort = closedPort(t)
			}
			ca, storage := startCA(t, rules), newMemoryStorage()
			began := time.Now()
			e := startEdge(t, at, account(t, ca), storage, orderedSite("one.example.com", "two.example.com"), orderedSite("three.example.com"))
			var first sync.WaitGroup
			for _, name := range []string{"one.example.com", "two.example.com", "three.example.com"} {
				first.Go(func() {
					if _, err := e.get(ca, name); err != nil {
						t.Errorf("%s: %v\n%s", name, err, e.log.take())
					}
					t.Logf("from the start to the first handshake of %s: %v", name, time.Since(began).Round(time.Millisecond))
				})
			}
			first.Wait()
			want := map[string]int64{"tls-alpn-01": 3, "http-01": 6}[challenge] // an order for each challenge that is tried
			if got := ca.Orders(); got != want {
				t.Errorf("%d orders, want %d", got, want)
			}

			if _, err := e.get(ca, "stranger.example.com"); err == nil {
				t.Error("a stranger's name got a certificate")
			}
			e.stop()
			again := startEdge(t, listenBoth(t), account(t, ca), storage, orderedSite("one.example.com", "two.example.com"))
			if _, err := again.get(ca, "one.example.com"); err != nil {
				t.Errorf("after a restart: %v", err)
			}
			if got := ca.Orders(); got != want { // of what came before them, autocert tidies up behind the certificate
				t.Errorf("a stranger and a restart cost the CA %d orders, want none", got-want)
			}
		})
	}
}

// TestRenewal: a certificate of a few seconds is replaced before it runs out, though nobody visits.
func TestRenewal(t *testing.T) {
	at := listenBoth(t)
	ca := startCA(t, acmeca.Rules{HTTPPort: port(at.http), TLSPort: port(at.tls), Life: 6})
	e := startEdge(t, at, account(t, ca), newMemoryStorage(), orderedSite("a.example.com"))
	issued := e.log.expect("certificate issued", "certificate issued")
	select {
	case <-issued:
	case <-time.After(time.Minute):
		t.Fatalf("no second certificate:\n%s", e.log.take())
	}
	leaf, s := e.settled(ca, "a.example.com")
	if s.Until != leaf.NotAfter || !s.Next.Before(s.Until) || s.Error != "" {
		t.Errorf("status %+v, want the certificate that is served, until %v", s, leaf.NotAfter)
	}
}

// settled returns the certificate of a name and what is said of it, with no renewal between the two.
func (e *edgeNode) settled(ca *acmeca.CA, name string) (*x509.Certificate, Status) {
	e.t.Helper()
	for {
		before := e.status(name)
		leaf, err := e.get(ca, name)
		if err != nil {
			e.t.Fatal(err)
		}
		if after := e.status(name); after.Until.Equal(before.Until) {
			return leaf, after
		}
	}
}

// TestTroubledCA: whatever the CA does is survived: it costs handshakes of names without a certificate, is told in the log
// and in the status, and ends when the CA is well again.
func TestTroubledCA(t *testing.T) {
	problem := func(status int, kind, detail string, fields ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			for i := 0; i < len(fields); i += 2 {
				w.Header().Set(fields[i], fields[i+1])
			}
			w.Header().Set("Content-Type", "application/problem+json")
			w.Header().Set("Replay-Nonce", "nonce")
			if r.Method == http.MethodHead {
				return
			}
			w.WriteHeader(status)
			fmt.Fprintf(w, `{"type": "urn:ietf:params:acme:error:%s", "detail": %q}`, kind, detail)
		}
	}
	for _, tt := range []struct {
		what  string
		does  http.HandlerFunc
		says  string
		after time.Duration // at least, to the next attempt
	}{
		{"down", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "EOF", time.Minute},
		{"no ACME server", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) }, "404", time.Minute},
		{"refuses", problem(403, "unauthorized", "no business with you"), "no business with you", time.Minute},
		{"limits", problem(429, "rateLimited", "too many", "Retry-After", "7200"), "too many", 2 * time.Hour},
	} {
		t.Run(tt.what, func(t *testing.T) {
			at := listenBoth(t)
			ca := startCA(t, acmeca.Rules{HTTPPort: port(at.http), TLSPort: port(at.tls)})
			ca.Answer(tt.does)
			e := startEdge(t, at, account(t, ca), newMemoryStorage(), orderedSite("a.example.com"))
			if _, err := e.get(ca, "a.example.com"); err == nil || !strings.Contains(err.Error(), "unrecognized name") {
				t.Errorf("a handshake meanwhile: %v, want the alert unrecognized_name", err)
			}
			s := e.status("a.example.com")
			if s.Failures != 1 || !strings.Contains(s.Error, tt.says) || time.Until(s.Next) < tt.after-30*time.Second {
				t.Errorf("status %+v, want one failure with %q, and the next attempt after %v", s, tt.says, tt.after)
			}
			if said := e.log.take(); !strings.Contains(said, "no certificate") || !strings.Contains(said, tt.says) {
				t.Errorf("the log says %q, want %q", said, tt.says)
			}
			asked := ca.Requests()
			_, _ = e.get(ca, "a.example.com")
			if ca.Requests() != asked {
				t.Error("a handshake between two attempts asked the CA")
			}
			ca.Answer(nil)
			e.orders.tryNow("a.example.com")
			if _, err := e.get(ca, "a.example.com"); err != nil {
				t.Errorf("when the CA is well again: %v\n%s", err, e.log.take())
			}
			if s := e.status("a.example.com"); s.Failures != 0 || s.Error != "" {
				t.Errorf("status after that: %+v, want no failure", s)
			}
		})
	}
}

// TestBadNonces: a CA that refuses half of all nonces (RFC 8555, section 6.5) is asked again.
func TestBadNonces(t *testing.T) {
	at := listenBoth(t)
	ca := startCA(t, acmeca.Rules{HTTPPort: port(at.http), TLSPort: port(at.tls), BadNonces: "50"})
	e := startEdge(t, at, account(t, ca), newMemoryStorage(), orderedSite("a.example.com"))
	if _, err := e.get(ca, "a.example.com"); err != nil {
		t.Errorf("%v\n%s", err, e.log.take())
	}
}

// TestHangingCA: a CA that says nothing does not hold up the end of the node.
func TestHangingCA(t *testing.T) {
	at := listenBoth(t)
	ca := startCA(t, acmeca.Rules{})
	asked := make(chan struct{}, 8)
	ca.Answer(func(_ http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		<-r.Context().Done()
	})
	e := startEdge(t, at, account(t, ca), newMemoryStorage(), orderedSite("a.example.com"))
	<-asked
	began := time.Now()
	e.stop()
	if took := time.Since(began); took > acmePatience-5*time.Second {
		t.Errorf("the end took %v", took)
	}
}

// TestFailedChallenge: why a CA could not validate a name is told, though autocert keeps it to itself.
func TestFailedChallenge(t *testing.T) {
	at := listenBoth(t)
	ca := startCA(t, acmeca.Rules{HTTPPort: closedPort(t), TLSPort: closedPort(t)})
	e := startEdge(t, at, account(t, ca), newMemoryStorage(), orderedSite("a.example.com"))
	_, _ = e.get(ca, "a.example.com")
	if s := e.status("a.example.com"); !strings.Contains(s.Error, "tls-alpn-01: ") || !strings.Contains(s.Error, "connection refused") {
		t.Errorf("status %+v, want both challenges and why they failed", s)
	}
}

// TestExternalAccount: a CA that wants its customers' accounts bound gets a binding.
func TestExternalAccount(t *testing.T) {
	const key = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"
	for _, tt := range []struct {
		what string
		eab  EABConfig
		ok   bool
	}{
		{"no binding", EABConfig{}, false},
		{"a binding", EABConfig{KeyID: "kid-1", Key: key}, true},
	} {
		at := listenBoth(t)
		ca := startCA(t, acmeca.Rules{HTTPPort: port(at.http), TLSPort: port(at.tls), AccountKeys: map[string]string{"kid-1": key}})
		c := account(t, ca)
		c.EAB = tt.eab
		e := startEdge(t, at, c, newMemoryStorage(), orderedSite("a.example.com"))
		if _, err := e.get(ca, "a.example.com"); (err == nil) != tt.ok {
			t.Errorf("%s: %v, want a certificate %v\n%s", tt.what, err, tt.ok, e.log.take())
		}
	}
}
