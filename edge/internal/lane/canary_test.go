package lane

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// What the lane takes for granted of net/http, for new releases of Go: these tests fail when a conn would misbehave.

// watchedConn notes every call that net/http makes, and whether a Read is in flight.
type watchedConn struct {
	*memConn
	mu    sync.Mutex
	reads int
	log   []string
}

func (c *watchedConn) Read(p []byte) (int, error) {
	c.mu.Lock()
	c.reads++
	c.mu.Unlock()
	n, err := c.memConn.Read(p)
	c.mu.Lock()
	c.reads--
	c.log = append(c.log, fmt.Sprintf("read %d of %d", n, len(p)))
	c.mu.Unlock()
	return n, err
}

func (c *watchedConn) state(_ net.Conn, s http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.log = append(c.log, fmt.Sprintf("%s with %d reads", s, c.reads))
}

// TestCanaryStates: the ConnState hook runs in the goroutine that serves the connection, between the answer and the next
// Read, with no Read in flight; the buffer is empty then: the next Read has all of it to fill.
func TestCanaryStates(t *testing.T) {
	for name, body := range map[string]string{
		"none": "\r\n", "length": "Content-Length: 2\r\n\r\nhi", "chunked": "Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"} {
		for _, read := range []bool{true, false} {
			synctest.Test(t, func(t *testing.T) {
				client, server := memPipe(1 << 16)
				c := &watchedConn{memConn: server}
				l := newMemListener()
				srv := &http.Server{ConnState: c.state, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if read {
						_, _ = io.Copy(io.Discard, r.Body)
					}
					synctest.Wait() // the background read is under way
				})}
				go func() { _ = srv.Serve(l) }()
				l.hand(c)
				in := bufio.NewReader(client)
				for range 2 {
					send(t, client, "POST / HTTP/1.1\r\nHost: a\r\n"+body)
					readAnswer(t, in)
					synctest.Wait()
				}
				_ = client.Close()
				synctest.Wait()
				_ = srv.Close()
				checkStates(t, name, c.log)
			})
		}
	}
}

func checkStates(t *testing.T, name string, log []string) {
	t.Helper()
	for i, entry := range log {
		switch entry {
		case "idle with 0 reads":
			if i+1 < len(log) && log[i+1][len(log[i+1])-7:] != "of 4096" {
				t.Errorf("%s: after idle %q: the buffer was not empty", name, log[i+1])
			}
		}
	}
	states := slices.DeleteFunc(slices.Clone(log), func(entry string) bool { return strings.HasPrefix(entry, "read") })
	want := []string{"new with 0 reads", "active with 0 reads", "idle with 0 reads", "active with 0 reads", "idle with 0 reads",
		"closed with 0 reads"}
	if !slices.Equal(states, want) || log[0] != want[0] {
		t.Errorf("%s: states %q of %q, want %q", name, states, log, want)
	}
}

// TestCanaryHijack: StateHijacked comes before Hijack returns, with no Read in flight.
func TestCanaryHijack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := memPipe(1 << 16)
		c := &watchedConn{memConn: server}
		l := newMemListener()
		srv := &http.Server{ConnState: c.state, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			synctest.Wait()
			hijacked, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Errorf("hijack: %v", err)
				return
			}
			c.mu.Lock()
			if last := c.log[len(c.log)-1]; last != "hijacked with 0 reads" {
				t.Errorf("last before Hijack returns: %q", last)
			}
			c.mu.Unlock()
			_ = hijacked.Close()
		})}
		go func() { _ = srv.Serve(l) }()
		l.hand(c)
		send(t, client, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		wantEnd(t, client)
		_ = srv.Close()
		_ = client.Close()
	})
}

// TestCanaryStreamDeadline: HTTP/2 streams have write deadlines; streamWriter rests on it.
func TestCanaryStreamDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(w http.ResponseWriter, r *http.Request) {
			if err := w.(*streamWriter).reset(); err != nil {
				t.Errorf("reset: %v", err)
			}
		}, nil).start(serverTLS())
		c := newH2(t, r.l)
		c.ask(1, true, h2Fields()...)
		if got := c.status(1); got != "reset" {
			t.Errorf("status %s, want reset", got)
		}
	})
}

