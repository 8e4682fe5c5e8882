package tlsmgr

import "strings"

// names finds what belongs to a server name. Immutable once filled.
type names[T any] struct {
	exact    map[string]T
	wildcard map[string]T // by what follows the star: ".example.com"
	fallback T            // for names that nobody has
}

func newNames[T any]() names[T] {
	return names[T]{exact: make(map[string]T), wildcard: make(map[string]T)}
}

// add takes a host as sites write it.
func (n *names[T]) add(host string, v T) {
	host = canonicalName(host)
	if domain, ok := strings.CutPrefix(host, "*"); ok {
		n.wildcard[domain] = v
		return
	}
	n.exact[host] = v
}

// find returns what has the name, else the longest wildcard around it, else the fallback. A star stands for one or more
// whole labels, as in a site's hosts.
func (n *names[T]) find(name string) T {
	if v, ok := n.exact[name]; ok {
		return v
	}
	for i := 1; i < len(name); i++ {
		if name[i] != '.' {
			continue
		}
		if v, ok := n.wildcard[name[i:]]; ok {
			return v
		}
	}
	return n.fallback
}

// canonicalName is the one spelling of a server name or host: lower case, no final dot, no brackets around an address.
func canonicalName(name string) string {
	return strings.ToLower(strings.Trim(strings.TrimSuffix(name, "."), "[]"))
}
