package origin

import (
	"bufio"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestOverLinks: what holds of exchanges on an http.Transport holds of those on links.
func TestOverLinks(t *testing.T) {
	overLinks = true
	defer func() { overLinks = false }()
	for _, row := range []struct {
		name string
		test func(*testing.T)
	}{
		{"KeepAlive", TestKeepAlive}, {"BodiesTravelApart", TestBodiesTravelApart}, {"BodyWithoutMeaning", TestBodyWithoutMeaning},
		{"BodyWhereNoneMayBe", TestBodyWhereNoneMayBe}, {"EarlyClose", TestEarlyClose}, {"DeadKeptConnection", TestDeadKeptConnection},
		{"GarbageOnKeptConnection", TestGarbageOnKeptConnection}, {"InterimResponses", TestInterimResponses},
		{"ConcealedInEverySection", TestConcealedInEverySection},
		{"NothingIsInvented", TestNothingIsInvented}, {"ConnectionStays", TestConnectionStays},
		{"Expect", TestExpect}, {"Trailers", TestTrailers}, {"Upgrade", TestUpgrade},
		{"RequestBytes", TestRequestBytes}, {"BrokenHead", TestBrokenHead}, {"BrokenBody", TestBrokenBody},
		{"ConnectFailures", TestConnectFailures}, {"Cancel", TestCancel}, {"Gap", TestGap}, {"InvalidRequest", TestInvalidRequest},
		{"Retries", TestRetries}, {"PostIsNeverSentTwice", TestPostIsNeverSentTwice}, {"SameUpstreamOnceMore", TestSameUpstreamOnceMore},
		{"NoRetryAfterTheHead", TestNoRetryAfterTheHead}, {"Total", TestTotal}, {"Attempts", TestAttempts}, {"Hedge", TestHedge},
		{"HedgeEnds", TestHedgeEnds}, {"Breaker", TestBreaker}, {"Drain", TestDrain},
	} {
		t.Run(row.name, row.test)
	}
}

// onSocket runs a test against an origin on a socket of the kernel, which alone tells without a read what has come there. Its n-th
// connection runs the n-th script, and the last one again.
func onSocket(t *testing.T, c Config, test func(p *Pool, accepted *atomic.Int64), scripts ...func(*peer)) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	var accepted atomic.Int64
	running.Go(func() {
		for c, err := l.Accept(); err == nil; c, err = l.Accept() {
			script := scripts[min(int(accepted.Add(1)), len(scripts))-1]
			running.Go(func() {
				defer c.Close()
				script(&peer{Conn: c, t: t, br: bufio.NewReader(c)})
			})
		}
	})
	c.URLs = []string{"http://" + l.Addr().String()}
	p, err := New("test", c, Network{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	test(p, &accepted)
	p.Close()
	l.Close()
	running.Wait()
}

func linksOf(p *Pool) *links { return p.upstreams()[0].transports.Load().links }

// awaitInput waits until what the other end has written, or its end, is here: a kernel takes its time too.
func awaitInput(k *link) { k.socket.Read(func(uintptr) bool { return hasInput(k.socket) }) }

// A second answer that came while the connection was idle is nobody's, and neither is the connection's end a failure.
func TestIdleLinkThatIsOver(t *testing.T) {
	for name, leave := range map[string]func(*peer){
		"unasked bytes": func(p *peer) { p.write("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison") },
		"closed":        func(p *peer) { p.Conn.(*net.TCPConn).CloseWrite() },
	} {
		t.Run(name, func(t *testing.T) {
			next, left := make(chan bool), make(chan bool)
			onSocket(t, patientConfig(), func(p *Pool, accepted *atomic.Int64) {
				wantBody(t, p, newRequest(t, "GET", "/", nil), 200, "ok")
				next <- true
				<-left
				awaitInput(linksOf(p).idle[0])
				wantBody(t, p, newRequest(t, "POST", "/", nil), 200, "ok") // not even one that must not be sent twice
				if n := accepted.Load(); n != 2 {
					t.Errorf("%d connections, want 2", n)
				}
			}, func(p *peer) {
				p.request()
				p.write(ok2)
				<-next
				leave(p)
				close(left)
				p.hold()
			}, serve(ok2))
		})
	}
}

func TestUpstreamSpeaksFirst(t *testing.T) {
	onSocket(t, patientConfig(), func(p *Pool, _ *atomic.Int64) {
		_, _, err := exchangeOnce(p, newRequest(t, "GET", "/", nil))
		wantFailure(t, err, typeProtocol, 502)
	}, func(p *peer) { p.write("220 mail.test ready\r\n"); p.hold() })
}

// TestIdleLinksAreLookedThrough: neither those that the upstream has closed nor those of long ago are kept.
func TestIdleLinksAreLookedThrough(t *testing.T) {
	gone := make(chan bool)
	c := patientConfig()
	onSocket(t, c, func(p *Pool, accepted *atomic.Int64) {
		links := linksOf(p)
		wantBody(t, p, newRequest(t, "GET", "/", nil), 200, "ok")
		if len(links.idle) != 1 {
			t.Fatalf("%d idle connections after an answer, want 1", len(links.idle))
		}
		links.lookThrough()
		if len(links.idle) != 1 {
			t.Fatalf("a good connection was closed")
		}
		gone <- true
		<-gone
		awaitInput(links.idle[0])
		links.lookThrough()
		if len(links.idle) != 0 {
			t.Errorf("%d idle connections, want none: the upstream has closed it", len(links.idle))
		}
		wantBody(t, p, newRequest(t, "GET", "/", nil), 200, "ok")
		links.idle[0].since = time.Now().Add(-c.Timeouts.Idle)
		links.lookThrough()
		if len(links.idle) != 0 {
			t.Errorf("%d idle connections, want none: it was idle for too long", len(links.idle))
		}
	}, func(p *peer) {
		p.request()
		p.write(ok2)
		<-gone
		p.Conn.(*net.TCPConn).CloseWrite()
		gone <- true
	}, serve(ok2))
}

// TestLinksAreBounded: of those that become idle together only so many are kept, and none of a pool that is closed.
func TestLinksAreBounded(t *testing.T) {
	c := patientConfig()
	c.IdleConns = 2
	onSocket(t, c, func(p *Pool, accepted *atomic.Int64) {
		links := linksOf(p)
		var open []*http.Response
		for range 4 {
			response, err := p.RoundTrip(newRequest(t, "GET", "/", nil))
			if err != nil {
				t.Fatal(err)
			}
			open = append(open, response)
		}
		for _, response := range open[:3] {
			var all [8]byte
			for err := error(nil); err == nil; _, err = response.Body.Read(all[:]) {
			}
		}
		if n := len(links.idle); n != 2 || accepted.Load() != 4 {
			t.Errorf("%d of %d connections kept, want 2 of 4", n, accepted.Load())
		}
		p.Close()
		var all [8]byte
		for err := error(nil); err == nil; _, err = open[3].Body.Read(all[:]) {
		}
		wantBody(t, p, newRequest(t, "GET", "/", nil), 200, "ok") // as a retry would
		if n := len(links.idle); n != 0 {
			t.Errorf("%d idle connections of a closed pool, want none", n)
		}
	}, serve(ok2))
}

// TestKeptConnectionsAreNotTriedInTurn: an upstream that hangs up on a request does not get it on each connection that was kept. On
// links the next is a new one; http.Transport has tried some when the others are taken from it.
func TestKeptConnectionsAreNotTriedInTurn(t *testing.T) {
	defer func() { overLinks = false }()
	for links, want := range map[bool]int64{true: 1, false: 1 + maxRepeats} {
		overLinks = links
		var wasted atomic.Int64
		var scripts []func(*peer)
		for range 10 {
			scripts = append(scripts, func(p *peer) {
				p.request()
				p.write(ok2)
				if p.request() != nil {
					wasted.Add(1)
				}
			})
		}
		withOrigin(t, func(t *testing.T, p *Pool, _ *scripted) {
			var open []*http.Response
			for range 10 {
				response, err := p.RoundTrip(newRequest(t, "GET", "/", nil))
				if err != nil {
					t.Fatal(err)
				}
				open = append(open, response)
			}
			for _, response := range open {
				io.Copy(io.Discard, response.Body)
			}
			synctest.Wait()
			wantBody(t, p, newRequest(t, "GET", "/", nil), 200, "ok")
			if n := wasted.Load(); n != want {
				t.Errorf("links: %t: the request was sent on %d kept connections, want %d", links, n, want)
			}
		}, append(scripts, serve(ok2))...)
	}
}
