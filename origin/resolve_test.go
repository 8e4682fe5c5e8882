package origin

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// zone is a Resolver that answers what it is told.
type zone struct {
	mu        sync.Mutex
	addresses map[string][]string
	services  map[string][]*net.SRV
	down      bool // it knows nothing
	asked     int
}

func (z *zone) set(name string, addresses ...string) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.addresses[name] = addresses
}

func (z *zone) serve(name string, records ...*net.SRV) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.services[name] = records
}

func (z *zone) fail(down bool) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.down = down
}

// count is how often addresses were looked up.
func (z *zone) count() int {
	z.mu.Lock()
	defer z.mu.Unlock()
	return z.asked
}

func (z *zone) LookupNetIP(_ context.Context, _, host string) (all []netip.Addr, err error) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.asked++
	if z.down || z.addresses[host] == nil {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	for _, text := range z.addresses[host] {
		all = append(all, netip.MustParseAddr(text))
	}
	return all, nil
}

func (z *zone) LookupSRV(_ context.Context, service, proto, name string) (string, []*net.SRV, error) {
	z.mu.Lock()
	defer z.mu.Unlock()
	if service != "" || proto != "" || z.down || z.services[name] == nil {
		return "", nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
	}
	return name, z.services[name], nil
}

// withZone runs a test against a pool of http://app.test whose addresses the zone tells; the farm's upstreams go by address.
func withZone(t *testing.T, change func(*Config), test func(t *testing.T, p *Pool, f *farm, z *zone)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f := &farm{t: t, does: map[string]deed{}, asked: map[string]int{}}
		z := &zone{addresses: map[string][]string{}, services: map[string][]*net.SRV{}}
		c := testConfig()
		c.URLs, c.Timeouts.FirstByte = []string{"http://app.test"}, 30*second
		change(&c)
		p, err := New("test", c, Network{Dial: f.dial, Resolver: z}, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		z.set("app.test", "192.0.2.1")
		for i := range 9 {
			f.setAddress(fmt.Sprintf("192.0.2.%d:80", i+1), says(200))
		}
		ended := make(chan error)
		go func() { ended <- p.Run(t.Context()) }()
		test(t, p, f, z)
		p.Close()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
		f.running.Wait()
	})
}

// asked returns which addresses were asked since the last call.
func (f *farm) askedAddresses() (all string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range 9 {
		address := fmt.Sprintf("192.0.2.%d", i+1)
		if f.asked[address+":80"] > 0 {
			all += fmt.Sprint(i + 1)
		}
		f.asked[address+":80"] = 0
	}
	return all
}

// TestNameMoves: a new address is used within the interval, for new connections and in place of kept ones; requests under
// way at the old address are answered there.
func TestNameMoves(t *testing.T) {
	withZone(t, same, func(t *testing.T, p *Pool, f *farm, z *zone) {
		f.setAddress("192.0.2.1:80", after(15*second, says(200)))
		long := make(chan int)
		go func() { long <- f.ask(p, 1) }()
		synctest.Wait()
		f.setAddress("192.0.2.1:80", says(200))
		f.ask(p, 3)
		z.set("app.test", "192.0.2.2")
		f.askedAddresses()
		pass(11 * second)
		if well, asked := f.ask(p, 3), f.askedAddresses(); well != 3 || asked != "2" {
			t.Errorf("%d of 3 are well, asked %s; want the new address to be asked", well, asked)
		}
		if <-long != 1 {
			t.Error("the request under way at the old address was not answered")
		}
		if well, asked := f.ask(p, 3), f.askedAddresses(); well != 3 || asked != "2" {
			t.Errorf("%d of 3 are well, asked %s; want its old connection not to be used again", well, asked)
		}
	})
}

// TestNameIsLost: the last addresses serve while the resolver fails, and not for ever.
func TestNameIsLost(t *testing.T) {
	withZone(t, func(c *Config) { c.Resolve.Keep = 5 * time.Minute }, func(t *testing.T, p *Pool, f *farm, z *zone) {
		f.ask(p, 1)
		z.fail(true)
		for range 6 {
			pass(10 * second)
			p.upstreams()[0].transports.Load().closeIdle()
			if f.ask(p, 1) != 1 {
				t.Fatal("while the resolver fails, the last address is not used")
			}
		}
		pass(5 * time.Minute)
		_, err := p.RoundTrip(newRequest(t, "GET", "/", nil))
		wantFailure(t, err, typeDNSError, 502)
		z.fail(false)
		z.set("app.test", "192.0.2.3")
		f.askedAddresses()
		pass(11 * second)
		if well, asked := f.ask(p, 1), f.askedAddresses(); well != 1 || asked != "3" {
			t.Errorf("%d is well, asked %s; want the new address once the resolver is back", well, asked)
		}
	})
}

