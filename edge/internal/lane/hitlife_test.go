package lane

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// The life of connections that net/http has not seen, or sees seldom.

const get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"

func answeringAll(c *Config) { c.Answer = probeAnswer }

// TestHitWaits: how long a connection may wait that only the lane knows, and what it is told.
func TestHitWaits(t *testing.T) {
	for _, row := range []struct {
		rule   string
		raw    string
		status string
		waits  time.Duration
	}{
		{"silent after a hit", get, "200", testTimeouts.Idle},
		{"silent within the second head", get + "GET", "408", testTimeouts.Header},
		{"silent within a head behind two hits", get + get + "GET / HTTP/1.1\r\n", "408", testTimeouts.Header},
	} {
		synctest.Test(t, func(t *testing.T) {
			c := newRig(t, echo, answeringAll).start(nil).l.dial()
			defer c.Close()
			send(t, c, row.raw)
			got, waited := endAfter(c)
			if !strings.Contains(got, row.status) || waited != row.waits {
				t.Errorf("%s: ended after %v with %q; want %s after %v", row.rule, waited, got, row.status, row.waits)
			}
		})
	}
}

// TestHitsRearmSeldom: the idle deadline is counted from the last answer, although the socket's is seldom set.
func TestHitsRearmSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, echo, answeringAll).start(nil)
		client, server := memPipe(1 << 10)
		counter := &deadlineCounter{memConn: server}
		r.l.hand(counter)
		in := bufio.NewReader(client)
		const n = 100
		for range n {
			send(t, client, get)
			readAnswer(t, in)
			advance(10 * time.Millisecond)
		}
		synctest.Wait()
		if sets := counter.sets.Load(); sets > 4 {
			t.Errorf("deadline set %d times for %d hits in a second, want at most 4", sets, n)
		}
		if _, waited := endAfter(in); waited != testTimeouts.Idle-10*time.Millisecond {
			t.Errorf("idle for %v, want %v", waited, testTimeouts.Idle-10*time.Millisecond)
		}
		_ = client.Close()
	})
}

// deadlineCounter counts how often a read deadline is set.
type deadlineCounter struct {
	*memConn
	sets atomic.Int64
}

func (c *deadlineCounter) SetReadDeadline(t time.Time) error {
	c.sets.Add(1)
	return c.memConn.SetReadDeadline(t)
}

// TestBlindWait: a socket that was not asked is asked again soon, and the wait is none the longer.
func TestBlindWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, server := memPipe(1 << 10)
		l := &link{Conn: server, srv: newRig(t, echo, answeringAll).Server}
		c := newConn(l, l, nil)
		c.served = true
		c.rest()
		if got := c.armed; got != testTimeouts.Idle {
			t.Errorf("armed for %v, want %v", got, testTimeouts.Idle)
		}
		c.engage()
		l.blind = true
		c.rest()
		if got := c.armed; got != lookAgain || !l.trust {
			t.Errorf("armed for %v, trust %v; want %v for one who came back at once", got, l.trust, lookAgain)
		}
		advance(lookAgain)
		if c.expired() || c.armed != testTimeouts.Idle {
			t.Errorf("expired, or armed for %v; want to wait on until %v", c.armed, testTimeouts.Idle)
		}
		c.engage()
		if c.rest(); l.trust {
			t.Error("trust in one who took his time")
		}
		advance(testTimeouts.Idle)
		if !c.expired() {
			t.Error("not expired at the end of the wait")
		}
	})
}

// TestHitHalfClose: a client may send its requests, end its side, and read. Over sockets too, where the end comes without a
// sign of its own.
func TestHitHalfClose(t *testing.T) {
	overEach(t, func(t *testing.T, config *tls.Config) {
		address, _ := tcpServer(t, probeHandler, probeAnswer, config)
		c := dialTCP(t, address, config)
		in := bufio.NewReader(c)
		for range 3 { // so that it is believed to wait for its answers
			send(t, c, get)
			readAnswer(t, in)
		}
		send(t, c, get+"GET /large HTTP/1.1\r\nHost: a\r\n\r\n")
		if err := c.(stream).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if got := readStatuses(t, in); len(got) != 2 {
			t.Errorf("answers %v, want two and the end", got)
		}
	})
}

// TestHitsAhead: hits that are sent while a handler runs are answered after it.
func TestHitsAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		r := newRig(t, func(w http.ResponseWriter, r *http.Request) {
			<-release
			probeHandler(w, r)
		}, answeringAll).start(nil)
		c := r.l.dial()
		defer c.Close()
		send(t, c, "POST /first HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
		synctest.Wait() // net/http watches for the client to leave
		send(t, c, "GET /second HTTP/1.1\r\nHost: a\r\n\r\nGET /third HTTP/1.1\r\nHo")
		synctest.Wait()
		send(t, c, "st: a\r\n\r\n")
		close(release)
		in := bufio.NewReader(c)
		for _, want := range []string{`POST /first a ""`, `GET /second a ""`, `GET /third a ""`} {
			if _, got := readAnswer(t, in); got != want {
				t.Errorf("answer %q, want %q", got, want)
			}
		}
	})
}

