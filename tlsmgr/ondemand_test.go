package tlsmgr

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"selvage/testdata/acmeca"
)

// doorman is the URL that is asked.
type doorman struct {
	*httptest.Server
	mu     sync.Mutex
	asked  []string       // guarded by mu
	status map[string]int // by name; 404 for all others
}

func startDoorman(t *testing.T, status map[string]int) *doorman {
	d := &doorman{status: status}
	d.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d.mu.Lock()
		defer d.mu.Unlock()
		name := r.URL.Query().Get("domain")
		d.asked = append(d.asked, name)
		if status := d.status[name]; status != 0 {
			w.WriteHeader(status)
			return
		}
		w.WriteHeader(http.StatusNotFound)
	}))
	t.Cleanup(d.Close)
	return d
}

// TestOnDemand: a name under a wildcard gets a certificate when it is listed, or when who is asked says so; a restart
// finds it again without asking anybody; all others cost the CA nothing.
func TestOnDemand(t *testing.T) {
	door := startDoorman(t, map[string]int{"asked.shops.example.com": 200, "broken.shops.example.com": 500})
	at := listenBoth(t)
	ca, storage := startCA(t, acmeca.Rules{HTTPPort: port(at.http), TLSPort: port(at.tls)}), newMemoryStorage()
	c := account(t, ca)
	c.OnDemand = OnDemandConfig{Names: []string{"*.listed.example.com"}, Ask: door.URL + "/?key=1", PerHour: 2}
	e := startEdge(t, at, c, storage, orderedSite("*.shops.example.com", "*.listed.example.com"))
	for _, tt := range []struct {
		name string
		ok   bool
	}{
		{"a.listed.example.com", true},
		{"asked.shops.example.com", true},
		{"asked.shops.example.com", true},
		{"other.shops.example.com", false},
		{"other.shops.example.com", false},
		{"broken.shops.example.com", false},
		{"b.listed.example.com", false}, // beyond two an hour
		{"asked.example.com", false},    // no site has it
	} {
		if _, err := e.get(ca, tt.name); (err == nil) != tt.ok {
			t.Errorf("%s: %v, want a certificate %v\n%s", tt.name, err, tt.ok, e.log.take())
		}
	}
	if got := ca.Orders(); got != 2 {
		t.Errorf("%d orders, want 2", got)
	}
	want := []string{"asked.shops.example.com", "asked.shops.example.com", "other.shops.example.com", "broken.shops.example.com"}
	if got := slices.Compact(slices.Clone(door.asked)); !slices.Equal(got, slices.Compact(want)) {
		t.Errorf("asked about %q, want %q", door.asked, want)
	}
	e.stop()

	door.asked = nil
	before := ca.Requests()
	again := startEdge(t, listenBoth(t), c, storage, orderedSite("*.shops.example.com"))
	if _, err := again.get(ca, "asked.shops.example.com"); err != nil {
		t.Errorf("after a restart: %v", err)
	}
	if len(door.asked) > 0 || ca.Requests() != before {
		t.Errorf("a restart asked about %q, and cost the CA %d requests", door.asked, ca.Requests()-before)
	}
}

// TestVerdictsAreRemembered: a yes for an hour, a no for ten minutes, no answer for ten seconds; and no more of them than
// there is room for.
func TestVerdictsAreRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newOnDemand(OnDemandConfig{Ask: "http://ask.test", PerHour: 1}, slog.New(slog.DiscardHandler))
		asked := 0
		d.client.Transport = scriptedCA(func(r *http.Request) (*http.Response, error) {
			asked++
			resp := notFound()
			resp.StatusCode = map[string]int{"yes.test": 200, "no.test": 404, "broken.test": 503}[r.URL.Query().Get("domain")]
			return resp, nil
		})
		for _, tt := range []struct {
			name  string
			want  bool
			holds time.Duration
		}{{"yes.test", true, time.Hour}, {"no.test", false, 10 * time.Minute}, {"broken.test", false, 10 * time.Second}} {
			asked = 0
			for _, step := range []struct {
				wait time.Duration
				want int
			}{{0, 1}, {tt.holds - time.Second, 1}, {2 * time.Second, 2}} {
				time.Sleep(step.wait)
				if got := d.permits(t.Context(), tt.name); got != tt.want || asked != step.want {
					t.Errorf("%s, %v later: %v after %d questions, want %v after %d", tt.name, step.wait, got, asked, tt.want, step.want)
				}
			}
		}
		for i := range maxVerdicts + 10 {
			d.remember(time.Duration(i).String(), verdict{})
		}
		if len(d.verdicts) > maxVerdicts {
			t.Errorf("%d verdicts are remembered, want %d at most", len(d.verdicts), maxVerdicts)
		}
	})
}

// TestOrdersPerHour: an allowance that fills up again with time.
func TestOrdersPerHour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newOnDemand(OnDemandConfig{Names: []string{"*.test"}, PerHour: 4}, slog.New(slog.DiscardHandler))
		count := func() (n int) {
			for d.spend() {
				n++
			}
			return n
		}
		if got := count(); got != 4 {
			t.Errorf("at first: %d, want 4", got)
		}
		time.Sleep(31 * time.Minute)
		if got := count(); got != 2 {
			t.Errorf("half an hour later: %d, want 2", got)
		}
		time.Sleep(24 * time.Hour)
		if got := count(); got != 4 {
			t.Errorf("a day later: %d, want 4", got)
		}
	})
}
