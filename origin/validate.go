package origin

import (
	"cmp"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"
)

// Validate reports every problem of c, with the path of the value in c and a hint.
func (c Config) Validate(report func(path, problem, hint string)) {
	c.validateUpstreams(report)
	c.validateStreams(report)
	c.Balance.validate(under("balance", report))
	c.Queue.validate(under("queue", report))
	c.validateHealth(report)
	c.Retry.validate(under("retry", report))
	c.Resolve.validate(under("resolve", report))
	c.validateRules(report)
	if c.Host != "" && !isHostPort(c.Host) {
		report("host", "malformed host or port", "host: www.example.com")
	}
	c.Timeouts.validate(under("timeouts", report))
	if t := c.withDefaults().Timeouts; t.Total < t.FirstByte {
		report("timeouts.total", "is less than first_byte, which it contains", "at least "+t.FirstByte.String())
	}
	if c.IdleConns < 0 {
		report("idle_conns", "negative", "0 keeps no connection")
	}
	c.validateTLS(report)
}

// validateUpstreams looks at those of both lists, which are one set.
func (c Config) validateUpstreams(report func(path, problem, hint string)) {
	all := c.upstreams()
	if len(all) == 0 {
		report("urls", "no upstream", "urls: [http://127.0.0.1:8080]")
	}
	var seen []address
	primaries := 0
	for i, u := range all {
		entry, path := "", fmt.Sprintf("urls[%d]", i)
		if i >= len(c.URLs) {
			entry = fmt.Sprintf("upstreams[%d]", i-len(c.URLs))
			path = entry + ".url"
		}
		a, problem, hint := parseAddress(u.URL)
		switch {
		case problem != "":
			report(path, problem, hint)
		case slices.ContainsFunc(seen, func(b address) bool { return a.name == b.name }):
			report(path, a.name+" is there twice", "name each upstream once")
		default:
			seen = append(seen, a)
		}
		u.validate(under(entry, report))
		if problem == "" && u.SRV {
			a.validateService(path, report)
		} else if problem == "" && a.scheme == schemeTCP {
			a.validatePort(path, report)
		}
		if a.isFolder() {
			a.validateFolder(path, report)
		}
		if !u.Backup {
			primaries++
		}
	}
	if len(all) > 0 && primaries == 0 {
		report("upstreams", "all of them are backups", "leave backup out of one")
	}
}

const maxWeight = 1000

func (u UpstreamConfig) validate(report func(path, problem, hint string)) {
	if u.Weight < 1 || u.Weight > maxWeight {
		report("weight", "not from 1 to 1000", "weight: 1")
	}
	if u.MaxRequests < 0 {
		report("max_requests", "negative", "0 is no bound")
	}
	if u.MaxRate < 0 || u.MaxRate > 1e6 {
		report("max_rate", "not from 0 to 1000000", "0 is no bound")
	}
}

// validateService: SRV records have names of their own and give the ports.
func (a address) validateService(path string, report func(path, problem, hint string)) {
	u := url.URL{Host: a.host}
	if a.isHere() || u.Port() != "" || isAddress(u.Hostname()) {
		report(path, "is not the name of a service", "url: http://_http._tcp.example.net")
	}
}

func (a address) validateFolder(path string, report func(path, problem, hint string)) {
	if info, err := os.Stat(a.path); err != nil || !info.IsDir() {
		report(path, "is not a folder that can be read", "file:///srv/www")
	}
}

func (r ResolveConfig) validate(report func(path, problem, hint string)) {
	if r.Interval <= 0 {
		report("interval", "is not more than 0", "interval: 10s")
	}
	if r.Keep < 0 {
		report("keep", "negative", "keep: 1h")
	}
	for i, text := range r.Allow {
		if _, err := parsePrefix(text); err != nil {
			report(fmt.Sprintf("allow[%d]", i), "no address and no prefix", "such as 169.254.10.1 or 169.254.10.0/24")
		}
	}
}

