package main

import (
	"context"
	"crypto/sha256"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"selvage/cache"
	"selvage/purge"
)

func testAdmin(v verdict) *admin {
	return &admin{
		ready:   func() bool { return v.OK },
		metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "selvage_up 1\n") }),
		reload:  func() verdict { return v },
		purges:  testPurges(),
		log:     slog.New(slog.DiscardHandler),
	}
}

const (
	testToken  = "0123456789abcdef" // of the admin
	purgeToken = "fedcba9876543210" // for purges of the shop
)

// testPurges is an API of a node with nothing in it.
func testPurges() *purge.API {
	guard, admin := purge.NewGuard(), purge.TokenHash(sha256.Sum256([]byte(testToken)))
	one := purge.TokenConfig{Token: "env:PURGE_TOKEN", Sites: []string{"shop"}}
	err := guard.Configure(purge.Config{Tokens: map[string]purge.TokenConfig{"deploy": one}}, &admin,
		func(string) (string, error) { return purgeToken, nil })
	if err != nil {
		panic(err)
	}
	return purge.NewAPI(guard, purge.NewJournal(), emptyStore{}, oneShop{}, slog.New(slog.DiscardHandler))
}

type emptyStore struct{}

func (emptyStore) Each(context.Context, func(*cache.Holding) bool) error { return nil }

func (emptyStore) Count(context.Context, func(*cache.Target) bool, time.Duration) cache.Tally {
	return cache.Tally{Exact: true}
}

// oneShop is the site "shop", which answers for every host.
type oneShop struct{}

func (oneShop) HasSite(name string) bool { return name == "shop" }

func (oneShop) PurgeURLs(host, path, query string, hasQuery bool) (site string, urls []string) {
	q := cache.Query{Host: host, Path: path, RawQuery: query, HasQuery: hasQuery}
	return "shop", []string{q.PurgeURL()}
}