// TestCanaryPoller: RawConn.Read calls its function again for what arrives while the function runs, although the function
// has not seen the socket empty since. ready rests on it.
func TestCanaryPoller(t *testing.T) {
	near, far := overSocket(t)
	defer near.Close()
	defer far.Close()
	if err := near.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	const rounds = 500
	calls, got := 0, 0
	buf := make([]byte, 10)
	send(t, far, "a")
	err := socketOf(near).Read(func(fd uintptr) bool {
		calls++
		n, err := syscall.Read(int(fd), buf)
		if err == syscall.EAGAIN {
			return false
		}
		got += n
		if err != nil || n == 0 || got == rounds {
			return true
		}
		send(t, far, "a")
		if calls%2 == 0 {
			runtime.Gosched() // the poller may have seen it by then
		}
		return false
	})
	if err != nil || got != rounds {
		t.Errorf("%d of %d arrivals seen in %d calls, %v", got, rounds, calls, err)
	}
}

// dryConn has nothing to read before each byte, once it is on.
type dryConn struct {
	net.Conn
	on, wet bool
}

func (c *dryConn) Read(p []byte) (int, error) {
	if !c.on {
		return c.Conn.Read(p)
	}
	if c.wet = !c.wet; !c.wet {
		return 0, errDry
	}
	return c.Conn.Read(p[:1])
}

// TestCanaryDryTLS: TLS reads on after errDry, wherever in a record that was, and gives errDry back as it is.
func TestCanaryDryTLS(t *testing.T) {
	client, server := memPipe(1 << 16)
	dry := &dryConn{Conn: server}
	c, s := clientTLS(client), tls.Server(dry, serverTLS())
	shaken := make(chan error, 1)
	go func() { shaken <- c.Handshake() }()
	if err := s.Handshake(); err != nil {
		t.Fatal(err)
	}
	if err := <-shaken; err != nil {
		t.Fatal(err)
	}
	dry.on = true
	send(t, c, "hello, ")
	send(t, c, "world")
	got, dries := "", 0
	for buf := make([]byte, 100); got != "hello, world"; {
		n, err := s.Read(buf)
		if err == errDry {
			dries++
		} else if err != nil {
			t.Fatalf("after %q and %d times nothing: %v", got, dries, err)
		}
		got += string(buf[:n])
	}
	if dries < len(got)+2*5 {
		t.Errorf("%d times nothing to read, want one before each byte of two records", dries)
	}
}

// piecesConn reads in pieces, and follows the records in them. When it is dry it has nothing to read.
type piecesConn struct {
	net.Conn
	rnd     *rand.Rand
	borders borders
	dry     bool
}

func (c *piecesConn) Read(p []byte) (int, error) {
	if c.dry {
		return 0, errDry
	}
	n, err := c.Conn.Read(p[:min(len(p), 1+c.rnd.IntN(300))])
	c.borders.follow(p[:n])
	return n, err
}

// TestCanaryLoneRecord: after a Read that ended one record and began no other, TLS has nothing left once it has handed over
// less than there was room for. spent rests on it.
func TestCanaryLoneRecord(t *testing.T) {
	client, server := memPipe(1 << 16)
	pieces := &piecesConn{Conn: server, rnd: rand.New(rand.NewPCG(1, 2))}
	c, s := clientTLS(client), tls.Server(pieces, serverTLS())
	shaken := make(chan error, 1)
	go func() { shaken <- c.Handshake() }()
	if err := s.Handshake(); err != nil {
		t.Fatal(err)
	}
	if err := <-shaken; err != nil {
		t.Fatal(err)
	}
	want, got, lone := 0, 0, 0
	for buf := make([]byte, 1000); lone < 100; {
		for range 1 + pieces.rnd.IntN(3) {
			n := 1 + pieces.rnd.IntN(100)
			send(t, c, repeat("x", n))
			want += n
		}
		for got < want {
			n, err := s.Read(buf)
			if got += n; err != nil {
				t.Fatalf("after %d bytes: %v", got, err)
			}
			if !pieces.borders.lone() {
				continue
			}
			lone++
			pieces.dry = true
			if n, err := s.Read(buf); n > 0 || err != errDry {
				t.Fatalf("after %d bytes: %d more, %v; want none", got, n, err)
			}
			pieces.dry = false
		}
	}
}
