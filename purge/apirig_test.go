package purge

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"selvage/cache"
)

// twoSites are a shop and a blog with the default policy; the blog also has all hosts below blog.example.
type twoSites struct{}

func (twoSites) HasSite(name string) bool { return name == "shop" || name == "blog" }

func (twoSites) PurgeURLs(host, path, query string, hasQuery bool) (site string, urls []string) {
	name, _, _ := strings.Cut(host, ":")
	switch {
	case name == "shop.example":
		site = "shop"
	case name == "blog.example" || strings.HasSuffix(name, ".blog.example"):
		site = "blog"
	default:
		return "", nil
	}
	q := cache.Query{Host: host, Path: path}
	if err := q.SetQuery(cache.DefaultConfig().Compile(), query, hasQuery); err != nil {
		panic(err) // the query was canonical
	}
	return site, []string{q.PurgeURL()}
}

// shelf is a store of which there is a list.
type shelf []cache.Holding

func (s shelf) Each(ctx context.Context, yield func(*cache.Holding) bool) error {
	for i := range s {
		if !yield(&s[i]) {
			return nil
		}
	}
	return ctx.Err()
}

func (s shelf) Count(_ context.Context, match func(*cache.Target) bool, _ time.Duration) (t cache.Tally) {
	for i := range s {
		if match(&s[i].Target) {
			t.Objects++
			t.Bytes += s[i].Bytes
		}
	}
	t.Exact = true
	return t
}

func stored(site, url string, tags ...string) cache.Holding {
	host, _, _ := strings.Cut(url, "/")
	return cache.Holding{Target: cache.Target{Site: site, Host: host, URL: url, Tags: tags}, Bytes: 10, Memory: true}
}

var testShelf = shelf{
	stored("shop", "shop.example/"),
	stored("shop", "shop.example/a?id=1", "news"),
	stored("shop", "shop.example/a?id=1", "news"), // another variant
	stored("shop", "shop.example/img/loom.webp", "pictures"),
	stored("blog", "blog.example/", "news"),
}

// desk is an API with two tokens, and all that it has logged.
type desk struct {
	*API
	t   *testing.T
	mux *http.ServeMux
	log *bytes.Buffer
}

func newDesk(t *testing.T, j *Journal) *desk {
	t.Helper()
	g := testGuard(t, Config{Tokens: map[string]TokenConfig{
		"deploy": {Token: "env:DEPLOY", Sites: []string{"shop"}, Selectors: []string{"urls", "tags", "all", "globs", "prefixes", "hosts"}, Rate: 5},
	}})
	d := &desk{t: t, log: &bytes.Buffer{}, mux: http.NewServeMux()}
	d.API = NewAPI(g, j, testShelf, twoSites{}, slog.New(slog.NewJSONHandler(d.log, nil)))
	d.mux.HandleFunc("POST /v1/purge", d.as(d.ServePurge))
	d.mux.HandleFunc("GET /v1/purges", d.as(d.ServeHistory))
	d.mux.HandleFunc("GET /v1/purges/{number}", d.as(d.ServeRecord))
	d.mux.HandleFunc("GET /v1/openapi.yaml", d.as(d.ServeOpenAPI))
	return d
}

// as is a door: it lets in who has a token.
func (d *desk) as(next func(http.ResponseWriter, *http.Request, *Caller)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		who, err := d.Guard().ByToken(r.Header.Get("Authorization"), remote)
		if err != nil {
			NewProblem(err).Write(w)
			return
		}
		next(w, r, who)
	}
}

// ask sends a request with a token.
func (d *desk) ask(secret, method, target, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+secret)
	w := httptest.NewRecorder()
	d.mux.ServeHTTP(w, r)
	return w
}

// want sends a request and wants a status, and JSON that decodes into v.
func (d *desk) want(secret, method, target, body string, status int, v any) {
	d.t.Helper()
	w := d.ask(secret, method, target, body)
	if w.Code != status {
		d.t.Errorf("%s %s %s: status = %d, want %d\n%s", method, target, body, w.Code, status, w.Body)
		return
	}
	kind := "application/json"
	if status != http.StatusOK {
		kind = "application/problem+json"
	}
	if got := w.Header().Get("Content-Type"); got != kind {
		d.t.Errorf("%s %s: Content-Type = %q, want %q", method, target, got, kind)
	}
	if v == nil {
		v = &map[string]any{}
	}
	in := json.NewDecoder(w.Body)
	in.DisallowUnknownFields()
	if err := in.Decode(v); err != nil {
		d.t.Errorf("%s %s %s: %v", method, target, body, err)
	}
}
