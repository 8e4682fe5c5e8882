package stream

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"selvage/origin"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// On loopback, since what is tested is what kernels do: half-closed sockets, resets, splice.

func listen(t testing.TB) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func dial(t testing.TB, address string) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c.(*net.TCPConn)
}

// upstreams is a pool of one that does the same with every connection.
func upstreams(t testing.TB, serve func(c *net.TCPConn)) *origin.Pool {
	t.Helper()
	l := listen(t)
	var running sync.WaitGroup
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				defer c.Close()
				serve(c.(*net.TCPConn))
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		running.Wait()
	})
	return poolOf(t, l.Addr().String())
}

func poolOf(t testing.TB, address string) *origin.Pool {
	t.Helper()
	c := origin.DefaultConfig()
	c.URLs = []string{"tcp://" + address}
	p, err := origin.New("test", c, origin.Network{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// echo sends back what comes until it ends.
func echo(c *net.TCPConn) { io.Copy(c, c) }

// rig is a server, and what it has told of connections that are over.
type rig struct {
	*Server
	address  string
	accounts chan *Account
	traffic  Traffic
}

// newRig makes a server that passes everything to a pool, unless change says otherwise.
func newRig(t testing.TB, pool Pool, change func(c *Config)) *rig {
	r := &rig{accounts: make(chan *Account, 1000)}
	target := &Target{Origin: "test", Pool: pool, Traffic: &r.traffic}
	c := &Config{
		Label: "stream", Target: func(string) *Target { return target }, Admits: func(netip.Addr) bool { return true },
		Hello: time.Minute, Connect: time.Minute, Idle: time.Minute, MaxConns: 100,
	}
	change(c)
	r.Server = NewServer(c, func(a *Account) { r.accounts <- a }, slog.New(slog.DiscardHandler))
	t.Cleanup(func() {
		now, cancel := context.WithCancel(context.Background())
		cancel()
		_ = r.Shutdown(now)
	})
	return r
}

// serveFor starts such a server.
func serveFor(t testing.TB, pool Pool, change func(c *Config)) *rig {
	t.Helper()
	var serving sync.WaitGroup
	t.Cleanup(serving.Wait)
	r, l := newRig(t, pool, change), listen(t)
	r.address = l.Addr().String()
	serving.Go(func() { r.Serve(l) })
	return r
}

func asItIs(*Config) {}

// wantError waits for the account of the next connection that ends, and compares why it did.
func (r *rig) wantError(t *testing.T, want string) *Account {
	t.Helper()
	a := <-r.accounts
	if a.Error != want {
		t.Errorf("the account says %q, want %q", a.Error, want)
	}
	return a
}

func mustWrite(t *testing.T, c net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
}

// wantRead reads exactly that much.
func wantRead(t *testing.T, c net.Conn, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if n, err := io.ReadFull(c, got); err != nil || string(got) != want {
		t.Fatalf("read %q and %v, want %q", got[:n], err, want)
	}
}
