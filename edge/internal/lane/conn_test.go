package lane

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// various does with a body what its path says, and answers with what it saw.
func various(w http.ResponseWriter, r *http.Request) {
	var body []byte
	switch r.URL.Path {
	case "/read":
		body, _ = io.ReadAll(r.Body)
	case "/some":
		body, _ = io.ReadAll(io.LimitReader(r.Body, 3))
	case "/close":
		_ = r.Body.Close()
	case "/late":
		w.Header().Set("Date", "now")
		w.WriteHeader(http.StatusAccepted)
		body, _ = io.ReadAll(r.Body)
	}
	w.Header().Set("Date", "now")
	if r.URL.Path == "/copy" { // by ReadFrom
		w.Header().Set("Content-Length", "100000")
		_, _ = io.Copy(w, strings.NewReader(strings.Repeat("0123456789", 10000)))
		return
	}
	_, _ = fmt.Fprintf(w, "%s %s %s %d %x %v", r.Method, r.RequestURI, r.Host, r.ContentLength, body, r.Trailer)
	if r.URL.Path == "/large" {
		_, _ = w.Write(bytes.Repeat([]byte("0123456789"), 10000))
	}
}

// randomRequest writes one valid request.
func randomRequest(rnd *rand.Rand, out *strings.Builder) {
	path := []string{"/read", "/ignore", "/some", "/close", "/late", "/large", "/copy"}[rnd.IntN(7)]
	method := []string{"GET", "POST", "PUT", "HEAD", "DELETE"}[rnd.IntN(5)]
	fmt.Fprintf(out, "%s %s HTTP/1.1\r\nHost: a.example\r\n", method, path)
	for range rnd.IntN(4) {
		fmt.Fprintf(out, "X-%d: %s\r\n", rnd.IntN(10), strings.Repeat("v", rnd.IntN(300)))
	}
	size := []int{0, 1, 5, 1000, 5000, 40000, 300 << 10}[rnd.IntN(7)]
	body := strings.Repeat("GET /smuggled HTTP/1.1\r\nHost: b\r\n\r\n", size/30+1)[:size]
	switch rnd.IntN(3) {
	case 0:
		out.WriteString("\r\n")
	case 1:
		fmt.Fprintf(out, "Content-Length: %d\r\n\r\n%s", len(body), body)
	case 2:
		out.WriteString("Transfer-Encoding: chunked\r\n\r\n")
		for len(body) > 0 {
			n := min(len(body), 1+rnd.IntN(10000))
			fmt.Fprintf(out, "%x%s\r\n%s\r\n", n, []string{"", ";a=b"}[rnd.IntN(2)], body[:n])
			body = body[n:]
		}
		out.WriteString([]string{"0\r\n\r\n", "0\r\nT: u\r\nV: w\r\n\r\n"}[rnd.IntN(2)])
	}
}

// TestSequences sends random pipelines, in random pieces, to the lane and to plain net/http: the answers are the same bytes.
func TestSequences(t *testing.T) {
	const rounds = 150
	for seed := range uint64(rounds) {
		synctest.Test(t, func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 1))
			var raw strings.Builder
			for range 1 + rnd.IntN(6) {
				randomRequest(rnd, &raw)
			}
			raw.WriteString("GET /end HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
			pieces := 1 + rnd.IntN(20000)

			r := newRig(t, various, byNetHTTP).start(nil)
			got := converse(r.l.dial(), raw.String(), pieces)
			plain := newMemListener()
			oracle := &http.Server{Handler: http.HandlerFunc(various)}
			go func() { _ = oracle.Serve(plain) }()
			want := converse(plain.dial(), raw.String(), pieces)
			_ = oracle.Close()
			if !bytes.Equal(got, want) {
				t.Errorf("seed %d: %d bytes of answers, net/http gives %d\n%.2000s\n-----\n%.2000s", seed, len(got), len(want), got, want)
			}
		})
	}
}

// converse sends raw in pieces and returns all that comes back.
func converse(c net.Conn, raw string, piece int) []byte {
	defer c.Close()
	go func() {
		for len(raw) > 0 {
			n := min(piece, len(raw))
			if _, err := io.WriteString(c, raw[:n]); err != nil {
				return
			}
			raw = raw[n:]
		}
	}()
	answers, _ := io.ReadAll(c) // a connection that was closed early is judged by its bytes
	return answers
}

