package origin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestRepeatable: one row per sentence of what may be sent twice, and where.
func TestRepeatable(t *testing.T) {
	noConnection := &Failure{Type: typeRefused, connecting: true}
	brokeOff, silent, repeated := fault(typeTerminated, ""), fault(typeResponseTimeout, ""), &Failure{Type: typeTerminated, Repeated: true}
	for _, row := range []struct {
		name    string
		method  string
		hasBody bool
		sent    bool
		failure *Failure
		want    repeat
	}{
		{"no connection was made", "POST", true, false, noConnection, elsewhere},
		{"no byte was sent, and there is no body that may have been read", "POST", false, false, brokeOff, anywhere},
		{"a body may have been read though no byte was sent", "POST", true, false, brokeOff, nowhere},
		{"a POST is never sent twice", "POST", false, true, brokeOff, nowhere},
		{"nor with a body", "POST", true, true, brokeOff, nowhere},
		{"nor is a PUT", "PUT", true, true, silent, nowhere},
		{"nor is a DELETE, which may mean another the second time", "DELETE", false, true, silent, nowhere},
		{"nor what nobody knows", "FROB", false, true, brokeOff, nowhere},
		{"a GET is, at the same upstream too when that only broke off", "GET", false, true, brokeOff, anywhere},
		{"a HEAD is", "HEAD", false, true, brokeOff, anywhere},
		{"an OPTIONS is", "OPTIONS", false, true, brokeOff, anywhere},
		{"a GET with a body is not", "GET", true, true, brokeOff, nowhere},
		{"who was silent is not asked again", "GET", false, true, silent, elsewhere},
		{"nor who was asked twice already", "GET", false, true, repeated, elsewhere},
	} {
		var body io.Reader
		if row.hasBody {
			body = strings.NewReader("a")
		}
		if got := repeatable(newRequest(t, row.method, "/", body), row.failure, row.sent); got != row.want {
			t.Errorf("%s: %v, want %v", row.name, got, row.want)
		}
	}
}

// failures are the ways in which an upstream can fail, and whether the request was sent then.
var failures = []struct {
	name string
	does deed
	sent bool
}{
	{"refused", refuses, false}, {"broken off", breaks, true}, {"silent", hangs, true}, {"503", says(503), true},
	{"garbage", func(p *peer, _ *http.Request) bool { p.write("nonsense\r\n"); return false }, true},
	{"head cut", func(p *peer, _ *http.Request) bool { p.write("HTTP/1.1 200 OK\r\nA"); return false }, true},
}

// TestRetries: whatever happens to one of two upstreams, a GET is answered by the other, and a POST is sent once.
func TestRetries(t *testing.T) {
	for _, failure := range failures {
		for _, method := range []string{"GET", "POST"} {
			t.Run(failure.name+" "+method, func(t *testing.T) {
				withFarm(t, "ab", same, func(t *testing.T, p *Pool, f *farm) {
					f.set("a", failure.does)
					response, _, err := exchangeOnce(p, newRequest(t, method, "/", nil))
					well := err == nil && response.StatusCode == 200
					if want := method == "GET" || !failure.sent; well != want {
						t.Errorf("answered well: %t, want %t (%v)", well, want, err)
					}
					asked, wantAsked := f.count("a")+f.count("b"), 1
					if method == "GET" && failure.sent {
						wantAsked = 2
					}
					if asked != wantAsked {
						t.Errorf("the request was sent %d times, want %d", asked, wantAsked)
					}
				})
			})
		}
	}
}

// TestPostIsNeverSentTwice: with a body, on kept connections, with any failure of any upstream, however many there are.
func TestPostIsNeverSentTwice(t *testing.T) {
	for _, failure := range failures {
		withFarm(t, "abc", func(c *Config) { c.Retry.Attempts, c.Retry.Reserve = 10, 1000 }, func(t *testing.T, p *Pool, f *farm) {
			f.ask(p, 6)
			for _, name := range []string{"a", "b", "c"} {
				f.count(name)
				f.set(name, failure.does)
			}
			for range 3 {
				for _, body := range []io.Reader{nil, strings.NewReader("body")} {
					if response, _, err := exchangeOnce(p, newRequest(t, "POST", "/", body)); err == nil && response.StatusCode == 200 {
						t.Errorf("%s: answered with 200", failure.name)
					}
					if n := f.count("a") + f.count("b") + f.count("c"); n > 1 {
						t.Errorf("%s: a POST was sent %d times", failure.name, n)
					}
				}
			}
		})
	}
}

