package lane

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
)

// probe is one account of a request that the lane and net/http can both give, byte for byte.
func probe(method, target, host, body string, value func(name string, i int) (string, bool)) (head, content string) {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s %s %q", method, target, host, body)
	for _, name := range []string{"X-1", "x-2", "Cookie", "User-agent"} {
		for i := 0; ; i++ {
			v, ok := value(name, i)
			if !ok {
				break
			}
			fmt.Fprintf(&b, " %s=%q", name, v)
		}
	}
	if strings.Contains(target, "large") {
		b.WriteString(strings.Repeat(" and so on", 30<<10))
	}
	return fmt.Sprintf("Content-Length: %d\r\nContent-Type: text/probe\r\nDate: now\r\n", b.Len()), b.String()
}

// probeHandler answers with a probe, after reading the body.
func probeHandler(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		w.Header().Set("Date", "now")
		http.Error(w, "body", http.StatusBadRequest)
		return
	}
	head, content := probe(r.Method, r.RequestURI, r.Host, string(body), func(name string, i int) (string, bool) {
		if values := r.Header.Values(name); i < len(values) {
			return values[i], true
		}
		return "", false
	})
	for line := range strings.Lines(head) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		w.Header().Set(name, value)
	}
	_, _ = io.WriteString(w, content)
}

// probeAnswer answers like probeHandler, in as many pieces as there are lines of 10,000 bytes.
func probeAnswer(r *Request, w *Writer) Verdict {
	head, content := probe(r.Method, r.Target, r.Host, "", r.Value)
	if r.Close {
		head += "Connection: close\r\n"
	}
	w.Gather(fmt.Appendf(w.Buffer(), "HTTP/1.1 200 OK\r\n%s\r\n", head))
	if r.Method == http.MethodHead {
		return Answered
	}
	for piece := range slices.Chunk([]byte(content), 10000) {
		if _, err := w.Write(piece); err != nil {
			return Answered
		}
	}
	return Answered
}

// probeSome has net/http, the handler, or probeAnswer answer, by the sum of the target.
func probeSome(r *Request, w *Writer) Verdict {
	sum := 0
	for _, c := range []byte(r.Target) {
		sum += int(c)
	}
	if verdict := Verdict(sum % 3); verdict != Answered {
		return verdict
	}
	return probeAnswer(r, w)
}

// unlessMiss leaves "/miss" to the handler.
func unlessMiss(r *Request, w *Writer) Verdict {
	if r.Target == "/miss" {
		return Handle
	}
	return probeAnswer(r, w)
}

// overEach runs a test over sockets of the kernel, in the clear and with TLS.
func overEach(t *testing.T, f func(t *testing.T, config *tls.Config)) {
	t.Helper()
	t.Run("plain", func(t *testing.T) { f(t, nil) })
	t.Run("tls", func(t *testing.T) { f(t, serverTLS()) })
}

// count counts what an Answerer answers.
func count(answer Answerer) (Answerer, *atomic.Int64) {
	n := new(atomic.Int64)
	return func(r *Request, w *Writer) Verdict {
		verdict := answer(r, w)
		if verdict == Answered {
			n.Add(1)
		}
		return verdict
	}, n
}

