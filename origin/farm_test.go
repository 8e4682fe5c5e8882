package origin

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// farm is upstreams named a, b, c…, each of which does what it is told at the moment it is asked.
type farm struct {
	t       testing.TB
	running sync.WaitGroup

	mu    sync.Mutex
	does  map[string]deed // by address
	asked map[string]int
}

// deed answers a request; false closes the connection.
type deed func(p *peer, r *http.Request) bool

func says(status int) deed {
	return func(p *peer, r *http.Request) bool {
		text := http.StatusText(status)
		p.write(fmt.Sprintf("HTTP/1.1 %d %s\r\nContent-Length: %d\r\n\r\n%s", status, text, len(text), text))
		return true
	}
}

func after(d time.Duration, then deed) deed {
	return func(p *peer, r *http.Request) bool {
		<-time.After(d)
		return then(p, r)
	}
}

// hangs until the other side gives up.
func hangs(p *peer, _ *http.Request) bool {
	p.hold()
	return false
}

// breaks off after the head of the request.
func breaks(*peer, *http.Request) bool { return false }

// refuses connections.
var refuses deed

func (f *farm) set(name string, d deed) { f.setAddress(name+".test:80", d) }

func (f *farm) setAddress(address string, d deed) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.does[address] = d
}

// count returns how often an upstream was asked since the last call.
func (f *farm) count(name string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := f.asked[name+".test:80"]
	f.asked[name+".test:80"] = 0
	return n
}

func (f *farm) deed(address string) deed {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.does[address]
}

func (f *farm) dial(_ context.Context, _, address string) (net.Conn, error) {
	if f.deed(address) == nil {
		return nil, &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
	}
	near, far := net.Pipe()
	f.running.Go(func() {
		defer far.Close()
		f.serve(address, &peer{Conn: far, t: f.t, br: bufio.NewReader(far)})
	})
	return near, nil
}

func (f *farm) serve(address string, p *peer) {
	for {
		r := p.request()
		if r == nil {
			return
		}
		f.mu.Lock()
		f.asked[address]++
		d := f.does[address]
		f.mu.Unlock()
		if d == nil || !d(p, r) {
			return
		}
	}
}

// withFarm runs a test against a pool of the named upstreams, all well, in a bubble where time is free.
func withFarm(t *testing.T, names string, change func(*Config), test func(t *testing.T, p *Pool, f *farm)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f := &farm{t: t, does: map[string]deed{}, asked: map[string]int{}}
		c := testConfig()
		c.URLs, c.Retry = nil, DefaultConfig().Retry
		for _, name := range names {
			c.URLs = append(c.URLs, fmt.Sprintf("http://%c.test", name))
			f.set(string(name), says(200))
		}
		change(&c)
		p := newPool(t, c, f.dial)
		ended := make(chan error)
		go func() { ended <- p.Run(t.Context()) }()
		test(t, p, f)
		p.Close()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
		f.running.Wait()
	})
}

// ask makes n requests, one after the other, and returns how many were answered with 200.
func (f *farm) ask(p *Pool, n int) (well int) {
	for range n {
		response, err := p.RoundTrip(newRequest(f.t, "GET", "/", nil))
		if err != nil {
			continue
		}
		if response.StatusCode == http.StatusOK {
			well++
		}
		io.Copy(io.Discard, response.Body)
		response.Body.Close()
	}
	return well
}

// askFor asks every 20 ms while d passes.
func (f *farm) askFor(p *Pool, d time.Duration) (asked, well int) {
	for ; d > 0; d -= 20 * time.Millisecond {
		asked++
		well += f.ask(p, 1)
		pass(20 * time.Millisecond)
	}
	return asked, well
}

// stateOf is the state of the upstream of that name, and why.
func stateOf(t *testing.T, p *Pool, name string) (state, why string) {
	t.Helper()
	for _, s := range p.Status().Upstreams {
		if s.Upstream == name+".test:80" {
			return s.State, s.Why
		}
	}
	t.Fatalf("no upstream %s", name)
	return "", ""
}

func wantState(t *testing.T, p *Pool, name, want string) {
	t.Helper()
	if got, why := stateOf(t, p, name); got != want {
		t.Errorf("%s is %s (%s), want %s", name, got, why, want)
	}
}

// pass lets time pass.
func pass(d time.Duration) { <-time.After(d) }
