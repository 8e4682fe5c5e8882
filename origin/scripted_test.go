package origin

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// scripted is an origin whose every byte is the test's. Its n-th connection runs the n-th script, and the last one again for
// those that follow. A connection is closed when its script returns.
type scripted struct {
	t       testing.TB
	scripts []func(*peer)
	dials   atomic.Int64
	running sync.WaitGroup
}

func (s *scripted) dial(context.Context, string, string) (net.Conn, error) {
	near, far := net.Pipe()
	n := int(s.dials.Add(1)) - 1
	script := s.scripts[min(n, len(s.scripts)-1)]
	p := &peer{Conn: far, t: s.t, br: bufio.NewReader(far)}
	s.running.Go(func() {
		defer far.Close()
		script(p)
	})
	return &resettable{Conn: near, peer: p}, nil
}

// peer is the origin's end of a connection.
type peer struct {
	net.Conn
	t     testing.TB
	br    *bufio.Reader
	reset atomic.Bool // the end of the connection shows as a reset
}

// request reads a request with its body. It returns nil when there is none.
func (p *peer) request() *http.Request {
	r, err := http.ReadRequest(p.br)
	if err != nil {
		return nil
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil
	}
	r.Body = io.NopCloser(strings.NewReader(string(body)))
	return r
}

// head reads the head of a request and leaves its body.
func (p *peer) head() *http.Request {
	r, err := http.ReadRequest(p.br)
	if err != nil {
		return nil
	}
	return r
}

// write sends a burst: the other end reads all of it at once.
func (p *peer) write(s string) { io.WriteString(p.Conn, s) }

// hold waits until the other end closes the connection, and returns what it sent before.
func (p *peer) hold() string {
	rest, _ := io.ReadAll(p.br)
	return string(rest)
}

// resettable is the pool's end.
type resettable struct {
	net.Conn
	peer *peer
}

func (c *resettable) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if err == io.EOF && c.peer.reset.Load() {
		err = &net.OpError{Op: "read", Err: syscall.ECONNRESET}
	}
	return n, err
}

const second = time.Second

func testConfig() Config {
	c := DefaultConfig()
	c.URLs = []string{"http://origin.test"}
	c.Retry.Attempts = 1 // one exchange at a time is looked at
	c.Timeouts = Timeouts{Connect: 2 * second, FirstByte: 10 * second, Gap: 5 * second, Idle: 60 * second}
	return c
}

// patientConfig is for real sockets: whoever is at their other end may have to wait for a processor.
func patientConfig() Config {
	c := testConfig()
	c.Timeouts.Connect, c.Timeouts.FirstByte, c.Timeouts.Gap = time.Minute, time.Minute, time.Minute
	return c
}

// overLinks has pools use links, which a network in memory does not know by itself: see TestOverLinks.
var overLinks bool

func newPool(t testing.TB, c Config, dial Dialer) *Pool {
	t.Helper()
	p, err := New("test", c, Network{Dial: dial, sockets: overLinks}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// withOrigin runs a test against a scripted origin, in a bubble where time is free.
func withOrigin(t *testing.T, test func(t *testing.T, p *Pool, s *scripted), scripts ...func(*peer)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &scripted{t: t, scripts: scripts}
		p := newPool(t, testConfig(), s.dial)
		test(t, p, s)
		p.Close()
		s.running.Wait()
	})
}

func newRequest(t testing.TB, method, target string, body io.Reader) *http.Request {
	t.Helper()
	r, err := http.NewRequest(method, "http://www.test"+target, body)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// exchangeOnce sends r and reads the whole answer.
func exchangeOnce(p *Pool, r *http.Request) (*http.Response, string, error) {
	response, err := p.RoundTrip(r)
	if err != nil {
		return nil, "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return response, string(body), err
}

// wantBody expects a whole answer.
func wantBody(t *testing.T, p *Pool, r *http.Request, status int, want string) *http.Response {
	t.Helper()
	response, body, err := exchangeOnce(p, r)
	if err != nil {
		t.Fatalf("%s %s: %v", r.Method, r.URL.Path, err)
	}
	if response.StatusCode != status || body != want {
		t.Fatalf("%s %s = %d %q, want %d %q", r.Method, r.URL.Path, response.StatusCode, body, status, want)
	}
	return response
}

// wantFailure checks that err is a Failure of a type, and returns it.
func wantFailure(t *testing.T, err error, errorType string, status int) *Failure {
	t.Helper()
	var failure *Failure
	if !errors.As(err, &failure) {
		t.Fatalf("error = %v (%T), want a Failure of type %s", err, err, errorType)
	}
	if failure.Type != errorType || failure.Status != status {
		t.Fatalf("failure = %s with %d (%v), want %s with %d", failure.Type, failure.Status, failure.Err, errorType, status)
	}
	if failure.Upstream == "" {
		t.Errorf("failure %v names no upstream", failure)
	}
	return failure
}

// testUpstream is one of a pool that asks nobody, with a request in flight.
func testUpstream(t testing.TB) *upstream {
	u := newPool(t, testConfig(), nil).upstreams()[0]
	u.load.inFlight.Add(1)
	return u
}
