package edge

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"testing"

	"selvage/cache"
)

// namedPool is an origin that answers nothing.
type namedPool struct {
	http.RoundTripper
	host string
}

func (p namedPool) Host() string { return "" }
func (p namedPool) IsOut() bool  { return false }
func (p namedPool) Owns(u *url.URL, asked string) bool {
	return u.Scheme == "http" && u.Host == p.host || u.Host == asked
}

var testPools = map[string]Pool{"web": namedPool{host: "web.internal:8080"}, "api": namedPool{host: "api.internal"}}

func TestFindSite(t *testing.T) {
	sites := compileSites([]SiteConfig{
		{Hosts: []string{"example.com", "www.example.com."}, Origin: "web"},
		{Hosts: []string{"*.example.com"}, Origin: "web"},
		{Hosts: []string{"*.eu.Example.com"}, Origin: "web"},
		{Name: "addresses", Hosts: []string{"192.0.2.1", "2001:DB8::1"}, Origin: "web"},
	}, testPools, 1)
	withDefault := *sites
	withDefault.fallback = &site{name: "fallback"}

	for _, tt := range []struct{ host, want string }{
		{"example.com", "example.com"},
		{"EXAMPLE.com", "example.com"},
		{"example.com.", "example.com"},
		{"example.com:8443", "example.com"},
		{"Example.Com.:80", "example.com"},
		{"www.example.com", "example.com"}, // exact before wildcard
		{"a.example.com", "*.example.com"},
		{"a.b.example.com", "*.example.com"}, // one or more labels
		{"a.eu.example.com", "*.eu.Example.com"},
		{"a.b.eu.example.com:1", "*.eu.Example.com"}, // the longest suffix
		{"eu.example.com", "*.example.com"},
		{".example.com", ""}, // a star is no empty label
		{"anexample.com", ""},
		{"example.com.evil.test", ""},
		{"com", ""},
		{"", ""},
		{"192.0.2.1:80", "addresses"},
		{"[2001:db8::1]", "addresses"},
		{"[2001:DB8::1]:443", "addresses"},
		{"[2001:db8::1", ""},
	} {
		if got := siteName(sites.find(tt.host)); got != tt.want {
			t.Errorf("find(%q) = %q, want %q", tt.host, got, tt.want)
		}
		want := tt.want
		if want == "" {
			want = "fallback"
		}
		if got := siteName(withDefault.find(tt.host)); got != want {
			t.Errorf("with a default: find(%q) = %q, want %q", tt.host, got, want)
		}
	}
}

func siteName(s *site) string {
	if s == nil {
		return ""
	}
	return s.name
}

func TestFindSiteAllocatesNothing(t *testing.T) {
	sites := compileSites([]SiteConfig{{Hosts: []string{"example.com", "*.example.org"}, Origin: "web"}}, testPools, 1)
	for _, host := range []string{"example.com", "example.com:8443", "a.b.example.org", "unknown.test"} {
		if n := testing.AllocsPerRun(100, func() { sites.find(host) }); n != 0 {
			t.Errorf("find(%q) allocates %v times, want 0", host, n)
		}
	}
}

func TestMatchRoute(t *testing.T) {
	s := compileSites([]SiteConfig{{
		Default: true,
		Origin:  "web",
		Routes: []RouteConfig{
			{Name: "exact", Match: MatchConfig{Path: []string{"/exact"}}},
			{Name: "beta", Match: MatchConfig{Path: []string{"/app/*"}, Headers: map[string]string{"x-beta": "1"}}},
			{Name: "present", Match: MatchConfig{Headers: map[string]string{"Upgrade": "*"}}},
			{Name: "app", Match: MatchConfig{Path: []string{"/app/*", "/apps"}}},
			{Name: "css", Match: MatchConfig{Path: []string{"*.css"}}, Origin: "api"},
			{Name: "write", Match: MatchConfig{Path: []string{"/w*"}, Methods: []string{"POST", "PUT"}}},
			{Name: "read", Match: MatchConfig{Path: []string{"/w*"}, Methods: []string{"GET"}}},
		},
	}}, testPools, 1).fallback

	for _, tt := range []struct {
		method, path string
		header       http.Header
		want         string
	}{
		{"GET", "/exact", nil, "exact"},
		{"GET", "/exact/", nil, ""},
		{"GET", "/app/x", nil, "app"},
		{"GET", "/app/", nil, "app"},
		{"GET", "/app", nil, ""},
		{"GET", "/apps", nil, "app"},
		{"GET", "/app/x", http.Header{"X-Beta": {"1"}}, "beta"},
		{"GET", "/app/x", http.Header{"X-Beta": {"0", "1"}}, "beta"},
		{"GET", "/app/x", http.Header{"X-Beta": {"11"}}, "app"},
		{"GET", "/other", http.Header{"X-Beta": {"1"}}, ""},
		{"GET", "/other", http.Header{"Upgrade": {"anything"}}, "present"},
		{"GET", "/x/a.css", nil, "css"},
		{"GET", "/x/a.css.map", nil, ""},
		{"POST", "/w", nil, "write"},
		{"GET", "/w/1", nil, "read"},
		{"HEAD", "/w/1", nil, "read"}, // HEAD is answered from a stored GET
		{"DELETE", "/w/1", nil, ""},
	} {
		got := ""
		r := s.match(tt.method, tt.path, cache.HeaderFields(tt.header))
		if r != nil {
			got = r.name
		}
		if got != tt.want {
			t.Errorf("match(%s %s %v) = %q, want %q", tt.method, tt.path, tt.header, got, tt.want)
		}
	}
}