// TestHijackAfterHits: a tunnel begins on a connection that has been the lane's alone.
func TestHijackAfterHits(t *testing.T) {
	overEach(t, func(t *testing.T, config *tls.Config) {
		address, _ := tcpServer(t, func(w http.ResponseWriter, r *http.Request) {
			c, rw, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Errorf("hijack: %v", err)
				return
			}
			defer c.Close()
			_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
			_, _ = io.Copy(c, rw)
		}, probeAnswer, config)
		c := dialTCP(t, address, config)
		in := bufio.NewReader(c)
		for range 3 {
			send(t, c, get)
			readAnswer(t, in)
		}
		send(t, c, get+"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"+get)
		readAnswer(t, in)
		if answer, err := http.ReadResponse(in, nil); err != nil || answer.StatusCode != 101 {
			t.Fatalf("answer %v, %v; want 101", answer, err)
		}
		send(t, c, "\x00"+get)
		want := get + "\x00" + get
		got := make([]byte, len(want))
		if _, err := io.ReadFull(in, got); err != nil || string(got) != want {
			t.Errorf("got %q, %v; want it as it was sent", got, err)
		}
	})
}

// TestDrainOfHits: connections that net/http never saw are drained: those that wait end, an answer under way is given to its
// end, and a request that comes meanwhile is served by the handler, which says close.
func TestDrainOfHits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, probeHandler, answeringAll)
		r.l.size = 1 << 10
		r.start(nil)
		waits, crossing, slow := r.l.dial(), r.l.dial(), r.l.dial()
		for _, c := range []*memConn{waits, crossing} {
			send(t, c, get)
			readAnswer(t, bufio.NewReader(c))
		}
		send(t, slow, "GET /large HTTP/1.1\r\nHost: a\r\n\r\n")
		synctest.Wait()
		if s := r.Stats(); s.Idle != 2 || s.Active != 1 {
			t.Errorf("stats %+v, want 2 idle and 1 active", s)
		}
		ended := make(chan error, 1)
		go func() { ended <- r.Shutdown(context.Background()) }()
		advance(idleGrace / 2)
		send(t, crossing, get)
		if answer, _ := readAnswer(t, bufio.NewReader(crossing)); !answer.Close {
			t.Error("an answer while draining does not say close")
		}
		advance(idleGrace)
		wantEnd(t, waits)
		advance(time.Second)
		select {
		case err := <-ended:
			t.Fatalf("Shutdown = %v while an answer is under way", err)
		default:
		}
		in := bufio.NewReader(slow)
		if _, body := readAnswer(t, in); len(body) < 300<<10 {
			t.Errorf("%d bytes of an answer under way", len(body))
		}
		wantEnd(t, in)
		if err := <-ended; err != nil {
			t.Errorf("Shutdown = %v", err)
		}
		for _, c := range []*memConn{waits, crossing, slow} {
			_ = c.Close()
		}
	})
}

// TestCloseInMidWrite: a shutdown that cannot wait, and a client that has left, end an answer of the lane's.
func TestCloseInMidWrite(t *testing.T) {
	overEach(t, func(t *testing.T, config *tls.Config) {
		for name, end := range map[string]func(*Server, net.Conn){
			"shutdown": func(s *Server, _ net.Conn) {
				ctx, cancel := context.WithCancel(context.Background())
				cancel()
				if err := s.Shutdown(ctx); !errors.Is(err, context.Canceled) {
					t.Errorf("Shutdown = %v, want %v", err, context.Canceled)
				}
			},
			"client": func(_ *Server, c net.Conn) { _ = c.Close() },
		} {
			writing, failed := make(chan struct{}), make(chan error)
			address, s := tcpServer(t, echo, func(r *Request, w *Writer) Verdict {
				close(writing)
				piece := make([]byte, writePiece)
				for {
					if _, err := w.Write(piece); err != nil {
						failed <- err
						return Answered
					}
				}
			}, config)
			c := dialTCP(t, address, config)
			send(t, c, get)
			<-writing
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				end(s, c)
			}()
			if err := <-failed; err == nil {
				t.Errorf("%s: writing goes on", name)
			}
			<-ended
		}
	})
}