// TestNameIsLookedUpOnce for all who wait for it, and then by the clock alone.
func TestNameIsLookedUpOnce(t *testing.T) {
	withZone(t, same, func(t *testing.T, p *Pool, f *farm, z *zone) {
		for range 20 {
			f.ask(p, 1)
			p.upstreams()[0].transports.Load().closeIdle()
		}
		if n := z.count(); n != 1 {
			t.Errorf("looked up %d times for 20 connections, want once", n)
		}
		pass(100 * second)
		if n := z.count(); n < 9 || n > 13 {
			t.Errorf("looked up %d times in 100 seconds, want about 10", n)
		}
	})
}

// TestConnectionsAreSpread over all addresses of a name.
func TestConnectionsAreSpread(t *testing.T) {
	withZone(t, func(c *Config) { c.IdleConns = 0 }, func(t *testing.T, p *Pool, f *farm, z *zone) {
		z.set("app.test", "192.0.2.1", "192.0.2.2", "192.0.2.3")
		f.ask(p, 6)
		if asked := f.askedAddresses(); asked != "123" {
			t.Errorf("asked %s, want 123", asked)
		}
		f.setAddress("192.0.2.2:80", refuses)
		if well := f.ask(p, 6); well != 6 {
			t.Errorf("%d of 6 are well with one address refusing, want the others to be tried", well)
		}
	})
}

// TestProhibited: addresses that no origin has, whatever the name server says (THREATS T33).
func TestProhibited(t *testing.T) {
	for _, row := range []struct {
		addresses string
		allow     string
		want      bool // reached
	}{
		{"192.0.2.1", "", true},
		{"10.0.0.1", "", true},
		{"127.0.0.1", "", true},
		{"fd12::1", "", true},
		{"169.254.169.254", "", false},
		{"169.254.1.1", "", false},
		{"::ffff:169.254.169.254", "", false},
		{"64:ff9b::a9fe:a9fe", "", false},
		{"fe80::1", "", false},
		{"fe80::1%eth0", "", false},
		{"fd00:ec2::254", "", false},
		{"100.100.100.200", "", false},
		{"192.0.0.192", "", false},
		{"0.0.0.0", "", false},
		{"::", "", false},
		{"224.0.0.1", "", false},
		{"ff02::1", "", false},
		{"255.255.255.255", "", false},
		{"169.254.169.254 192.0.2.1", "", true},
		{"169.254.10.1", "169.254.10.0/24", true},
		{"169.254.11.1", "169.254.10.0/24", false},
		{"169.254.10.1", "169.254.10.1", true},
	} {
		withZone(t, func(c *Config) {
			if row.allow != "" {
				c.Resolve.Allow = []string{row.allow}
			}
		}, func(t *testing.T, p *Pool, f *farm, z *zone) {
			for text := range strings.FieldsSeq(row.addresses) {
				ip := netip.MustParseAddr(text).Unmap()
				f.setAddress(netip.AddrPortFrom(ip, 80).String(), says(200))
			}
			z.set("app.test", strings.Fields(row.addresses)...)
			response, err := p.RoundTrip(newRequest(t, "GET", "/", nil))
			if err == nil {
				response.Body.Close()
			}
			if got := err == nil; got != row.want {
				t.Errorf("%s (allowed: %q): reached = %t, want %t", row.addresses, row.allow, got, row.want)
			}
			if !row.want {
				wantFailure(t, err, typeProhibited, 502)
			}
		})
	}
}

// TestLiteralAddresses are the configuration's own, and asked.
func TestLiteralAddresses(t *testing.T) {
	withZone(t, func(c *Config) { c.URLs = []string{"http://169.254.10.1"} }, func(t *testing.T, p *Pool, f *farm, z *zone) {
		f.setAddress("169.254.10.1:80", says(200))
		if well, n := f.ask(p, 1), z.count(); well != 1 || n != 0 {
			t.Errorf("%d of 1 is well after %d look-ups, want none", well, n)
		}
	})
}

