package cache

import (
	"strings"
	"testing"
)

// policyWith returns the Policy of a route that differs from the default in what change does.
func policyWith(change func(*Config)) *Policy {
	c := DefaultConfig()
	if change != nil {
		change(&c)
	}
	return c.Compile()
}

func queryPolicy(c QueryConfig) *Policy { return policyWith(func(all *Config) { all.Key.Query = c }) }

func TestNormaliseQuery(t *testing.T) {
	for _, c := range []struct {
		rule      string
		config    QueryConfig
		raw, want string
	}{
		{"nothing to drop", QueryConfig{}, "b=1&a=2", "b=1&a=2"},
		{"tracking parameters", QueryConfig{}, "utm_source=x&a=1&fbclid=2&b&gclid", "a=1&b"},
		{"all of them", QueryConfig{}, "utm_source=x&utm_medium=y", ""},
		{"a name that only begins like one", QueryConfig{}, "gclid2=1&fbclid_=2", "gclid2=1&fbclid_=2"},
		{"names are case-sensitive", QueryConfig{}, "FBCLID=1", "FBCLID=1"},
		{"names are compared as spelt", QueryConfig{}, "%66bclid=1", "%66bclid=1"},
		{"& alone separates", QueryConfig{}, "a=1;fbclid=2", "a=1;fbclid=2"},
		{"a value is not a name", QueryConfig{}, "a=fbclid", "a=fbclid"},
		{"empty parameters stay", QueryConfig{}, "a&&b&", "a&&b&"},
		{"keep one", QueryConfig{Keep: []string{"fbclid"}}, "fbclid=1&gclid=2", "fbclid=1"},
		{"keep one of a prefix", QueryConfig{Keep: []string{"utm_id"}}, "utm_id=1&utm_source=2", "utm_id=1"},
		{"keep a prefix", QueryConfig{Keep: []string{"utm_*"}}, "utm_id=1&gclid=2", "utm_id=1"},
		{"keep all", QueryConfig{Keep: []string{"*"}}, "utm_id=1&gclid=2", "utm_id=1&gclid=2"},
		{"drop more", QueryConfig{Drop: []string{"sid"}}, "sid=1&a=2&gclid=3", "a=2"},
		{"drop a prefix", QueryConfig{Drop: []string{"x_*"}}, "x_a=1&x=2&x_", "x=2"},
		{"drop all", QueryConfig{Drop: []string{"*"}}, "a=1&&b", ""},
		{"allow", QueryConfig{Allow: []string{"a", "p_*"}}, "b=1&a=2&p_c=3&a=4&&gclid=5", "a=2&p_c=3&a=4"},
		{"allow a tracking parameter", QueryConfig{Allow: []string{"gclid"}}, "a=2&gclid=5", "gclid=5"},
		{"sort", QueryConfig{Sort: true}, "b=2&a=1&c", "a=1&b=2&c"},
		{"sort is stable", QueryConfig{Sort: true}, "b=2&a=9&a=1&b=1", "a=9&a=1&b=2&b=1"},
		{"sort is by name", QueryConfig{Sort: true}, "a=1&a!=0&a", "a=1&a&a!=0"},
		{"sort and drop", QueryConfig{Sort: true}, "b=2&gclid=1&a=1", "a=1&b=2"},
	} {
		p := queryPolicy(c.config)
		got := p.NormaliseQuery(c.raw)
		if got != c.want {
			t.Errorf("%s: %q: got %q, want %q", c.rule, c.raw, got, c.want)
		}
		if again := p.NormaliseQuery(got); again != got {
			t.Errorf("%s: %q: got %q, again %q", c.rule, c.raw, got, again)
		}
	}
}

func TestEveryTrackingParameterIsDropped(t *testing.T) {
	p := queryPolicy(QueryConfig{})
	for _, name := range TrackingParameters() {
		raw := "a=1&" + strings.TrimSuffix(name, "*") + "=2"
		if got := p.NormaliseQuery(raw); got != "a=1" {
			t.Errorf("%q: got %q, want a=1", raw, got)
		}
	}
}

func TestNormaliseQueryAllocatesNothing(t *testing.T) {
	p, sorting := queryPolicy(QueryConfig{}), queryPolicy(QueryConfig{Sort: true, Drop: []string{"x_*"}})
	allocs := testing.AllocsPerRun(100, func() {
		p.NormaliseQuery("page=2&order=date&q=a+b")
		sorting.NormaliseQuery("a=1&b=2&c=3")
	})
	if allocs != 0 {
		t.Errorf("%v allocations, want 0", allocs)
	}
}

func TestSetQuery(t *testing.T) {
	for _, c := range []struct {
		rule, raw string
		present   bool
		config    QueryConfig
		want      string // the purge URL's query, with its "?"
	}{
		{"none", "", false, QueryConfig{}, ""},
		{"an empty query is one", "", true, QueryConfig{}, "?"},
		{"encoded as the key is", `a="`, true, QueryConfig{}, "?a=%22"},
		{"a ? whose parameters are dropped goes with them", "gclid=1", true, QueryConfig{}, ""},
		{"and with *", "", true, QueryConfig{Drop: []string{"*"}}, ""},
		{"and where others are allowed", "", true, QueryConfig{Allow: []string{"a"}}, ""},
	} {
		q := requestWith("GET")
		if err := q.SetQuery(queryPolicy(c.config), c.raw, c.present); err != nil || q.PurgeURL() != "example.com/"+c.want {
			t.Errorf("%s: %q: %q, %v; want query %q", c.rule, c.raw, q.PurgeURL(), err, c.want)
		}
	}
	if err := requestWith("GET").SetQuery(queryPolicy(QueryConfig{}), "a b", true); err == nil {
		t.Error("a query with a space was taken")
	}
}