// TestAsked: the Answerer is asked for what wants nothing but an answer, and for nothing else.
func TestAsked(t *testing.T) {
	for _, row := range []struct {
		rule string
		head string
		want bool
	}{
		{"GET", "GET / HTTP/1.1\r\nHost: a\r\n", true},
		{"HEAD", "HEAD / HTTP/1.1\r\nHost: a\r\n", true},
		{"keep-alive is what happens anyway", "GET / HTTP/1.1\r\nHost: a\r\nConnection: Keep-Alive\r\n", true},
		{"conditions and ranges are the Answerer's to see", "GET / HTTP/1.1\r\nHost: a\r\nRange: bytes=0-1\r\nIf-None-Match: *\r\n", true},
		{"another method", "DELETE / HTTP/1.1\r\nHost: a\r\n", false},
		{"a method in another case", "get / HTTP/1.1\r\nHost: a\r\n", false},
		{"no resource", "OPTIONS * HTTP/1.1\r\nHost: a\r\n", false},
		{"HTTP/1.0", "GET / HTTP/1.0\r\nHost: a\r\n", false},
		{"absolute form", "GET http://a/ HTTP/1.1\r\nHost: a\r\n", false},
		{"a body", "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n", false},
		{"a chunked body", "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", false},
		{"an expectation", "GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n", false},
		{"an upgrade", "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\n", false},
		{"an option of the connection", "GET / HTTP/1.1\r\nHost: a\r\nConnection: TE\r\n", false},
		{"close is the end, after the answer", "GET / HTTP/1.1\r\nHost: a\r\nConnection: Close\r\n", true},
		{"two lines that the lane knows", "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\nConnection: close\r\n", true},
		{"two lines with one that it does not", "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nConnection: X-1\r\n", false},
		{"a list", "GET / HTTP/1.1\r\nHost: a\r\nConnection: close, TE\r\n", false},
	} {
		asked, n := count(probeAnswer)
		r := newRig(t, probeHandler, func(c *Config) { c.Answer = asked }).start(nil)
		c := r.l.dial()
		send(t, c, row.head+"\r\n")
		if err := c.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(c); err != nil {
			t.Errorf("%s: %v", row.rule, err)
		}
		_ = c.Close()
		if got := n.Load() > 0; got != row.want {
			t.Errorf("%s: asked = %v, want %v", row.rule, got, row.want)
		}
	}
}

// TestHitsBetween: answers come in the order of the requests, whoever gives them and whatever is between: bodies of either
// kind, a request that is declined, hits sent ahead while a handler runs, a HEAD, and at last a head that is refused.
func TestHitsBetween(t *testing.T) {
	overEach(t, func(t *testing.T, config *tls.Config) {
		answer, n := count(unlessMiss)
		address, _ := tcpServer(t, probeHandler, answer, config)
		c := dialTCP(t, address, config)
		const host = " HTTP/1.1\r\nHost: a\r\n"
		raw := "GET /hit1" + host + "\r\n" +
			"POST /post" + host + "Content-Length: 5\r\n\r\nhello" +
			"GET /hit2" + host + "\r\n" +
			"POST /post" + host + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nT: u\r\n\r\n" +
			"GET /hit3" + host + "\r\nGET /miss" + host + "\r\nHEAD /hit4" + host + "\r\n" +
			"GET /hit5-large" + host + "\r\n" +
			"GET /hit6" + host + "X-1:  a b \r\nx-2: 1\r\nX-2: 2\r\n\r\n" +
			"GET /bad" + host + "Host: b\r\n\r\n"
		in := bufio.NewReader(c)
		for round := range 2 { // at once, and each part for itself
			if round == 0 {
				send(t, c, raw[:len(raw)-len("GET /bad"+host+"Host: b\r\n\r\n")])
			} else {
				for part := range slices.Chunk([]byte(raw), 7) {
					send(t, c, string(part))
				}
			}
			for _, want := range []string{
				`GET /hit1 a ""`, `POST /post a "hello"`, `GET /hit2 a ""`, `POST /post a "hello"`, `GET /hit3 a ""`,
				`GET /miss a ""`, ``, `GET /hit5-large a ""`, `GET /hit6 a "" X-1="a b" x-2="1" x-2="2"`,
			} {
				request := &http.Request{Method: http.MethodGet}
				if want == "" {
					request.Method = http.MethodHead
				}
				answer, err := http.ReadResponse(in, request)
				if err != nil {
					t.Fatalf("instead of %q: %v", want, err)
				}
				body, err := io.ReadAll(answer.Body)
				if !strings.HasPrefix(string(body), want) || err != nil || answer.Header.Get("Content-Type") != "text/probe" {
					t.Errorf("answer %.100q, %v; want %q", body, err, want)
				}
			}
		}
		if answer, _ := readAnswer(t, in); answer.StatusCode != 400 {
			t.Errorf("status %d for two Hosts, want 400", answer.StatusCode)
		}
		wantEnd(t, in)
		if n.Load() != 12 {
			t.Errorf("%d answers by the lane, want 12", n.Load())
		}
	})
}

