package tlsmgr

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/acme"
)

// scriptedCA is a way to a CA on a network in memory.
type scriptedCA func(r *http.Request) (*http.Response, error)

func (s scriptedCA) RoundTrip(r *http.Request) (*http.Response, error) { return s(r) }

// scripted is an authority behind a script.
func scripted(script scriptedCA) *authority {
	return &authority{
		ACMEConfig: ACMEConfig{Directory: "https://ca.test/"}, transport: script,
		storage: newMemoryStorage(), log: slog.New(slog.DiscardHandler),
	}
}

func notFound() *http.Response {
	return &http.Response{StatusCode: http.StatusNotFound, Body: io.NopCloser(strings.NewReader("")), Header: http.Header{}}
}

// TestPauses: attempts that fail come ever more seldom, and never stop.
func TestPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked []time.Duration
		began := time.Now()
		a := scripted(func(*http.Request) (*http.Response, error) {
			asked = append(asked, time.Since(began))
			return notFound(), nil
		})
		o := newOrders(a.log)
		o.want(a, nil, []string{"a.example.com"})
		stop := ordering(t, o)
		time.Sleep(24 * time.Hour)
		stop()
		at := time.Duration(0)
		for i, got := range asked {
			if i > 0 {
				pause := pauses[min(i, len(pauses))-1]
				if gap := got - at; gap < pause || gap > pause+pause/10 {
					t.Errorf("attempt %d: %v after the one before, want %v and at most a tenth more", i+1, gap, pause)
				}
			}
			at = got
		}
		if len(asked) < 8 {
			t.Errorf("%d attempts in a day: %v", len(asked), asked)
		}
	})
}

// TestRateLimit: a CA that says when to come back is believed, within reason.
func TestRateLimit(t *testing.T) {
	limited := func(after string) error {
		return &acme.Error{ProblemType: "urn:ietf:params:acme:error:rateLimited", Header: http.Header{"Retry-After": {after}}}
	}
	for _, tt := range []struct {
		failures    int
		err         error
		least, most time.Duration
	}{
		{1, errors.New("any"), time.Minute, 66 * time.Second},
		{1, limited("30"), time.Minute, 66 * time.Second},
		{1, limited("7200"), 2 * time.Hour, 132 * time.Minute},
		{1, limited("9999999"), 24 * time.Hour, 27 * time.Hour},
		{1, limited("soon"), time.Minute, 66 * time.Second},
		{99, errors.New("any"), 6 * time.Hour, 396 * time.Minute},
	} {
		if got := pauseAfter(tt.failures, tt.err); got < tt.least || got > tt.most {
			t.Errorf("after %d failures, %v: %v, want from %v to %v", tt.failures, tt.err, got, tt.least, tt.most)
		}
	}
}

// TestParallelOrders: a few orders are under way at once, however many names there are, and every name has its turn.
func TestParallelOrders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		now, most, all := 0, 0, 0
		a := scripted(func(*http.Request) (*http.Response, error) {
			mu.Lock()
			now, all = now+1, all+1
			most = max(most, now)
			mu.Unlock()
			time.Sleep(time.Second)
			mu.Lock()
			now--
			mu.Unlock()
			return notFound(), nil
		})
		var names []string
		for i := range 5*parallelOrders + 1 {
			names = append(names, fmt.Sprintf("n%d.example.com", i))
		}
		o := newOrders(a.log)
		o.want(a, nil, names)
		stop := ordering(t, o)
		time.Sleep(30 * time.Second)
		stop()
		if most != parallelOrders || all != len(names) {
			t.Errorf("%d names: %d attempts, %d at once, want %d and %d", len(names), all, most, len(names), parallelOrders)
		}
	})
}

// TestRenewalMoment: a certificate is renewed when two thirds of its life are over, or a little before; one that is stored
// is ordered anew only then.
func TestRenewalMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca := newTestCA(t)
		cert, key := ca.issue(t, order{names: []string{"a.example.com"}, until: time.Now().AddDate(0, 2, 0)}) // made a month ago
		asked := make(chan time.Time, 100)
		a := scripted(func(*http.Request) (*http.Response, error) {
			asked <- time.Now()
			return notFound(), nil
		})
		if err := a.storage.Save(t.Context(), a.stored("a.example.com"), append(cert, key...)); err != nil {
			t.Fatal(err)
		}
		o := newOrders(a.log)
		o.want(a, nil, []string{"a.example.com"})
		c, _ := o.find("a.example.com")
		if c == nil {
			t.Fatal("a stored certificate is not used")
		}
		stop := ordering(t, o)
		defer stop()
		first := <-asked
		life := c.Leaf.NotAfter.Sub(c.Leaf.NotBefore)
		if left := c.Leaf.NotAfter.Sub(first); left < life/3 || left > life/3+life/30+time.Second {
			t.Errorf("renewed with %v of %v left, want a third", left, life)
		}
		if again, _ := o.find("a.example.com"); again != c {
			t.Error("the certificate is gone after an attempt that failed")
		}
	})
}

