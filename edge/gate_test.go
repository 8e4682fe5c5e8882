package edge

import (
	"net/netip"
	"sync"
	"testing"
)

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

func TestGateByAddress(t *testing.T) {
	private := gate{allow: mustPrefixes([]string{"192.0.2.0/24", "2001:db8::/32"}), deny: mustPrefixes([]string{"192.0.2.66"})}
	open := gate{deny: mustPrefixes([]string{"198.51.100.0/24"})}
	for _, tt := range []struct {
		name string
		gate gate
		addr netip.Addr
		want int
	}{
		{"allowed", private, addr("192.0.2.1"), 0},
		{"allowed v6", private, addr("2001:db8::5"), 0},
		{"deny wins over allow", private, addr("192.0.2.66"), 403},
		{"with allow, all others are refused", private, addr("203.0.113.1"), 403},
		{"no address is in no allow list", private, netip.Addr{}, 403},
		{"denied", open, addr("198.51.100.9"), 403},
		{"not denied", open, addr("203.0.113.1"), 0},
		{"no address is in no deny list", open, netip.Addr{}, 0},
	} {
		if got := tt.gate.enter(clientInfo{Addr: tt.addr}, "s", newVisits(), 1); got != tt.want {
			t.Errorf("%s: enter(%v) = %d, want %d", tt.name, tt.addr, got, tt.want)
		}
	}
}

// TestGateCountsConnections walks through the life of a few connections.
func TestGateCountsConnections(t *testing.T) {
	g, v := gate{maxConns: 2}, newVisits()
	one, other := addr("192.0.2.1"), addr("192.0.2.2")
	for conn, peer := range []netip.Addr{one, one, one, other} {
		v.arrive(connID(conn), peer)
	}
	enter := func(conn connID, site string, want int) {
		t.Helper()
		if got := g.enter(clientInfo{Addr: v.addrOf(conn)}, site, v, conn); got != want {
			t.Errorf("connection %d enters %s: %d, want %d", conn, site, got, want)
		}
	}
	enter(0, "a", 0)
	enter(0, "a", 0) // one connection counts once, whatever it asks
	enter(0, "a", 0)
	enter(1, "a", 0)
	enter(2, "a", 429) // a third of the same address
	enter(2, "b", 0)   // another site
	enter(3, "a", 0)   // another address
	v.leave(0)
	v.leave(0)
	enter(2, "a", 0) // now there is room
	enter(0, "a", 0) // it has left: let in, not counted
	for conn := range connID(4) {
		v.leave(conn)
	}
	if len(v.open) != 0 || len(v.count) != 0 {
		t.Errorf("after all have left: %d connections, %d counts, want none", len(v.open), len(v.count))
	}
}

func (v *visits) addrOf(conn connID) netip.Addr {
	if who := v.open[conn]; who != nil {
		return who.addr
	}
	return netip.Addr{}
}

func TestGateDoesNotCountTrustedProxies(t *testing.T) {
	g, v, proxy := gate{maxConns: 1}, newVisits(), addr("10.0.0.1")
	for conn := range connID(3) {
		v.arrive(conn, proxy)
		if got := g.enter(clientInfo{Addr: addr("192.0.2.1"), Peer: proxy, Trusted: true}, "s", v, conn); got != 0 {
			t.Errorf("connection %d of a trusted proxy: %d, want 0", conn, got)
		}
	}
}

func TestGateAtOnce(t *testing.T) {
	const limit = 5
	g, v, peer := gate{maxConns: limit}, newVisits(), addr("192.0.2.1")
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex
		in   []connID
		all  = make(chan struct{})
		conn connID
	)
	for range 50 {
		conn++
		id := conn
		wg.Go(func() {
			<-all
			v.arrive(id, peer)
			if g.enter(clientInfo{Addr: peer}, "s", v, id) != 0 {
				v.leave(id)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			in = append(in, id)
		})
	}
	close(all)
	wg.Wait()
	if len(in) != limit {
		t.Errorf("%d connections entered at once, want %d", len(in), limit)
	}
	for _, id := range in {
		v.leave(id)
	}
	if len(v.count) != 0 {
		t.Errorf("%d counts left, want 0", len(v.count))
	}
}

func TestMethodAllowed(t *testing.T) {
	for _, tt := range []struct {
		method        string
		standard, any int
	}{
		{"GET", 0, 0}, {"HEAD", 0, 0}, {"POST", 0, 0}, {"PUT", 0, 0}, {"PATCH", 0, 0}, {"DELETE", 0, 0}, {"OPTIONS", 0, 0},
		{"PROPFIND", 501, 0}, {"QUERY", 501, 0},
		{"get", 501, 0}, // methods are case-sensitive (RFC 9110, section 9.1)
		{"CONNECT", 405, 405}, {"TRACE", 405, 405}, {"PURGE", 405, 405},
	} {
		if got := methodAllowed(&site{}, tt.method); got != tt.standard {
			t.Errorf("methodAllowed(standard, %s) = %d, want %d", tt.method, got, tt.standard)
		}
		if got := methodAllowed(&site{anyMethod: true}, tt.method); got != tt.any {
			t.Errorf("methodAllowed(any, %s) = %d, want %d", tt.method, got, tt.any)
		}
	}
}

func TestParsePrefix(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"192.0.2.1", "192.0.2.1/32"},
		{"192.0.2.0/24", "192.0.2.0/24"},
		{"::1", "::1/128"},
		{"2001:db8::/32", "2001:db8::/32"},
		{"::ffff:192.0.2.1", "192.0.2.1/32"}, // peers are compared as IPv4
		{"::ffff:192.0.2.0/120", ""},
		{"192.0.2.1/24", ""}, // which of the two is meant?
		{"192.0.2.0/33", ""},
		{"fe80::1%eth0", ""},
		{"example.com", ""},
		{"", ""},
	} {
		p, err := parsePrefix(tt.in)
		got := ""
		if err == nil {
			got = p.String()
		}
		if got != tt.want {
			t.Errorf("parsePrefix(%q) = %q, %v, want %q", tt.in, got, err, tt.want)
		}
	}
}
