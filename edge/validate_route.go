package edge

import (
	"fmt"
	"maps"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"selvage/cache"
)

func (c *SiteConfig) validateRoutes(origins map[string]bool, p problems) {
	if len(c.Routes) == 0 && c.Origin == "" {
		p("", "has neither an origin nor routes", "origin: with a name from origins:")
	}
	names, all := map[string]int{}, -1
	for i := range c.Routes {
		r, at := &c.Routes[i], p.under("routes[%d]", i)
		if first, ok := names[r.Name]; ok && r.Name != "" {
			at("name", fmt.Sprintf("%q is the name of routes[%d] too", r.Name, first), "")
		}
		names[r.Name] = i
		if all >= 0 {
			at("", fmt.Sprintf("is never reached: routes[%d] takes every request", all), "put the more special route first")
		}
		r.validate(c, origins, at)
		if all < 0 && r.Match.all() {
			all = i
		}
	}
}

// all reports whether the route takes every request. Bad patterns take none.
func (c MatchConfig) all() bool {
	for _, text := range c.Path {
		if _, err := parsePattern(text); err != nil {
			return false
		}
	}
	m := compileMatch(c)
	return m.all()
}

func (c *RouteConfig) validate(site *SiteConfig, origins map[string]bool, p problems) {
	validateName(c.Name, p)
	if len(c.Match.Headers) > 0 && c.Name == "" {
		p("name", "is missing", "the name of a route chosen by header joins the cache key, so that its answers are not taken for another's")
	}
	if c.Cache != nil {
		c.Cache.Validate(p.under("cache"))
	}
	if c.Compress != nil {
		c.Compress.Validate(p.under("compress"))
	}
	c.Match.validate(site.Methods == "any", p.under("match"))
	validateOrigin(c.Origin, origins, p)
	c.validateTarget(site, p)
	c.RequestHeaders.validate(requestOwned, p.under("request_headers"))
	c.ResponseHeaders.validate(responseOwned, p.under("response_headers"))
}

func (c *RouteConfig) validateTarget(site *SiteConfig, p problems) {
	switch {
	case c.Origin != "" && c.Redirect != nil, c.Origin != "" && c.Respond != nil, c.Redirect != nil && c.Respond != nil:
		p("", "has more than one of origin, redirect and respond", "one of them")
	case c.Redirect != nil:
		c.Redirect.validate(p.under("redirect"))
		c.validateFixed(p)
	case c.Respond != nil:
		c.Respond.validate(p.under("respond"))
		c.validateFixed(p)
	case c.Origin == "" && site.Origin == "":
		p("", "has no origin, redirect or respond, and its site has no origin", "one of them")
	}
}

// validateFixed refuses what would be ignored: neither cache nor origin is asked.
func (c *RouteConfig) validateFixed(p problems) {
	if c.Cache != nil {
		p("cache", "has no use on a route that asks no origin", "")
	}
	if c.Compress != nil {
		p("compress", "has no use on a route that asks no origin", "")
	}
	if h := c.RequestHeaders; len(h.Remove)+len(h.Set)+len(h.Add) > 0 {
		p("request_headers", "have no use on a route that asks no origin", "response_headers change the answer")
	}
}

func (c MatchConfig) validate(anyMethod bool, p problems) {
	for i, text := range c.Path {
		if _, err := parsePattern(text); err != nil {
			p(fmt.Sprintf("path[%d]", i), err.Error(), `"/exact", "/prefix/*" or "*.css", as paths are after normalisation`)
		}
	}
	for i, method := range c.Methods {
		validateMethod(method, anyMethod, p.under("methods[%d]", i))
	}
	if slices.Contains(c.Methods, "HEAD") && !slices.Contains(c.Methods, "GET") {
		p("methods", "HEAD is without GET, which it always goes with", "GET, which takes HEAD along")
	}
	validateFieldMap(c.Headers, p.under("headers"), func(name string, at problems) {
		if name == "Host" {
			at("", "the host chooses the site, not the route", "a site of its own for that host")
		}
	})
}

func validateMethod(method string, anyMethod bool, p problems) {
	switch status := methodAllowed(&site{anyMethod: anyMethod}, method); {
	case !isToken(method):
		p("", strconv.Quote(method)+" is no method", "")
	case status == http.StatusMethodNotAllowed:
		p("", method+" is refused on every site", "")
	case status != 0 && methodAllowed(&site{}, strings.ToUpper(method)) == 0:
		p("", strconv.Quote(method)+" is not "+strings.ToUpper(method)+": methods are case-sensitive", strings.ToUpper(method))
	case status != 0:
		p("", method+" is refused before routes are tried", "methods: any in the site")
	}
}

func (c *RedirectConfig) validate(p problems) {
	switch c.Status {
	case 0, 301, 302, 303, 307, 308:
	default:
		p("status", fmt.Sprintf("%d is no redirect", c.Status), "301, 302, 303, 307 or 308")
	}
	if problem := checkTemplate(c.To); problem != "" {
		p("to", problem, `such as "https://{host}{path}{query}" or "/new{path}"`)
	}
}

