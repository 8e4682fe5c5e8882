package origin

import (
	"io"
	"net/http"
	"testing"
	"time"
)

// TestChecks: what is well and what is not, by each kind of check.
func TestChecks(t *testing.T) {
	body := func(text string) deed {
		return func(p *peer, _ *http.Request) bool {
			io.WriteString(p, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"+text)
			return false
		}
	}
	for _, row := range []struct {
		name   string
		change func(c *CheckConfig)
		does   deed
		want   string
	}{
		{"200", func(c *CheckConfig) {}, says(200), StateUp},
		{"301", func(c *CheckConfig) {}, says(301), StateUp},
		{"404", func(c *CheckConfig) {}, says(404), StateDown},
		{"404 when that is expected", func(c *CheckConfig) { c.Status = []string{"404"} }, says(404), StateUp},
		{"200 when 404 is expected", func(c *CheckConfig) { c.Status = []string{"404"} }, says(200), StateDown},
		{"a body", func(c *CheckConfig) { c.Body = "ready" }, body("it is ready."), StateUp},
		{"another body", func(c *CheckConfig) { c.Body = "ready" }, body("not yet"), StateDown},
		{"no connection", func(c *CheckConfig) {}, refuses, StateDown},
		{"no answer", func(c *CheckConfig) {}, hangs, StateDown},
		{"a broken one", func(c *CheckConfig) {}, breaks, StateDown},
		{"an answer too late", func(c *CheckConfig) {}, after(3*second, says(200)), StateDown},
		{"tcp", func(c *CheckConfig) { c.Kind = checkTCP }, says(500), StateUp},
		{"tcp without connection", func(c *CheckConfig) { c.Kind = checkTCP }, refuses, StateDown},
	} {
		t.Run(row.name, func(t *testing.T) {
			withFarm(t, "a", func(c *Config) {
				c.Check.Kind = checkHTTP
				row.change(&c.Check)
			}, func(t *testing.T, p *Pool, f *farm) {
				f.set("a", row.does)
				pass(time.Minute)
				wantState(t, p, "a", row.want)
			})
		})
	}
}

// TestCheckAsks for the path, with the Host of the origin, again and again.
func TestCheckAsks(t *testing.T) {
	withFarm(t, "a", func(c *Config) {
		c.Check.Kind, c.Check.Path, c.Host = checkHTTP, "/healthz?full", "www.example.com"
	}, func(t *testing.T, p *Pool, f *farm) {
		f.set("a", func(p *peer, r *http.Request) bool {
			if r.Method != "GET" || r.RequestURI != "/healthz?full" || r.Host != "www.example.com" {
				t.Errorf("asked %s %s of %s", r.Method, r.RequestURI, r.Host)
			}
			return says(200)(p, r)
		})
		pass(100 * second)
		if n := f.count("a"); n < 18 || n > 22 {
			t.Errorf("%d checks in 100 seconds, want about 20", n)
		}
		if s := p.Status().Upstreams[0]; s.Checks < 18 || s.FailedChecks != 0 || s.Answers != 0 || s.InFlight != 0 {
			t.Errorf("status: %+v", s)
		}
	})
}

// TestCheckThresholds: three in a row take an upstream out, two in a row let it in.
func TestCheckThresholds(t *testing.T) {
	withFarm(t, "a", same, func(t *testing.T, p *Pool, f *farm) {
		k := newChecker(testConfig().Check, p.upstreams()[0], "")
		for i, row := range []struct {
			err  error
			want string
		}{
			{io.EOF, StateUp}, {io.EOF, StateUp}, {nil, StateUp}, {io.EOF, StateUp}, {io.EOF, StateUp}, {io.EOF, StateDown},
			{nil, StateDown}, {io.EOF, StateDown}, {nil, StateDown}, {nil, StateStarting},
		} {
			k.judge(row.err)
			if got, _ := stateOf(t, p, "a"); got != row.want {
				t.Errorf("after check %d (%v): %s, want %s", i, row.err, got, row.want)
			}
		}
	})
}

// TestChecksKeepRequestsAway: before one request has met a dead upstream, and until it is back.
func TestChecksKeepRequestsAway(t *testing.T) {
	withFarm(t, "ab", func(c *Config) { c.Check.Kind = checkTCP }, func(t *testing.T, p *Pool, f *farm) {
		f.set("a", refuses)
		pass(20 * second)
		if f.ask(p, 20); p.Status().Upstreams[0].Failures != 0 {
			t.Error("a was asked while it was down")
		}
		f.set("a", says(200))
		pass(20 * second)
		f.count("a")
		f.ask(p, 20)
		if f.count("a") == 0 {
			t.Error("a was not asked after it came back")
		}
	})
}