func TestAlternate(t *testing.T) {
	for _, row := range []struct {
		all  string
		n    int
		want string
	}{
		{"10.0.0.1", 5, "10.0.0.1"},
		{"::1 ::2 10.0.0.1 10.0.0.2", 0, "::1 10.0.0.1 ::2 10.0.0.2"},
		{"::1 ::2 10.0.0.1 10.0.0.2", 1, "::2 10.0.0.2 ::1 10.0.0.1"},
		{"10.0.0.1 ::1 ::2 ::3", 0, "10.0.0.1 ::1 ::2 ::3"},
		{"10.0.0.1 ::1 ::2 ::3", 2, "10.0.0.1 ::3 ::1 ::2"},
	} {
		var all []netip.Addr
		for text := range strings.FieldsSeq(row.all) {
			all = append(all, netip.MustParseAddr(text))
		}
		if got := strings.Trim(fmt.Sprint(alternate(all, row.n)), "[]"); got != row.want {
			t.Errorf("%s from %d: %s, want %s", row.all, row.n, got, row.want)
		}
	}
}

// TestService: every target of the SRV records is an upstream, by weight and priority, and the set follows the records.
func TestService(t *testing.T) {
	withZone(t, func(c *Config) {
		c.URLs, c.Upstreams = nil, []UpstreamConfig{{URL: "http://_web._tcp.app.test", Weight: 1, SRV: true}}
	}, func(t *testing.T, p *Pool, f *farm, z *zone) {
		z.serve("_web._tcp.app.test",
			&net.SRV{Target: "one.test.", Port: 8001, Priority: 10, Weight: 20},
			&net.SRV{Target: "two.test.", Port: 8002, Priority: 10, Weight: 40},
			&net.SRV{Target: "spare.test.", Port: 8003, Priority: 20})
		for name, address := range map[string]string{"one": "192.0.2.1", "two": "192.0.2.2", "spare": "192.0.2.3", "new": "192.0.2.4"} {
			z.set(name+".test", address)
		}
		f.setAddress("192.0.2.1:8001", says(200))
		f.setAddress("192.0.2.2:8002", after(15*second, says(200)))
		f.setAddress("192.0.2.3:8003", says(200))
		f.setAddress("192.0.2.4:8004", says(200))
		pass(11 * second) // the first look-up may have come before the zone had anything
		describe := func() (all []string) {
			for _, u := range p.Status().Upstreams {
				all = append(all, fmt.Sprintf("%s %v %t", u.Upstream, u.Weight, u.Backup))
			}
			return all
		}
		long := make(chan int)
		go func() { long <- f.ask(p, 1) }()
		synctest.Wait()
		if got, want := fmt.Sprint(describe()), "[one.test:8001 20 false two.test:8002 40 false spare.test:8003 1 true]"; got != want {
			t.Errorf("upstreams = %s, want %s", got, want)
		}
		z.serve("_web._tcp.app.test",
			&net.SRV{Target: "one.test.", Port: 8001, Priority: 10, Weight: 20},
			&net.SRV{Target: "new.test.", Port: 8004, Priority: 10, Weight: 20},
			&net.SRV{Target: ".", Priority: 10})
		pass(11 * second)
		if got, want := fmt.Sprint(describe()), "[one.test:8001 20 false new.test:8004 20 false]"; got != want {
			t.Errorf("upstreams = %s, want %s", got, want)
		}
		if <-long != 1 {
			t.Error("the request under way at an upstream that left was not answered")
		}
		z.fail(true)
		pass(time.Minute)
		if got := f.ask(p, 4); got != 4 {
			t.Errorf("%d of 4 are well while the resolver fails, want the last upstreams to be asked", got)
		}
	})
}

// TestServiceThatIsNotThere: a clear failure, in bounded time.
func TestServiceThatIsNotThere(t *testing.T) {
	withZone(t, func(c *Config) {
		c.URLs, c.Upstreams = nil, []UpstreamConfig{{URL: "http://_web._tcp.app.test", Weight: 1, SRV: true}}
	}, func(t *testing.T, p *Pool, f *farm, z *zone) {
		if _, err := p.RoundTrip(newRequest(t, "GET", "/", nil)); err == nil {
			t.Error("no error")
		}
	})
}
