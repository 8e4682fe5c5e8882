package lane

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

const getClose = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"

// TestAcceptBacksOff: an accept loop without descriptors neither spins nor ends, and recovers by itself. R8.
func TestAcceptBacksOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls, broken atomic.Int64
		r := newRig(t, echo, nil)
		r.l.fail = func() error {
			calls.Add(1)
			if broken.Load() > 0 {
				return &net.OpError{Op: "accept", Err: syscall.EMFILE}
			}
			return nil
		}
		r.start(nil)
		kept := r.l.dial()
		synctest.Wait()
		calls.Store(0)
		broken.Store(1)
		go func() { _ = r.l.dial().Close() }() // the last that Accept gives
		advance(time.Second)
		wantEnd(t, kept)
		_ = kept.Close()
		advance(time.Minute)
		if n := calls.Load(); n < 60 || n > 75 {
			t.Errorf("%d calls of Accept in a minute, want about 67", n)
		}
		if n := r.Stats().AcceptErrors; n != uint64(calls.Load()) {
			t.Errorf("accept errors = %d, want %d", n, calls.Load())
		}
		broken.Store(0)
		if got := exchange(t, r.l.dial(), getClose, false); !slices.Equal(got, []int{200}) {
			t.Errorf("after recovery: %v, want 200", got)
		}
	})
}

// TestAcceptFails: an error about the listener itself ends Serve with it.
func TestAcceptFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("broken")
		r := newRig(t, echo, nil)
		r.l.fail = func() error { return broken }
		if err := r.Serve(Listener{Listener: r.l}); !errors.Is(err, broken) {
			t.Errorf("Serve = %v, want %v", err, broken)
		}
		if err := r.Shutdown(context.Background()); err != nil {
			t.Errorf("Shutdown = %v", err)
		}
	})
}

// TestConnLimit: beyond the bound a connection waits; the one idle longest makes way; a busy one never does. T23.
func TestConnLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		r := newRig(t, func(w http.ResponseWriter, r *http.Request) {
			if r.RequestURI == "/busy" {
				<-release
			}
			echo(w, r)
		}, func(c *Config) { c.Conns = 3 }).start(nil)
		busy, first, second := r.l.dial(), r.l.dial(), r.l.dial()
		send(t, busy, "GET /busy HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
		for _, c := range []*memConn{first, second} {
			send(t, c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
			readAnswer(t, bufio.NewReader(c))
			advance(time.Second)
		}
		third := r.l.dial()
		wantEnd(t, first)
		send(t, third, "GET /busy HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
		fourth := r.l.dial()
		wantEnd(t, second)
		send(t, fourth, "GET /busy HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
		synctest.Wait()

		fifth := r.l.dial()
		send(t, fifth, getClose)
		advance(time.Minute)
		if s := r.Stats(); s.Active != 3 || s.Accepted != 5 {
			t.Errorf("stats %+v, want 3 active of 5 accepted", s)
		}
		close(release)
		for _, c := range []*memConn{busy, third, fourth, fifth} {
			if got := readStatuses(t, bufio.NewReader(c)); !slices.Equal(got, []int{200}) {
				t.Errorf("answers %v, want 200", got)
			}
			_ = c.Close()
		}
		_, _ = first.Close(), second.Close()
	})
}

// TestConnLimitSpares: a connection told to make way that sends a request in its grace is served, and another makes way.
func TestConnLimitSpares(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(w http.ResponseWriter, r *http.Request) {
			advanceOnly(time.Second)
			echo(w, r)
		}, func(c *Config) { c.Conns = 2 }).start(nil)
		first := r.l.dial()
		advance(time.Millisecond)
		second, third := r.l.dial(), r.l.dial()
		advance(idleGrace / 2)
		send(t, first, getClose)
		start := time.Now()
		send(t, third, getClose)
		wantEnd(t, second)
		for _, c := range []*memConn{first, third} {
			if got := readStatuses(t, bufio.NewReader(c)); !slices.Equal(got, []int{200}) {
				t.Errorf("answers %v, want 200", got)
			}
		}
		if waited := time.Since(start); waited > time.Second+idleGrace {
			t.Errorf("answered after %v", waited)
		}
		for _, c := range []*memConn{first, second, third} {
			_ = c.Close()
		}
	})
}

