package edge

import (
	"cmp"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"selvage/cache"
)

// Pool is where a route's requests go.
type Pool interface {
	// RoundTripper sends the request as it is given: it adds, removes and follows nothing.
	http.RoundTripper
	// Host is sent in place of the client's Host; "" keeps the client's.
	Host() string
	// Owns reports whether u, in the answer to a request for the host asked, names the origin itself, so that a Location
	// pointing there can be rewritten.
	Owns(u *url.URL, asked string) bool
	// IsOut reports whether nobody is left who can be expected to answer.
	IsOut() bool
}

// byHost finds what a host is for. Immutable.
type byHost[T any] struct {
	exact    map[string]*T
	wildcard map[string]*T // by what follows the star: ".example.com"
	fallback *T            // for hosts that nothing names; may be nil
}

// sites finds the site of a host.
type sites = byHost[site]

func newByHost[T any]() *byHost[T] {
	return &byHost[T]{exact: map[string]*T{}, wildcard: map[string]*T{}}
}

// site is what answers for a set of hosts. Immutable.
type site struct {
	name      string
	routes    []*route
	anyMethod bool
	gate      gate
	https     https
	pages     errorPages
}

// compileSites makes the sites of a configuration that Validate found nothing wrong with; it panics on what Validate
// refuses, since a rule left out in silence would let in whom it should keep out. maxObject is for policies that name none.
func compileSites(cfg []SiteConfig, pools map[string]Pool, maxObject int64) *sites {
	t := newByHost[site]()
	for i := range cfg {
		s := compileSite(&cfg[i], pools, maxObject)
		for _, host := range cfg[i].Hosts {
			t.add(host, s)
		}
		if cfg[i].Default {
			t.fallback = s
		}
	}
	return t
}

func (t *byHost[T]) add(host string, s *T) {
	name, wildcard, err := parseHost(host)
	switch {
	case err != nil:
		panic("edge: " + err.Error())
	case wildcard:
		t.wildcard[name] = s
	default:
		t.exact[name] = s
	}
}

func compileSite(cfg *SiteConfig, pools map[string]Pool, maxObject int64) *site {
	s := &site{
		name:      cfg.Label(),
		anyMethod: cfg.Methods == "any",
		https:     compileHTTPS(cfg.HTTPS),
		pages:     compileErrorPages(cfg.ErrorPages),
		gate: gate{
			allow:    mustPrefixes(cfg.Allow),
			deny:     mustPrefixes(cfg.Deny),
			maxConns: cfg.MaxConnsPerAddress,
		},
	}
	for _, r := range cfg.routes() {
		s.routes = append(s.routes, compileRoute(cfg, r, pools, maxObject))
	}
	return s
}

// Label is the site in logs, metrics and purges.
func (c *SiteConfig) Label() string {
	if len(c.Hosts) > 0 {
		return cmp.Or(c.Name, c.Hosts[0])
	}
	return cmp.Or(c.Name, "default")
}

// routes returns the site's routes, or the one that matches all.
func (c *SiteConfig) routes() []RouteConfig {
	if len(c.Routes) > 0 {
		return c.Routes
	}
	return []RouteConfig{{}}
}

// find returns what a host is for: what names it, else what has the longest wildcard around it, else the fallback, else nil. For
// a request that is its site, or 421. Port, letter case and a trailing dot do not matter. A host in canonical form costs no
// allocation.
func (t *byHost[T]) find(host string) *T {
	host = hostName(host)
	if s := t.exact[host]; s != nil {
		return s
	}
	// A star stands for one or more whole labels, so the first suffix found, from the left, is the longest. It never
	// stands for nothing: the search begins after the first byte.
	for i := 1; i < len(host); i++ {
		if host[i] != '.' {
			continue
		}
		if s := t.wildcard[host[i:]]; s != nil {
			return s
		}
	}
	return t.fallback
}

// match returns the first route that takes the request, or nil: 404. path is canonical.
func (s *site) match(method, path string, f cache.Fields) *route {
	for _, r := range s.routes {
		if r.match.takes(method, path, f) {
			return r
		}
	}
	return nil
}

// hostName returns the name in a Host field: in lower case, without port and trailing dot. IPv6 literals keep their
// brackets.
func hostName(host string) string {
	return strings.ToLower(strings.TrimSuffix(withoutPort(host), "."))
}

func withoutPort(host string) string {
	if strings.HasPrefix(host, "[") {
		end := strings.IndexByte(host, ']')
		return host[:end+1] // "" for a literal that does not end
	}
	name, _, _ := strings.Cut(host, ":")
	return name
}

// parseHost reads an entry of `hosts:` into the form that find looks for. For a wildcard that is what follows the star.
func parseHost(entry string) (name string, wildcard bool, err error) {
	if addr, err := netip.ParseAddr(strings.Trim(entry, "[]")); err == nil {
		if addr.Is4() {
			return addr.String(), false, nil
		}
		return "[" + addr.String() + "]", false, nil
	}
	name = strings.ToLower(strings.TrimSuffix(entry, "."))
	domain, wildcard := strings.CutPrefix(name, "*.")
	if err := checkDomain(domain); err != nil {
		return "", false, err
	}
	return strings.TrimPrefix(name, "*"), wildcard, nil
}
