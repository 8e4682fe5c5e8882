package cache

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// problems returns the paths that Validate reports for a default Config with this change.
func problems(t *testing.T, change func(*Config)) []string {
	t.Helper()
	c := DefaultConfig()
	change(&c)
	paths := []string{}
	c.Validate(func(path, problem, hint string) {
		if problem == "" || hint == "" || strings.HasSuffix(hint, ".") {
			t.Errorf("%s: problem %q, hint %q", path, problem, hint)
		}
		paths = append(paths, path)
	})
	return paths
}

func TestValidate(t *testing.T) {
	query := func(c QueryConfig) func(*Config) { return func(all *Config) { all.Key.Query = c } }
	status := func(key string) func(*Config) {
		return func(c *Config) { c.TTL.Status = map[string]time.Duration{key: time.Minute} }
	}
	for _, c := range []struct {
		rule   string
		change func(*Config)
		want   string // paths, joined by spaces
	}{
		{"the default", func(*Config) {}, ""},
		{"all that may be set", func(c *Config) {
			c.TTL = TTLConfig{Default: time.Minute, Override: time.Hour, Max: time.Hour,
				Status: map[string]time.Duration{"404": 0, "5xx": time.Second, "200": time.Hour}}
			c.Stale = StaleConfig{WhileRevalidate: 1, IfError: 1}
			c.Bypass = BypassConfig{Cookies: []string{"a", "wp_*"}, Headers: []string{"x-a"}, Paths: []string{"/a", "/b/*"}}
			c.Key.Headers, c.Key.Cookies = []string{"Accept-Language"}, []string{"lang"}
			c.Key.Query = QueryConfig{Keep: []string{"utm_id"}, Drop: []string{"sid", "x_*"}, Sort: true}
			c.Ignore = ignorable
			c.SetCookie, c.ClientDirectives, c.MaxObject, c.Methods = "strip", "honour", 1, []string{"GET"}
		}, ""},
		{"several at once", func(c *Config) { c.SetCookie, c.MaxObject = "", -1 }, "set_cookie max_object"},

		{"tags of another field, or of none", func(c *Config) { c.Tags = []string{"Edge-Cache-Tag"} }, ""},
		{"no tags at all", func(c *Config) { c.Tags = nil }, ""},
		{"tags of what is no field, and twice of one", func(c *Config) { c.Tags = []string{"a b", "xkey", "Xkey"} }, "tags[0] tags[2]"},
		{"ttl below 0", func(c *Config) { c.TTL.Default, c.TTL.Override, c.TTL.Max = -1, -1, -1 }, "ttl.default ttl.override ttl.max"},
		{"ttl above max", func(c *Config) { c.TTL.Default, c.TTL.Override, c.TTL.Max = 2, 3, 1 }, "ttl.default ttl.override"},
		{"ttl of a status above max", func(c *Config) {
			c.TTL.Max, c.TTL.Status = time.Second, map[string]time.Duration{"404": time.Minute, "500": -1}
		}, "ttl.status.404 ttl.status.500"},
		{"no status", status("4x9"), "ttl.status.4x9"},
		{"no class", status("6xx"), "ttl.status.6xx"},
		{"an interim class", status("1xx"), "ttl.status.1xx"},
		{"half a class", status("40x"), "ttl.status.40x"},
		{"a class in capitals", status("4XX"), "ttl.status.4XX"},
		{"two digits", status("40"), "ttl.status.40"},
		{"600", status("600"), "ttl.status.600"},
		{"a sign", status("+40"), "ttl.status.+40"},
		{"206", status("206"), "ttl.status.206"},
		{"304", status("304"), "ttl.status.304"},

		{"stale below 0", func(c *Config) { c.Stale = StaleConfig{-1, -1, -1, true} },
			"stale.while_revalidate stale.if_error stale.unreachable"},

		{"no cookie", func(c *Config) { c.Bypass.Cookies = []string{"a=b", "", "*", "a*b"} },
			"bypass.cookies[0] bypass.cookies[1] bypass.cookies[2] bypass.cookies[3]"},
		{"no header", func(c *Config) { c.Bypass.Headers = []string{"X A", "X-*", "host", "content-length"} },
			"bypass.headers[0] bypass.headers[1] bypass.headers[2] bypass.headers[3]"},
		{"a header twice", func(c *Config) { c.Bypass.Headers = []string{"x-a", "X-A"} }, "bypass.headers[1]"},
		{"no path", func(c *Config) {
			c.Bypass.Paths = []string{"", "a", "/a b", "/a?b", "/%61", "/a/../b", "/a*b", "/*", "*"}
		},
			"bypass.paths[0] bypass.paths[1] bypass.paths[2] bypass.paths[3] bypass.paths[4] bypass.paths[5] " +
				"bypass.paths[6] bypass.paths[7] bypass.paths[8]"},

		{"a keyed header that no fill carries", func(c *Config) { c.Key.Headers = []string{"range", "X-A"} }, "key.headers[0]"},
		{"the host as a header", func(c *Config) { c.Key.Headers = []string{"Host"} }, "key.headers[0]"},
		{"a pattern of cookies", func(c *Config) { c.Key.Cookies = []string{"a*"} }, "key.cookies[0]"},
		{"keyed cookies that are stripped", func(c *Config) { c.Key.Cookies, c.RequestCookies = []string{"a"}, "strip" }, "key.cookies"},

		{"no parameter", query(QueryConfig{Drop: []string{"", "a=b", "a&b", "a*b", "a b", "\u00e4"}}),
			"key.query.drop[0] key.query.drop[1] key.query.drop[2] key.query.drop[3] key.query.drop[4] key.query.drop[5]"},
		{"a parameter twice", query(QueryConfig{Drop: []string{"a", "a"}}), "key.query.drop[1]"},
		{"keep what is not on the list", query(QueryConfig{Keep: []string{"page"}}), "key.query.keep[0]"},
		{"keep and drop", query(QueryConfig{Keep: []string{"utm_id"}, Drop: []string{"utm_*"}}), "key.query.keep[0]"},
		{"keep * and drop", query(QueryConfig{Keep: []string{"*"}, Drop: []string{"utm_id"}}), ""},
		{"keep * and others", query(QueryConfig{Keep: []string{"*", "utm_id"}}), "key.query.keep"},
		{"drop * and others", query(QueryConfig{Drop: []string{"*", "a"}}), "key.query.drop"},
		{"drop * and sort", query(QueryConfig{Drop: []string{"*"}, Sort: true}), "key.query.drop"},
		{"allow and drop", query(QueryConfig{Allow: []string{"a"}, Drop: []string{"b"}}), "key.query.allow"},
		{"allow *", query(QueryConfig{Allow: []string{"*"}}), "key.query.allow"},

		{"ignore", func(c *Config) { c.Ignore = []string{"no-store", "public", "No-Store", "no-store"} }, "ignore[1] ignore[2] ignore[3]"},
		{"unknown words", func(c *Config) { c.SetCookie, c.RequestCookies, c.ClientDirectives = "a", "b", "honor" },
			"set_cookie request_cookies client_directives"},
		{"HEAD alone", func(c *Config) { c.Methods = []string{"HEAD"} }, "methods"},
		{"no method", func(c *Config) { c.Methods = nil }, "methods"},
		{"another method", func(c *Config) { c.Methods = []string{"GET", "POST", "head", "GET"} }, "methods[1] methods[2] methods[3]"},
	} {
		if got := strings.Join(problems(t, c.change), " "); got != c.want {
			t.Errorf("%s: reported %q, want %q", c.rule, got, c.want)
		}
	}
}

func TestCompile(t *testing.T) {
	p := policyWith(func(c *Config) {
		c.TTL.Status = map[string]time.Duration{"404": time.Minute, "5xx": time.Second}
		c.Ignore = []string{"no-store"}
		c.ClientDirectives = "honour"
		c.Key.Headers = []string{"x-b", "X-A"}
	})
	if len(p.ttlStatus) != 2 || p.ttlStatus[404] != time.Minute || p.ttlStatus[5] != time.Second {
		t.Errorf("ttl by status = %v", p.ttlStatus)
	}
	if !p.ignore["no-store"] || p.ignore["private"] || !p.honourClient {
		t.Errorf("ignore = %v, honour = %v", p.ignore, p.honourClient)
	}
	if !slices.Equal(p.keyHeaders, []string{"X-A", "X-B"}) {
		t.Errorf("keyed headers = %q", p.keyHeaders)
	}
}