// TestTheLastAnswer: behind the answer to a request with "Connection: close" the connection ends, whatever follows the request.
func TestTheLastAnswer(t *testing.T) {
	const last = "HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
	filling := "HTTP/1.1\r\nX: " + strings.Repeat("x", stashMin-len("GET /1 X: \r\n"+last)) + strings.TrimPrefix(last, "HTTP/1.1")
	overEach(t, func(t *testing.T, config *tls.Config) {
		answer, n := count(unlessMiss)
		address, _ := tcpServer(t, probeHandler, answer, config)
		for _, raw := range []string{
			"GET /1 " + last,
			"GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2-large " + last,
			"GET /1 " + last + "GET /2 HTTP/1.1\r\nHost: a\r\n\r\n",
			"GET /1 " + last + "nonsense",
			"GET /1 " + filling + strings.Repeat("nonsense", 1000), // of which none has been read yet
			"GET /miss HTTP/1.1\r\nHost: a\r\n\r\nGET /1 " + last + "GET /2 " + last,
		} {
			n.Store(0)
			c := dialTCP(t, address, config)
			send(t, c, raw)
			in := bufio.NewReader(c)
			for more := true; more; {
				answer, _ := readAnswer(t, in)
				more = !answer.Close
			}
			wantEnd(t, in)
			asked := raw[:strings.Index(raw, "close")]
			if want := strings.Count(asked, "Host: a") - strings.Count(asked, "/miss"); int(n.Load()) != want {
				t.Errorf("%q: %d answers by the lane, want %d", raw, n.Load(), want)
			}
			_ = c.Close()
		}
	})
}

// TestTheLastAnswerIsWhole, also for a client that goes on sending while it takes a long one.
func TestTheLastAnswerIsWhole(t *testing.T) {
	const size = 300 << 10
	overEach(t, func(t *testing.T, config *tls.Config) {
		address, _ := tcpServer(t, probeHandler, constant(size), config)
		c := dialTCP(t, address, config)
		send(t, c, "GET /1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
		got, piece := 0, make([]byte, 16<<10)
		for {
			n, err := c.Read(piece)
			if got += n; err != nil {
				if err != io.EOF || got < size {
					t.Errorf("the client has %d bytes of more than %d, and then %v", got, size, err)
				}
				break
			}
			if got < size {
				send(t, c, "more")
			}
		}
		_ = c.Close()
	})
}

// writeCounter notes the writes on a connection in memory.
type writeCounter struct {
	*memConn
	writes chan int
}

func (c *writeCounter) Write(p []byte) (int, error) {
	c.writes <- len(p)
	return c.memConn.Write(p)
}

// TestPipelineIsOneWrite: answers to requests that came together leave together.
func TestPipelineIsOneWrite(t *testing.T) {
	r := newRig(t, probeHandler, func(c *Config) { c.Answer = probeAnswer }).start(nil)
	client, server := memPipe(64 << 10)
	writes := make(chan int, 100)
	r.l.hand(&writeCounter{server, writes})
	send(t, client, strings.Repeat("GET /a HTTP/1.1\r\nHost: a\r\n\r\n", 10))
	in := bufio.NewReader(client)
	for range 10 {
		readAnswer(t, in)
	}
	if len(writes) != 1 {
		t.Errorf("%d writes for ten small answers, want 1", len(writes))
	}
	_ = client.Close()
}

// recordCounter notes the lengths of the TLS records written on a connection in memory.
type recordCounter struct {
	*memConn
	writes chan []int
}

func (c *recordCounter) Write(p []byte) (int, error) {
	var lengths []int
	for b := p; len(b) >= 5; {
		n := int(b[3])<<8 | int(b[4])
		lengths = append(lengths, n)
		b = b[min(len(b), 5+n):]
	}
	c.writes <- lengths
	return c.memConn.Write(p)
}

// TestRecords: over TLS head and body share their records, none is tiny, and those of an answer leave together.
func TestRecords(t *testing.T) {
	for _, row := range []struct {
		size    int
		records int
		least   int
	}{{1 << 10, 1, 1 << 10}, {10 << 10, 1, 10 << 10}, {16 << 10, 2, 4 << 10}, {30 << 10, 3, 4 << 10}, {100 << 10, 7, 4 << 10}} {
		r := newRig(t, echo, func(c *Config) { c.Answer = constant(row.size) }).start(serverTLS())
		client, server := memPipe(1 << 20)
		counter := &recordCounter{server, make(chan []int, 1000)}
		r.l.hand(counter)
		c := clientTLS(client, "http/1.1")
		in := bufio.NewReader(c)
		var writes [][]int
		for range 200 { // the first records of a connection are small: crypto/tls thinks of slow networks
			for len(counter.writes) > 0 {
				<-counter.writes
			}
			send(t, c, "GET /a HTTP/1.1\r\nHost: a\r\n\r\n")
			readAnswer(t, in)
		}
		for len(counter.writes) > 0 {
			writes = append(writes, <-counter.writes)
		}
		_ = c.Close() // the server says goodbye in a record of its own
		records := slices.Concat(writes...)
		if len(records) > row.records || slices.Min(records) < row.least {
			t.Errorf("%d bytes: records %v, want at most %d of at least %d", row.size, writes, row.records, row.least)
		}
	}
}

// TestRecordBorders: it is known of every read whether it was the end of one record and nothing else, in whatever pieces
// records come.
func TestRecordBorders(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		var stream []byte
		ends := map[int]bool{}
		for range 1 + rnd.IntN(4) {
			n := rnd.IntN(1 << rnd.IntN(15))
			stream = append(append(stream, 23, 3, 3, byte(n>>8), byte(n)), make([]byte, n)...)
			ends[len(stream)] = true
		}
		var b borders
		for at := 0; at < len(stream); {
			to := min(len(stream), at+1+rnd.IntN(1<<rnd.IntN(16)))
			b.follow(stream[at:to])
			ended := 0
			for ; at < to; at++ {
				if ends[at+1] {
					ended++
				}
			}
			if want := ended == 1 && ends[to]; b.lone() != want {
				t.Fatalf("up to %d of records that end at %v: lone = %v, want %v", to, ends, b.lone(), want)
			}
		}
	}
}