// TestSameUpstreamOnceMore: where there is no other, one that broke off is asked again; one that is silent or out of order
// is not.
func TestSameUpstreamOnceMore(t *testing.T) {
	for _, row := range []struct {
		name string
		does deed
		want int
	}{{"broken off", breaks, 2}, {"silent", hangs, 1}, {"503", says(503), 1}, {"404", says(404), 1}} {
		withFarm(t, "a", same, func(t *testing.T, p *Pool, f *farm) {
			f.set("a", row.does)
			f.ask(p, 1)
			if n := f.count("a"); n != row.want {
				t.Errorf("%s: asked %d times, want %d", row.name, n, row.want)
			}
		})
	}
}

// TestNoRetryAfterTheHead: what the client may have seen is not taken back. How it may go on is TestBodyGoesOn's.
func TestNoRetryAfterTheHead(t *testing.T) {
	withFarm(t, "ab", same, func(t *testing.T, p *Pool, f *farm) {
		f.set("a", func(p *peer, _ *http.Request) bool {
			p.write("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")
			return false
		})
		_, body, err := exchangeOnce(p, newRequest(t, "GET", "/", nil))
		if wantFailure(t, err, typeResponseIncomplete, 502); body != "abc" || f.count("b") != 0 {
			t.Errorf("body %q, b asked %d times", body, f.count("b"))
		}
	})
}

// TestAnErrorStatusIsPassedOn when no other upstream is well, body and all.
func TestAnErrorStatusIsPassedOn(t *testing.T) {
	withFarm(t, "ab", same, func(t *testing.T, p *Pool, f *farm) {
		f.set("a", says(500))
		p.upstreams()[1].health.checked(false, "test", time.Now())
		wantBody(t, p, newRequest(t, "GET", "/", nil), 500, "Internal Server Error")
		if f.count("b") != 0 {
			t.Error("asked b, which is down")
		}
	})
}

// TestBudget: while everything fails, upstreams see no more than the budget allows beside the requests themselves.
func TestBudget(t *testing.T) {
	for _, failure := range failures {
		if !failure.sent {
			continue
		}
		for _, budget := range []int{0, 20} {
			t.Run(fmt.Sprint(failure.name, " ", budget), func(t *testing.T) {
				withFarm(t, "abc", func(c *Config) {
					c.Retry.Budget, c.Retry.Reserve, c.Timeouts.FirstByte = budget, 0, second
				}, func(t *testing.T, p *Pool, f *farm) {
					for _, name := range []string{"a", "b", "c"} {
						f.set(name, failure.does)
					}
					const requests = 500
					var asking sync.WaitGroup
					for range requests {
						asking.Go(func() { f.ask(p, 1) })
						pass(20 * time.Millisecond)
					}
					asking.Wait()
					seen := f.count("a") + f.count("b") + f.count("c")
					if most := requests * (100 + budget) / 100; seen > most {
						t.Errorf("%d requests became %d, want at most %d", requests, seen, most)
					}
					if s := p.Status(); int(s.Retries) != seen-requests || s.RetriesRefused == 0 {
						t.Errorf("%d retries, %d refused; %d were seen", s.Retries, s.RetriesRefused, seen-requests)
					}
				})
			})
		}
	}
}

// TestBudgetReserve: where little is asked, a few retries are allowed all the same; and no second is forgotten too soon.
func TestBudgetReserve(t *testing.T) {
	b := &budget{share: 0.2, reserve: 3}
	now := time.Unix(1000, 0)
	allowed := func(n int) (got int) {
		for range n {
			if b.retry(now) {
				got++
			}
		}
		return got
	}
	if got := allowed(10); got != 3 {
		t.Errorf("without requests: %d retries, want the reserve", got)
	}
	for range 50 {
		b.request(now)
	}
	if got := allowed(20); got != 7 {
		t.Errorf("after 50 requests: %d more retries, want 7 more", got)
	}
	now = now.Add(9 * second)
	if got := allowed(20); got != 0 {
		t.Errorf("nine seconds later: %d retries, want none", got)
	}
	now = now.Add(second)
	if got := allowed(20); got != 3 {
		t.Errorf("ten seconds later: %d retries, want the reserve", got)
	}
}

// TestTotal: all attempts together end in time.
func TestTotal(t *testing.T) {
	withFarm(t, "abc", func(c *Config) { c.Timeouts.FirstByte, c.Timeouts.Total = 10*second, 15*second }, func(t *testing.T, p *Pool, f *farm) {
		for _, name := range []string{"a", "b", "c"} {
			f.set(name, hangs)
		}
		began := time.Now()
		_, err := p.RoundTrip(newRequest(t, "GET", "/", nil))
		wantFailure(t, err, typeResponseTimeout, 504)
		if took := time.Since(began); took != 15*second {
			t.Errorf("it took %v, want 15s", took)
		}
	})
}

