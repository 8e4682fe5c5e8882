package edge

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"selvage/cache"
	"selvage/edge/internal/lane"
	"selvage/purge"
)

const (
	purgeSecret = "purge-0123456789ab"
	shopSecret  = "shop-0123456789abc"
)

// counter is an Edge of which purges are asked: example.com, where 192.0.2.7 may purge without a token, and another site.
type counter struct {
	*Edge
	t *testing.T
}

func newCounter(t *testing.T, c purge.Config) *counter {
	t.Helper()
	journal, clock := purge.NewJournal(), cache.SystemClock()
	store, err := cache.NewStore(cache.StoreConfig{MaxBytes: 1 << 20}, clock, journal)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	guard := purge.NewGuard()
	secrets := func(where string) (string, error) { return where, nil }
	if err := guard.Configure(c, nil, secrets); err != nil {
		t.Fatal(err)
	}
	conf := DefaultConfig()
	conf.Log.Format, conf.TrustedProxies = "off", []string{"192.0.2.80", "127.0.0.80"}
	conf.Sites = []SiteConfig{{Name: "site", Hosts: []string{"example.com"}, Origin: "main"}, {Name: "shop", Hosts: []string{"shop.example"}, Origin: "main"}}
	e, err := New(Options{
		Config: conf, Pools: map[string]Pool{"main": &stage{t: t}}, Store: store, Journal: journal, Clock: clock,
		Logger: slog.New(slog.DiscardHandler), Purges: purge.NewAPI(guard, journal, store, nil, slog.New(slog.DiscardHandler)),
	})
	if err != nil {
		t.Fatal(err)
	}
	return &counter{e, t}
}

func withTokens(allow ...string) purge.Config {
	return purge.Config{Allow: allow, Tokens: map[string]purge.TokenConfig{
		"all": {Token: purgeSecret}, "shop": {Token: shopSecret, Sites: []string{"shop"}},
		"tags": {Token: "tags-0123456789abc", Selectors: []string{"tags"}},
	}}
}

// purge sends a PURGE from an address. The target is a URL; fields are "Name: value".
func (c *counter) purge(peer, target string, fields ...string) *httptest.ResponseRecorder {
	c.t.Helper()
	r := httptest.NewRequest("PURGE", target, nil)
	r.RequestURI = strings.TrimPrefix(strings.TrimPrefix(target, "https://"), "http://")
	r.RequestURI = r.RequestURI[strings.IndexByte(r.RequestURI, '/'):]
	r.RemoteAddr = peer
	for _, line := range fields {
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Add(name, value)
	}
	w := httptest.NewRecorder()
	c.walk(w, r, &lane.Info{})
	return w
}

// TestWhoMayPurge: strangers get what they would get if nobody might, and only who brings a token hears what is wrong with it.
func TestWhoMayPurge(t *testing.T) {
	const (
		stranger = "198.51.100.1:4000"
		friend   = "192.0.2.7:4000"
		here     = "127.0.0.1:4000"
		proxy    = "192.0.2.80:4000"
		hereToo  = "127.0.0.80:4000" // a trusted proxy on this machine
		token    = "Authorization: Bearer " + purgeSecret
		plain    = "http://example.com/a"
		secure   = "https://example.com/a"
	)
	for _, row := range []struct {
		what, peer, target string
		fields             []string
		want               int
	}{
		{"a stranger", stranger, secure, nil, 405},
		{"a friend", friend, plain, nil, 200},
		{"a friend, over https", friend, secure, nil, 200},
		{"loopback is nobody's friend", here, plain, nil, 405},
		{"a stranger who says to be a friend", stranger, plain, []string{"X-Forwarded-For: 192.0.2.7"}, 405},
		{"a stranger who says so in other words", stranger, plain, []string{"Forwarded: for=192.0.2.7"}, 405},
		{"a friend through a trusted proxy", proxy, plain, []string{"X-Forwarded-For: 192.0.2.7"}, 405},
		{"somebody through a friend", friend, plain, []string{"X-Forwarded-For: 198.51.100.1"}, 405},
		{"somebody through a friend that says little", friend, plain, []string{"Via: 1.1 proxy"}, 405},
		{"a page in a friend's browser", friend, plain, []string{"Origin: https://evil.example"}, 405},
		{"a page in a friend's browser, of the site itself", friend, plain, []string{"Sec-Fetch-Site: same-origin"}, 405},

		{"a token", stranger, secure, []string{token}, 200},
		{"a token in the clear", stranger, plain, []string{token}, 403},
		{"a token in the clear, that is none", stranger, plain, []string{"Authorization: Bearer x"}, 403},
		{"a token in the clear, on this machine", here, plain, []string{token}, 200},
		{"the same over a unix socket", "@", plain, []string{token}, 200},
		{"a token in the clear, said to be not", stranger, plain, []string{token, "X-Forwarded-Proto: https"}, 403},
		{"a token over https to a trusted proxy", proxy, plain, []string{token, "X-Forwarded-Proto: https"}, 200},
		{"a token in the clear to a trusted proxy", proxy, plain, []string{token, "X-Forwarded-Proto: http"}, 403},
		{"a token in the clear to a trusted proxy here", hereToo, plain, []string{token, "X-Forwarded-For: 198.51.100.1"}, 403},
		{"a token in the clear through what says to be a proxy here", here, plain, []string{token, "X-Forwarded-For: 198.51.100.1"}, 403},
		{"a wrong token", stranger, secure, []string{token + "x"}, 401},
		{"a friend with a wrong token", friend, secure, []string{token + "x"}, 401},
		{"credentials of another sort", stranger, secure, []string{"Authorization: Basic eDp5"}, 401},
		{"a token by a page", stranger, secure, []string{token, "Origin: https://example.com"}, 405},
		{"a token of another site", stranger, secure, []string{"Authorization: Bearer " + shopSecret}, 403},
		{"a token of this site", stranger, "https://shop.example/a", []string{"Authorization: Bearer " + shopSecret}, 200},
		{"a token for tags", stranger, secure, []string{"Authorization: Bearer tags-0123456789abc"}, 403},

		{"softly", friend, plain, []string{"Soft-Purge: 1"}, 200},
		{"softly or not", friend, plain, []string{"Soft-Purge: yes"}, 400},
		{"softly and not", friend, plain, []string{"Soft-Purge: 0", "Soft-Purge: 1"}, 400},
		{"a path that climbs", friend, "http://example.com/../a", nil, 400},
		{"a host of no site", friend, "http://other.example/a", nil, 421},
		{"hop-by-hop credentials", stranger, secure, []string{token, "Connection: authorization"}, 400},
	} {
		c := newCounter(t, withTokens("192.0.2.7"))
		w := c.purge(row.peer, row.target, row.fields...)
		if w.Code != row.want {
			t.Errorf("%s: status = %d, want %d: %s", row.what, w.Code, row.want, w.Body)
		}
		if done := c.journal.Applied() > 0; done != (row.want == http.StatusOK) {
			t.Errorf("%s: purged = %v", row.what, done)
		}
		for _, secret := range []string{purgeSecret, shopSecret} {
			if strings.Contains(w.Body.String(), secret) {
				t.Errorf("%s: the answer has the token in it", row.what)
			}
		}
	}
}

