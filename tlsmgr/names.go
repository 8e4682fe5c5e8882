package tlsmgr

import (
	"slices"
	"strings"
)

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

// Orderable reports whether an ACME CA could certify a host: a name of at least two labels, and not one that every machine
// has for itself.
func Orderable(host string) bool {
	const allowed = "abcdefghijklmnopqrstuvwxyz0123456789-_"
	labels := strings.Split(canonicalName(host), ".")
	for _, label := range labels {
		if label == "" || len(label) > 63 || strings.Trim(label, allowed) != "" {
			return false
		}
	}
	last := labels[len(labels)-1]
	isAddress := strings.Trim(last, "0123456789") == ""
	return len(labels) > 1 && len(host) <= 253 && !isAddress && last != "localhost"
}

// Public reports whether a CA that the whole world trusts could certify a host: not a name that means something else in
// every network (RFC 6761, RFC 6762, RFC 7686, RFC 8375, and ICANN's reservation of internal).
func Public(host string) bool {
	host = canonicalName(host)
	private := []string{"test", "example", "invalid", "local", "internal", "lan", "arpa", "onion"}
	return Orderable(host) && !slices.Contains(private, host[strings.LastIndexByte(host, '.')+1:])
}