// TestRegularsKeepTheirPlaces while others take what they can get: silent ones, ones with a request each, and ones that send
// a head bit by bit. Nor do those keep a new client out for long. T23.
func TestRegularsKeepTheirPlaces(t *testing.T) {
	for name, sent := range map[string]string{"silent": "", "one request": "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "part of a head": "GET / HTTP/1.1\r\nHo"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, echo, func(c *Config) { c.Conns = 4 }).start(nil)
				regular := r.l.dial()
				again := func() {
					t.Helper()
					send(t, regular, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
					readAnswer(t, bufio.NewReader(regular))
					advance(regularGrace / 2)
				}
				again()
				again()
				var crowd sync.WaitGroup
				defer crowd.Wait()
				for range 20 {
					crowd.Go(func() {
						c := r.l.dial()
						defer c.Close()
						_, _ = io.WriteString(c, sent)
						_, _ = io.Copy(io.Discard, c)
					})
				}
				again()
				again()
				start := time.Now()
				fresh := r.l.dial()
				send(t, fresh, getClose)
				if got := readStatuses(t, bufio.NewReader(fresh)); !slices.Equal(got, []int{200}) {
					t.Errorf("a new client: %v, want 200", got)
				}
				if waited := time.Since(start); waited > 8*headGrace {
					t.Errorf("a new client waited %v", waited)
				}
				_, _ = regular.Close(), fresh.Close()
			})
		})
	}
}

// TestEvictRaces: a link that turns out to be busy when it is told to make way is not counted as leaving.
func TestEvictRaces(t *testing.T) {
	r := newRig(t, echo, nil)
	l := &link{srv: r.Server}
	busy := func(time.Time, bool) bool { return false }
	l.cut.Store(&busy)
	l.enter(idle, 0)
	if !r.links.admit(l) {
		t.Fatal("not admitted")
	}
	r.links.relieve()
	if r.links.evicted != 0 || l.evicted.Load() {
		t.Errorf("%d leaving, want none", r.links.evicted)
	}
}

// TestConnLimitFlood: many more clients than places, each with one request on a kept connection: all are answered.
func TestConnLimitFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, echo, func(c *Config) { c.Conns = 10 }).start(nil)
		const n = 300
		answers := make(chan error, n)
		for range n {
			go func() {
				c := r.l.dial()
				defer c.Close()
				_, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
				if err == nil {
					_, err = http.ReadResponse(bufio.NewReader(c), nil)
				}
				answers <- err
				_, _ = io.Copy(io.Discard, c)
			}()
		}
		start := time.Now()
		for range n {
			if err := <-answers; err != nil {
				t.Errorf("answer: %v", err)
			}
		}
		if waited := time.Since(start); waited > n/10*idleGrace {
			t.Errorf("all answered after %v", waited)
		}
	})
}

// TestHandshakesBounded: handshakes that never end hold half of the places at most; when others come the one that has taken
// longest makes way, and no more than that. T25, T22.
func TestHandshakesBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, echo, func(c *Config) { c.Conns = 4 }).start(serverTLS())
		for range 2 {
			defer r.l.dial().Close()
		}
		c := clientTLS(r.l.dial(), "http/1.1")
		defer c.Close()
		start := time.Now()
		send(t, c, getClose)
		readAnswer(t, bufio.NewReader(c))
		if waited := time.Since(start); waited != handGrace {
			t.Errorf("answered after %v, want %v", waited, handGrace)
		}
		synctest.Wait()
		if n := r.Stats().Refused["handshake"]; n != 1 {
			t.Errorf("refused[handshake] = %d, want 1", n)
		}
		advance(testTimeouts.Handshake)
		if n := r.Stats().Refused["handshake"]; n != 2 {
			t.Errorf("refused[handshake] = %d after their time, want 2", n)
		}
	})
}

// lateListener gives its connection to an Accept that was under way when it was closed, as a kernel may.
type lateListener struct {
	net.Listener
	last   chan net.Conn
	closed chan struct{}
}

func (l *lateListener) Accept() (net.Conn, error) {
	<-l.closed
	select {
	case c := <-l.last:
		return c, nil
	default:
		return nil, net.ErrClosed
	}
}

func (l *lateListener) Close() error {
	close(l.closed)
	return nil
}

// TestAcceptedLast: a connection that is accepted as the server closes is served like those before it.
func TestAcceptedLast(t *testing.T) {
	overEach(t, func(t *testing.T, config *tls.Config) {
		synctest.Test(t, func(t *testing.T) {
			near, far := memPipe(64 << 10)
			l := &lateListener{last: make(chan net.Conn, 1), closed: make(chan struct{})}
			l.last <- far
			s := NewServer(Config{Limits: testLimits, Timeouts: testTimeouts}, http.HandlerFunc(echo))
			served := make(chan error, 1)
			go func() { served <- s.Serve(Listener{Listener: l, TLS: config}) }()
			synctest.Wait()
			ended := make(chan error, 1)
			go func() { ended <- s.Shutdown(t.Context()) }()
			var c net.Conn = near
			if config != nil {
				c = clientTLS(near, "http/1.1")
			}
			if got := exchange(t, c, get, false); !slices.Equal(got, []int{200}) {
				t.Errorf("answers %v, want 200", got)
			}
			if err := errors.Join(<-ended, <-served); err != nil {
				t.Error(err)
			}
		})
	})
}

