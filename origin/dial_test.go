package origin

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestDialAny: who is asked when, and who wins (RFC 8305).
func TestDialAny(t *testing.T) {
	const never = time.Hour
	type plan struct {
		takes time.Duration
		fails bool
	}
	for _, row := range []struct {
		name  string
		plans []plan
		want  string // winner or error, and after what time
		asked int64
	}{
		{"the first answers", []plan{{0, false}, {0, false}}, "10.0.0.1 after 0s", 1},
		{"the first takes a moment", []plan{{200 * time.Millisecond, false}, {0, false}}, "10.0.0.1 after 200ms", 1},
		{"the first is silent", []plan{{never, false}, {50 * time.Millisecond, false}}, "10.0.0.2 after 300ms", 2},
		{"the first is slow, and still first", []plan{{300 * time.Millisecond, false}, {never, false}}, "10.0.0.1 after 300ms", 2},
		{"the first fails", []plan{{0, true}, {0, false}}, "10.0.0.2 after 0s", 2},
		{"the first fails late", []plan{{time.Second, true}, {2 * time.Second, false}}, "10.0.0.2 after 2.25s", 2},
		{"two are silent", []plan{{never, false}, {never, false}, {0, false}}, "10.0.0.3 after 500ms", 3},
		{"all fail", []plan{{0, true}, {time.Second, true}}, "10.0.0.1 failed after 1s", 2},
		{"all are silent", []plan{{never, false}, {never, false}}, "context deadline exceeded after 5s", 2},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var all []netip.Addr
				for i := range row.plans {
					all = append(all, netip.AddrFrom4([4]byte{10, 0, 0, byte(i + 1)}))
				}
				var asked, open atomic.Int64
				dial := func(ctx context.Context, _, address string) (net.Conn, error) {
					host, _, _ := net.SplitHostPort(address)
					p := row.plans[netip.MustParseAddr(host).As4()[3]-1]
					asked.Add(1)
					select {
					case <-ctx.Done():
						return nil, ctx.Err()
					case <-time.After(p.takes):
					}
					if p.fails {
						return nil, errors.New(host + " failed")
					}
					open.Add(1)
					return &namedConn{name: host, closed: func() { open.Add(-1) }}, nil
				}
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				defer cancel()
				began := time.Now()
				c, err := dialAny(ctx, dial, all, "80")
				got := fmt.Sprint(err)
				if err == nil {
					got = c.(*namedConn).name
				}
				if got = fmt.Sprint(got, " after ", time.Since(began)); got != row.want || asked.Load() != row.asked {
					t.Errorf("%s, %d asked; want %s, %d", got, asked.Load(), row.want, row.asked)
				}
				if n := open.Load(); err == nil && n != 1 || err != nil && n != 0 {
					t.Errorf("%d connections are open", n)
				}
			})
		})
	}
}

// TestDialAnyClosesTheLate: of two that answer at once, one is closed.
func TestDialAnyClosesTheLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		open := make(chan int, 4)
		dial := func(_ context.Context, _, address string) (net.Conn, error) {
			<-time.After(time.Second) // it does not heed its context
			open <- 1
			return &namedConn{closed: func() { open <- -1 }}, nil
		}
		all := []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")}
		if _, err := dialAny(t.Context(), dial, all, "80"); err != nil {
			t.Fatal(err)
		}
		close(open)
		left := 0
		for n := range open {
			left += n
		}
		if left != 1 {
			t.Errorf("%d connections are left, want one", left)
		}
	})
}

type namedConn struct {
	net.Conn
	name   string
	closed func()
}

func (c *namedConn) Close() error { c.closed(); return nil }
