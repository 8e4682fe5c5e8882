package cache

import (
	"iter"
	"strings"
)

// Bypass returns why the route sends q to the origin without looking at the cache, or "".
func (p *Policy) Bypass(q *Query) Reason {
	switch {
	case p.bypassPaths.has(q.Path):
		return PassBypassPath
	case p.bypassesCookie(q):
		return PassBypassCookie
	case p.bypassesHeader(q):
		return PassBypassHeader
	}
	return ""
}

func (p *Policy) bypassesCookie(q *Query) bool {
	if p.bypassCookies.empty() || !q.Present.Has(HasCookie) {
		return false
	}
	for name := range cookies(q) {
		if p.bypassCookies.has(name) {
			return true
		}
	}
	return false
}

func (p *Policy) bypassesHeader(q *Query) bool {
	for _, name := range p.bypassHeaders {
		if _, ok := q.field(name, 0); ok {
			return true
		}
	}
	return false
}

// cookies yields the name and value of every cookie, in the order received. Names are compared as bytes; there may be
// several Cookie lines, since HTTP/2 may split the field (RFC 9113, section 8.2.3).
func cookies(q *Query) iter.Seq2[string, string] {
	return func(yield func(name, value string) bool) {
		for i := 0; ; i++ {
			line, ok := q.field("Cookie", i)
			if !ok {
				return
			}
			for line != "" {
				var pair string
				pair, line, _ = strings.Cut(line, ";")
				name, value, _ := strings.Cut(trimOWS(pair), "=")
				if name != "" && !yield(trimOWS(name), trimOWS(value)) {
					return
				}
			}
		}
	}
}

// cookieLines joins the lines of Cookie as HTTP/2 tells its recipients to: not with a comma.
func cookieLines(f Fields) string {
	all, _ := f.Value("Cookie", 0)
	for i := 1; ; i++ {
		line, ok := f.Value("Cookie", i)
		if !ok {
			return trimOWS(all)
		}
		all = trimOWS(all) + "; " + trimOWS(line)
	}
}

// patterns is a set of names and of prefixes of names; in a configuration a prefix is followed by "*".
type patterns struct {
	exact    map[string]bool
	prefixes []string
}

func compilePatterns(all []string) patterns {
	p := patterns{exact: make(map[string]bool)}
	for _, one := range all {
		if prefix, ok := strings.CutSuffix(one, "*"); ok {
			p.prefixes = append(p.prefixes, prefix)
		} else {
			p.exact[one] = true
		}
	}
	return p
}

func (p patterns) empty() bool { return len(p.exact) == 0 && len(p.prefixes) == 0 }

func (p patterns) has(name string) bool {
	if p.exact[name] {
		return true
	}
	for _, prefix := range p.prefixes {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}
