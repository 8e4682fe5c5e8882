package origin

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pires/go-proxyproto"
)

// harbour is upstreams over tcp: each takes connections, refuses them, or is silent.
type harbour struct {
	mu    sync.Mutex
	does  map[string]string // by address: "" takes, "refuse", "silent"
	taken []string          // addresses, in the order they were connected to
	ends  []net.Conn        // the upstreams' ends
}

func (h *harbour) dial(ctx context.Context, _, address string) (net.Conn, error) {
	h.mu.Lock()
	does := h.does[address]
	h.mu.Unlock()
	switch does {
	case "refuse":
		return nil, &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
	case "silent":
		<-ctx.Done()
		return nil, ctx.Err()
	}
	near, far := net.Pipe()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.taken, h.ends = append(h.taken, address), append(h.ends, far)
	return near, nil
}

func (h *harbour) set(name, does string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.does[name+".test:5432"] = does
}

func client(address string) net.Addr {
	return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(address))
}

// withHarbour runs a test against a pool of the named upstreams, in a bubble where time is free.
func withHarbour(t *testing.T, names string, change func(*Config), test func(t *testing.T, p *Pool, h *harbour)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		h := &harbour{does: map[string]string{}}
		c := testConfig()
		c.URLs, c.Retry = nil, DefaultConfig().Retry
		for _, name := range names {
			c.URLs = append(c.URLs, fmt.Sprintf("tcp://%c.test:5432", name))
		}
		change(&c)
		p := newPool(t, c, h.dial)
		defer p.Close()
		test(t, p, h)
	})
}

func asItIs(*Config) {}

func mustConnect(t *testing.T, p *Pool, from string) *Stream {
	t.Helper()
	s, err := p.Connect(t.Context(), client(from), client("127.0.0.1:5432"))
	if err != nil {
		t.Fatalf("connect for %s: %v", from, err)
	}
	return s
}

// TestConnectIsInFlight until it is released, and not longer.
func TestConnectIsInFlight(t *testing.T) {
	withHarbour(t, "a", asItIs, func(t *testing.T, p *Pool, _ *harbour) {
		s := mustConnect(t, p, "192.0.2.1:1000")
		if s.Upstream != "a.test:5432" {
			t.Errorf("upstream = %s, want a.test:5432", s.Upstream)
		}
		if n := p.Status().Upstreams[0].InFlight; n != 1 {
			t.Errorf("%d in flight, want 1", n)
		}
		s.Release()
		s.Release()
		if n := p.Status().Upstreams[0].InFlight; n != 0 {
			t.Errorf("%d in flight after the release, want 0", n)
		}
	})
}

// TestConnectTriesOthers: one that refuses is passed over, ejected when it goes on, and asked again when that is over.
func TestConnectTriesOthers(t *testing.T) {
	withHarbour(t, "ab", func(c *Config) { c.SlowStart = 0 }, func(t *testing.T, p *Pool, h *harbour) {
		h.set("a", "refuse")
		for range 20 {
			mustConnect(t, p, "192.0.2.1:1000").Release()
		}
		if got, why := p.Status().Upstreams[0].State, p.Status().Upstreams[0].Why; got != StateEjected {
			t.Errorf("a is %s (%s), want ejected", got, why)
		}
		h.set("a", "")
		pass(p.config.Outliers.Eject)
		h.taken = nil
		for range 10 {
			mustConnect(t, p, "192.0.2.1:1000").Release()
		}
		if !slices.Contains(h.taken, "a.test:5432") {
			t.Errorf("connected to %v, want a among them again", h.taken)
		}
	})
}

// TestConnectFails when nobody is there, or nobody answers in time; within the time of the caller.
func TestConnectFails(t *testing.T) {
	for _, tt := range []struct {
		does, want string
		took       time.Duration
	}{
		{"refuse", typeRefused, 0},
		{"silent", typeConnectTimeout, 4 * second}, // two upstreams, 2 s each
	} {
		withHarbour(t, "ab", asItIs, func(t *testing.T, p *Pool, h *harbour) {
			h.set("a", tt.does)
			h.set("b", tt.does)
			began := time.Now()
			_, err := p.Connect(t.Context(), client("192.0.2.1:1000"), nil)
			var f *Failure
			if !errors.As(err, &f) || f.Type != tt.want {
				t.Errorf("upstreams that %s: %v, want %s", tt.does, err, tt.want)
			}
			if took := time.Since(began); took != tt.took {
				t.Errorf("upstreams that %s: it took %v, want %v", tt.does, took, tt.took)
			}
		})
	}
	withHarbour(t, "a", asItIs, func(t *testing.T, p *Pool, h *harbour) {
		h.set("a", "silent")
		ctx, cancel := context.WithTimeout(t.Context(), second)
		defer cancel()
		if _, err := p.Connect(ctx, nil, nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("beyond the caller's time: %v, want its end", err)
		}
		if s := p.Status().Upstreams[0]; s.Failures != 0 || s.InFlight != 0 {
			t.Errorf("%d failures and %d in flight, want none: nobody waited for it", s.Failures, s.InFlight)
		}
	})
}

