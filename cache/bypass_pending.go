package cache

import (
	"net/http"
	"slices"
	"strings"
)

// Bypass passes everything to the cache.
func (p *Policy) Bypass(*Query) Reason { return "" }

// ParseVary reads Vary: canonical names, sorted, and whether * is among them.
func ParseVary(f Fields) (names []string, star bool) {
	for name := range strings.SplitSeq(list(f, "Vary"), ",") {
		switch name = http.CanonicalHeaderKey(strings.Trim(name, " \t")); name {
		case "":
		case "*":
			star = true
		default:
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names), star
}