// TestAdminDoors: what each door answers to whom.
func TestAdminDoors(t *testing.T) {
	a := testAdmin(verdict{OK: true})
	socket := a.behindSocket()
	tcp := a.behindToken(AdminConfig{Address: "192.0.2.1:9090", Hosts: []string{"edge.example"}})
	health := a.health(http.NewServeMux())

	const bearer = "Authorization: Bearer " + testToken
	const purger = "Authorization: Bearer " + purgeToken
	const json = "Content-Type: application/json; charset=utf-8"
	for _, row := range []struct {
		what    string
		door    http.Handler
		request string
		fields  []string
		want    int
	}{
		{"socket: alive", socket, "GET selvage/livez", nil, 200},
		{"socket: ready", socket, "GET selvage/readyz", nil, 200},
		{"socket: metrics", socket, "GET selvage/metrics", nil, 200},
		{"socket: reload", socket, "POST selvage/v1/reload", []string{json}, 200},
		{"socket: reload wants POST", socket, "GET selvage/v1/reload", []string{json}, 405},
		{"socket: reload wants JSON", socket, "POST selvage/v1/reload", []string{"Content-Type: text/plain"}, 415},
		{"socket: reload wants a type", socket, "POST selvage/v1/reload", nil, 415},
		{"socket: no browser", socket, "POST selvage/v1/reload", []string{json, "Origin: https://evil.example"}, 403},
		{"socket: no preflight", socket, "OPTIONS selvage/v1/reload", []string{"Origin: null"}, 403},
		{"socket: no disk tier", socket, "GET selvage/v1/cache", nil, 404},
		{"socket: scrub wants JSON", socket, "POST selvage/v1/cache/scrub", nil, 415},
		{"socket: cache takes no POST", socket, "POST selvage/v1/cache", []string{json}, 405},
		{"socket: nothing else", socket, "GET selvage/debug/pprof/", nil, 404},

		{"tcp: token", tcp, "GET 192.0.2.1:9090/metrics", []string{bearer}, 200},
		{"tcp: scheme in any case", tcp, "GET 192.0.2.1:9090/metrics", []string{"Authorization: bearer " + testToken}, 200},
		{"tcp: configured name", tcp, "GET Edge.Example:9090/metrics", []string{bearer}, 200},
		{"tcp: loopback name", tcp, "GET [::1]:9090/metrics", []string{bearer}, 200},
		{"tcp: no token", tcp, "GET 192.0.2.1:9090/livez", nil, 401},
		{"tcp: wrong token", tcp, "GET 192.0.2.1:9090/livez", []string{bearer + "0"}, 401},
		{"tcp: other scheme", tcp, "GET 192.0.2.1:9090/livez", []string{"Authorization: Basic " + testToken}, 401},
		{"tcp: token in the URL", tcp, "GET 192.0.2.1:9090/livez?token=" + testToken, nil, 401},
		{"tcp: rebound name", tcp, "GET evil.example:9090/metrics", []string{bearer}, 421},
		{"tcp: rebound name, no token", tcp, "GET evil.example:9090/metrics", nil, 421},
		{"tcp: address of another machine", tcp, "GET 192.0.2.2:9090/metrics", []string{bearer}, 421},
		{"tcp: page of a browser", tcp, "GET 192.0.2.1:9090/metrics", []string{bearer, "Origin: https://evil.example"}, 403},

		{"tcp: nothing else", tcp, "GET 192.0.2.1:9090/debug/pprof/", []string{bearer}, 404},
		{"tcp: nothing else, no token", tcp, "GET 192.0.2.1:9090/debug/pprof/", nil, 401},
		{"tcp: another method, no token", tcp, "GET 192.0.2.1:9090/v1/reload", nil, 401},

		{"socket: purge", socket, "POST selvage/v1/purge", []string{json}, 200},
		{"socket: purge wants JSON", socket, "POST selvage/v1/purge", []string{"Content-Type: application/x-www-form-urlencoded"}, 415},
		{"socket: purge of a form with a body like JSON", socket, "POST selvage/v1/purge", []string{"Content-Type: text/plain"}, 415},
		{"socket: purge by a page", socket, "POST selvage/v1/purge", []string{json, "Origin: http://localhost"}, 403},
		{"socket: purge by a page of nowhere", socket, "POST selvage/v1/purge", []string{json, "Origin: null"}, 403},
		{"socket: purge by a page, old browser's words", socket, "POST selvage/v1/purge", []string{json, "Sec-Fetch-Site: cross-site"}, 403},
		{"tcp: purge", tcp, "POST 192.0.2.1:9090/v1/purge", []string{json, bearer}, 200},
		{"tcp: purge with a purge token", tcp, "POST 192.0.2.1:9090/v1/purge", []string{json, purger}, 200},
		{"tcp: purge without", tcp, "POST 192.0.2.1:9090/v1/purge", []string{json}, 401},
		{"tcp: history with a purge token", tcp, "GET 192.0.2.1:9090/v1/purges", []string{purger}, 200},
		{"tcp: one purge that is not there", tcp, "GET 192.0.2.1:9090/v1/purges/99", []string{purger}, 404},
		{"tcp: OpenAPI", tcp, "GET 192.0.2.1:9090/v1/openapi.yaml", []string{purger}, 200},
		{"tcp: purge token is for no metrics", tcp, "GET 192.0.2.1:9090/metrics", []string{purger}, 403},
		{"tcp: purge token is for no reload", tcp, "POST 192.0.2.1:9090/v1/reload", []string{json, purger}, 403},
		{"tcp: purge token is for no list", tcp, "GET 192.0.2.1:9090/v1/cache", []string{purger}, 403},
		{"tcp: purge token is for no scrub", tcp, "POST 192.0.2.1:9090/v1/cache/scrub", []string{json, purger}, 403},
		{"tcp: purge token is for no removal", tcp, "DELETE 192.0.2.1:9090/v1/cache?url=a", []string{purger}, 403},
		{"tcp: purge token is for no freeze", tcp, "PUT 192.0.2.1:9090/v1/sites/shop/freeze", []string{json, purger}, 403},
		{"tcp: nor for a thaw", tcp, "DELETE 192.0.2.1:9090/v1/sites/shop/freeze", []string{purger}, 403},
		{"tcp: nor for a list of sites", tcp, "GET 192.0.2.1:9090/v1/sites", []string{purger}, 403},
		{"tcp: a freeze wants JSON", tcp, "PUT 192.0.2.1:9090/v1/sites/shop/freeze", []string{bearer}, 415},
		{"tcp: no thaw for a browser", tcp, "DELETE 192.0.2.1:9090/v1/sites/shop/freeze", []string{bearer, "Origin: null"}, 403},
		{"health: no freeze", health, "PUT any.example/v1/sites/shop/freeze", []string{json, bearer}, 404},
		{"health: no purge", health, "POST any.example/v1/purge", []string{json, bearer}, 404},

		{"health: alive", health, "GET any.example/livez", nil, 200},
		{"health: ready", health, "GET any.example/readyz", nil, 200},
		{"health: no metrics", health, "GET any.example/metrics", nil, 404},
		{"tcp: no token, no list", tcp, "GET 192.0.2.1:9090/v1/cache", nil, 401},
		{"tcp: no removal for a browser", tcp, "DELETE 192.0.2.1:9090/v1/cache?url=a", []string{bearer, "Origin: null"}, 403},
		{"health: no list", health, "GET any.example/v1/cache", nil, 404},
		{"health: no reload", health, "POST any.example/v1/reload", []string{json}, 404},
	} {
		method, target, _ := strings.Cut(row.request, " ")
		r := httptest.NewRequest(method, "http://"+target, strings.NewReader(`{"all": true}`))
		for _, f := range row.fields {
			name, value, _ := strings.Cut(f, ": ")
			r.Header.Set(name, value)
		}
		w := httptest.NewRecorder()
		row.door.ServeHTTP(w, r)
		if w.Code != row.want {
			t.Errorf("%s: status = %d, want %d", row.what, w.Code, row.want)
		}
		for name := range w.Header() {
			if strings.HasPrefix(name, "Access-Control-") {
				t.Errorf("%s: %s in the answer", row.what, name)
			}
		}
	}
}