// Queries that must not share a key, among them pairs whose parts run into each other when joined without lengths.
func TestKeysDiffer(t *testing.T) {
	p := policyWith(func(c *Config) {
		c.Key.Headers, c.Key.Cookies = []string{"X-B", "x-a", "accept-language"}, []string{"lang"}
	})
	make := func(change func(*Query), lines ...string) *Query {
		q := requestWith("GET", lines...)
		change(q)
		q.MakeKey(p, 1)
		return q
	}
	none := func(*Query) {}
	seen := map[string]string{}
	for name, q := range map[string]*Query{
		"plain":            make(none),
		"host":             make(func(q *Query) { q.Host = "example.org" }),
		"https":            make(func(q *Query) { q.Secure = true }),
		"path":             make(func(q *Query) { q.Path = "/a" }),
		"host and path":    make(func(q *Query) { q.Host, q.Path = "example.com/", "a" }),
		"empty query":      make(func(q *Query) { q.HasQuery = true }),
		"query":            make(func(q *Query) { q.HasQuery, q.RawQuery = true, "a" }),
		"? in the path":    make(func(q *Query) { q.Path = "/?a" }),
		"site":             make(func(q *Query) { q.Site = "beta" }),
		"route":            make(func(q *Query) { q.Route = "beta" }),
		"empty header":     make(none, "X-A:"),
		"header":           make(none, "X-A: 1"),
		"another header":   make(none, "X-B: 1"),
		"two headers":      make(none, "X-A: 1", "X-B: 1"),
		"two values":       make(none, "X-A: 1", "X-A: 2"),
		"empty cookie":     make(none, "Cookie: lang="),
		"cookie":           make(none, "Cookie: lang=de"),
		"two cookies":      make(none, "Cookie: lang=de; lang=en"),
		"the other way":    make(none, "Cookie: lang=en; lang=de"),
		"accepts English":  make(none, "Accept-Language: en"),
		"Accept-Language:": make(none, "Accept-Language:"),
	} {
		if other, twice := seen[q.Key]; twice {
			t.Errorf("%q and %q have the same key %q", name, other, q.Key)
		}
		seen[q.Key] = name
	}
}

func TestKeysAreTheSame(t *testing.T) {
	p := policyWith(func(c *Config) {
		c.Key.Headers, c.Key.Cookies = []string{"x-a", "accept-language"}, []string{"lang"}
	})
	for _, c := range []struct {
		rule string
		a, b *Query
	}{
		{"fields that are not keyed", requestWith("GET"), requestWith("GET", "X-C: 1", "Cookie: session=1")},
		{"HEAD is answered from GET", requestWith("GET"), requestWith("HEAD")},
		{"spaces between members", requestWith("GET", "X-A: 1,2"), requestWith("GET", "X-A: 1 , 2")},
		{"lines of one field", requestWith("GET", "X-A: 1, 2"), requestWith("GET", "X-A: 1", "x-a: 2")},
		{"preferences", requestWith("GET", "Accept-Language: de, EN;q=0.5"), requestWith("GET", "Accept-Language: en;q=0.50,de")},
		{"other cookies", requestWith("GET", "Cookie: lang=de"), requestWith("GET", "Cookie: a=b;lang=de", "Cookie: c=d")},
	} {
		c.a.MakeKey(p, 1)
		c.b.MakeKey(p, 1)
		if c.a.Key != c.b.Key || c.a.Hash != c.b.Hash {
			t.Errorf("%s: keys %q and %q", c.rule, c.a.Key, c.b.Key)
		}
	}
}

// The same bytes in another place, under another configuration, are another key.
func TestKeyNamesItsParts(t *testing.T) {
	header := policyWith(func(c *Config) { c.Key.Headers = []string{"X-A"} })
	cookie := policyWith(func(c *Config) { c.Key.Cookies = []string{"X-A"} })
	other := policyWith(func(c *Config) { c.Key.Headers = []string{"X-B"} })
	seen := map[string]bool{}
	for _, p := range []*Policy{header, cookie, other, policyWith(nil)} {
		q := requestWith("GET")
		q.MakeKey(p, 1)
		seen[q.Key] = true
	}
	if len(seen) != 4 {
		t.Errorf("%d keys for 4 configurations", len(seen))
	}
}

func TestHashDependsOnTheSeed(t *testing.T) {
	p, q := policyWith(nil), requestWith("GET")
	q.MakeKey(p, 1)
	key, hash := q.Key, q.Hash
	q.MakeKey(p, 2)
	if q.Key != key || q.Hash == hash {
		t.Errorf("key %q, then %q; hash %x, then %x", key, q.Key, hash, q.Hash)
	}
}

func TestMakeKeyAllocatesTheKeyAlone(t *testing.T) {
	p := policyWith(func(c *Config) { c.Key.Headers, c.Key.Cookies = []string{"X-A"}, []string{"lang"} })
	q := requestWith("GET", "X-A: 1", "Cookie: a=b; lang=de")
	if allocs := testing.AllocsPerRun(100, func() { q.MakeKey(p, 1) }); allocs != 1 {
		t.Errorf("%v allocations, want 1", allocs)
	}
}

func TestTarget(t *testing.T) {
	q := requestWith("GET")
	q.Site, q.Secure, q.Route, q.Path = "shop", true, "beta", "/a"
	if err := q.SetQuery(policyWith(nil), "b=1", true); err != nil {
		t.Fatal(err)
	}
	got := q.Target([]string{"x"})
	if got.Site != "shop" || got.Host != "example.com" || got.URL != "example.com/a?b=1" || len(got.Tags) != 1 {
		t.Errorf("target = %+v", got)
	}
}
