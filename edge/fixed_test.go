package edge

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

func TestRedirectLocation(t *testing.T) {
	for _, tt := range []struct {
		to, host, path, query string // query with its "?"
		want                  string
	}{
		{"https://{host}{path}{query}", "Example.com:8080", "/a/b", "?c=d", "https://example.com/a/b?c=d"},
		{"https://{host}{path}{query}", "[2001:db8::1]:80", "/", "", "https://[2001:db8::1]/"},
		{"https://{host}{path}{query}", "example.com", "/", "?", "https://example.com/?"},
		{"https://new.test{path}", "example.com", "/a", "?dropped", "https://new.test/a"},
		{"https://new.test/base/{path}", "example.com", "/a", "", "https://new.test/base/a"},
		{"https://new.test", "example.com", "/a", "", "https://new.test"},
		{"/new{path}{query}", "example.com", "/a", "?b", "/new/a?b"},
		{"{path}", "example.com", "/a", "", "/a"},
		{"/login?to={path}", "example.com", "/a", "", "/login?to=/a"},
		// A path is never more than a path.
		{"{path}", "example.com", "//evil.test/", "", "/evil.test/"},
		{"{path}", "example.com", "/\\evil.test/", "", "/%5Cevil.test/"},
		{"/{path}", "example.com", "/evil.test/", "", "/evil.test/"},
		{"https://new.test{path}", "example.com", "@evil.test/", "", "https://new.test/@evil.test/"},
		{"https://new.test{path}", "example.com", ".evil.test/", "", "https://new.test/.evil.test/"},
		{"https://new.test{path}", "example.com", "*", "", "https://new.test/*"}, // OPTIONS *
		{"https://new.test{path}", "example.com", "/a?b#c", "", "https://new.test/a%3Fb%23c"},
		{"https://new.test{path}{query}", "example.com", "/\r\nSet-Cookie: a=b", "?\r\nx", "https://new.test/%0D%0ASet-Cookie:%20a=b?%0D%0Ax"},
		{"https://new.test{path}", "example.com", "/é\xff\"<>", "", "https://new.test/%C3%A9%FF%22%3C%3E"},
		{"https://new.test{path}", "example.com", "/%2F%c3", "", "https://new.test/%2F%c3"}, // never twice
		{"https://{host}{path}", "a@evil.test/x?y", "/", "", "https://a%40evil.test%2Fx%3Fy/"},
		// Nor is anything taken out of what was put in.
		{"https://new.test{path}{query}", "example.com", "/{host}", "?{path}", "https://new.test/%7Bhost%7D?%7Bpath%7D"},
	} {
		r := compileRedirect(RedirectConfig{To: tt.to})
		query, has := strings.CutPrefix(tt.query, "?")
		if got := r.location(tt.host, tt.path, query, has); got != tt.want {
			t.Errorf("%s for %q %q %q: %s, want %s", tt.to, tt.host, tt.path, tt.query, got, tt.want)
		}
	}
}

// FuzzRedirect: whoever is redirected goes to the host of the configuration, or stays on the one asked.
func FuzzRedirect(f *testing.F) {
	f.Add("/a", "b=c")
	f.Add("//evil.test", "\r\n")
	f.Add("@evil.test", "#")
	f.Add("\\/evil.test", "{path}")
	f.Fuzz(func(t *testing.T, path, query string) {
		for to, host := range map[string]string{
			"https://new.test{path}{query}": "new.test", "{path}{query}": "", "/{path}": "", "/a{path}": "", "https://{host}{path}": "example.com",
		} {
			got := compileRedirect(RedirectConfig{To: to}).location("example.com", path, query, true)
			if strings.ContainsFunc(got, notInURI) {
				t.Fatalf("%s for %q %q: %q has bytes that no URL has", to, path, query, got)
			}
			// An invalid percent-encoding in the path is refused long before.
			u, err := url.Parse(strings.ReplaceAll(got, "%", "p"))
			if err != nil || u.Host != host || u.User != nil || strings.HasPrefix(got, "//") {
				t.Fatalf("%s for %q %q: %q leads to %v, %v", to, path, query, got, u, err)
			}
		}
	})
}

func TestFixedAnswers(t *testing.T) {
	for _, tt := range []struct {
		name   string
		route  RouteConfig
		method string
		status int
		header http.Header
		body   string
	}{
		{"redirect", RouteConfig{Redirect: &RedirectConfig{To: "/b"}}, "GET", 308,
			http.Header{"Location": {"/b"}, "Content-Type": {"text/plain; charset=utf-8"}, "Content-Length": {"7"}}, "See /b\n"},
		{"redirect with a status", RouteConfig{Redirect: &RedirectConfig{To: "/b", Status: 302}}, "HEAD", 302,
			http.Header{"Location": {"/b"}, "Content-Type": {"text/plain; charset=utf-8"}, "Content-Length": {"7"}}, ""},
		{"respond", RouteConfig{Respond: &RespondConfig{Body: "hello"}}, "GET", 200,
			http.Header{"Content-Type": {"text/plain; charset=utf-8"}, "Content-Length": {"5"}}, "hello"},
		{"respond to HEAD", RouteConfig{Respond: &RespondConfig{Body: "hello", Status: 503, ContentType: "text/x"}}, "HEAD", 503,
			http.Header{"Content-Type": {"text/x"}, "Content-Length": {"5"}}, ""},
		{"respond without body", RouteConfig{Respond: &RespondConfig{Status: 404}}, "GET", 404,
			http.Header{"Content-Length": {"0"}}, ""},
		{"204 has no length", RouteConfig{Respond: &RespondConfig{Status: 204}}, "GET", 204, http.Header{}, ""},
		{"response fields", RouteConfig{Respond: &RespondConfig{}, ResponseHeaders: HeaderConfig{Set: map[string]string{"x-a": "1"}}}, "GET", 200,
			http.Header{"Content-Length": {"0"}, "X-A": {"1"}}, ""},
	} {
		r := compileRoute(&SiteConfig{}, tt.route, nil, 1)
		a, ok := r.fixed("example.com", "/", "", false)
		if !ok {
			t.Fatalf("%s: no answer", tt.name)
		}
		w := httptest.NewRecorder()
		n, err := a.write(w, tt.method, r.response)
		if err != nil || n != len(tt.body) || w.Code != tt.status || w.Body.String() != tt.body {
			t.Errorf("%s: %d %q (%d bytes, %v), want %d %q", tt.name, w.Code, w.Body, n, err, tt.status, tt.body)
		}
		for name := range w.Header() {
			if got, want := w.Header().Get(name), tt.header.Get(name); got != want {
				t.Errorf("%s: %s: %s, want %q", tt.name, name, got, want)
			}
		}
		if len(w.Header()) != len(tt.header) {
			t.Errorf("%s: header = %v, want %v", tt.name, w.Header(), tt.header)
		}
	}
	if _, ok := compileRoute(&SiteConfig{Origin: "web"}, RouteConfig{}, testPools, 1).fixed("h", "/", "", false); ok {
		t.Error("a route with an origin has a fixed answer")
	}
}
