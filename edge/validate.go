package edge

import (
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// problems tells what is wrong with a configuration: where, what, and what to write instead.
type problems func(path, problem, hint string)

// under returns problems for a part of the configuration, with paths relative to it.
func (p problems) under(format string, args ...any) problems {
	prefix := fmt.Sprintf(format, args...)
	return func(path, problem, hint string) {
		if path != "" && path[0] != '[' {
			path = "." + path
		}
		p(prefix+path, problem, hint)
	}
}

// Validate reports everything that is wrong with the configuration, all at once. origins are the names that exist. What it
// finds nothing wrong with can be compiled.
func (c Config) Validate(origins map[string]bool, report func(path, problem, hint string)) {
	p := problems(report)
	validateListeners(c.Listeners, p)
	c.validateStreams(origins, p)
	validateSites(c.Sites, origins, p)
	c.Limits.validate(p.under("limits"))
	c.Timeouts.validate(p.under("timeouts"))
	c.Log.validate(p.under("log"))
	validatePeers(c.TrustedProxies, p, "trusted_proxies")
	if c.ID != "" && !isStructuredToken(c.ID) {
		p("id", strconv.Quote(c.ID)+" is no token", "letters, digits, dots and hyphens, a letter first")
	}
}

func validateListeners(listeners []ListenerConfig, p problems) {
	if len(listeners) == 0 {
		p("listeners", "there is none", `at least one, such as address: ":80"`)
	}
	seen := map[string]bool{}
	for i, l := range listeners {
		at := p.under("listeners[%d]", i)
		validateAddress(l.Address, at)
		if seen[l.Address] {
			at("address", strconv.Quote(l.Address)+" is listened on twice", "")
		}
		seen[l.Address] = true
		if l.TLS != nil {
			l.TLS.validate(at.under("tls"))
		}
		if l.HTTP3 != nil && *l.HTTP3 {
			l.validateHTTP3(at)
		}
		validatePeers(l.ProxyProtocol, at, "proxy_protocol")
	}
}

func (c *ListenerConfig) validateHTTP3(p problems) {
	switch {
	case c.TLS == nil:
		p("http3", "wants tls", "tls: {} beside it, or leave it out")
	case strings.HasPrefix(c.Address, "unix:"):
		p("http3", "wants a UDP port, and "+strconv.Quote(c.Address)+" has none", "")
	case len(c.ProxyProtocol) > 0:
		p("http3", "contradicts proxy_protocol, which says nothing of UDP", "a listener of its own, which clients reach directly")
	}
}

func validateAddress(address string, p problems) {
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		if !strings.HasPrefix(path, "/") || strings.ContainsRune(path, 0) {
			p("address", strconv.Quote(address)+" names no absolute path", "unix:/run/selvage/http.sock")
		}
		return
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		p("address", strconv.Quote(address)+" is no address", `":80", "192.0.2.1:80", "[::1]:80" or "unix:/path"`)
		return
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		p("address", strconv.Quote(port)+" is no port", "a number from 0 (any free one) to 65535")
	}
	if _, err := netip.ParseAddr(host); host != "" && err != nil && checkDomain(host) != nil {
		p("address", strconv.Quote(host)+" is neither an IP address nor a name", "nothing before the colon listens on all addresses")
	}
}

func (c *TLSConfig) validate(p problems) {
	switch {
	case c.SelfSigned && (c.Cert != "" || c.Key != ""):
		p("self_signed", "contradicts cert and key", "one or the other")
	case c.Internal && (c.Cert != "" || c.Key != "" || c.SelfSigned):
		p("internal", "contradicts cert and key, and self_signed", "one of them")
	case c.Cert == "" && c.Key != "":
		p("cert", "is missing beside key", "the PEM file of the certificate, leaf first")
	case c.Cert != "" && c.Key == "":
		p("key", "is missing beside cert", "the PEM file of the certificate's key")
	}
}

func validateSites(sites []SiteConfig, origins map[string]bool, p problems) {
	if len(sites) == 0 {
		p("sites", "there is none", "at least one, with hosts and an origin")
	}
	names, hosts, fallback := map[string]int{}, map[string]int{}, -1
	for i := range sites {
		s, at := &sites[i], p.under("sites[%d]", i)
		if first, ok := names[s.Label()]; ok {
			at("name", fmt.Sprintf("%q is the name of sites[%d] too", s.Label(), first), "logs, metrics and purges tell sites apart by name")
		} else {
			names[s.Label()] = i
		}
		if s.Default && fallback >= 0 {
			at("default", fmt.Sprintf("sites[%d] is the default already", fallback), "at most one site")
		} else if s.Default {
			fallback = i
		}
		validateHosts(s.Hosts, i, hosts, "sites", at)
		s.validate(origins, at)
	}
}

// validateHosts notes in seen which of a list, of sites say, has a host.
func validateHosts(hosts []string, number int, seen map[string]int, list string, p problems) {
	for i, entry := range hosts {
		at := p.under("hosts[%d]", i)
		name, wildcard, err := parseHost(entry)
		if err != nil {
			at("", err.Error(), hostHint(entry))
			continue
		}
		if wildcard {
			name = "*" + name
		}
		if first, ok := seen[name]; ok {
			at("", fmt.Sprintf("%q is a host of %s[%d] already", entry, list, first), "")
			continue
		}
		seen[name] = number
	}
}

