package edge

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"selvage/cache"
)

var knownOrigins = map[string]bool{"web": true, "api": true}

// validConfig has one of everything that can be said.
func validConfig() Config {
	c := DefaultConfig()
	c.Listeners = []ListenerConfig{
		{Address: ":80"}, {Address: "[::1]:8080"}, {Address: "localhost:0"}, {Address: "unix:/run/selvage/http.sock"},
		{Address: "192.0.2.1:443", TLS: &TLSConfig{Cert: "a.pem", Key: "a.key"}}, {Address: ":443", TLS: &TLSConfig{SelfSigned: true}},
	}
	c.TrustedProxies = []string{"10.0.0.0/8", "::1", "unix"}
	c.ID = "edge-7.example"
	c.Sites = []SiteConfig{
		{
			Name: "shop", Hosts: []string{"example.com", "*.example.com", "xn--bcher-kva.example"}, Origin: "web", Cache: ptr(cache.DefaultConfig()),
			Methods: "any", Allow: []string{"192.0.2.0/24"}, Deny: []string{"192.0.2.1"}, MaxConnsPerAddress: 9,
			ErrorPages: map[string]ErrorPageConfig{
				"404": {Body: "<p>gone", ContentType: "text/html"}, "5xx": {File: "sorry.JSON"}, "offline": {Body: "back soon"},
			},
			Routes: []RouteConfig{
				{Name: "beta", Match: MatchConfig{Path: []string{"/a", "/b/*", "*.css", "/.*", "/%2F*"}, Methods: []string{"GET", "PROPFIND"}, Headers: map[string]string{"X-Beta": "*", "X-Empty": ""}}},
				{Match: MatchConfig{Path: []string{"/api/*"}}, Origin: "api", Cache: ptr(cache.DefaultConfig()),
					RequestHeaders:  HeaderConfig{Remove: []string{"Cookie"}, Set: map[string]string{"X-Api": "a b", "X-Forwarded-Port": "443"}},
					ResponseHeaders: HeaderConfig{Add: map[string]string{"Strict-Transport-Security": "max-age=1", "Alt-Svc": "clear"}}},
				{Match: MatchConfig{Path: []string{"/old/*"}}, Redirect: &RedirectConfig{To: "https://{host}/new{path}{query}", Status: 301}},
				{Match: MatchConfig{Path: []string{"/x"}}, Redirect: &RedirectConfig{To: "{path}/"}},
				{Match: MatchConfig{Methods: []string{"HEAD", "GET"}}, Respond: &RespondConfig{Status: 503, Body: "later", ContentType: "text/html; charset=utf-8"},
					ResponseHeaders: HeaderConfig{Set: map[string]string{"Retry-After": "60"}}},
				{Match: MatchConfig{Path: []string{"/*"}}},
			},
		},
		{Default: true, Origin: "api"},
	}
	return c
}

type problem struct{ path, problem string }

func problemsOf(c Config) []problem {
	var out []problem
	c.Validate(knownOrigins, func(path, text, _ string) { out = append(out, problem{path, text}) })
	return out
}

func TestValidConfig(t *testing.T) {
	if got := problemsOf(validConfig()); got != nil {
		t.Errorf("problems = %v, want none", got)
	}
	compileSites(validConfig().Sites, testPools, 1) // does not panic
}