// TestBrokenAnswer: an answer that breaks off resets the connection, in whatever way that is said. What was sent before it
// may be lost with it.
func TestBrokenAnswer(t *testing.T) {
	overEach(t, func(t *testing.T, config *tls.Config) {
		for name, end := range map[string]func(*Request, *Writer){
			"reset": func(r *Request, _ *Writer) { r.Info.Reset() },
			"abort": func(_ *Request, w *Writer) { w.Abort() },
		} {
			address, s := tcpServer(t, echo, func(r *Request, w *Writer) Verdict {
				w.Gather(append(w.Buffer(), "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"...))
				_, _ = w.Write(bytes.Repeat([]byte("x"), 50000))
				end(r, w)
				return Answered
			}, config)
			c := dialTCP(t, address, config)
			send(t, c, get+get)
			if b, err := io.ReadAll(c); err == nil || len(b) > 60000 {
				t.Errorf("%s: %d bytes and %v, want a reset", name, len(b), err)
			}
			if err := s.Shutdown(t.Context()); err != nil { // the connection is not open
				t.Errorf("%s: Shutdown = %v", name, err)
			}
		}
	})
}

// TestAnswererPanics: its connection ends, and no other.
func TestAnswererPanics(t *testing.T) {
	overEach(t, func(t *testing.T, config *tls.Config) {
		address, _ := tcpServer(t, echo, func(r *Request, w *Writer) Verdict {
			if r.Target == "/panic" {
				panic("a bug")
			}
			return probeAnswer(r, w)
		}, config)
		other := dialTCP(t, address, config)
		in := bufio.NewReader(other)
		for _, first := range []string{"GET /panic", "POST /"} { // below net/http, and within its Read
			send(t, other, "GET /1 HTTP/1.1\r\nHost: a\r\n\r\n")
			readAnswer(t, in)
			c := dialTCP(t, address, config)
			send(t, c, first+" HTTP/1.1\r\nHost: a\r\n\r\n")
			if first == "POST /" {
				readAnswer(t, bufio.NewReader(c))
				send(t, c, "GET /panic HTTP/1.1\r\nHost: a\r\n\r\n")
			}
			if b, err := io.ReadAll(c); len(b) > 0 {
				t.Errorf("after a panic: %q, %v; want the end", b, err)
			}
		}
		send(t, other, "GET /2 HTTP/1.1\r\nHost: a\r\n\r\n")
		readAnswer(t, in)
	})
}