func (b BalanceConfig) validate(report func(path, problem, hint string)) {
	kind, field, named := strings.Cut(b.Hash, ":")
	switch {
	case (kind == hashURL || kind == hashClient) && !named:
	case (kind == hashHeader || kind == hashCookie) && isToken(field):
	default:
		report("hash", "not something to go by", "url, client, header:NAME or cookie:NAME")
	}
	if b.Bound != 0 && b.Bound < 100 {
		report("bound", "less than a fair share", "bound: 125, or 0 for none")
	}
	b.Cookie.validate(under("cookie", report))
}

func (c CookieConfig) validate(report func(path, problem, hint string)) {
	if !isToken(c.Name) {
		report("name", "not a name for a cookie", "name: selvage-upstream")
	}
	if _, err := readSecret(c.Secret, minKey); err != nil {
		report("secret", err.Error(), "secret: env:STICKY_SECRET")
	}
	if c.MaxAge < 0 {
		report("max_age", "negative", "0 is until the client is closed")
	}
}

func isToken(s string) bool {
	for i := range len(s) {
		if !isTokenByte(s[i]) {
			return false
		}
	}
	return s != ""
}

func (q QueueConfig) validate(report func(path, problem, hint string)) {
	if q.Size < 0 {
		report("size", "negative", "0 has nobody wait")
	}
	if q.Wait < 0 {
		report("wait", "negative", "0 has nobody wait")
	}
}

// under makes paths relative to a section into paths of the whole.
func under(section string, report func(path, problem, hint string)) func(path, problem, hint string) {
	return func(path, problem, hint string) { report(section+"."+path, problem, hint) }
}

func (t Timeouts) validate(report func(path, problem, hint string)) {
	for _, row := range []struct {
		path  string
		value time.Duration
	}{{"connect", t.Connect}, {"first_byte", t.FirstByte}, {"gap", t.Gap}, {"idle", t.Idle}, {"total", t.Total}} {
		if row.value < 0 {
			report(row.path, "negative", "leave it out for the default")
		}
	}
}

func (c RetryConfig) validate(report func(path, problem, hint string)) {
	if c.Attempts < 1 {
		report("attempts", "is less than 1", "1 is no retry")
	}
	reportPercent("budget", c.Budget, report)
	if c.Reserve < 0 {
		report("reserve", "negative", "reserve: 10")
	}
	for i, status := range c.Status {
		if status < 400 || status > 599 {
			report(fmt.Sprintf("status[%d]", i), "not an error", "from 400 to 599")
		}
	}
	if c.Hedge < 0 {
		report("hedge", "negative", "0 is never")
	}
}

func (c Config) validateTLS(report func(path, problem, hint string)) {
	if c.TLS == (TLSConfig{}) {
		return
	}
	if !slices.ContainsFunc(c.upstreams(), c.shakesHands) {
		report("tls", "no upstream is https", "urls: [https://origin.example.com]")
	}
	if c.TLS.Name != "" && !isHost(c.TLS.Name) {
		report("tls.name", "malformed name", "name: origin.example.com")
	}
	if c.TLS.CA != "" && c.TLS.Insecure {
		report("tls.insecure", "contradicts tls.ca: nothing is verified", "leave one of them out")
	}
	if _, err := c.TLS.roots(); err != nil {
		report("tls.ca", err.Error(), "a file of PEM certificates")
	}
	if (c.TLS.Cert == "") != (c.TLS.Key == "") {
		report("tls.cert", "goes with tls.key", "both, or neither")
	} else if _, err := c.TLS.certificates(); err != nil {
		report("tls.cert", err.Error(), "PEM files of a certificate and its key")
	}
}

func (c Config) withDefaults() Config {
	d, t := DefaultConfig().Timeouts, &c.Timeouts
	t.Connect = cmp.Or(t.Connect, d.Connect)
	t.FirstByte = cmp.Or(t.FirstByte, d.FirstByte)
	t.Gap = cmp.Or(t.Gap, d.Gap)
	t.Idle = cmp.Or(t.Idle, d.Idle)
	t.Total = cmp.Or(t.Total, d.Total)
	return c
}
