package origin

import (
	"net/url"
	"slices"
)

const schemeTCP = "tcp"

// CarriesHTTP reports whether sites can have their content from such an origin.
func (c Config) CarriesHTTP() bool {
	return !c.introduces() && !slices.ContainsFunc(c.upstreams(), UpstreamConfig.isTCP)
}

// CarriesStreams reports whether connections can be passed on to such an origin. A socket can be anything.
func (c Config) CarriesStreams() bool {
	return !slices.ContainsFunc(c.upstreams(), UpstreamConfig.isHTTP)
}

// introduces reports whether connections begin with a PROXY header. It names one client, so it is not for HTTP, where many
// share a connection.
func (c Config) introduces() bool { return c.ProxyProtocol == proxyV1 || c.ProxyProtocol == proxyV2 }

func (u UpstreamConfig) isTCP() bool {
	a, problem, _ := parseAddress(u.URL)
	return problem == "" && a.scheme == schemeTCP
}

// isHTTP reports whether nothing but HTTP is spoken with u.
func (u UpstreamConfig) isHTTP() bool {
	a, problem, _ := parseAddress(u.URL)
	isSocket := a.isHere() && !a.isFolder()
	return problem == "" && a.scheme != schemeTCP && !isSocket
}

// validateStreams reports what cannot be with upstreams that are not asked for pages.
func (c Config) validateStreams(report func(path, problem, hint string)) {
	if c.introduces() && !c.CarriesStreams() {
		report("proxy_protocol", "is not for upstreams that speak HTTP", "Forwarded and X-Forwarded-For tell them")
	}
	if !slices.ContainsFunc(c.upstreams(), UpstreamConfig.isTCP) {
		return
	}
	if !c.CarriesStreams() {
		report("urls", "tcp beside others", "an origin of its own: sites cannot use tcp, and streams nothing but tcp and unix")
	}
	const hint = "leave it out: of a connection over tcp nothing is known but its client"
	for _, row := range []struct {
		path string
		said bool
	}{
		{"balance.policy", c.Balance.Policy == sticky},
		{"balance.hash", c.Balance.Hash != hashURL && c.Balance.Hash != hashClient},
		{"check.kind", c.Check.Kind == checkHTTP},
		{"host", c.Host != ""},
		{"path", c.Path != PathConfig{}},
		{"protocol", c.Protocol != "" && c.Protocol != protocolAuto},
		{"sign", c.Sign.Region != "" || c.Sign.AccessKey != "" || c.Sign.SecretKey != ""},
		{"retry.hedge", c.Retry.Hedge != 0},
	} {
		if row.said {
			report(row.path, "is of HTTP", hint)
		}
	}
}

// validatePort: no port goes without saying.
func (a address) validatePort(path string, report func(path, problem, hint string)) {
	if (&url.URL{Host: a.host}).Port() == "" {
		report(path, "has no port", "tcp://"+a.host+":5432")
	}
}
