package edge

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"selvage/cache"
	"selvage/encode"
)

// route is what happens to the requests of a site that it matches: exactly one of pool, redirect and respond is set.
// Immutable.
type route struct {
	name string
	// keyed: the route was chosen by a header, so its name joins the cache key; otherwise one client's header would decide
	// what all others get. Routes chosen by host, path and method need no name: the key has the first two, and HEAD goes
	// with GET, so every method that a stored answer may serve comes to the same route.
	//
	// A route that stands behind a keyed one needs none either. Of the routes that some request for a path can reach,
	// all but the last are keyed under different names, and the last is alone with the key that has no name.
	keyed bool

	match match

	pool       Pool
	originName string
	policy     *cache.Policy // nil without pool
	redirect   *redirect
	respond    *answer

	request, response headerChanges
}

func compileRoute(site *SiteConfig, cfg RouteConfig, pools map[string]Pool, maxObject int64) *route {
	r := &route{
		name:     cfg.label(),
		keyed:    len(cfg.Match.Headers) > 0,
		match:    compileMatch(cfg.Match),
		request:  compileChanges(cfg.RequestHeaders),
		response: compileChanges(cfg.ResponseHeaders),
	}
	switch {
	case cfg.Redirect != nil:
		r.redirect = compileRedirect(*cfg.Redirect)
	case cfg.Respond != nil:
		r.respond = compileRespond(*cfg.Respond)
	default:
		r.originName = cmp.Or(cfg.Origin, site.Origin)
		r.pool = pools[r.originName]
		r.policy = compilePolicy(cmp.Or(cfg.Cache, site.Cache), cmp.Or(cfg.Compress, site.Compress), maxObject)
	}
	return r
}

func compilePolicy(cfg *cache.Config, compress *encode.Config, maxObject int64) *cache.Policy {
	c := cache.DefaultConfig()
	if cfg != nil {
		c = *cfg
	}
	c.MaxObject = cmp.Or(c.MaxObject, maxObject)
	p := c.Compile()
	p.Codings = cache.CompileCodings(compress)
	return p
}

// label is the route's name, or its first path in place of one. A route chosen by header always has a name: Validate sees
// to it.
func (c RouteConfig) label() string {
	if c.Name == "" && len(c.Match.Path) > 0 {
		return c.Match.Path[0]
	}
	return cmp.Or(c.Name, "*")
}

// match selects requests; an empty part matches all.
type match struct {
	paths   []pattern
	methods []string
	headers []field // a value of "*" asks for presence
}

func compileMatch(cfg MatchConfig) match {
	m := match{methods: cfg.Methods, headers: sortedFields(cfg.Headers)}
	for _, text := range cfg.Path {
		p, err := parsePattern(text)
		if err != nil {
			panic("edge: " + err.Error())
		}
		m.paths = append(m.paths, p)
	}
	return m
}

func (m *match) takes(method, path string, f cache.Fields) bool {
	return m.takesMethod(method) && m.takesPath(path) && m.takesFields(f)
}

// takesMethod takes HEAD where it takes GET, and only there: it asks for the same representation, and may be answered from a
// stored GET (RFC 9110, section 9.3.2).
func (m *match) takesMethod(method string) bool {
	if method == "HEAD" {
		method = "GET"
	}
	return len(m.methods) == 0 || slices.Contains(m.methods, method)
}

func (m *match) takesPath(path string) bool {
	for _, p := range m.paths {
		if p.takes(path) {
			return true
		}
	}
	return len(m.paths) == 0
}

func (m *match) takesFields(f cache.Fields) bool {
	for _, want := range m.headers {
		if !hasField(f, want) {
			return false
		}
	}
	return true
}

func hasField(f cache.Fields, want field) bool {
	for i := 0; ; i++ {
		value, ok := f.Value(want.name, i)
		if !ok {
			return false
		}
		if want.value == "*" || value == want.value {
			return true
		}
	}
}

// all reports whether every request is taken, so that no later route is ever reached.
func (m *match) all() bool {
	everyPath := len(m.paths) == 0 || slices.Contains(m.paths, pattern{prefixPattern, ""}) ||
		slices.Contains(m.paths, pattern{prefixPattern, "/"})
	return everyPath && len(m.methods) == 0 && len(m.headers) == 0
}

// pattern matches canonical paths: "/exact", "/prefix/*" (any rest, also none), "*.css".
type pattern struct {
	kind patternKind
	text string
}

type patternKind uint8

const (
	exactPattern patternKind = iota
	prefixPattern
	suffixPattern
)

func parsePattern(s string) (pattern, error) {
	var p pattern
	switch {
	case strings.HasPrefix(s, "/") && strings.HasSuffix(s, "*"), s == "*":
		p = pattern{prefixPattern, strings.TrimSuffix(s, "*")}
	case strings.HasPrefix(s, "*"):
		p = pattern{suffixPattern, s[1:]}
	case strings.HasPrefix(s, "/"):
		p = pattern{exactPattern, s}
	default:
		return p, fmt.Errorf("path %q begins with neither / nor *", s)
	}
	if strings.Contains(p.text, "*") {
		return p, fmt.Errorf("path %q has a * other than at one end", s)
	}
	return p, p.checkCanonical()
}

// checkCanonical refuses what no canonical path has, so that the pattern would never match.
func (p pattern) checkCanonical() error {
	example := p.text
	switch p.kind {
	case prefixPattern:
		example = "/" + strings.TrimPrefix(p.text, "/") + "x"
	case suffixPattern:
		example = "/x" + p.text
	}
	canonical, err := cache.CanonicalPath(example)
	switch {
	case err != nil:
		return fmt.Errorf("path %q: %w", p.text, err)
	case canonical != example:
		return fmt.Errorf("path %q never matches: requests have %s in place of %s", p.text, canonical, example)
	}
	return nil
}

func (p pattern) takes(path string) bool {
	switch p.kind {
	case prefixPattern:
		return strings.HasPrefix(path, p.text)
	case suffixPattern:
		return strings.HasSuffix(path, p.text)
	default:
		return path == p.text
	}
}