// TestUnusableStored: what is stored and cannot be used is as if it were not there.
func TestUnusableStored(t *testing.T) {
	ca := newTestCA(t)
	old, oldKey := ca.issue(t, order{names: []string{"a.example.com"}, until: time.Now().Add(-time.Hour)})
	other, otherKey := ca.issue(t, order{names: []string{"b.example.com"}})
	for what, value := range map[string][]byte{
		"nonsense": []byte("nonsense"), "no key": other, "expired": append(old, oldKey...), "another's": append(other, otherKey...),
	} {
		a := scripted(nil)
		if err := a.storage.Save(t.Context(), a.stored("a.example.com"), value); err != nil {
			t.Fatal(err)
		}
		if a.load(t.Context(), "a.example.com") != nil {
			t.Errorf("%s: used", what)
		}
	}
}

// TestOneAccount: the account's key is made once and found again.
func TestOneAccount(t *testing.T) {
	a := scripted(nil)
	first, err := a.accountKey(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	b := scripted(nil)
	b.storage = a.storage
	if second, err := b.accountKey(t.Context()); err != nil || !second.Equal(first) {
		t.Errorf("after a restart: another key (%v)", err)
	}
	b.Directory = "https://other.test/"
	b.key = nil
	if third, err := b.accountKey(t.Context()); err != nil || third.Equal(first) {
		t.Errorf("at another CA: the same key (%v)", err)
	}
}

// TestAutocertsTimerEnds: autocert renews by a timer of its own that nobody can stop. It ends at its first question.
func TestAutocertsTimerEnds(t *testing.T) {
	a, err := scripted(nil).attempt(t.Context(), "a.example.com")
	if err != nil {
		t.Fatal(err)
	}
	asks := func() (answered bool) {
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, _ = a.Get(context.Background(), "a.example.com")
			answered = true
		}()
		<-done
		return answered
	}
	if !asks() {
		t.Error("while the order is under way: no answer")
	}
	a.end()
	if asks() {
		t.Error("when the order is over: an answer, so that the timer goes on")
	}
}

// TestChallenge: THREATS T29. Only a token of ours is answered, for a name of ours; also one of a node that shares Storage.
func TestChallenge(t *testing.T) {
	a := scripted(func(*http.Request) (*http.Response, error) { return notFound(), nil })
	m := newManager(t, options(Listener{SelfSigned: true}))
	m.orders.want(a, nil, []string{"a.example.com"})
	other := &attempt{authority: a, name: "a.example.com", answers: make(map[string]string)}
	if err := other.Put(t.Context(), "token+http-01", []byte("token.thumbprint")); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		host, token string
		ok          bool
	}{
		{"a.example.com", "token", true},
		{"A.example.com", "token", true},
		{"b.example.com", "token", false},
		{"a.example.com", "other", false},
		{"a.example.com", "", false},
		{"a.example.com", "../token", false},
		{"a.example.com", "token+http-01", false},
		{"a.example.com", strings.Repeat("t", 300), false},
	} {
		if answer, ok := m.Challenge(t.Context(), tt.host, tt.token); ok != tt.ok || ok && answer != "token.thumbprint" {
			t.Errorf("%s, %q: %q, %v, want %v", tt.host, tt.token, answer, ok, tt.ok)
		}
	}
	if err := other.Delete(t.Context(), "token+http-01"); err != nil {
		t.Fatal(err)
	}
	if _, ok := m.Challenge(t.Context(), "a.example.com", "token"); ok {
		t.Error("answered when the challenge is over")
	}
}

// TestValidatingHandshakes: a CA's handshake is no client's: it gets no site's certificate, and no request after it is
// served.
func TestValidatingHandshakes(t *testing.T) {
	m := newManager(t, options(Listener{SelfSigned: true}, internalSite("a.example.com")))
	client := anyone("a.example.com")
	client.NextProtos = []string{acme.ALPNProto}
	if got := shake(t, m, client); !got.unrecognized() {
		t.Errorf("without an order: certificate %q (%v), want the alert unrecognized_name", got.subject(), got.clientErr)
	}
	state := shake(t, m, anyone("a.example.com")).server
	if m.Misdirected(&state, "a.example.com", false) {
		t.Error("a client is misdirected")
	}
	state.NegotiatedProtocol, state.VerifiedChains = acme.ALPNProto, [][]*x509.Certificate{{}}
	if !m.Misdirected(&state, "a.example.com", true) {
		t.Error("a request after a validating handshake is served")
	}
}

// ordering runs o; stop ends it and waits.
func ordering(t *testing.T, o *orders) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		o.run(ctx)
	}()
	return func() {
		cancel()
		<-done
	}
}

// FuzzRefusals: whatever a CA sends, it is read without harm, and a refusal is told on one line.
func FuzzRefusals(f *testing.F) {
	f.Add([]byte(`{"status": "invalid", "challenges": [{"type": "http-01", "error": {"detail": "no\nroute"}}]}`))
	f.Add([]byte(`{"status": "valid"}`))
	f.Add([]byte(`[`))
	f.Fuzz(func(t *testing.T, body []byte) {
		w := new(acmeTransport)
		w.note(body)
		w.note(body)
		seen := make(map[string]bool)
		for _, why := range w.refusals() {
			_, detail, _ := strings.Cut(why, ": ")
			if seen[why] || strings.ContainsAny(detail, "\n\x1b") {
				t.Errorf("refusals %q", w.refusals())
			}
			seen[why] = true
		}
	})
}