// TestListenerOfAllAddresses: it may be called by the address that a request came to, and by no other.
func TestListenerOfAllAddresses(t *testing.T) {
	door := testAdmin(verdict{OK: true}).behindToken(AdminConfig{Address: ":9090"})
	for host, want := range map[string]int{"192.0.2.1:9090": 200, "192.0.2.1": 200, "192.0.2.2:9090": 421, "": 421} {
		r := httptest.NewRequest("GET", "/livez", nil)
		r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, net.Addr(&net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 9090})))
		r.Host = host
		r.Header.Set("Authorization", "Bearer "+testToken)
		w := httptest.NewRecorder()
		door.ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("Host: %s: status = %d, want %d", host, w.Code, want)
		}
	}
}

func TestNotReady(t *testing.T) {
	w := httptest.NewRecorder()
	testAdmin(verdict{}).endpoints().ServeHTTP(w, httptest.NewRequest("GET", "http://selvage/readyz", nil))
	if w.Code != http.StatusServiceUnavailable {
		t.Errorf("GET /readyz: status = %d, want 503", w.Code)
	}
}

// TestReloadVerb: `selvage reload` prints what the node behind the socket says, and its exit code is what `check` of the
// same file would give. A real socket: its path is what the verb takes.
func TestReloadVerb(t *testing.T) {
	for _, row := range []struct {
		what        string
		verdict     verdict
		code        int
		out, stderr string
	}{
		{"good", verdict{OK: true, File: "s.yaml", Sites: 2, Origins: 1}, exitOK, "s.yaml: in force: 2 sites, 1 origin\n", ""},
		{"refused by the node", verdict{File: "s.yaml", Error: "memory cannot change"}, exitFailed, "", "selvage: memory cannot change\n"},
		{"a bad file", verdict{Problems: Diagnostics{{File: "s.yaml", Line: 3, Column: 1, Path: "sitse", Problem: "unknown key"}}},
			exitUsage, "", "s.yaml:3:1: sitse: unknown key\n"},
	} {
		socket := filepath.Join(socketFolder(t), "a.sock")
		stop := startAdmin(t, testAdmin(row.verdict), AdminConfig{Socket: socket})
		c, out, stderr := testConsole()
		code := run([]string{"reload", "--socket", socket}, c)
		stop()
		if code != row.code || out.String() != row.out || stderr.String() != row.stderr {
			t.Errorf("%s: exit code = %d, stdout %q, stderr %q\nwant %d, %q, %q",
				row.what, code, out, stderr, row.code, row.out, row.stderr)
		}
	}
}

func TestReloadWithoutNode(t *testing.T) {
	c, _, stderr := testConsole()
	if code := run([]string{"reload", "--socket", filepath.Join(t.TempDir(), "none.sock")}, c); code != exitFailed {
		t.Errorf("exit code = %d, want 1\n%s", code, stderr)
	}
}

// startAdmin serves until the returned function is called.
func startAdmin(t *testing.T, a *admin, c AdminConfig) (stop func()) {
	t.Helper()
	if err := a.listen(c, testMachine().env, 1000); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- a.Run(ctx) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// TestAdminTokenOnTCP: the token comes from where the file says, and a short one is refused.
func TestAdminTokenOnTCP(t *testing.T) {
	c := AdminConfig{Socket: filepath.Join(socketFolder(t), "a.sock"), Address: "127.0.0.1:0", Token: "env:SELVAGE_TOKEN"}
	a := testAdmin(verdict{OK: true})
	stop := startAdmin(t, a, c)
	defer stop()
	r, err := http.NewRequest("GET", "http://"+a.doors[1].Addr().String()+"/readyz", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+testToken)
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Errorf("status = %d, want 200", response.StatusCode)
	}
}
