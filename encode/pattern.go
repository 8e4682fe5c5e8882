package encode

import (
	"fmt"
	"strings"
)

// Pattern says for which paths of its origin a response is a dictionary: a path, in which * is any text (RFC 9842, section
// 2.1.1). Of the URL patterns that the field may have these are the ones that need no other syntax; the query is not looked at.
type Pattern string

// Bounds of a Pattern.
const (
	maxPattern = 256
	maxStars   = 4
)

// ParsePattern returns the pattern that s is.
func ParsePattern(s string) (Pattern, error) {
	switch {
	case !strings.HasPrefix(s, "/"):
		return "", fmt.Errorf("%q is no path", s)
	case len(s) > maxPattern:
		return "", fmt.Errorf("has more than %d bytes", maxPattern)
	case strings.Count(s, "*") > maxStars:
		return "", fmt.Errorf("%q has more than %d stars", s, maxStars)
	case !isPlainPath(s):
		return "", fmt.Errorf("%q has other characters than a path, percent-encoded, and *", s)
	}
	return Pattern(s), nil
}

// isPlainPath reports whether s means the same as text and as a URL pattern, but for stars.
func isPlainPath(s string) bool {
	const special = `:{}()?+\#"`
	for _, c := range []byte(s) {
		if c <= ' ' || c >= 0x7f || strings.IndexByte(special, c) >= 0 {
			return false
		}
	}
	return true
}

// Match reports whether p matches a path, percent-encoded as in the request.
func (p Pattern) Match(path string) bool {
	first, rest, star := strings.Cut(string(p), "*")
	if !star || !strings.HasPrefix(path, first) {
		return path == string(p)
	}
	path = path[len(first):]
	for {
		var literal string
		if literal, rest, star = strings.Cut(rest, "*"); !star {
			return strings.HasSuffix(path, literal)
		}
		i := strings.Index(path, literal)
		if i < 0 {
			return false
		}
		path = path[i+len(literal):]
	}
}