// TestBodyNeverBecomesRequest: a handler that answers early leaves body bytes behind; they look like a request, and must
// not be answered as one. T4.
func TestBodyNeverBecomesRequest(t *testing.T) {
	smuggled := "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
	large := strings.Repeat(smuggled, 20000)
	for name, framing := range map[string]string{
		"length":          fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(smuggled), smuggled),
		"large length":    fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(large), large),
		"chunked":         fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(smuggled), smuggled),
		"large chunked":   fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(large), large),
		"malformed chunk": "Transfer-Encoding: chunked\r\n\r\n0\r\nX\r\n\r\n" + smuggled,
		"expected":        fmt.Sprintf("Content-Length: %d\r\nExpect: 100-continue\r\n\r\n%s", len(smuggled), smuggled),
	} {
		for _, method := range []string{"GET", "HEAD", "POST", "OPTIONS", "DELETE"} {
			for _, path := range []string{"/ignore", "/some", "/close", "/read", "/late"} {
				synctest.Test(t, func(t *testing.T) {
					var seen []string
					r := newRig(t, func(w http.ResponseWriter, r *http.Request) {
						seen = append(seen, r.RequestURI)
						various(w, r)
					}, nil).start(nil)
					converse(r.l.dial(), method+" "+path+" HTTP/1.1\r\nHost: a\r\n"+framing, 1<<20)
					if len(seen) != 1 || seen[0] != path {
						t.Errorf("%s, %s %s: handler saw %q", name, method, path, seen)
					}
				})
			}
		}
	}
}

// TestUnreadMessage: should net/http ever call itself idle with a message not wholly handed up, or with a Read in flight,
// the rest is not taken for a request.
func TestUnreadMessage(t *testing.T) {
	for name, body := range map[string]string{"length": "Content-Length: 50\r\n\r\n", "chunked": "Transfer-Encoding: chunked\r\n\r\n5"} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, echo, nil)
			client, server := memPipe(1 << 10)
			l := &link{Conn: server, srv: r.Server}
			c := newConn(l, l, nil)
			send(t, client, "POST / HTTP/1.1\r\nHost: a\r\n"+body)
			if _, err := c.Read(make([]byte, 1<<10)); err != nil {
				t.Fatal(err)
			}
			c.resume()
			send(t, client, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
			if n, err := c.Read(make([]byte, 1<<10)); n > 0 || err != io.EOF {
				t.Errorf("%s: Read = %d, %v; want the end", name, n, err)
			}
			_ = client.CloseWrite()
			_ = c.Close()
		})
	}
}

// TestExpectContinue: the client waits for the 100, then sends the body, then another request on the connection.
func TestExpectContinue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, echo, nil).start(nil)
		c := r.l.dial()
		defer c.Close()
		in := bufio.NewReader(c)
		for range 2 {
			send(t, c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
			if line, err := in.ReadString('\n'); err != nil || line != "HTTP/1.1 100 Continue\r\n" {
				t.Fatalf("got %q, %v; want 100", line, err)
			}
			_, _ = in.ReadString('\n')
			send(t, c, "hello")
			if _, body := readAnswer(t, in); body != `POST / a "hello" map[]` {
				t.Errorf("answer %q", body)
			}
		}
	})
}

// TestClientLeaves: a client that closes, or ends its side with nothing further sent, cancels the request's context.
func TestClientLeaves(t *testing.T) {
	for name, leave := range map[string]func(*memConn) error{"close": (*memConn).Close, "half-close": (*memConn).CloseWrite} {
		for _, body := range []string{"\r\n", "Content-Length: 2\r\n\r\nhi", "Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"} {
			synctest.Test(t, func(t *testing.T) {
				arrived, left := make(chan struct{}), make(chan struct{})
				r := newRig(t, func(w http.ResponseWriter, r *http.Request) {
					_, _ = io.Copy(io.Discard, r.Body)
					close(arrived)
					<-r.Context().Done()
					close(left)
				}, nil).start(nil)
				c := r.l.dial()
				defer c.Close()
				send(t, c, "POST / HTTP/1.1\r\nHost: a\r\n"+body)
				<-arrived
				if err := leave(c); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				select {
				case <-left:
				default:
					t.Errorf("%s after %q: context not cancelled", name, body)
					<-left
				}
			})
		}
	}
}

// TestEveryRequestIsWatched: the client is looked for during each slow answer on a connection, whatever the one before it took,
// and each handler has a context that ends with it.
func TestEveryRequestIsWatched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var before context.Context
		left := make(chan struct{})
		r := newRig(t, func(w http.ResponseWriter, r *http.Request) {
			if before != nil && before.Err() == nil || r.Context().Err() != nil {
				t.Errorf("%s: the context before has %v and this one %v", r.RequestURI, before.Err(), r.Context().Err())
			}
			before = r.Context()
			switch r.RequestURI {
			case "/slow":
				advanceOnly(2 * watchAfter)
			case "/left":
				<-r.Context().Done()
				close(left)
			}
		}, nil).start(nil)
		c := r.l.dial()
		in := bufio.NewReader(c)
		for _, target := range []string{"/slow", "/fast", "/slow", "/slow", "/fast"} {
			send(t, c, "GET "+target+" HTTP/1.1\r\nHost: a\r\n\r\n")
			response, err := http.ReadResponse(in, nil)
			if err != nil || response.StatusCode != http.StatusOK {
				t.Fatalf("%s: %v, %v", target, response, err)
			}
		}
		send(t, c, "GET /left HTTP/1.1\r\nHost: a\r\n\r\n")
		synctest.Wait()
		_ = c.Close()
		<-left
	})
}