// TestAttempts: so many and no more; those that found nobody listening do not count.
func TestAttempts(t *testing.T) {
	withFarm(t, "abcde", func(c *Config) { c.Retry.Attempts = 2 }, func(t *testing.T, p *Pool, f *farm) {
		for _, name := range []string{"a", "c", "d"} {
			f.set(name, refuses)
		}
		f.set("b", breaks)
		if f.ask(p, 1) != 1 || f.count("b") != 1 || f.count("e") != 1 {
			t.Error("a, c and d refuse, b breaks off: want e to answer")
		}
		f.set("e", breaks)
		p.upstreams()[4].transports.Load().closeIdle() // or http.Transport makes an attempt of its own
		f.ask(p, 1)
		if n := f.count("b") + f.count("e"); n != 2 {
			t.Errorf("%d attempts were made, want 2", n)
		}
	})
}

// TestHedge: a second upstream is asked when the first takes long; the first good answer counts, and the other is let go.
func TestHedge(t *testing.T) {
	for _, row := range []struct {
		name         string
		one, two     deed
		answer       string // address and how long it took
		asked        int
		wantFailures int64
	}{
		{"the first is quick", says(200), says(200), "a.test:80 in 0s", 1, 0},
		{"the first is late", after(second, says(200)), says(200), "b.test:80 in 100ms", 2, 0},
		{"the first is late and still first", after(150*time.Millisecond, says(200)), after(second, says(200)), "a.test:80 in 150ms", 2, 0},
		{"the second fails", after(second, says(200)), says(503), "a.test:80 in 1s", 2, 1},
		{"the second is not there", after(second, says(200)), refuses, "a.test:80 in 1s", 1, 1},
	} {
		withFarm(t, "ab", func(c *Config) { c.Retry.Hedge = 100 * time.Millisecond }, func(t *testing.T, p *Pool, f *farm) {
			f.set("a", row.one)
			f.set("b", row.two)
			began := time.Now()
			response := wantBody(t, p, newRequest(t, "GET", "/", nil), 200, "OK")
			if got := fmt.Sprint(Upstream(response), " in ", time.Since(began)); got != row.answer {
				t.Errorf("%s: answered by %s, want %s", row.name, got, row.answer)
			}
			synctest.Wait()
			failures := int64(0)
			for _, u := range p.Status().Upstreams {
				failures += u.Failures
				if u.InFlight != 0 {
					t.Errorf("%s: %d in flight at %s at the end", row.name, u.InFlight, u.Upstream)
				}
			}
			if n := f.count("a") + f.count("b"); n != row.asked || failures != row.wantFailures {
				t.Errorf("%s: asked %d times with %d failures, want %d with %d", row.name, n, failures, row.asked, row.wantFailures)
			}
		})
	}
}

// TestHedgeIsForGET without a body, and on the budget.
func TestHedgeIsForGET(t *testing.T) {
	withFarm(t, "ab", func(c *Config) {
		c.Retry.Hedge, c.Retry.Budget, c.Retry.Reserve = 100*time.Millisecond, 0, 1
	}, func(t *testing.T, p *Pool, f *farm) {
		for _, name := range []string{"a", "b"} {
			f.set(name, after(second, says(200)))
		}
		for i, row := range []struct {
			method, body string
			want         int
		}{{"POST", "", 1}, {"POST", "a", 1}, {"GET", "a", 1}, {"GET", "", 2}, {"GET", "", 1}} {
			r := newRequest(t, row.method, "/", nil)
			if row.body != "" {
				r = newRequest(t, row.method, "/", strings.NewReader(row.body))
			}
			wantBody(t, p, r, 200, "OK")
			if n := f.count("a") + f.count("b"); n != row.want {
				t.Errorf("request %d, a %s: asked %d times, want %d", i, row.method, n, row.want)
			}
		}
	})
}

// TestHedgeEnds with the client.
func TestHedgeEnds(t *testing.T) {
	withFarm(t, "ab", func(c *Config) { c.Retry.Hedge = 100 * time.Millisecond }, func(t *testing.T, p *Pool, f *farm) {
		f.set("a", hangs)
		f.set("b", hangs)
		ctx, leave := context.WithCancelCause(t.Context())
		gone := errors.New("gone")
		time.AfterFunc(second, func() { leave(gone) })
		if _, err := p.RoundTrip(newRequest(t, "GET", "/", nil).WithContext(ctx)); err != gone {
			t.Errorf("error = %v, want why the client left", err)
		}
		for _, u := range p.Status().Upstreams {
			if u.Failures != 0 || u.InFlight != 0 {
				t.Errorf("%s: %d failures, %d in flight", u.Upstream, u.Failures, u.InFlight)
			}
		}
	})
}
