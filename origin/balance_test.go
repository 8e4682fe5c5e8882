package origin

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// balanced is a pool of n upstreams under a policy. Nothing is sent.
func balanced(t testing.TB, n int, change func(*Config)) *Pool {
	t.Helper()
	c := testConfig()
	c.URLs = nil
	for i := range n {
		u := DefaultUpstream()
		u.URL = fmt.Sprintf("http://10.0.0.%d", i+1)
		c.Upstreams = append(c.Upstreams, u)
	}
	change(&c)
	return newPool(t, c, nil)
}

// chosen is who gets r while nothing is in flight.
func chosen(t testing.TB, p *Pool, r *http.Request) string {
	t.Helper()
	u, full := p.pick(&attempts{r: r}, false, time.Now())
	if u == nil {
		t.Fatalf("nobody is chosen; full = %t", full)
	}
	return u.name
}

// TestHashOf: what makes two requests equal.
func TestHashOf(t *testing.T) {
	request := func(change func(r *http.Request)) *http.Request {
		r := newRequest(t, "GET", "/a?b=1", nil)
		r.RemoteAddr = "192.0.2.1"
		r.Header.Set("X-User", "u1")
		r.Header.Set("Cookie", "a=b; session=s1")
		change(r)
		return r
	}
	changes := []struct {
		name   string
		change func(r *http.Request)
	}{
		{"host", func(r *http.Request) { r.Host = "other.test" }},
		{"path", func(r *http.Request) { r.URL.Path, r.URL.RawPath = "/b", "/b" }},
		{"query", func(r *http.Request) { r.URL.RawQuery = "b=2" }},
		{"method", func(r *http.Request) { r.Method = "POST" }},
		{"client", func(r *http.Request) { r.RemoteAddr = "192.0.2.2" }},
		{"header", func(r *http.Request) { r.Header.Set("X-User", "u2") }},
		{"cookie", func(r *http.Request) { r.Header.Set("Cookie", "session=s2; a=b") }},
	}
	for hash, want := range map[string]string{
		"url": "host path query", "client": "client", "header:X-User": "header", "cookie:session": "cookie",
		"header:X-None": "host path query", "cookie:none": "host path query",
	} {
		b, err := newBalancer(BalanceConfig{Policy: byHash, Hash: hash})
		if err != nil {
			t.Fatal(err)
		}
		key := b.key(request(func(*http.Request) {}))
		var told []string
		for _, c := range changes {
			if b.key(request(c.change)) != key {
				told = append(told, c.name)
			}
		}
		if got := strings.Join(told, " "); got != want {
			t.Errorf("hash: %s tells apart by %s, want %s", hash, got, want)
		}
	}
}

// TestHashIsTheSameEverywhere: another node, another order of the list, another version: the same upstream.
func TestHashIsTheSameEverywhere(t *testing.T) {
	policy := func(c *Config) { c.Balance.Policy = byHash }
	one := balanced(t, 5, policy)
	other := balanced(t, 5, func(c *Config) {
		policy(c)
		c.Upstreams[0], c.Upstreams[4] = c.Upstreams[4], c.Upstreams[0]
	})
	for i := range 100 {
		r := newRequest(t, "GET", fmt.Sprintf("/%d", i), nil)
		if a, b := chosen(t, one, r), chosen(t, other, r); a != b {
			t.Fatalf("/%d goes to %s here and to %s there", i, a, b)
		}
	}
	if got := chosen(t, one, newRequest(t, "GET", "/index.html", nil)); got != "10.0.0.1:80" {
		t.Errorf("/index.html goes to %s, and used to go to 10.0.0.1:80", got)
	}
}

// TestBackups are asked only when no primary can be, and not because one is at its limit.
func TestBackups(t *testing.T) {
	p := balanced(t, 3, func(c *Config) {
		c.Upstreams[1].Backup, c.Upstreams[0].MaxRequests, c.Upstreams[2].MaxRequests = true, 1, 1
	})
	r := newRequest(t, "GET", "/", nil)
	one, _ := p.reserve(&attempts{r: r}, false)
	two, _ := p.reserve(&attempts{r: r}, false)
	first, second := one.upstream, two.upstream
	if first.backup || second.backup {
		t.Errorf("asked %s and %s, want the primaries", first.name, second.name)
	}
	now := time.Now()
	if u, full := p.pick(&attempts{r: r}, false, now); u != nil || !full {
		t.Errorf("with both full: %v, full = %t, want to wait", u, full)
	}
	if u, _ := p.pick(&attempts{r: r, tried: []*upstream{first, second}}, false, now); u == nil || !u.backup {
		t.Errorf("with both tried: %v, want the backup", u)
	}
	if u, full := p.pick(&attempts{r: r, tried: p.upstreams()}, false, now); u != nil || full {
		t.Errorf("with all tried: %v, full = %t, want neither", u, full)
	}
}

