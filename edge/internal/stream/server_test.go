package stream

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"selvage/origin"
)

// TestRefusals: what is not served is reset, and the account says why.
func TestRefusals(t *testing.T) {
	closed := listen(t)
	closed.Close()
	nobody := func(c *Config) {}
	byName := func(c *Config) {
		c.ByName = true
		target := c.Target
		c.Target = func(name string) *Target {
			if !strings.HasSuffix(name, ".example") {
				return nil
			}
			return target("")
		}
	}
	impatient := func(c *Config) {
		byName(c)
		c.Hello = 50 * time.Millisecond
	}
	for _, tt := range []struct {
		what   string
		change func(c *Config)
		pool   Pool
		sent   []byte
		want   string
	}{
		{"an address that may not come", func(c *Config) { c.Admits = func(a netip.Addr) bool { return !a.IsLoopback() } }, nil, nil, reasonDenied},
		{"nowhere to go", func(c *Config) { c.Target = func(string) *Target { return nil } }, nil, nil, reasonNoRoute},
		{"nobody there", nobody, poolOf(t, closed.Addr().String()), nil, "connection_refused"},
		{"a name without a route", byName, nil, helloOf(t, &tls.Config{ServerName: "a.test"}), reasonNoRoute},
		{"no name", byName, nil, helloOf(t, &tls.Config{}), reasonNoRoute},
		{"no hello", byName, nil, []byte("GET / HTTP/1.1\r\n\r\n"), reasonHello},
		{"silence", impatient, nil, nil, reasonHelloTimeout},
		{"half a hello", impatient, nil, helloOf(t, &tls.Config{ServerName: "a.example"})[:100], reasonHelloTimeout},
		{"a hello without end", byName, nil, append([]byte{22, 3, 1, 0x40, 0, 1, 0, 0x3f, 0xfc}, make([]byte, maxHello)...), reasonHelloSize},
	} {
		r := serveFor(t, tt.pool, tt.change)
		if err := visitWith(r.address, tt.sent); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("%s: the client sees %v, want a reset", tt.what, err)
		}
		r.wantError(t, tt.want)
	}
}

// visitWith sends something and returns how the connection ends. A reset can come before there is one, and is told once: a
// read behind a write that was told sees an end.
func visitWith(address string, sent []byte) error {
	c, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := c.Write(sent); err != nil {
		return err
	}
	_, err = io.ReadAll(c)
	return err
}

// TestLeavesBeforeTheHello: nobody is to blame.
func TestLeavesBeforeTheHello(t *testing.T) {
	r := serveFor(t, nil, func(c *Config) { c.ByName = true })
	dial(t, r.address).Close()
	r.wantError(t, reasonLeft)
}

// TestByName: the hello reaches the upstream as it came, and with it the handshake.
func TestByName(t *testing.T) {
	hello := helloOf(t, &tls.Config{ServerName: "www.example"})
	heard := make(chan string, 1)
	pool := upstreams(t, func(c *net.TCPConn) {
		all, _ := io.ReadAll(c)
		heard <- string(all)
	})
	r := serveFor(t, pool, func(c *Config) { c.ByName = true })
	c := dial(t, r.address)
	for _, b := range hello { // in as many packets as it has bytes
		mustWrite(t, c, string([]byte{b}))
	}
	mustWrite(t, c, "and more")
	c.CloseWrite()
	if got := <-heard; got != string(hello)+"and more" {
		t.Errorf("the upstream heard %d bytes, want the %d of the hello and more", len(got), len(hello))
	}
	if a := r.wantError(t, ""); a.Name != "www.example" || a.Received != int64(len(hello)+len("and more")) {
		t.Errorf("the account has the name %q and %d bytes", a.Name, a.Received)
	}
}

// TestBurstBehindHeader: what came in one burst with a proxy's header and the hello reaches the upstream, such as early data
// (RFC 8446, section 2.3), however much of it was looked at.
func TestBurstBehindHeader(t *testing.T) {
	burst := string(helloOf(t, &tls.Config{ServerName: "www.example"})) + strings.Repeat("early", 500)
	heard := make(chan string, 1)
	pool := upstreams(t, func(c *net.TCPConn) {
		all, _ := io.ReadAll(c)
		heard <- string(all)
	})
	for who, serve := range map[string]func(r *rig, c *proxied) error{
		"here": func(r *rig, c *proxied) error {
			r.takePlace(1)
			r.begin(c)
			return nil
		},
		"by another server": func(r *rig, c *proxied) error {
			name, read, err := ReadHello(c)
			r.Adopt(c, name, read)
			return err
		},
	} {
		r, l := newRig(t, pool, func(c *Config) { c.ByName = true }), listen(t)
		client := dial(t, l.Addr().String())
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		mustWrite(t, client, "and more")
		client.CloseWrite()
		if err := serve(r, &proxied{c, strings.NewReader(burst)}); err != nil {
			t.Fatal(err)
		}
		if got := <-heard; got != burst+"and more" {
			t.Errorf("read %s: the upstream heard %d bytes, want %d", who, len(got), len(burst+"and more"))
		}
	}
}

// proxied is a connection of which something came with a header.
type proxied struct {
	net.Conn
	rest *strings.Reader
}

func (p *proxied) Read(b []byte) (int, error) { return p.rest.Read(b) }