func hostHint(entry string) string {
	switch {
	case strings.Contains(entry, "://"):
		return "the name alone, without scheme"
	case strings.Contains(entry, ":"):
		return "without the port: sites are chosen by name"
	case strings.Contains(entry, "*"):
		return `a star stands for whole labels, in front only: "*.example.com"; default: true takes all other hosts`
	case strings.IndexFunc(entry, func(r rune) bool { return r >= 0x80 }) >= 0:
		return "the form on the wire, which begins with xn--"
	}
	return `such as "example.com" or "*.example.com"`
}

func (c *SiteConfig) validate(origins map[string]bool, p problems) {
	if len(c.Hosts) == 0 && !c.Default {
		p("hosts", "there is none, so nothing reaches the site", "hosts, or default: true")
	}
	validateName(c.Name, p)
	if c.Methods != "" && c.Methods != "standard" && c.Methods != "any" {
		p("methods", strconv.Quote(c.Methods)+" is not known", "standard or any")
	}
	validateGate(c.Allow, c.Deny, c.MaxConnsPerAddress, p)
	validateOrigin(c.Origin, origins, p)
	if c.Cache != nil {
		c.Cache.Validate(p.under("cache"))
	}
	if c.Compress != nil {
		c.Compress.Validate(p.under("compress"))
	}
	c.HTTPS.HSTS.validate(p.under("https.hsts"))
	validateErrorPages(c.ErrorPages, p.under("error_pages"))
	c.validateRoutes(origins, p)
}

// preloadAge is the least that the browsers' built-in lists take.
const preloadAge = 365 * 24 * time.Hour

func (c HSTSConfig) validate(p problems) {
	switch {
	case c.MaxAge == nil:
		if c.Subdomains || c.Preload {
			p("max_age", "is missing", "how long browsers are to remember, such as 180d")
		}
	case *c.MaxAge < 0:
		p("max_age", "is negative", "0 makes browsers forget")
	case c.Preload && (*c.MaxAge < preloadAge || !c.Subdomains):
		p("preload", "the lists want max_age: 365d or more, and subdomains: true", "")
	}
}

func validateOrigin(name string, origins map[string]bool, p problems) {
	if name != "" && !origins[name] {
		p("origin", fmt.Sprintf("there is no origin %q", name), "one of: "+strings.Join(slices.Sorted(maps.Keys(origins)), ", "))
	}
}

// validateName: labels stand in logs and metrics, and joined to keys.
func validateName(name string, p problems) {
	if name != "" && !isToken(name) {
		p("name", strconv.Quote(name)+" is no label", "letters, digits, dots, hyphens and underscores")
	}
}

// validatePeers checks a list of addresses and prefixes, in which "unix" may stand for whoever may open a unix socket.
func validatePeers(list []string, p problems, key string) {
	for i, s := range list {
		if s != "unix" {
			validatePrefix(s, p.under("%s[%d]", key, i))
		}
	}
}

// validateGate looks at who may come: to a site, or to a stream.
func validateGate(allow, deny []string, perAddress int, p problems) {
	for i, s := range allow {
		validatePrefix(s, p.under("allow[%d]", i))
	}
	for i, s := range deny {
		validatePrefix(s, p.under("deny[%d]", i))
	}
	if perAddress < 0 {
		p("max_conns_per_address", "is negative", "0 is no bound")
	}
}

func validatePrefix(s string, p problems) {
	if _, err := parsePrefix(s); err != nil {
		p("", err.Error(), "such as 192.0.2.1, 192.0.2.0/24 or 2001:db8::/32")
	}
}

func (l Limits) validate(p problems) {
	for _, f := range []struct {
		name  string
		value int64
		zero  bool // is allowed: no bound
	}{
		{"request_line", l.RequestLine, false},
		{"head", l.Head, false},
		{"fields", int64(l.Fields), false},
		{"body", l.Body, true},
		{"conns", int64(l.Conns), true},
	} {
		switch {
		case f.value < 0:
			p(f.name, "is negative", "")
		case f.value == 0 && !f.zero:
			p(f.name, "is 0: every request would be refused", "leave it out for the default")
		}
	}
	if l.RequestLine > l.Head {
		p("request_line", "is more than head, which it is a part of", "at most head")
	}
}

func (t Timeouts) validate(p problems) {
	for _, f := range []struct {
		name  string
		value time.Duration
	}{
		{"handshake", t.Handshake}, {"header", t.Header}, {"idle", t.Idle}, {"body", t.Body}, {"write", t.Write}, {"stream", t.Stream},
	} {
		if f.value <= 0 {
			p(f.name, "is not more than 0", "a client that does nothing would be kept for good; leave it out for the default")
		}
	}
	if t.BodyRate < 0 {
		p("body_rate", "is negative", "0 is no least rate")
	}
	if t.Drain < 0 {
		p("drain", "is negative", "0 ends at once")
	}
}

func (c LogConfig) validate(p problems) {
	switch c.Format {
	case "", "auto", "json", "text", "combined", "off":
	default:
		p("format", strconv.Quote(c.Format)+" is not known", "auto, json, text, combined or off")
	}
	if strings.ContainsRune(c.File, 0) {
		p("file", strconv.Quote(c.File)+" is no file name", `a path, or "-" for stdout`)
	}
}