func TestValidate(t *testing.T) {
	for _, tt := range []struct {
		name  string
		spoil func(c *Config, first *SiteConfig, route *RouteConfig)
		path  string
	}{
		{"no listener", func(c *Config, _ *SiteConfig, _ *RouteConfig) { c.Listeners = nil }, "listeners"},
		{"address without port", func(c *Config, _ *SiteConfig, _ *RouteConfig) { c.Listeners[0].Address = "192.0.2.1" }, "listeners[0].address"},
		{"bad port", func(c *Config, _ *SiteConfig, _ *RouteConfig) { c.Listeners[0].Address = ":65536" }, "listeners[0].address"},
		{"bad host", func(c *Config, _ *SiteConfig, _ *RouteConfig) { c.Listeners[0].Address = "a b:80" }, "listeners[0].address"},
		{"relative socket", func(c *Config, _ *SiteConfig, _ *RouteConfig) { c.Listeners[0].Address = "unix:a.sock" }, "listeners[0].address"},
		{"address twice", func(c *Config, _ *SiteConfig, _ *RouteConfig) { c.Listeners[5].Address = ":80" }, "listeners[5].address"},
		{"cert alone", func(c *Config, _ *SiteConfig, _ *RouteConfig) { c.Listeners[4].TLS.Key = "" }, "listeners[4].tls.key"},
		{"key alone", func(c *Config, _ *SiteConfig, _ *RouteConfig) { c.Listeners[4].TLS.Cert = "" }, "listeners[4].tls.cert"},
		{"two kinds of made ones", func(c *Config, _ *SiteConfig, _ *RouteConfig) {
			c.Listeners[4].TLS = &TLSConfig{Internal: true, SelfSigned: true}
		}, "listeners[4].tls.internal"},
		{"hsts of no age", func(_ *Config, s *SiteConfig, _ *RouteConfig) { s.HTTPS.HSTS.Subdomains = true }, "sites[0].https.hsts.max_age"},
		{"hsts too short for a list", func(_ *Config, s *SiteConfig, _ *RouteConfig) {
			age := time.Hour
			s.HTTPS.HSTS = HSTSConfig{MaxAge: &age, Subdomains: true, Preload: true}
		}, "sites[0].https.hsts.preload"},
		{"two certificates", func(c *Config, _ *SiteConfig, _ *RouteConfig) { c.Listeners[4].TLS.SelfSigned = true }, "listeners[4].tls.self_signed"},

		{"trusted name", func(c *Config, _ *SiteConfig, _ *RouteConfig) { c.TrustedProxies[1] = "proxy.test" }, "trusted_proxies[1]"},
		{"trusted prefix with host bits", func(c *Config, _ *SiteConfig, _ *RouteConfig) { c.TrustedProxies[0] = "10.0.0.1/8" }, "trusted_proxies[0]"},
		{"id with a space", func(c *Config, _ *SiteConfig, _ *RouteConfig) { c.ID = "a b" }, "id"},
		{"log format", func(c *Config, _ *SiteConfig, _ *RouteConfig) { c.Log.Format = "xml" }, "log.format"},
		{"log file", func(c *Config, _ *SiteConfig, _ *RouteConfig) { c.Log.File = "a\x00" }, "log.file"},
		{"no request line", func(c *Config, _ *SiteConfig, _ *RouteConfig) { c.Limits.RequestLine = 0 }, "limits.request_line"},
		{"request line over head", func(c *Config, _ *SiteConfig, _ *RouteConfig) { c.Limits.Head = 1 << 10 }, "limits.request_line"},
		{"negative fields", func(c *Config, _ *SiteConfig, _ *RouteConfig) { c.Limits.Fields = -1 }, "limits.fields"},
		{"negative body", func(c *Config, _ *SiteConfig, _ *RouteConfig) { c.Limits.Body = -1 }, "limits.body"},
		{"no idle timeout", func(c *Config, _ *SiteConfig, _ *RouteConfig) { c.Timeouts.Idle = 0 }, "timeouts.idle"},
		{"negative drain", func(c *Config, _ *SiteConfig, _ *RouteConfig) { c.Timeouts.Drain = -time.Second }, "timeouts.drain"},
		{"negative rate", func(c *Config, _ *SiteConfig, _ *RouteConfig) { c.Timeouts.BodyRate = -1 }, "timeouts.body_rate"},

		{"page for a success", func(_ *Config, s *SiteConfig, _ *RouteConfig) {
			s.ErrorPages["200"] = ErrorPageConfig{Body: "x"}
		}, "sites[0].error_pages.200"},
		{"page for a class of none", func(_ *Config, s *SiteConfig, _ *RouteConfig) {
			s.ErrorPages["6xx"] = ErrorPageConfig{Body: "x"}
		}, "sites[0].error_pages.6xx"},
		{"page with zeros", func(_ *Config, s *SiteConfig, _ *RouteConfig) {
			s.ErrorPages["0404"] = ErrorPageConfig{Body: "x"}
		}, "sites[0].error_pages.0404"},
		{"page of nothing", func(_ *Config, s *SiteConfig, _ *RouteConfig) {
			s.ErrorPages["404"] = ErrorPageConfig{ContentType: "text/html"}
		}, "sites[0].error_pages.404"},
		{"page of two things", func(_ *Config, s *SiteConfig, _ *RouteConfig) {
			s.ErrorPages["5xx"] = ErrorPageConfig{File: "a.html", Body: "x"}
		}, "sites[0].error_pages.5xx"},
		{"page of no known type", func(_ *Config, s *SiteConfig, _ *RouteConfig) { s.ErrorPages["5xx"] = ErrorPageConfig{File: "sorry"} }, "sites[0].error_pages.5xx.content_type"},
		{"page of no type", func(_ *Config, s *SiteConfig, _ *RouteConfig) {
			s.ErrorPages["404"] = ErrorPageConfig{Body: "x", ContentType: "html"}
		}, "sites[0].error_pages.404.content_type"},

		{"no site", func(c *Config, _ *SiteConfig, _ *RouteConfig) { c.Sites = nil }, "sites"},
		{"two sites of one name", func(c *Config, _ *SiteConfig, _ *RouteConfig) { c.Sites[1].Name = "shop" }, "sites[1].name"},
		{"two defaults", func(c *Config, s *SiteConfig, _ *RouteConfig) { s.Default = true }, "sites[1].default"},
		{"no host, no default", func(c *Config, _ *SiteConfig, _ *RouteConfig) { c.Sites[1].Default = false }, "sites[1].hosts"},
		{"site without origin and routes", func(c *Config, _ *SiteConfig, _ *RouteConfig) { c.Sites[1].Origin = "" }, "sites[1]"},
		{"name with a space", func(_ *Config, s *SiteConfig, _ *RouteConfig) { s.Name = "a b" }, "sites[0].name"},
		{"host with a port", func(_ *Config, s *SiteConfig, _ *RouteConfig) { s.Hosts[0] = "example.com:80" }, "sites[0].hosts[0]"},
		{"host with a scheme", func(_ *Config, s *SiteConfig, _ *RouteConfig) { s.Hosts[0] = "http://example.com" }, "sites[0].hosts[0]"},
		{"star inside", func(_ *Config, s *SiteConfig, _ *RouteConfig) { s.Hosts[0] = "www.*.com" }, "sites[0].hosts[0]"},
		{"star in a label", func(_ *Config, s *SiteConfig, _ *RouteConfig) { s.Hosts[0] = "*a.com" }, "sites[0].hosts[0]"},
		{"star alone", func(_ *Config, s *SiteConfig, _ *RouteConfig) { s.Hosts[0] = "*" }, "sites[0].hosts[0]"},
		{"host in Unicode", func(_ *Config, s *SiteConfig, _ *RouteConfig) { s.Hosts[0] = "bücher.example" }, "sites[0].hosts[0]"},
		{"empty host", func(_ *Config, s *SiteConfig, _ *RouteConfig) { s.Hosts[0] = "" }, "sites[0].hosts[0]"},
		{"empty label", func(_ *Config, s *SiteConfig, _ *RouteConfig) { s.Hosts[0] = "a..example" }, "sites[0].hosts[0]"},
		{"host twice, spelled differently", func(c *Config, _ *SiteConfig, _ *RouteConfig) { c.Sites[1].Hosts = []string{"x.test", "EXAMPLE.com."} }, "sites[1].hosts[1]"},
		{"wildcard twice", func(c *Config, _ *SiteConfig, _ *RouteConfig) { c.Sites[1].Hosts = []string{"*.example.com"} }, "sites[1].hosts[0]"},
		{"methods", func(c *Config, _ *SiteConfig, _ *RouteConfig) { c.Sites[1].Methods = "all" }, "sites[1].methods"},
		{"allow", func(_ *Config, s *SiteConfig, _ *RouteConfig) { s.Allow[0] = "x" }, "sites[0].allow[0]"},
		{"deny", func(_ *Config, s *SiteConfig, _ *RouteConfig) { s.Deny[0] = "::ffff:1.2.3.0/120" }, "sites[0].deny[0]"},
		{"negative connections", func(_ *Config, s *SiteConfig, _ *RouteConfig) { s.MaxConnsPerAddress = -1 }, "sites[0].max_conns_per_address"},
		{"unknown origin of a site", func(_ *Config, s *SiteConfig, _ *RouteConfig) { s.Origin = "wbe" }, "sites[0].origin"},
		{"a site's cache", func(_ *Config, s *SiteConfig, _ *RouteConfig) { s.Cache.MaxObject = -1 }, "sites[0].cache.max_object"},

		{"unknown origin of a route", func(_ *Config, _ *SiteConfig, r *RouteConfig) { r.Origin = "x" }, "sites[0].routes[1].origin"},
		{"a route's cache", func(_ *Config, _ *SiteConfig, r *RouteConfig) { r.Cache.MaxObject = -1 }, "sites[0].routes[1].cache.max_object"},
		{"two targets", func(_ *Config, _ *SiteConfig, r *RouteConfig) { r.Redirect = &RedirectConfig{To: "/a"} }, "sites[0].routes[1]"},
		{"two fixed targets", func(_ *Config, s *SiteConfig, _ *RouteConfig) { s.Routes[2].Respond = &RespondConfig{} }, "sites[0].routes[2]"},
		{"no target", func(_ *Config, s *SiteConfig, r *RouteConfig) {
			s.Origin, r.Origin, s.Routes[0].Origin, s.Routes[5].Origin = "", "", "web", "web"
		}, "sites[0].routes[1]"},
		{"two routes of one name", func(_ *Config, _ *SiteConfig, r *RouteConfig) { r.Name = "beta" }, "sites[0].routes[1].name"},
		{"chosen by header without a name", func(_ *Config, s *SiteConfig, _ *RouteConfig) { s.Routes[0].Name = "" }, "sites[0].routes[0].name"},
		{"never reached", func(_ *Config, s *SiteConfig, _ *RouteConfig) { s.Routes[4].Match = MatchConfig{} }, "sites[0].routes[5]"},
		{"never reached behind /*", func(_ *Config, s *SiteConfig, _ *RouteConfig) {
			s.Routes[4].Match = MatchConfig{Path: []string{"/a", "/*"}}
		}, "sites[0].routes[5]"},
		{"path without slash", func(_ *Config, _ *SiteConfig, r *RouteConfig) { r.Match.Path[0] = "api/*" }, "sites[0].routes[1].match.path[0]"},
		{"star in the middle", func(_ *Config, _ *SiteConfig, r *RouteConfig) { r.Match.Path[0] = "/a*b" }, "sites[0].routes[1].match.path[0]"},
		{"stars at both ends", func(_ *Config, _ *SiteConfig, r *RouteConfig) { r.Match.Path[0] = "*a*" }, "sites[0].routes[1].match.path[0]"},
		{"path with a query", func(_ *Config, _ *SiteConfig, r *RouteConfig) { r.Match.Path[0] = "/a?b" }, "sites[0].routes[1].match.path[0]"},
		{"path that no request has", func(_ *Config, _ *SiteConfig, r *RouteConfig) { r.Match.Path[0] = "/a/../b" }, "sites[0].routes[1].match.path[0]"},
		{"path not in its one spelling", func(_ *Config, _ *SiteConfig, r *RouteConfig) { r.Match.Path[0] = "/%7ea/*" }, "sites[0].routes[1].match.path[0]"},
		{"path not encoded", func(_ *Config, _ *SiteConfig, r *RouteConfig) { r.Match.Path[0] = "*.é" }, "sites[0].routes[1].match.path[0]"},
		{"HEAD without GET", func(_ *Config, _ *SiteConfig, r *RouteConfig) { r.Match.Methods = []string{"HEAD"} }, "sites[0].routes[1].match.methods"},
		{"method never taken", func(_ *Config, _ *SiteConfig, r *RouteConfig) { r.Match.Methods = []string{"PURGE"} }, "sites[0].routes[1].match.methods[0]"},
		{"method not taken by the site", func(_ *Config, s *SiteConfig, _ *RouteConfig) { s.Methods = "standard" }, "sites[0].routes[0].match.methods[1]"},
		{"no method", func(_ *Config, _ *SiteConfig, r *RouteConfig) { r.Match.Methods = []string{"GET", "A B"} }, "sites[0].routes[1].match.methods[1]"},
		{"match by Host", func(_ *Config, s *SiteConfig, _ *RouteConfig) {
			s.Routes[0].Match.Headers = map[string]string{"host": "a"}
		}, "sites[0].routes[0].match.headers.host"},
		{"match by no field", func(_ *Config, s *SiteConfig, _ *RouteConfig) {
			s.Routes[0].Match.Headers = map[string]string{"a b": "a"}
		}, "sites[0].routes[0].match.headers.a b"},
		{"match one field twice", func(_ *Config, s *SiteConfig, _ *RouteConfig) {
			s.Routes[0].Match.Headers = map[string]string{"X-A": "a", "x-a": "b"}
		}, "sites[0].routes[0].match.headers.x-a"},

		{"no redirect", func(_ *Config, s *SiteConfig, _ *RouteConfig) { s.Routes[2].Redirect.Status = 304 }, "sites[0].routes[2].redirect.status"},
		{"unknown placeholder", redirectTo("https://{host}{uri}"), "sites[0].routes[2].redirect.to"},
		{"brace left open", redirectTo("/{path"), "sites[0].routes[2].redirect.to"},
		{"redirect nowhere", redirectTo(""), "sites[0].routes[2].redirect.to"},
		{"redirect to a word", redirectTo("new{path}"), "sites[0].routes[2].redirect.to"},
		{"host as a path", redirectTo("{host}{path}"), "sites[0].routes[2].redirect.to"},
		{"no scheme", redirectTo("//new.test{path}"), "sites[0].routes[2].redirect.to"},
		{"another scheme", redirectTo("javascript://{host}"), "sites[0].routes[2].redirect.to"},
		{"path in place of the host", redirectTo("https://{path}"), "sites[0].routes[2].redirect.to"},
		{"query in place of the host", redirectTo("https://{query}"), "sites[0].routes[2].redirect.to"},
		{"CR and LF in a redirect", redirectTo("/a\r\nSet-Cookie: a"), "sites[0].routes[2].redirect.to"},
		{"two question marks", redirectTo("/a?b{query}"), "sites[0].routes[2].redirect.to"},
		{"no final status", func(_ *Config, s *SiteConfig, _ *RouteConfig) { s.Routes[4].Respond.Status = 103 }, "sites[0].routes[4].respond.status"},
		{"status that answers a range", func(_ *Config, s *SiteConfig, _ *RouteConfig) { s.Routes[4].Respond.Status = 206 }, "sites[0].routes[4].respond.status"},
		{"204 with a body", func(_ *Config, s *SiteConfig, _ *RouteConfig) { s.Routes[4].Respond.Status = 204 }, "sites[0].routes[4].respond.body"},
		{"no media type", func(_ *Config, s *SiteConfig, _ *RouteConfig) { s.Routes[4].Respond.ContentType = "text" }, "sites[0].routes[4].respond.content_type"},
		{"LF in a media type", func(_ *Config, s *SiteConfig, _ *RouteConfig) { s.Routes[4].Respond.ContentType = "text/html;\n a=b" }, "sites[0].routes[4].respond.content_type"},
		{"cache of a fixed answer", func(_ *Config, s *SiteConfig, _ *RouteConfig) { s.Routes[4].Cache = ptr(cache.DefaultConfig()) }, "sites[0].routes[4].cache"},
		{"request fields of a fixed answer", func(_ *Config, s *SiteConfig, _ *RouteConfig) { s.Routes[4].RequestHeaders.Remove = []string{"A"} }, "sites[0].routes[4].request_headers"},

		// THREATS T35.
		{"LF in a value", setRequest("X-A", "a\nb"), "sites[0].routes[1].request_headers.set.X-A"},
		{"CR in a value", setRequest("X-A", "a\rb"), "sites[0].routes[1].request_headers.set.X-A"},
		{"NUL in a value", setRequest("X-A", "a\x00"), "sites[0].routes[1].request_headers.set.X-A"},
		{"space at the end of a value", setRequest("X-A", "a "), "sites[0].routes[1].request_headers.set.X-A"},
		{"CR in a name", setRequest("X-A\r", "a"), "sites[0].routes[1].request_headers.set.X-A\r"},
		{"colon in a name", setRequest("X-A:", "a"), "sites[0].routes[1].request_headers.set.X-A:"},
		{"empty name", setRequest("", "a"), "sites[0].routes[1].request_headers.set"},
		{"hop-by-hop field", setRequest("connection", "close"), "sites[0].routes[1].request_headers.set.connection"},
		{"framing", setRequest("transfer-encoding", "chunked"), "sites[0].routes[1].request_headers.set.transfer-encoding"},
		{"length", setRequest("Content-length", "1"), "sites[0].routes[1].request_headers.set.Content-length"},
		{"host", setRequest("HOST", "a"), "sites[0].routes[1].request_headers.set.HOST"},
		{"loop protection", setRequest("cdn-loop", "a"), "sites[0].routes[1].request_headers.set.cdn-loop"},
		{"condition", setRequest("If-None-Match", "*"), "sites[0].routes[1].request_headers.set.If-None-Match"},
		{"removing the loop protection", func(_ *Config, _ *SiteConfig, r *RouteConfig) { r.RequestHeaders.Remove = []string{"CDN-Loop"} }, "sites[0].routes[1].request_headers.remove[0]"},
		{"removing no field", func(_ *Config, _ *SiteConfig, r *RouteConfig) { r.RequestHeaders.Remove = []string{"a b"} }, "sites[0].routes[1].request_headers.remove[0]"},
		{"adding a length", func(_ *Config, _ *SiteConfig, r *RouteConfig) { r.ResponseHeaders.Add["content-length"] = "1" }, "sites[0].routes[1].response_headers.add.content-length"},
		{"adding an age", func(_ *Config, _ *SiteConfig, r *RouteConfig) { r.ResponseHeaders.Add["Age"] = "1" }, "sites[0].routes[1].response_headers.add.Age"},
	} {
		c := validConfig()
		tt.spoil(&c, &c.Sites[0], &c.Sites[0].Routes[1])
		got := problemsOf(c)
		if len(got) != 1 || got[0].path != tt.path {
			t.Errorf("%s: problems = %q, want one at %s", tt.name, got, tt.path)
		}
	}
}

