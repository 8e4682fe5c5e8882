package edge

import (
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
)

// gate says who may use a site. It sees addresses, not requests, so that it can also stand below net/http. Immutable.
type gate struct {
	allow, deny prefixes
	maxConns    int // per client address; 0 is no bound
}

// enter returns 0 for a client that may use the site, else the status to refuse it with: 403 or 429.
//
// The address rules judge the client, which behind a trusted proxy is the address the proxy names: a rule about the
// proxies' own addresses belongs into trusted_proxies. A client without an address (a unix socket) is in no prefix.
//
// The bound counts connections of the peer itself. Those of a trusted proxy are not counted: they carry many clients in
// turn, and one that was once used for a client is not held by it.
func (g *gate) enter(c clientInfo, site string, v *visits, conn connID) int {
	if !g.admits(c.Addr) {
		return http.StatusForbidden
	}
	if g.maxConns > 0 && !c.Trusted && !v.enter(conn, site, g.maxConns) {
		return http.StatusTooManyRequests
	}
	return 0
}

// admits is the address rules alone.
func (g *gate) admits(client netip.Addr) bool {
	return !g.deny.contain(client) && (len(g.allow) == 0 || g.allow.contain(client))
}

// connID names an open connection; no two have had the same.
type connID uint64

// visits counts, for each site and client address, the connections that use the site. There is one for the node and it
// outlives reloads: connections do.
//
// A connection is counted from its first request for a site until it closes, whatever it does in between: it is the idle
// ones that exhaust a node. One that uses several sites counts once for each.
type visits struct {
	mu    sync.Mutex
	open  map[connID]*visitor // guarded by mu
	count map[visit]int       // guarded by mu; never 0
}

type visit struct {
	site string
	addr netip.Addr
}

type visitor struct {
	addr  netip.Addr
	sites []string // counted for this connection
}

func newVisits() *visits {
	return &visits{open: map[connID]*visitor{}, count: map[visit]int{}}
}

// arrive begins the life of a connection. Peers without an address are never counted.
func (v *visits) arrive(conn connID, peer netip.Addr) {
	if !peer.IsValid() {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.open[conn] = &visitor{addr: peer}
}

// enter counts the connection for the site, once, unless its address has limit connections there already. A connection
// that has left meanwhile (a handler may outlive an HTTP/2 connection) is let in and not counted: nothing would take the
// count back.
func (v *visits) enter(conn connID, site string, limit int) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	who := v.open[conn]
	if who == nil || slices.Contains(who.sites, site) {
		return true
	}
	key := visit{site, who.addr}
	if v.count[key] >= limit {
		return false
	}
	v.count[key]++
	who.sites = append(who.sites, site)
	return true
}

// leave ends the life of a connection.
func (v *visits) leave(conn connID) {
	v.mu.Lock()
	defer v.mu.Unlock()
	who := v.open[conn]
	if who == nil {
		return
	}
	delete(v.open, conn)
	for _, site := range who.sites {
		key := visit{site, who.addr}
		if v.count[key]--; v.count[key] == 0 {
			delete(v.count, key)
		}
	}
}

// standardMethods are those every site takes; the Allow field of a 405 (RFC 9110, section 10.2.1) and of a 501.
const standardMethods = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"

// methodAllowed returns 0 for a method that the site takes, else the status to refuse it with.
func methodAllowed(s *site, method string) int {
	switch method {
	case "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS":
		return 0
	case "CONNECT", "TRACE": // a tunnel to anywhere; an echo of what the client must not see
		return http.StatusMethodNotAllowed
	case methodPurge: // obeyed or refused here: never forwarded
		return http.StatusMethodNotAllowed
	}
	if s.anyMethod {
		return 0
	}
	return http.StatusNotImplemented // RFC 9110, section 9.1
}

// prefixes is a set of address ranges.
type prefixes []netip.Prefix

func (p prefixes) contain(addr netip.Addr) bool {
	return slices.ContainsFunc(p, func(prefix netip.Prefix) bool { return prefix.Contains(addr) })
}

func mustPrefixes(list []string) prefixes {
	var out prefixes
	for _, s := range list {
		p, err := parsePrefix(s)
		if err != nil {
			panic("edge: " + err.Error())
		}
		out = append(out, p)
	}
	return out
}

// parsePrefix reads an address or a prefix. IPv4 in IPv6 form is refused as a prefix: peers are compared as IPv4.
func parsePrefix(s string) (netip.Prefix, error) {
	if !strings.Contains(s, "/") {
		addr, err := netip.ParseAddr(s)
		if err != nil || addr.Zone() != "" {
			return netip.Prefix{}, fmt.Errorf("%q is no IP address", s)
		}
		addr = addr.Unmap()
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	switch {
	case err != nil:
		return p, fmt.Errorf("%q is no IP prefix", s)
	case p.Addr().Is4In6():
		return p, fmt.Errorf("%q is an IPv4 prefix in IPv6 form", s)
	case p != p.Masked():
		return p, fmt.Errorf("%q has bits beyond its length: the prefix is %s", s, p.Masked())
	}
	return p, nil
}