// checkTemplate returns what is wrong with a redirect's target, or "".
func checkTemplate(to string) string {
	parts := splitTemplate(to)
	for i, part := range parts {
		switch {
		case i%2 == 1 && part != "host" && part != "path" && part != "query":
			return fmt.Sprintf("{%s} is not known", part)
		case i%2 == 0 && strings.IndexFunc(part, notInURI) >= 0:
			return fmt.Sprintf("%q has a character that no URL has", part)
		case i%2 == 1 && part == "query" && strings.Contains(strings.Join(parts[:i], ""), "?"):
			return "{query} brings its own question mark"
		}
	}
	return checkTemplateStart(to)
}

// checkTemplateStart: who is redirected must not be able to choose where to. A host in the target is the configuration's,
// or the one that was asked.
func checkTemplateStart(to string) string {
	_, rest, absolute := strings.Cut(to, "://")
	switch {
	case hasScheme(to):
		host, _, _ := strings.Cut(strings.ReplaceAll(rest, "{path}", "/"), "/")
		host, _, _ = strings.Cut(strings.ReplaceAll(host, "{query}", "?"), "?")
		if !isHost(strings.ReplaceAll(host, "{host}", "example.com")) {
			return fmt.Sprintf("%q has no host after its scheme", to)
		}
	case absolute:
		return fmt.Sprintf("%q has another scheme than http and https", to)
	case strings.HasPrefix(to, "//"):
		return fmt.Sprintf("%q leaves the scheme open", to)
	case !strings.HasPrefix(to, "/") && !strings.HasPrefix(to, "{path}"):
		return fmt.Sprintf("%q is neither a URL nor a path", to)
	}
	return ""
}

func notInURI(c rune) bool {
	return c <= ' ' || c >= 0x7f || strings.ContainsRune(`"<>\^{|}`+"`", c)
}

func (c *RespondConfig) validate(p problems) {
	switch {
	case c.Status == 0:
	case c.Status < 200 || c.Status > 599:
		p("status", fmt.Sprintf("%d is no final status", c.Status), "from 200 to 599")
	case c.Status == http.StatusPartialContent || c.Status == http.StatusNotModified:
		p("status", fmt.Sprintf("%d answers a range or a condition, which nobody may have sent", c.Status), "200")
	case (c.Status == http.StatusNoContent || c.Status == http.StatusResetContent) && c.Body != "":
		p("body", fmt.Sprintf("a %d has none", c.Status), "")
	}
	validateContentType(c.ContentType, p)
}

// validateContentType takes none, too: then there is a default.
func validateContentType(text string, p problems) {
	if text == "" {
		return
	}
	if kind, _, err := mime.ParseMediaType(text); err != nil || !strings.Contains(kind, "/") || !isFieldValue(text) {
		p("content_type", strconv.Quote(text)+" is no media type", "such as text/html; charset=utf-8")
	}
}

// Fields that a route cannot change, beside hop-by-hop ones: they frame messages, or are what we say of ourselves.
var (
	requestOwned = []string{
		"Cdn-Loop", "Content-Length", "Expect", "Host", "If-Match", "If-Modified-Since", "If-None-Match", "If-Range",
		"If-Unmodified-Since", "Range", "Via",
	}
	responseOwned = []string{
		"Age", "Cache-Status", "Content-Encoding", "Content-Length", "Content-Range", "Date", "Proxy-Status", "Via",
	}
)

func (c HeaderConfig) validate(owned []string, p problems) {
	check := func(name string, at problems) {
		if !cache.HopByHop(name) && !slices.Contains(owned, name) {
			return
		}
		hint := ""
		if name == "Host" {
			hint = "the origin's host"
		}
		at("", name+" is not for the configuration to change", hint)
	}
	for i, name := range c.Remove {
		at := p.under("remove[%d]", i)
		validateFieldName(name, at)
		check(http.CanonicalHeaderKey(name), at)
	}
	validateFieldMap(c.Set, p.under("set"), check)
	validateFieldMap(c.Add, p.under("add"), check)
}

// validateFieldMap judges names and values; check says what else is wrong with a name in canonical form.
func validateFieldMap(m map[string]string, p problems, check func(name string, at problems)) {
	seen := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(m)) {
		at, canonical := p.under("%s", name), http.CanonicalHeaderKey(name)
		validateFieldName(name, at)
		check(canonical, at)
		if other, ok := seen[canonical]; ok {
			at("", fmt.Sprintf("%q and %q are one field", other, name), "")
		}
		seen[canonical] = name
		if !isFieldValue(m[name]) {
			at("", fmt.Sprintf("the value %q has a control character or a space at its ends", m[name]), "")
		}
	}
}

func validateFieldName(name string, p problems) {
	if !isToken(name) {
		p("", strconv.Quote(name)+" is no field name", "letters, digits and hyphens")
	}
}