// TestPlainHTTPOnTLS: a client that forgot the s is told so.
func TestPlainHTTPOnTLS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, echo, nil).start(serverTLS())
		c := r.l.dial()
		send(t, c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		answer, body := readAnswer(t, bufio.NewReader(c))
		if answer.StatusCode != 400 || !strings.Contains(body, "http-on-https-port") {
			t.Errorf("answer %d %q", answer.StatusCode, body)
		}
		_ = c.Close()
		if f := <-r.refusals; f.Reason != "http-on-https-port" || !f.Secure {
			t.Errorf("refusal %+v", f)
		}
		garbage := r.l.dial()
		send(t, garbage, "\x80garbage")
		if got, _ := endAfter(garbage); strings.Contains(got, "HTTP") {
			t.Errorf("garbage was answered with %q", got)
		}
		_ = garbage.Close()
	})
}

// TestHeadsOnTLS: the check is the same on TLS.
func TestHeadsOnTLS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, echo, nil).start(serverTLS())
		c := clientTLS(r.l.dial(), "http/1.1")
		raw := "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"
		if got := exchange(t, c, raw, true); !slices.Equal(got, []int{200, 400}) {
			t.Errorf("answers %v, want 200 400", got)
		}
	})
}

// TestShutdown: requests under way are answered and told to close, idle connections end, new ones are not accepted.
func TestShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		r := newRig(t, func(w http.ResponseWriter, r *http.Request) {
			if r.RequestURI == "/slow" {
				<-release
			}
			echo(w, r)
		}, nil).start(nil)
		keptIdle, fresh, slow, crossing, piece := r.l.dial(), r.l.dial(), r.l.dial(), r.l.dial(), r.l.dial()
		send(t, keptIdle, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		readAnswer(t, bufio.NewReader(keptIdle))
		send(t, slow, "GET /slow HTTP/1.1\r\nHost: a\r\n\r\nGET /behind HTTP/1.1\r\nHost: a\r\n\r\n")
		send(t, piece, "GET /piece HT")
		synctest.Wait()

		ended := make(chan error, 1)
		go func() { ended <- r.Shutdown(context.Background()) }()
		advance(idleGrace / 2)
		send(t, crossing, "GET /crossing HTTP/1.1\r\nHost: a\r\n\r\n")
		if answer, _ := readAnswer(t, bufio.NewReader(crossing)); !answer.Close {
			t.Error("an answer while draining does not say close")
		}
		advance(idleGrace)
		wantEnd(t, keptIdle)
		wantEnd(t, fresh)
		send(t, piece, "TP/1.1\r\nHost: a\r\n\r\n")
		if got := readStatuses(t, bufio.NewReader(piece)); !slices.Equal(got, []int{200}) {
			t.Errorf("a head that had begun: %v, want 200", got)
		}
		late := r.l.dial()
		wantEnd(t, late)
		advance(time.Minute)
		select {
		case err := <-ended:
			t.Fatalf("Shutdown = %v while a request is under way", err)
		default:
		}
		close(release)
		if got := readStatuses(t, bufio.NewReader(slow)); !slices.Equal(got, []int{200, 200}) {
			t.Errorf("under way and behind it: %v, want 200 200", got)
		}
		for _, c := range []*memConn{keptIdle, fresh, slow, crossing, piece, late} {
			_ = c.Close()
		}
		if err := <-ended; err != nil {
			t.Errorf("Shutdown = %v", err)
		}
		if err := r.Serve(Listener{Listener: newMemListener()}); err != nil {
			t.Errorf("Serve after Shutdown = %v, want nil", err)
		}
	})
}

