package origin

import (
	"errors"
	"log/slog"
	"math"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func same(*Config) {}

// TestEjection: five failures in a row, and an upstream is left alone; it comes back slowly, and is left alone for longer if
// it has not got better.
func TestEjection(t *testing.T) {
	withFarm(t, "abc", same, func(t *testing.T, p *Pool, f *farm) {
		f.set("b", says(503))
		f.ask(p, 15)
		wantState(t, p, "b", StateEjected)
		if _, why := stateOf(t, p, "b"); why != "failures in a row: status 503" {
			t.Errorf("why = %q", why)
		}
		if n := f.count("b"); n != 5 {
			t.Errorf("asked b %d times before its ejection, want 5", n)
		}
		pass(9999 * time.Millisecond)
		if well := f.ask(p, 30); well != 30 || f.count("b") != 0 {
			t.Errorf("while b is ejected, %d of 30 are well", well)
		}
		pass(time.Millisecond)
		wantState(t, p, "b", StateStarting)
		f.ask(p, 150)
		wantState(t, p, "b", StateEjected)
		if n := f.count("b"); n != 5 {
			t.Errorf("asked b %d times after its return, want 5", n)
		}
		pass(19 * second)
		wantState(t, p, "b", StateEjected)
		pass(second)
		wantState(t, p, "b", StateStarting)
		f.set("b", says(200))
		f.ask(p, 210)
		if n := f.count("b"); n < 8 || n > 12 {
			t.Errorf("just back, b got %d of 210, want about 10", n)
		}
		pass(10 * second)
		wantState(t, p, "b", StateUp)
		f.ask(p, 30)
		if n := f.count("b"); n < 9 || n > 11 {
			t.Errorf("b got %d of 30, want its third", n)
		}
		if s := p.Status().Upstreams[1]; s.Ejections != 2 || s.Returns != 2 || s.Failures != 10 {
			t.Errorf("%d ejections, %d returns, %d failures; want 2, 2 and 10", s.Ejections, s.Returns, s.Failures)
		}
	})
}

// TestWhatCountsAsFailure: what the upstream did wrong, not what it was asked, nor what the client did.
func TestWhatCountsAsFailure(t *testing.T) {
	cut := func(p *peer, _ *http.Request) bool {
		p.write("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")
		return false
	}
	garbage := func(p *peer, _ *http.Request) bool { p.write("nonsense\r\n"); return false }
	for _, row := range []struct {
		name string
		does deed
		want int64
	}{
		{"200", says(200), 0}, {"404", says(404), 0}, {"429", says(429), 0}, {"501", says(501), 0},
		{"500", says(500), 1}, {"502", says(502), 1}, {"503", says(503), 1}, {"504", says(504), 1},
		{"no answer", hangs, 1}, {"a connection broken", breaks, 1}, {"a body cut short", cut, 1}, {"garbage", garbage, 1},
		{"a connection refused", refuses, 1},
	} {
		withFarm(t, "a", func(c *Config) { c.Retry.Attempts = 1 }, func(t *testing.T, p *Pool, f *farm) {
			f.set("a", row.does)
			f.ask(p, 1)
			if s := p.Status().Upstreams[0]; s.Failures != row.want || s.Answers != 1 {
				t.Errorf("%s: %d failures of %d answers, want %d of 1", row.name, s.Failures, s.Answers, row.want)
			}
		})
	}
}

// TestErrorRate: half of the answers are failures, though never five in a row.
func TestErrorRate(t *testing.T) {
	withFarm(t, "ab", same, func(t *testing.T, p *Pool, f *farm) {
		n := 0
		f.set("b", func(p *peer, r *http.Request) bool {
			n++
			return says(200+300*(n%2))(p, r)
		})
		f.ask(p, 38)
		wantState(t, p, "b", StateUp)
		f.ask(p, 4)
		if state, why := stateOf(t, p, "b"); state != StateEjected || !strings.HasPrefix(why, "error rate") {
			t.Errorf("b is %s (%s), want it ejected for its error rate", state, why)
		}
	})
}

// TestSlower: an upstream that takes more than five times as long as the others.
func TestSlower(t *testing.T) {
	withFarm(t, "abc", func(c *Config) { c.Outliers.Slower = 5 }, func(t *testing.T, p *Pool, f *farm) {
		for name, takes := range map[string]time.Duration{"a": 10, "b": 20, "c": 200} {
			f.set(name, after(takes*time.Millisecond, says(200)))
		}
		for range 3 {
			f.ask(p, 90)
			pass(10 * second)
		}
		wantState(t, p, "a", StateUp)
		wantState(t, p, "b", StateUp)
		if s := p.Status().Upstreams[2]; s.Ejections == 0 {
			t.Error("c was never ejected")
		}
	})
}

// TestMaxEjected: so many and no more, and never the last.
func TestMaxEjected(t *testing.T) {
	for _, row := range []struct {
		percent, want int
	}{{0, 0}, {33, 0}, {34, 1}, {70, 2}, {100, 2}} {
		withFarm(t, "abc", func(c *Config) { c.Outliers.MaxEjected = row.percent }, func(t *testing.T, p *Pool, f *farm) {
			for _, name := range []string{"a", "b", "c"} {
				f.set(name, says(500))
			}
			f.ask(p, 100)
			got := 0
			for _, s := range p.Status().Upstreams {
				if s.State == StateEjected {
					got++
				}
			}
			if got != row.want {
				t.Errorf("max_ejected %d: %d of 3 are ejected, want %d", row.percent, got, row.want)
			}
		})
	}
}

// TestRollingRestart: upstreams go and come back one after the other, sooner than the time is up for which the first was ejected.
// Before each is known to be away a few requests may meet it; from then on those that are back answer.
func TestRollingRestart(t *testing.T) {
	for how, away := range map[string]deed{"503": says(503), "breaks": breaks, "refuses": refuses} {
		withFarm(t, "abc", same, func(t *testing.T, p *Pool, f *farm) {
			for range 3 {
				for _, name := range []string{"a", "b", "c"} {
					f.set(name, away)
					asked, well := f.askFor(p, 3*second)
					f.set(name, says(200))
					if failed := asked - well; failed > 5 {
						t.Errorf("%s: %d of %d requests fail while %s is away", how, failed, asked, name)
					}
					if asked, well = f.askFor(p, second); well != asked {
						t.Errorf("%s: %d of %d requests fail while all are there", how, asked-well, asked)
					}
				}
			}
		})
	}
}

// TestPardon: an ejected upstream is back before its time when it is asked, since none is better, and five answers in a row are good.
func TestPardon(t *testing.T) {
	withFarm(t, "ab", same, func(t *testing.T, p *Pool, f *farm) {
		f.set("a", says(503))
		f.ask(p, 10)
		wantState(t, p, "a", StateEjected)
		n := 0
		f.set("a", func(p *peer, r *http.Request) bool { // four are not enough
			n++
			return says(map[bool]int{true: 503, false: 200}[n%5 == 0])(p, r)
		})
		f.set("b", says(503))
		f.ask(p, 60)
		wantState(t, p, "a", StateEjected)
		wantState(t, p, "b", StateUp)
		f.set("a", says(200))
		f.ask(p, 10)
		wantState(t, p, "a", StateStarting)
		f.ask(p, 60)
		wantState(t, p, "b", StateEjected)
		if s := p.Status().Upstreams[0]; s.Ejections != 1 || s.Returns != 1 {
			t.Errorf("a: %d ejections, %d returns, want one of each", s.Ejections, s.Returns)
		}
	})
}

// TestPanic: below the threshold all are asked; without one, only when none is well.
func TestPanic(t *testing.T) {
	for _, row := range []struct {
		name        string
		percent     int
		down        []string
		asked       string
		withBackups bool
	}{
		{"half are well", 50, []string{"a", "b"}, "cd", false},
		{"less than half are well", 51, []string{"a", "b"}, "abcd", false},
		{"one is well", 0, []string{"a", "b", "c"}, "d", false},
		{"none is", 0, []string{"a", "b", "c", "d"}, "abcd", false},
		{"none is, but the backup", 0, []string{"a", "b", "c", "d"}, "e", true},
		{"none is, nor the backup", 0, []string{"a", "b", "c", "d", "e"}, "abcd", true},
	} {
		withFarm(t, "abcd", func(c *Config) {
			c.Panic = row.percent
			if row.withBackups {
				c.Upstreams = []UpstreamConfig{{URL: "http://e.test", Weight: 1, Backup: true}}
			}
		}, func(t *testing.T, p *Pool, f *farm) {
			f.set("e", says(200))
			for _, u := range p.upstreams() {
				for _, name := range row.down {
					if u.name == name+".test:80" {
						u.health.checked(false, "test", time.Now())
					}
				}
			}
			f.ask(p, 40)
			asked := ""
			for _, name := range []string{"a", "b", "c", "d", "e"} {
				if f.count(name) > 0 {
					asked += name
				}
			}
			if asked != row.asked {
				t.Errorf("%s: asked %s, want %s", row.name, asked, row.asked)
			}
		})
	}
}

// TestSlowStart: a tenth at first, then as the time that has passed.
func TestSlowStart(t *testing.T) {
	now := time.Unix(1000, 0)
	h := &health{slowStart: 10 * second, log: slog.New(slog.DiscardHandler)}
	if got := h.share(now); got != 1 {
		t.Errorf("at first: %v, want all", got)
	}
	h.checked(false, "test", now)
	if got := h.share(now); got != 0 {
		t.Errorf("down: %v, want nothing", got)
	}
	h.eject(now.Add(5*second), "test", now)
	h.checked(true, "", now)
	if got := h.share(now.Add(4 * second)); got != 0 {
		t.Errorf("up by its checks, ejected by its answers: %v, want nothing", got)
	}
	for _, row := range []struct {
		seconds time.Duration
		want    float64
	}{{5, .1}, {6, .1}, {7, .2}, {10, .5}, {14, .9}, {15, 1}, {100, 1}} {
		if got := h.share(now.Add(row.seconds * second)); math.Abs(got-row.want) > 1e-9 {
			t.Errorf("%d s later: %v, want %v", row.seconds, got, row.want)
		}
	}
}

// TestBreaker: open, nothing is sent and the answer is immediate; after the pause one request decides.
func TestBreaker(t *testing.T) {
	withFarm(t, "a", func(c *Config) { c.Breaker.Failures = 3 }, func(t *testing.T, p *Pool, f *farm) {
		f.set("a", says(500))
		f.ask(p, 10)
		if n := f.count("a"); n != 3 {
			t.Errorf("asked %d times, want 3", n)
		}
		wantState(t, p, "a", StateOpen)
		_, err := p.RoundTrip(newRequest(t, "GET", "/", nil))
		var failure *Failure
		if !errors.As(err, &failure) || failure.Status != 503 || !failure.Unreachable {
			t.Errorf("error = %v, want a 503 of an origin that is not reached, so that what is stale is served", err)
		}
		pass(11 * second)
		f.ask(p, 10)
		if n := f.count("a"); n != 1 {
			t.Errorf("asked %d times after the pause, want one probe", n)
		}
		pass(11 * second)
		f.set("a", says(200))
		if well := f.ask(p, 10); well != 10 {
			t.Errorf("%d of 10 are well after a good probe", well)
		}
		wantState(t, p, "a", StateUp)
	})
}

// TestBreakerPassesOn: where there is another upstream, nobody notices.
func TestBreakerPassesOn(t *testing.T) {
	withFarm(t, "ab", func(c *Config) { c.Breaker.Failures, c.Outliers.MaxEjected = 3, 0 }, func(t *testing.T, p *Pool, f *farm) {
		f.set("a", says(500))
		f.ask(p, 6)
		f.count("a")
		if well := f.ask(p, 20); well != 20 || f.count("a") != 0 {
			t.Errorf("%d of 20 are well while the breaker of one of two is open", well)
		}
	})
}

// TestDrain: no more requests, and those in flight are finished; a new weight holds at once.
func TestDrain(t *testing.T) {
	withFarm(t, "ab", same, func(t *testing.T, p *Pool, f *farm) {
		f.set("a", after(second, says(200)))
		long := make(chan int)
		go func() { long <- f.ask(p, 1) }()
		synctest.Wait()
		if err := p.Change("a.test:80", Change{Drain: new(true)}); err != nil {
			t.Fatal(err)
		}
		wantState(t, p, "a", StateDraining)
		if well := f.ask(p, 10); well != 10 || f.count("b") != 10 {
			t.Errorf("%d of 10 are well while a is drained", well)
		}
		if <-long != 1 {
			t.Error("the request in flight at a was not answered")
		}
		f.set("a", says(200))
		if err := p.Change("a.test:80", Change{Drain: new(false), Weight: new(3)}); err != nil {
			t.Fatal(err)
		}
		f.count("a")
		f.ask(p, 40)
		if n := f.count("a"); n < 29 || n > 31 {
			t.Errorf("with three times the weight a got %d of 40, want about 30", n)
		}
	})
}
