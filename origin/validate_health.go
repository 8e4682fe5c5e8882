package origin

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

func (c Config) validateHealth(report func(path, problem, hint string)) {
	c.Check.validate(under("check", report))
	if c.Check.Kind == checkTLS && !slices.ContainsFunc(c.upstreams(), c.shakesHands) {
		report("check.kind", "no upstream is https", "kind: tcp")
	}
	c.Outliers.validate(under("outliers", report))
	if c.Breaker.Failures < 0 {
		report("breaker.failures", "negative", "0 is no breaker")
	}
	if c.Breaker.Pause <= 0 {
		report("breaker.pause", "is not more than 0", "pause: 10s")
	}
	if c.Breaker.Probes < 1 {
		report("breaker.probes", "is less than 1, so that it would never close", "probes: 1")
	}
	if c.SlowStart < 0 {
		report("slow_start", "negative", "0 is none")
	}
	reportPercent("panic", c.Panic, report)
}

// shakesHands reports whether TLS is spoken with an upstream by us: with one over tcp only to check it.
func (c Config) shakesHands(u UpstreamConfig) bool {
	a, problem, _ := parseAddress(u.URL)
	return problem == "" && (a.scheme == "https" || a.scheme == schemeTCP && c.Check.Kind == checkTLS)
}

func (c CheckConfig) validate(report func(path, problem, hint string)) {
	if !strings.HasPrefix(c.Path, "/") || strings.ContainsFunc(c.Path, isNotTarget) {
		report("path", "not a path", "path: /healthz")
	}
	if c.Host != "" && !isHostPort(c.Host) {
		report("host", "malformed host or port", "host: www.example.com")
	}
	if len(c.Status) == 0 {
		report("status", "no status is well", "status: [2xx, 3xx]")
	}
	for i, s := range c.Status {
		if !isStatus(s) {
			report(fmt.Sprintf("status[%d]", i), "neither a status nor a class of them", `"200" or 2xx`)
		}
	}
	for _, row := range []struct {
		path  string
		value time.Duration
	}{{"interval", c.Interval}, {"timeout", c.Timeout}} {
		if row.value <= 0 {
			report(row.path, "is not more than 0", "leave it out for the default")
		}
	}
	if c.Healthy < 1 {
		report("healthy", "is less than 1", "healthy: 2")
	}
	if c.Unhealthy < 1 {
		report("unhealthy", "is less than 1", "unhealthy: 3")
	}
}

// isNotTarget reports whether r may not be in the target of a request.
func isNotTarget(r rune) bool { return r <= ' ' || r >= 0x7f || r == '#' }

// isStatus reports whether s is a final status or a class of them.
func isStatus(s string) bool {
	return len(s) == 3 && s[0] >= '2' && s[0] <= '5' && (s[1:] == "xx" || isDigit(s[1]) && isDigit(s[2]))
}

func (o OutlierConfig) validate(report func(path, problem, hint string)) {
	if o.Failures < 0 {
		report("failures", "negative", "0 is no limit")
	}
	reportPercent("error_rate", o.ErrorRate, report)
	if o.Requests < 1 {
		report("requests", "is less than 1", "requests: 20")
	}
	if o.Slower < 0 || o.Slower == 1 {
		report("slower", "would have upstreams ejected that are no slower than the others", "slower: 5, or 0 for no limit")
	}
	if o.Window <= 0 {
		report("window", "is not more than 0", "window: 10s")
	}
	if o.Eject <= 0 {
		report("eject", "is not more than 0", "eject: 10s; max_ejected: 0 ejects none")
	}
	reportPercent("max_ejected", o.MaxEjected, report)
}

func reportPercent(path string, value int, report func(path, problem, hint string)) {
	if value < 0 || value > 100 {
		report(path, "not a share in percent", "from 0 to 100")
	}
}