// TestShutdownForced: when its context ends, what is left is closed, in every state.
func TestShutdownForced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(w http.ResponseWriter, r *http.Request) {
			if r.RequestURI == "/tunnel" {
				c, _, _ := http.NewResponseController(w).Hijack()
				_, _ = io.Copy(io.Discard, c)
				_ = c.Close()
				return
			}
			_, _ = w.Write(make([]byte, 1<<20))
		}, nil)
		r.start(nil)
		conns := []*memConn{r.l.dial(), r.l.dial(), r.l.dial()}
		send(t, conns[0], "GET /tunnel HTTP/1.1\r\nHost: a\r\n\r\n")
		send(t, conns[1], "GET /stuck HTTP/1.1\r\nHost: a\r\n\r\n")
		synctest.Wait()
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		defer cancel()
		start := time.Now()
		if err := r.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 3*time.Second {
			t.Errorf("Shutdown = %v after %v, want a deadline after 3s", err, time.Since(start))
		}
		for _, c := range conns {
			_ = c.Close()
		}
	})
}

// TestShutdownDuringHandshake: a client that connected before gets its answer, one that never goes on does not hold us up.
func TestShutdownDuringHandshake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, echo, nil).start(serverTLS())
		silent, good := r.l.dial(), r.l.dial()
		synctest.Wait()
		ended := make(chan error, 1)
		start := time.Now()
		go func() { ended <- r.Shutdown(context.Background()) }()
		advance(idleGrace / 2)
		c := clientTLS(good, "http/1.1")
		if got := exchange(t, c, getClose, false); !slices.Equal(got, []int{200}) {
			t.Errorf("answers %v, want 200", got)
		}
		if err := <-ended; err != nil || time.Since(start) > time.Second {
			t.Errorf("Shutdown = %v after %v", err, time.Since(start))
		}
		_ = silent.Close()
	})
}

// TestReconfigure: new limits and timeouts hold for the next head, also on connections that are there.
func TestReconfigure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, echo, nil).start(nil)
		c := r.l.dial()
		defer c.Close()
		in := bufio.NewReader(c)
		long := "GET /" + strings.Repeat("a", 2000) + " HTTP/1.1\r\nHost: a\r\n\r\n"
		send(t, c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		readAnswer(t, in)
		limits, timeouts := testLimits, testTimeouts
		limits.RequestLine, timeouts.Idle = 4<<10, time.Second
		r.Reconfigure(limits, timeouts)
		send(t, c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		readAnswer(t, in)
		send(t, c, long)
		if answer, _ := readAnswer(t, in); answer.StatusCode != 200 {
			t.Errorf("status %d, want 200 by the new limit", answer.StatusCode)
		}
		if _, waited := endAfter(in); waited != time.Second {
			t.Errorf("idle for %v, want 1s", waited)
		}
	})
}

// TestRefusalOverTCP needs the kernel: closing a socket with unread bytes resets it, and the reset can overtake the answer.
func TestRefusalOverTCP(t *testing.T) {
	for name, config := range map[string]*tls.Config{"plain": nil, "tls": serverTLS()} {
		for what, raw := range map[string]string{
			"head":   "GET  / HTTP/1.1\r\n" + strings.Repeat("X: y\r\n", 10000),
			"chunks": "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n" + strings.Repeat("y", 100<<10),
			"plain":  "GET / HTTP/1.1\r\n" + strings.Repeat("X: y\r\n", 1000),
		} {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			s := NewServer(Config{Limits: testLimits, Timeouts: testTimeouts}, http.HandlerFunc(echo))
			served := make(chan error, 1)
			go func() { served <- s.Serve(Listener{Listener: l, TLS: config}) }()
			c, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			if config != nil && what != "plain" {
				c = clientTLS(c, "http/1.1")
			}
			_, _ = io.WriteString(c, raw) // may be cut short
			b, err := io.ReadAll(c)
			if !strings.HasPrefix(string(b), "HTTP/1.1 4") || err != nil {
				t.Errorf("%s, %s: answer %q, %v", name, what, b, err)
			}
			_ = c.Close()
			if err := s.Shutdown(t.Context()); err != nil {
				t.Errorf("Shutdown = %v", err)
			}
			if err := <-served; err != nil {
				t.Errorf("Serve = %v", err)
			}
		}
	}
}

// TestUnix: requests over a unix socket.
func TestUnix(t *testing.T) {
	l, err := net.Listen("unix", t.TempDir()+"/s")
	if err != nil {
		t.Fatal(err)
	}
	s := NewServer(Config{Limits: testLimits, Timeouts: testTimeouts}, http.HandlerFunc(echo))
	served := make(chan error, 1)
	go func() { served <- s.Serve(Listener{Listener: l}) }()
	c, err := net.Dial("unix", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if got := exchange(t, c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"+getClose, false); !slices.Equal(got, []int{200, 200}) {
		t.Errorf("answers %v, want 200 200", got)
	}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Errorf("Shutdown = %v", err)
	}
	if err := <-served; err != nil {
		t.Errorf("Serve = %v", err)
	}
}
