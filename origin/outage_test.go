package origin

import (
	"testing"
	"time"
)

// TestIsOut: while one is left that can be expected to answer, the pool is not out.
func TestIsOut(t *testing.T) {
	drain := func(t *testing.T, p *Pool, name string) {
		t.Helper()
		if err := p.Change(name+".test:80", Change{Drain: new(true)}); err != nil {
			t.Fatal(err)
		}
	}
	for _, row := range []struct {
		sentence string
		change   func(*Config)
		happens  func(t *testing.T, p *Pool, f *farm)
		want     bool
	}{
		{"all are well", same, func(_ *testing.T, p *Pool, f *farm) { f.ask(p, 10) }, false},
		{"nobody has asked yet", same, func(*testing.T, *Pool, *farm) {}, false},
		{"one is ejected", same, func(_ *testing.T, p *Pool, f *farm) {
			f.set("a", refuses)
			f.ask(p, 30)
		}, false},
		{"one is ejected, the other drained", same, func(t *testing.T, p *Pool, f *farm) {
			f.set("a", refuses)
			f.ask(p, 30)
			drain(t, p, "b")
		}, true},
		{"all are drained", same, func(t *testing.T, p *Pool, f *farm) {
			drain(t, p, "a")
			drain(t, p, "b")
		}, true},
		{"one is ejected, the other is left because it is the last", same, func(_ *testing.T, p *Pool, f *farm) {
			f.set("a", refuses)
			f.set("b", refuses)
			f.ask(p, 30)
		}, true},
		{"none may be ejected", func(c *Config) { c.Outliers.MaxEjected = 0 }, func(_ *testing.T, p *Pool, f *farm) {
			f.set("a", refuses)
			f.set("b", breaks)
			f.ask(p, 30)
		}, true},
		// RFC 9111, section 4.2.4: disconnected is who cannot contact the origin.
		{"the last one answers, though with errors", same, func(_ *testing.T, p *Pool, f *farm) {
			f.set("a", refuses)
			f.set("b", says(503))
			f.ask(p, 30)
		}, false},
		{"the last one answers again, though with an error", same, func(_ *testing.T, p *Pool, f *farm) {
			f.set("a", refuses)
			f.set("b", refuses)
			f.ask(p, 30)
			f.set("b", says(503))
			f.ask(p, 1)
		}, false},
		{"the last one is good again", same, func(_ *testing.T, p *Pool, f *farm) {
			f.set("a", refuses)
			f.set("b", refuses)
			f.ask(p, 30)
			f.set("b", says(200))
			f.ask(p, 1)
		}, false},
		{"the first one's time is up", same, func(_ *testing.T, p *Pool, f *farm) {
			f.set("a", refuses)
			f.set("b", refuses)
			f.ask(p, 30)
			pass(10 * time.Second)
		}, false},
		{"too few failures to tell", same, func(_ *testing.T, p *Pool, f *farm) {
			f.set("a", refuses)
			f.set("b", refuses)
			f.ask(p, 4)
		}, false},
		{"the checks say so", func(c *Config) { c.Check.Kind = "tcp" }, func(_ *testing.T, p *Pool, f *farm) {
			f.set("a", refuses)
			f.set("b", refuses)
			pass(time.Minute)
		}, true},
		{"both are cut off", func(c *Config) { c.Breaker.Failures = 3 }, func(_ *testing.T, p *Pool, f *farm) {
			f.set("a", says(503))
			f.set("b", says(503))
			f.ask(p, 30)
		}, true},
		{"a probe is due", func(c *Config) { c.Breaker.Failures = 3 }, func(_ *testing.T, p *Pool, f *farm) {
			f.set("a", says(503))
			f.set("b", says(503))
			f.ask(p, 30)
			pass(11 * time.Second)
		}, false},
		{"a backup is left", func(c *Config) {
			c.URLs = nil
			c.Upstreams = []UpstreamConfig{{URL: "http://a.test", Weight: 1}, {URL: "http://b.test", Weight: 1, Backup: true}}
		}, func(t *testing.T, p *Pool, _ *farm) { drain(t, p, "a") }, false},
		{"slow is not out", func(c *Config) { c.Outliers.MaxEjected, c.Outliers.Slower = 0, 2 }, func(_ *testing.T, p *Pool, f *farm) {
			f.set("a", after(time.Second, says(200)))
			f.ask(p, 200)
		}, false},
	} {
		withFarm(t, "ab", row.change, func(t *testing.T, p *Pool, f *farm) {
			row.happens(t, p, f)
			if got := p.IsOut(); got != row.want {
				t.Errorf("%s: IsOut = %v, want %v: %+v", row.sentence, got, row.want, p.Status().Upstreams)
			}
			if got := p.Status().Out; got != row.want {
				t.Errorf("%s: Status().Out = %v, want %v", row.sentence, got, row.want)
			}
		})
	}
}

// TestServiceIsOutOnceKnown: with no upstream there is nobody to ask, once that is known.
func TestServiceIsOutOnceKnown(t *testing.T) {
	p := &Pool{services: []*service{{found: make(chan struct{})}}}
	p.members.Store(new([]*upstream))
	if p.noneExpected(time.Now()) {
		t.Error("out before the first look-up")
	}
	close(p.services[0].found)
	if !p.noneExpected(time.Now()) {
		t.Error("not out, with no upstream")
	}
}
