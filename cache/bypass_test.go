package cache

import "testing"

func TestBypass(t *testing.T) {
	p := policyWith(func(c *Config) {
		c.Bypass = BypassConfig{
			Cookies: []string{"session", "wp_*"},
			Headers: []string{"x-preview"},
			Paths:   []string{"/admin/*", "/exact"},
		}
	})
	for _, c := range []struct {
		rule, path string
		lines      []string
		want       Reason
	}{
		{"nothing to bypass for", "/", []string{"Cookie: a=b", "X-Other: 1"}, ""},
		{"a path", "/exact", nil, PassBypassPath},
		{"an exact path is no prefix", "/exact/", nil, ""},
		{"a prefix", "/admin/a/b", nil, PassBypassPath},
		{"a prefix itself", "/admin/", nil, PassBypassPath},
		{"less than a prefix", "/admin", nil, ""},
		{"a cookie", "/", []string{"Cookie: a=b; session=1"}, PassBypassCookie},
		{"a cookie by prefix", "/", []string{"Cookie: wp_user=x"}, PassBypassCookie},
		{"a cookie without a value", "/", []string{"Cookie: session"}, PassBypassCookie},
		{"a cookie in the second line", "/", []string{"Cookie: a=b", "Cookie: session=1"}, PassBypassCookie},
		{"without a space", "/", []string{"Cookie: a=b;session=1"}, PassBypassCookie},
		{"a cookie's value", "/", []string{"Cookie: a=session"}, ""},
		{"RFC 6265, 5.2: names are case-sensitive", "/", []string{"Cookie: Session=1"}, ""},
		{"a longer name", "/", []string{"Cookie: session2=1"}, ""},
		{"a header", "/", []string{"x-PREVIEW: 1"}, PassBypassHeader},
		{"an empty header", "/", []string{"X-Preview:"}, PassBypassHeader},
	} {
		q := requestWith("GET", c.lines...)
		q.Path = c.path
		if got := p.Bypass(q); got != c.want {
			t.Errorf("%s: %s %q: got %q, want %q", c.rule, c.path, c.lines, got, c.want)
		}
	}
	if got := p.Bypass(&Query{Path: "/"}); got != "" {
		t.Errorf("a request without fields: got %q", got)
	}
}

func TestBypassAllocatesNothing(t *testing.T) {
	p := policyWith(func(c *Config) {
		c.Bypass = BypassConfig{Cookies: []string{"session", "wp_*"}, Headers: []string{"X-Preview"}, Paths: []string{"/admin/*"}}
	})
	q := requestWith("GET", "Cookie: a=b; c=d", "Cookie: e=f")
	if allocs := testing.AllocsPerRun(100, func() { p.Bypass(q) }); allocs != 0 {
		t.Errorf("%v allocations, want 0", allocs)
	}
}