// TestHalfCloseIsAnswered: a client may send all its requests, end its side, and read.
func TestHalfCloseIsAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(w http.ResponseWriter, r *http.Request) {
			advanceOnly(time.Second)
			if r.RequestURI != "/3" && r.Context().Err() != nil {
				t.Error("context cancelled although a further request waits")
			}
			echo(w, r)
		}, nil).start(nil)
		c := r.l.dial()
		send(t, c, "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nPOST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhiGET /3 HTTP/1.1\r\nHost: a\r\n\r\n")
		if err := c.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if got := readStatuses(t, bufio.NewReader(c)); len(got) != 3 {
			t.Errorf("answers %v, want three", got)
		}
		_ = c.Close()
	})
}

// TestFullStash: a client that sends ahead more than the stash holds is not read further, its request is answered, and so
// is all that it sent ahead.
func TestFullStash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		r := newRig(t, func(w http.ResponseWriter, r *http.Request) {
			<-release
			echo(w, r)
		}, nil)
		r.l.size = 1 << 10
		r.start(nil)
		c := r.l.dial()
		const n = 500
		var sent atomic.Int64
		go func() {
			request := "GET /" + strings.Repeat("1", 70) + " HTTP/1.1\r\nHost: a\r\n\r\n"
			for range n {
				written, _ := io.WriteString(c, request)
				sent.Add(int64(written))
			}
			_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
		}()
		advance(watchAfter)
		if sent := sent.Load(); sent > 2*maxStash || sent < maxStash {
			t.Errorf("%d bytes taken from a client that is not being answered, want about %d", sent, maxStash)
		}
		close(release)
		if got := readStatuses(t, bufio.NewReader(c)); len(got) != n+1 {
			t.Errorf("%d answers, want %d", len(got), n+1)
		}
		_ = c.Close()
	})
}

// TestHijack: after a hijack every byte goes through as it is, those sent ahead first.
func TestHijack(t *testing.T) {
	for name, secure := range map[string]bool{"plain": false, "tls": true} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, func(w http.ResponseWriter, r *http.Request) {
				c, rw, err := http.NewResponseController(w).Hijack()
				if err != nil {
					t.Errorf("hijack: %v", err)
					return
				}
				defer c.Close()
				_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
				_, _ = io.Copy(c, rw)
			}, nil)
			var c net.Conn
			if secure {
				c = clientTLS(r.start(serverTLS()).l.dial(), "http/1.1")
			} else {
				c = r.start(nil).l.dial()
			}
			defer c.Close()
			send(t, c, "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n\nahead\x00")
			in := bufio.NewReader(c)
			if answer, _ := readAnswer(t, in); answer.StatusCode != 101 {
				t.Fatalf("%s: status %d, want 101", name, answer.StatusCode)
			}
			send(t, c, "\r\nGET / HTTP/9\r\n")
			got := make([]byte, 23)
			if _, err := io.ReadFull(in, got); err != nil || string(got) != "\nahead\x00\r\nGET / HTTP/9\r\n" {
				t.Errorf("%s: got %q, %v", name, got, err)
			}
			if n := r.Stats().Tunnels; n != 1 {
				t.Errorf("%s: tunnels = %d, want 1", name, n)
			}
			advance(time.Hour) // a tunnel has no idle limit of ours
			send(t, c, "still")
			if _, err := io.ReadFull(in, got[:5]); err != nil || string(got[:5]) != "still" {
				t.Errorf("%s: after an hour %q, %v", name, got[:5], err)
			}
		})
	}
}

// TestPanic: a handler that panics ends its connection and no other.
func TestPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(w http.ResponseWriter, r *http.Request) {
			if r.RequestURI == "/panic" {
				panic(http.ErrAbortHandler)
			}
			echo(w, r)
		}, nil).start(nil)
		other := r.l.dial()
		defer other.Close()
		in := bufio.NewReader(other)
		send(t, other, "GET /1 HTTP/1.1\r\nHost: a\r\n\r\n")
		readAnswer(t, in)
		c := r.l.dial()
		send(t, c, "GET /panic HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n")
		wantEnd(t, c)
		_ = c.Close()
		send(t, other, "GET /3 HTTP/1.1\r\nHost: a\r\n\r\n")
		readAnswer(t, in)
	})
}

// TestRequestTLS: Request.TLS is set on TLS and only there; ConnFrom says the same.
func TestRequestTLS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		handler := func(w http.ResponseWriter, r *http.Request) {
			info := ConnFrom(r.Context())
			_, _ = fmt.Fprintf(w, "%v %v %v", r.TLS != nil, info.Secure, info.Remote)
		}
		for _, secure := range []bool{false, true} {
			r := newRig(t, handler, nil)
			var c net.Conn
			if secure {
				c = clientTLS(r.start(serverTLS()).l.dial(), "http/1.1")
			} else {
				c = r.start(nil).l.dial()
			}
			send(t, c, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
			_, body := readAnswer(t, bufio.NewReader(c))
			if want := fmt.Sprintf("%v %v %v", secure, secure, memAddr); body != want {
				t.Errorf("%q, want %q", body, want)
			}
			_ = c.Close()
		}
	})
}