func (p *proxied) Below() (net.Conn, []byte) {
	rest, _ := io.ReadAll(p.rest)
	return p.Conn, rest
}

// TestAdopt: what another server has accepted goes the same way, within the same bound, and is waited for.
func TestAdopt(t *testing.T) {
	r, l := newRig(t, upstreams(t, echo), func(c *Config) { c.ByName, c.MaxConns = true, 1 }), listen(t)
	adopt := func() (client *net.TCPConn, over chan struct{}) {
		client, over = dial(t, l.Addr().String()), make(chan struct{})
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			r.Adopt(c, "a.example", []byte("read "))
			close(over)
		}()
		return client, over
	}
	first, over := adopt()
	mustWrite(t, first, "before")
	wantRead(t, first, "read before")
	second, refused := adopt()
	<-refused
	if _, err := second.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("beyond the bound: %v, want a reset", err)
	}
	r.wantError(t, reasonTooMany)
	first.Close()
	<-over
	if a := r.wantError(t, ""); a.Name != "a.example" || a.Received != int64(len("read before")) {
		t.Errorf("the account has %q and %d bytes", a.Name, a.Received)
	}
}

// TestConnectionsAreBounded: one too many waits for a place, one too many of an address is refused.
func TestConnectionsAreBounded(t *testing.T) {
	r := serveFor(t, upstreams(t, echo), func(c *Config) { c.MaxConns = 2 })
	first, second, third := dial(t, r.address), dial(t, r.address), dial(t, r.address)
	for _, c := range []net.Conn{first, second} {
		mustWrite(t, c, "x")
		wantRead(t, c, "x")
	}
	mustWrite(t, third, "x")
	first.Close()
	wantRead(t, third, "x")
	if n := r.traffic.Total.Load(); n != 3 {
		t.Errorf("%d connections, want 3", n)
	}

	r = serveFor(t, upstreams(t, echo), func(c *Config) { c.MaxPerAddress = 1 })
	first = dial(t, r.address)
	mustWrite(t, first, "x")
	wantRead(t, first, "x")
	if err := visitWith(r.address, nil); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the second of an address sees %v, want a reset", err)
	}
	r.wantError(t, reasonTooMany)
	first.Close()
	r.wantError(t, "")
	again := dial(t, r.address)
	mustWrite(t, again, "x")
	wantRead(t, again, "x")
}

// TestConfigureKeepsConnections: those that are open stay with the target they have.
func TestConfigureKeepsConnections(t *testing.T) {
	r := serveFor(t, upstreams(t, echo), asItIs)
	c := dial(t, r.address)
	mustWrite(t, c, "x")
	wantRead(t, c, "x")
	next := *r.config.Load()
	next.Target = func(string) *Target { return nil }
	r.Configure(&next)
	if err := visitWith(r.address, nil); err == nil {
		t.Error("a new connection is served as before")
	}
	r.wantError(t, reasonNoRoute)
	mustWrite(t, c, "still")
	wantRead(t, c, "still")
}

// TestShutdownWaits for the connections that are open, and cuts those that are left at the end of its time.
func TestShutdownWaits(t *testing.T) {
	r := serveFor(t, upstreams(t, echo), asItIs)
	c := dial(t, r.address)
	mustWrite(t, c, "x")
	wantRead(t, c, "x")
	done := make(chan error)
	go func() { done <- r.Shutdown(context.Background()) }()
	for {
		late, err := net.Dial("tcp", r.address)
		if err != nil {
			break // it accepts no more
		}
		late.Close()
	}
	mustWrite(t, c, "still")
	wantRead(t, c, "still")
	c.Close()
	if err := <-done; err != nil {
		t.Errorf("Shutdown: %v", err)
	}

	r = serveFor(t, upstreams(t, echo), asItIs)
	c = dial(t, r.address)
	mustWrite(t, c, "x")
	wantRead(t, c, "x")
	soon, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := r.Shutdown(soon); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Shutdown: %v, want the end of its time", err)
	}
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the client that was left sees %v, want a reset", err)
	}
	r.wantError(t, reasonDrained)
}

// TestShutdownWhileConnecting: an upstream that says nothing holds nobody up.
func TestShutdownWhileConnecting(t *testing.T) {
	connecting := make(chan struct{})
	r := serveFor(t, poolFunc(func(ctx context.Context) error {
		close(connecting)
		<-ctx.Done()
		return context.Cause(ctx)
	}), asItIs)
	dial(t, r.address)
	<-connecting
	now, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.Shutdown(now); !errors.Is(err, context.Canceled) {
		t.Errorf("Shutdown: %v", err)
	}
	r.wantError(t, reasonDrained)
}

// poolFunc is a pool that has no upstream.
type poolFunc func(ctx context.Context) error

func (f poolFunc) Connect(ctx context.Context, _, _ net.Addr) (*origin.Stream, error) {
	return nil, f(ctx)
}

// TestConnectReasons: of errors that strangers see, the types of RFC 9209 are told, or our own words.
func TestConnectReasons(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want string
	}{
		{&origin.Failure{Type: "dns_error"}, "dns_error"},
		{fmt.Errorf("no time: %w", context.DeadlineExceeded), "connection_timeout"},
		{context.Canceled, reasonDrained},
	} {
		if got := connectReason(tt.err); got != tt.want {
			t.Errorf("connectReason(%v) = %s, want %s", tt.err, got, tt.want)
		}
	}
}