func TestCompiledRoute(t *testing.T) {
	own := cache.DefaultConfig()
	own.MaxObject = 7
	s := compileSites([]SiteConfig{{
		Default: true, Origin: "web", Cache: &own,
		Routes: []RouteConfig{
			{Match: MatchConfig{Path: []string{"/a"}}},
			{Match: MatchConfig{Path: []string{"/b"}}, Cache: ptr(cache.DefaultConfig()), Origin: "api"},
			{Match: MatchConfig{Path: []string{"/c"}}, Respond: &RespondConfig{}},
			{Name: "keyed", Match: MatchConfig{Headers: map[string]string{"A": "*"}}},
			{},
		},
	}}, testPools, 99).fallback
	inherited, overridden, fixed, keyed, behind := s.routes[0], s.routes[1], s.routes[2], s.routes[3], s.routes[4]

	if got := inherited.policy.MaxObject; got != 7 {
		t.Errorf("the site's policy: max object = %d, want 7", got)
	}
	if got := overridden.policy.MaxObject; got != 99 {
		t.Errorf("the route's policy: max object = %d, want the default 99", got)
	}
	if inherited.originName != "web" || overridden.originName != "api" || overridden.pool != testPools["api"] {
		t.Errorf("origins = %q, %q, want web, api", inherited.originName, overridden.originName)
	}
	if fixed.pool != nil || fixed.policy != nil || fixed.respond == nil {
		t.Errorf("a fixed answer has a pool or a policy: %+v", fixed)
	}
	if inherited.keyed || !keyed.keyed || behind.keyed {
		t.Errorf("keyed = %v, %v, %v, want only the route chosen by header", inherited.keyed, keyed.keyed, behind.keyed)
	}
	if inherited.name != "/a" || behind.name != "*" {
		t.Errorf("labels = %q, %q, want /a, *", inherited.name, behind.name)
	}
}

func ptr[T any](v T) *T { return &v }

// TestRouteIsKnownFromKey: whatever routes a site has, two requests that may share a stored answer (same path, both GET or
// HEAD, same name in the key) come to the same route, also through the routes behind one chosen by header.
func TestRouteIsKnownFromKey(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	pick := func(from ...string) []string {
		return from[:random.IntN(len(from)+1)]
	}
	for range 500 {
		var routes []RouteConfig
		for i := range 5 {
			r := RouteConfig{Name: fmt.Sprint("r", i), Match: MatchConfig{Path: pick("/a", "/b*"), Methods: pick("HEAD", "GET", "POST")}}
			if name := []string{"", "", "A", "B"}[random.IntN(4)]; name != "" {
				r.Match.Headers = map[string]string{name: "1"}
			}
			routes = append(routes, r)
		}
		checkRoutesKnown(t, routes)
	}
}

func checkRoutesKnown(t *testing.T, routes []RouteConfig) {
	t.Helper()
	s := compileSites([]SiteConfig{{Default: true, Origin: "web", Routes: routes}}, testPools, 1).fallback
	type key struct{ path, name string }
	seen := map[key]*route{}
	for _, path := range []string{"/a", "/b", "/c"} {
		for _, h := range []http.Header{{}, {"A": {"1"}}, {"B": {"1"}}, {"A": {"1"}, "B": {"1"}}} {
			for _, method := range []string{"GET", "HEAD"} {
				r := s.match(method, path, cache.HeaderFields(h))
				if r == nil {
					continue
				}
				k := key{path, ""}
				if r.keyed {
					k.name = r.name
				}
				if first := seen[k]; first != nil && first != r {
					t.Fatalf("%s %s with the key name %q comes to %s and to %s\nroutes: %+v", method, path, k.name, first.name, r.name, routes)
				}
				seen[k] = r
			}
		}
	}
}