func redirectTo(to string) func(*Config, *SiteConfig, *RouteConfig) {
	return func(_ *Config, s *SiteConfig, _ *RouteConfig) { s.Routes[2].Redirect.To = to }
}

func setRequest(name, value string) func(*Config, *SiteConfig, *RouteConfig) {
	return func(_ *Config, _ *SiteConfig, r *RouteConfig) { r.RequestHeaders.Set = map[string]string{name: value} }
}

// TestValidateReportsAll: the empty configuration is told everything it lacks at once.
func TestValidateReportsAll(t *testing.T) {
	want := []problem{
		{"listeners", "there is none"},
		{"sites", "there is none"},
		{"limits.request_line", "is 0: every request would be refused"},
		{"limits.head", "is 0: every request would be refused"},
		{"limits.fields", "is 0: every request would be refused"},
		{"timeouts.handshake", "is not more than 0"}, {"timeouts.header", "is not more than 0"}, {"timeouts.idle", "is not more than 0"},
		{"timeouts.body", "is not more than 0"}, {"timeouts.write", "is not more than 0"}, {"timeouts.stream", "is not more than 0"},
	}
	if diff := cmp.Diff(want, problemsOf(Config{}), cmp.AllowUnexported(problem{})); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
}

// TestCompilePanicsUnvalidated: a rule that cannot be read must not be left out.
func TestCompilePanicsUnvalidated(t *testing.T) {
	for name, cfg := range map[string]SiteConfig{
		"deny": {Deny: []string{"x"}}, "allow": {Allow: []string{"x"}}, "hosts": {Hosts: []string{"a b"}},
		"path": {Routes: []RouteConfig{{Match: MatchConfig{Path: []string{"x"}}}}},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: compiled all the same", name)
				}
			}()
			compileSites([]SiteConfig{cfg}, testPools, 1)
		}()
	}
}
