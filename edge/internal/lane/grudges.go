package lane

import (
	"net/netip"
	"sync"
	"time"
)

// grudges are addresses that have flooded a short while ago. Over HTTP/3 they get no new connection, each of which would begin
// with all the credit there is. Whoever shares such an address has TCP meanwhile.
type grudges struct {
	mu    sync.Mutex
	until map[netip.Addr]time.Duration // guarded by mu; on the server's clock
}

const (
	grudgeTime = 10 * time.Second
	maxGrudges = 1024 // beyond, all are forgotten
)

// bear begins one.
func (g *grudges) bear(peer netip.Addr, now time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.until == nil || len(g.until) >= maxGrudges {
		g.until = make(map[netip.Addr]time.Duration)
	}
	g.until[neighbourhood(peer)] = now + grudgeTime
}

// against reports whether there is one.
func (g *grudges) against(peer netip.Addr, now time.Duration) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return now < g.until[neighbourhood(peer)]
}

// neighbourhood is an address of IPv4, or a network of IPv6 of the size that one host may have all addresses of.
func neighbourhood(peer netip.Addr) netip.Addr {
	if peer.Is4() || !peer.IsValid() {
		return peer
	}
	return netip.PrefixFrom(peer, 64).Masked().Addr()
}