// TestPurgeOfANodeWhereNobodyMay: a token is nothing there, and the answer the same as without one.
func TestPurgeOfANodeWhereNobodyMay(t *testing.T) {
	c := newCounter(t, purge.Config{})
	without := c.purge("198.51.100.1:4000", "http://example.com/a")
	with := c.purge("198.51.100.1:4000", "http://example.com/a", "Authorization: Bearer "+purgeSecret)
	if without.Code != 405 || with.Code != 405 || without.Body.String() != with.Body.String() {
		t.Errorf("without a token %d, %s; with %d, %s; want 405 and the same", without.Code, without.Body, with.Code, with.Body)
	}
}

// TestForgedTokensOnASite: whoever tries many is told to wait.
func TestForgedTokensOnASite(t *testing.T) {
	c := newCounter(t, withTokens())
	last := 0
	for range 50 {
		w := c.purge("198.51.100.1:4000", "https://example.com/a", "Authorization: Bearer forged-"+purgeSecret)
		if last = w.Code; last == http.StatusTooManyRequests && w.Header().Get("Retry-After") == "" {
			t.Error("429 without Retry-After")
		}
	}
	if last != http.StatusTooManyRequests {
		t.Errorf("status of the last = %d, want 429", last)
	}
}

// TestPurgeAnswer: it says what was purged, in the cache's spelling, and by whom the history knows.
func TestPurgeAnswer(t *testing.T) {
	c := newCounter(t, withTokens("192.0.2.7"))
	w := c.purge("192.0.2.7:4000", "http://example.com/%7ea?utm_source=x&b=1", "Soft-Purge: 1")
	want := `{"number":1,"kind":"soft","urls":["example.com/~a?b=1"]}` + "\n"
	if body, _ := io.ReadAll(w.Body); string(body) != want || w.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("%s %v, want %s", body, w.Header(), want)
	}
	if r, ok := c.journal.Find(1); !ok || r.By != "address 192.0.2.7" {
		t.Errorf("history: %+v", r)
	}
}

// TestPurgeURLs: a URL is purged as each route that may answer for it spells the query.
func TestPurgeURLs(t *testing.T) {
	dropping, off := cache.DefaultConfig(), cache.DefaultConfig()
	dropping.Key.Query.Drop = []string{"session"}
	off.Enabled = false
	s := compileSite(&SiteConfig{Hosts: []string{"example.com"}, Origin: "main", Routes: []RouteConfig{
		{Match: MatchConfig{Path: []string{"/fixed"}}, Respond: &RespondConfig{}},
		{Name: "mobile", Match: MatchConfig{Path: []string{"/a"}, Headers: map[string]string{"X-Device": "mobile"}}, Cache: &dropping},
		{Match: MatchConfig{Path: []string{"/a"}, Methods: []string{"POST"}}, Cache: &dropping},
		{Match: MatchConfig{Path: []string{"/a"}}},
		{Match: MatchConfig{Path: []string{"/off"}}, Cache: &off},
		{Cache: &dropping},
	}}, nil, 0)
	for _, row := range []struct {
		path, query string
		want        []string
	}{
		{"/a", "session=1&id=2", []string{"example.com/a?id=2", "example.com/a?session=1&id=2"}},
		{"/a", "id=2", []string{"example.com/a?id=2"}},
		{"/b", "session=1&id=2", []string{"example.com/b?id=2"}},
		{"/b", "session=1", []string{"example.com/b"}},
		{"/off", "session=1&gclid=2", []string{"example.com/off?session=1"}},
		{"/fixed", "session=1", []string{"example.com/fixed?session=1"}},
	} {
		got := s.purgeURLs("example.com", row.path, row.query, true)
		if diff := cmp.Diff(row.want, got); diff != "" {
			t.Errorf("%s?%s (-want +got):\n%s", row.path, row.query, diff)
		}
	}
}