// TestConnectByClient: a hash is of the client's address, whatever its port and whatever the hash is of else.
func TestConnectByClient(t *testing.T) {
	for _, hash := range []string{hashClient, hashURL} {
		withHarbour(t, "abcd", func(c *Config) { c.Balance.Policy, c.Balance.Hash = byHash, hash }, func(t *testing.T, p *Pool, h *harbour) {
			used := map[string]bool{}
			for n := range 40 {
				first := mustConnect(t, p, fmt.Sprintf("192.0.2.%d:1000", n))
				first.Release() // or its load might have the second passed on
				second := mustConnect(t, p, fmt.Sprintf("192.0.2.%d:2000", n))
				if first.Upstream != second.Upstream {
					t.Errorf("hash of %s: one client goes to %s and %s", hash, first.Upstream, second.Upstream)
				}
				used[first.Upstream] = true
				second.Release()
			}
			if len(used) != 4 {
				t.Errorf("hash of %s: 40 clients go to %d upstreams, want 4", hash, len(used))
			}
		})
	}
}

// TestConnectLeastConns: open connections count.
func TestConnectLeastConns(t *testing.T) {
	withHarbour(t, "ab", func(c *Config) { c.Balance.Policy = leastConns }, func(t *testing.T, p *Pool, _ *harbour) {
		held := mustConnect(t, p, "192.0.2.1:1000")
		for range 5 {
			s := mustConnect(t, p, "192.0.2.1:1000")
			if s.Upstream == held.Upstream {
				t.Errorf("connected to %s, which has one already", s.Upstream)
			}
			s.Release()
		}
	})
}

// TestConnectIsBounded by what an upstream takes; whoever waits gets the place that is released.
func TestConnectIsBounded(t *testing.T) {
	change := func(c *Config) {
		u := DefaultUpstream()
		u.URL, u.MaxRequests = "tcp://a.test:5432", 1
		c.Upstreams, c.Queue = []UpstreamConfig{u}, QueueConfig{Size: 1, Wait: 10 * second}
	}
	withHarbour(t, "", change, func(t *testing.T, p *Pool, _ *harbour) {
		held, waited := mustConnect(t, p, "192.0.2.1:1000"), make(chan error)
		go func() {
			_, err := p.Connect(t.Context(), nil, nil)
			waited <- err
		}()
		synctest.Wait()
		var f *Failure
		if _, err := p.Connect(t.Context(), nil, nil); !errors.As(err, &f) || f.Type != typeConnectionLimit {
			t.Errorf("beyond the queue: %v, want %s", err, typeConnectionLimit)
		}
		held.Release()
		if err := <-waited; err != nil {
			t.Errorf("who waited: %v, want the place that was released", err)
		}
	})
}

// TestConnectToMetadata: a name that stands for a cloud's metadata is refused here too.
func TestConnectToMetadata(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := testConfig()
		c.URLs = []string{"tcp://db.test:5432"}
		h := &harbour{}
		p, err := New("test", c, Network{Dial: h.dial, Resolver: &zone{addresses: map[string][]string{"db.test": {"169.254.169.254"}}}}, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		_, err = p.Connect(t.Context(), nil, nil)
		wantFailure(t, err, typeProhibited, 502)
		if len(h.taken) > 0 {
			t.Errorf("connected to %v, want nobody", h.taken)
		}
	})
}

// TestConnectIntroduces: the upstream is told who the client is, and a check says that it is nobody.
func TestConnectIntroduces(t *testing.T) {
	const to = "127.0.0.1:5432"
	for _, tt := range []struct {
		version string
		from    net.Addr
		want    string // source, and the protocol
	}{
		{proxyV1, client("192.0.2.1:1000"), "192.0.2.1:1000 TCPv4"},
		{proxyV2, client("192.0.2.1:1000"), "192.0.2.1:1000 TCPv4"},
		{proxyV1, client("[2001:db8::1]:1000"), "[2001:db8::1]:1000 TCPv6"},
		{proxyV2, client("[2001:db8::1]:1000"), "[2001:db8::1]:1000 TCPv6"},
		{proxyV1, nil, "nobody"},
		{proxyV2, nil, "nobody"},
		{proxyV2, &net.UnixAddr{Name: "@", Net: "unix"}, "nobody"},
	} {
		withHarbour(t, "a", func(c *Config) { c.ProxyProtocol = tt.version }, func(t *testing.T, p *Pool, h *harbour) {
			got := make(chan string)
			go func() {
				synctest.Wait() // until it writes
				in := bufio.NewReader(h.ends[0])
				header, err := proxyproto.Read(in)
				switch {
				case err != nil:
					got <- err.Error()
				case header.TransportProtocol.IsUnspec():
					got <- "nobody"
				default:
					protocol := map[proxyproto.AddressFamilyAndProtocol]string{proxyproto.TCPv4: "TCPv4", proxyproto.TCPv6: "TCPv6"}
					got <- header.SourceAddr.String() + " " + protocol[header.TransportProtocol]
				}
				rest, _ := io.ReadAll(in)
				got <- string(rest)
			}()
			s, err := p.Connect(t.Context(), tt.from, client(to))
			if err != nil {
				t.Fatal(err)
			}
			if header := <-got; header != tt.want {
				t.Errorf("%s for %v: the upstream is told %s, want %s", tt.version, tt.from, header, tt.want)
			}
			io.WriteString(s.Conn, "hello")
			s.Conn.Close()
			if rest := <-got; rest != "hello" {
				t.Errorf("%s: after the header came %q, want what was sent", tt.version, rest)
			}
			s.Release()
		})
	}
}