// TestStuckReaderOfHit: a client that takes nothing is cut when the patience ends; one that takes a little is not. T22.
func TestStuckReaderOfHit(t *testing.T) {
	for _, secure := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			var config *tls.Config
			if secure {
				config = serverTLS()
			}
			done, left := make(chan time.Duration, 1), 0
			r := newRig(t, echo, func(c *Config) {
				c.Answer = func(r *Request, w *Writer) Verdict {
					start := time.Now()
					piece := bytes.Repeat([]byte("x"), writePiece)
					for range 4 {
						n, err := w.Write(piece)
						if left += n; err != nil {
							done <- time.Since(start)
							return Answered
						}
					}
					w.flush()
					done <- time.Since(start)
					return Answered
				}
			}).start(config)
			raw := r.l.dial()
			defer raw.Close()
			c := net.Conn(raw)
			if secure {
				c = clientTLS(raw, "http/1.1")
			}
			send(t, c, get)
			if waited := <-done; !aboutPatience(waited, testTimeouts.Write) {
				t.Errorf("secure %v: cut after %v, want %v", secure, waited, testTimeouts.Write)
			}
			if left > writePiece || !secure && left != r.l.size { // TLS counts what it has gathered
				t.Errorf("secure %v: %d bytes left, want %d", secure, left, r.l.size)
			}

			other := net.Conn(r.l.dial())
			defer other.Close()
			if secure {
				other = clientTLS(other, "http/1.1")
			}
			send(t, other, get)
			buf, got := make([]byte, 64<<10), 0 // more than TLS may have taken before
			for got < 4*writePiece {
				advance(testTimeouts.Write - time.Second)
				n, err := io.ReadFull(other, buf)
				if got += n; err != nil {
					t.Fatalf("secure %v: %d bytes, %v", secure, got, err)
				}
			}
			<-done
		})
	}
}

// TestNothingBehindACutAnswer: a client that takes nothing for too long is cut, and not refused: what it had sent ahead is no
// slow head, and the refusal would stand where the rest of the answer belongs.
func TestNothingBehindACutAnswer(t *testing.T) {
	for _, secure := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			var config *tls.Config
			if secure {
				config = serverTLS()
			}
			r := newRig(t, probeHandler, answeringAll).start(config)
			raw := r.l.dial()
			defer raw.Close()
			c := net.Conn(raw)
			if secure {
				c = clientTLS(raw, "http/1.1")
			}
			large := "GET /large HTTP/1.1\r\nHost: a\r\n\r\n"
			send(t, c, large+large+large)
			advance(testTimeouts.Write * 5 / 4)
			if s := r.Stats(); s.Idle+s.Active != 0 || len(s.Refused) != 0 {
				t.Errorf("secure %v: stats %+v, want no connection and no refusal", secure, s)
			}
			if got, _ := io.ReadAll(c); len(got) > 0 {
				t.Errorf("secure %v: %d bytes are still kept for it", secure, len(got))
			}
		})
	}
}

// TestHitsKeepTheirPlaces: a connection of the lane's alone makes way as any other does, and a hit spares it.
func TestHitsKeepTheirPlaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, echo, func(c *Config) { c.Conns, c.Answer = 2, probeAnswer }).start(nil)
		first, second := r.l.dial(), r.l.dial()
		send(t, first, get)
		readAnswer(t, bufio.NewReader(first))
		advance(time.Millisecond)
		send(t, second, get)
		readAnswer(t, bufio.NewReader(second))
		third := r.l.dial()
		advance(idleGrace / 2)
		send(t, first, get) // told to leave, and just in time
		readAnswer(t, bufio.NewReader(first))
		wantEnd(t, second)
		send(t, third, getClose)
		if got := readStatuses(t, bufio.NewReader(third)); len(got) != 1 {
			t.Errorf("answers %v, want one", got)
		}
		advance(testTimeouts.Idle - 2*time.Second)
		send(t, first, getClose)
		if got := readStatuses(t, bufio.NewReader(first)); len(got) != 1 {
			t.Errorf("answers %v for the one that was spared, want one", got)
		}
		synctest.Wait() // a client sees the end before it is counted
		if s := r.Stats(); s.Idle+s.Active != 0 || r.links.evicted != 0 {
			t.Errorf("stats %+v and %d leaving, want none", s, r.links.evicted)
		}
		for _, c := range []*memConn{first, second, third} {
			_ = c.Close()
		}
	})
}

// TestWaitsOverTCP needs the kernel: there a conn waits without reading. All wait at once, for as long as a busy machine may
// take to bring what was sent.
func TestWaitsOverTCP(t *testing.T) {
	overEach(t, func(t *testing.T, config *tls.Config) {
		const patience = 2 * time.Second
		address, s := tcpServer(t, echo, probeAnswer, config)
		s.Reconfigure(testLimits, Timeouts{Handshake: time.Minute, Header: patience, Idle: patience})
		sent := []string{get, get + get + get, get + "GET / HT", ""}
		start := time.Now() // of the server's wait for a first byte, or before
		var conns []net.Conn
		for _, raw := range sent {
			c := dialTCP(t, address, config)
			send(t, c, raw)
			conns = append(conns, c)
		}
		for i, raw := range sent {
			got, _ := io.ReadAll(conns[i])
			if waited := time.Since(start); waited < patience {
				t.Errorf("%q: ended after %v, want %v at least", raw, waited, patience)
			}
			if n := strings.Count(string(got), " 200 OK"); n != strings.Count(raw, get) {
				t.Errorf("%q: %d answers", raw, n)
			}
			if cut := strings.Contains(string(got), " 408 "); cut != strings.HasSuffix(raw, " HT") {
				t.Errorf("%q: 408 = %v", raw, cut)
			}
		}
	})
}
