package purge

import "strings"

// glob is a pattern over whole purge URLs: * stands for any run of bytes, also of none and also of slashes. All else stands
// for itself, ? too, which begins a query. A purge URL has no * unescaped but in its query, so there is no escape.
//
// Between two stars stands a literal. The first of several places where one fits is as good as any later, so a match looks
// for each once, from left to right: the time is linear in the URL, whatever the pattern.
type glob struct {
	prefix, suffix string
	middle         []string // between the first star and the last
	exact          bool     // no star at all
}

func compileGlob(pattern string) *glob {
	parts := strings.Split(pattern, "*")
	last := len(parts) - 1
	g := &glob{prefix: parts[0], suffix: parts[last], exact: last == 0}
	for _, part := range parts[1:max(1, last)] {
		if part != "" {
			g.middle = append(g.middle, part)
		}
	}
	return g
}

func (g *glob) matches(url string) bool {
	if g.exact {
		return url == g.prefix
	}
	rest, ok := strings.CutPrefix(url, g.prefix)
	if !ok {
		return false
	}
	if rest, ok = strings.CutSuffix(rest, g.suffix); !ok {
		return false
	}
	for _, part := range g.middle {
		at := strings.Index(rest, part)
		if at < 0 {
			return false
		}
		rest = rest[at+len(part):]
	}
	return true
}
