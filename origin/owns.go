package origin

import (
	"net"
	"net/url"
	"strings"
)

// Owns reports whether an absolute URL in an answer names the origin itself, so that a client has to be sent to the edge
// instead: one of the upstreams, the configured Host, or the host that was asked for at the scheme and port of an upstream
// (a server that builds its redirects from Host and its own port).
func (p *Pool) Owns(u *url.URL, asked string) bool {
	if u.Scheme != "http" && u.Scheme != "https" {
		return false
	}
	named := hostPort(u.Scheme, u.Host)
	if p.host != "" && hostPort(u.Scheme, p.host) == named {
		return true
	}
	for _, up := range p.upstreams() {
		if up.isHere() {
			continue
		}
		if hostPort(up.scheme, up.host) == named || up.scheme == u.Scheme && withPortOf(up, asked) == named {
			return true
		}
	}
	return false
}

// withPortOf is the authority a host has at an upstream's port.
func withPortOf(up *upstream, host string) string {
	_, port, _ := net.SplitHostPort(hostPort(up.scheme, up.host))
	name := url.URL{Host: host}
	return hostPort(up.scheme, net.JoinHostPort(name.Hostname(), port))
}

// hostPort brings an authority to one form: lower case, no trailing dot, with its port.
func hostPort(scheme, authority string) string {
	u := url.URL{Host: authority}
	port := u.Port()
	if port == "" {
		port = defaultPort(scheme)
	}
	return net.JoinHostPort(strings.TrimSuffix(strings.ToLower(u.Hostname()), "."), port)
}

func defaultPort(scheme string) string {
	if scheme == "https" {
		return "443"
	}
	return "80"
}