// TestSticky: a client stays with its upstream as long as that can be asked, and a cookie of its own making counts nothing.
func TestSticky(t *testing.T) {
	t.Setenv("STICKY", "0123456789abcdef")
	change := func(c *Config) {
		c.Balance.Policy, c.Balance.Cookie = sticky, CookieConfig{Name: "up", Secret: "env:STICKY", MaxAge: time.Hour}
	}
	p := balanced(t, 3, change)
	r := newRequest(t, "GET", "/", nil)
	u, _ := p.pick(&attempts{r: r}, false, time.Now())
	set := p.balance.tie.cookieFor(r, u)
	c, err := http.ParseSetCookie(set)
	if err != nil || c.Name != "up" || c.MaxAge != 3600 || !c.HttpOnly || c.Path != "/" || strings.Contains(set, "10.0") {
		t.Fatalf("Set-Cookie: %s", set)
	}
	r.Header.Set("Cookie", "a=b; up="+c.Value)
	for range 10 {
		if got := chosen(t, p, r); got != u.name {
			t.Fatalf("the cookie of %s led to %s", u.name, got)
		}
	}
	if again := p.balance.tie.cookieFor(r, u); again != "" {
		t.Errorf("Set-Cookie again: %s", again)
	}
	if got := chosen(t, balanced(t, 3, change), r); got != u.name {
		t.Errorf("another node with the same secret chose %s, want %s", got, u.name)
	}
	if other, _ := p.pick(&attempts{r: r, tried: []*upstream{u}}, false, time.Now()); other == u || p.balance.tie.cookieFor(r, other) == "" {
		t.Errorf("its upstream gone, the client is not tied to another")
	}
	r.Header.Set("Cookie", "up="+c.Value[1:]+"x")
	seen := map[string]bool{}
	for range 6 {
		seen[chosen(t, p, r)] = true
	}
	if len(seen) != 3 {
		t.Errorf("a forged cookie leads to %v, want all in turn", seen)
	}
}

func TestRate(t *testing.T) {
	now := time.Unix(0, 0)
	for _, row := range []struct {
		perSecond, atOnce, inTenSeconds int
	}{{1, 1, 10}, {10, 1, 100}, {100, 10, 1009}, {1000, 100, 10099}} {
		r := rate{interval: newInterval(row.perSecond)}
		got := 0
		for r.take(now) {
			got++
		}
		if got != row.atOnce {
			t.Errorf("%d a second: %d at once, want %d", row.perSecond, got, row.atOnce)
		}
		for at := now; at.Before(now.Add(10 * time.Second)); at = at.Add(100 * time.Microsecond) {
			if r.take(at) {
				got++
			}
		}
		if got != row.inTenSeconds {
			t.Errorf("%d a second: %d in ten seconds, want %d", row.perSecond, got, row.inTenSeconds)
		}
		if wait := r.wait(now.Add(10 * time.Second)); wait > r.interval {
			t.Errorf("%d a second: the next waits %v", row.perSecond, wait)
		}
	}
}

// policies are all of them, under names for benchmarks.
var policies = []string{roundRobin, leastConns, leastTime, randomly, byHash, sticky}

// TestPicksDoNotAllocate: a pick from three and from sixteen upstreams costs time only.
func TestPicksDoNotAllocate(t *testing.T) {
	for _, policy := range policies {
		for _, n := range []int{3, usual} {
			p := balanced(t, n, func(c *Config) { c.Balance.Policy = policy })
			r := newRequest(t, "GET", "/a/b?c=d", nil)
			if got := testing.AllocsPerRun(1000, func() { chosen(t, p, r) }); got != 0 {
				t.Errorf("%s of %d: %v allocations, want none", policy, n, got)
			}
		}
	}
}

func BenchmarkPick(b *testing.B) {
	for _, policy := range policies {
		for _, n := range []int{3, usual} {
			b.Run(fmt.Sprint(policy, "/", n), func(b *testing.B) {
				p := balanced(b, n, func(c *Config) { c.Balance.Policy = policy })
				r := newRequest(b, "GET", "/a/b?c=d", nil)
				b.ReportAllocs()
				for b.Loop() {
					chosen(b, p, r)
				}
			})
		}
	}
}