// TestChecksIntroduceThemselves: an upstream that wants a header gets one from a check too.
func TestChecksIntroduceThemselves(t *testing.T) {
	withHarbour(t, "a", func(c *Config) { c.ProxyProtocol = proxyV1 }, func(t *testing.T, p *Pool, h *harbour) {
		k := newChecker(CheckConfig{Kind: checkTCP, Timeout: second}, p.upstreams()[0], "")
		told := make(chan string)
		go func() {
			synctest.Wait()
			all, _ := io.ReadAll(h.ends[0])
			told <- string(all)
		}()
		if err := k.check(t.Context()); err != nil {
			t.Errorf("check: %v", err)
		}
		if got := <-told; got != "PROXY UNKNOWN\r\n" {
			t.Errorf("the upstream was told %q", got)
		}
	})
}

// TestValidateStreams: what is of HTTP has no place beside tcp.
func TestValidateStreams(t *testing.T) {
	for _, row := range []struct {
		name   string
		change func(c *Config)
		want   string
	}{
		{"nothing wrong", asItIs, ""},
		{"with a socket", func(c *Config) { c.URLs = append(c.URLs, "unix:/run/db.sock") }, ""},
		{"a service", func(c *Config) {
			c.URLs, c.Upstreams = nil, []UpstreamConfig{{URL: "tcp://_db._tcp.test", SRV: true, Weight: 1}}
		}, ""},
		{"no port", func(c *Config) { c.URLs = []string{"tcp://db.test"} }, "urls[0]"},
		{"beside http", func(c *Config) { c.URLs = append(c.URLs, "http://a.test") }, "urls"},
		{"checked by tls", func(c *Config) { c.Check.Kind, c.TLS.Name = checkTLS, "db.test" }, ""},
		{"tls for nothing", func(c *Config) { c.TLS.Name = "db.test" }, "tls"},
		{"of http", func(c *Config) {
			c.Balance.Policy, c.Balance.Hash, c.Check.Kind, c.Host = sticky, "header:X", checkHTTP, "a.test"
			c.Path.Add, c.Protocol, c.Retry.Hedge, c.Sign.AccessKey = "/a", protocolHTTP1, second, "u:p"
		}, "balance.policy balance.hash check.kind host path protocol sign retry.hedge sign.access_key"},
		{"a header for http", func(c *Config) { c.URLs, c.ProxyProtocol = []string{"http://a.test"}, proxyV2 }, "proxy_protocol"},
	} {
		c := testConfig()
		c.URLs = []string{"tcp://db.test:5432"}
		row.change(&c)
		var got []string
		c.Validate(func(path, _, _ string) { got = append(got, path) })
		if want := strings.Fields(row.want); !slices.Equal(sorted(got), sorted(want)) {
			t.Errorf("%s: problems at %q, want %q", row.name, got, want)
		}
	}
}

func sorted(list []string) []string { return slices.Sorted(slices.Values(list)) }

// TestWhatOriginsCarry: a socket can be anything, until it wants a header.
func TestWhatOriginsCarry(t *testing.T) {
	for _, row := range []struct {
		url, proxy    string
		http, streams bool
	}{
		{"http://a.test", proxyOff, true, false},
		{"https://a.test", proxyOff, true, false},
		{"tcp://a.test:1", proxyOff, false, true},
		{"unix:/run/s", proxyOff, true, true},
		{"unix:/run/s", proxyV1, false, true},
		{"file:///srv", proxyOff, true, false},
	} {
		c := Config{URLs: []string{row.url}, ProxyProtocol: row.proxy}
		if http, streams := c.CarriesHTTP(), c.CarriesStreams(); http != row.http || streams != row.streams {
			t.Errorf("%s with %s carries HTTP %v, streams %v; want %v, %v", row.url, row.proxy, http, streams, row.http, row.streams)
		}
	}
}
