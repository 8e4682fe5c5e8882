package origin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
)

// Dialer makes connections. Tests pass one of their own.
type Dialer func(ctx context.Context, network, address string) (net.Conn, error)

// Pool is the upstreams that may answer for one origin. It is an http.RoundTripper.
type Pool struct {
	host      string
	upstreams []*upstream
	turn      atomic.Uint64
}

// New makes the pool of the origin called name. A nil dial is net.Dialer's.
func New(name string, c Config, dial Dialer, log *slog.Logger) (*Pool, error) {
	c = c.withDefaults()
	var problem error
	c.Validate(func(path, text, _ string) {
		problem = errors.Join(problem, fmt.Errorf("origin %s: %s: %s", name, path, text))
	})
	if problem != nil {
		return nil, problem
	}
	roots, err := c.TLS.roots()
	if err != nil {
		return nil, fmt.Errorf("origin %s: %w", name, err)
	}
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	if c.TLS.Insecure {
		log.Warn("certificates of the origin are not verified", "origin", name)
	}
	p := &Pool{host: c.Host}
	for _, text := range c.URLs {
		a, _, _ := parseAddress(text)
		p.upstreams = append(p.upstreams, newUpstream(a, c, roots, dial))
	}
	return p, nil
}

// RoundTrip sends r to the next upstream in turn, and to the others, once each, as long as there is no connection to send it on.
// Nothing else is tried again but what http.Transport does for a safe method on a kept connection that had died.
//
// r goes out as it is: its Host, its path (URL.RawPath where that encodes URL.Path), its fields and no others. The response
// tells by Upstream who answered. Its body and an error of RoundTrip are a *Failure, or the cause of r's own context, or the
// error of r's own body.
func (p *Pool) RoundTrip(r *http.Request) (*http.Response, error) {
	turn := p.turn.Add(1) - 1
	var x *exchange
	var err error
	for i := range p.upstreams {
		u := p.upstreams[(turn+uint64(i))%uint64(len(p.upstreams))]
		x = newExchange(r, u.name, u.timeouts)
		var response *http.Response
		if response, err = u.roundTrip(r, x); err == nil {
			return response, nil
		}
		if !isConnecting(err) {
			break
		}
	}
	if r.Body != nil {
		x.closeUnsent(r.Body)
	}
	return nil, err
}

// isConnecting reports whether another upstream may be asked.
func isConnecting(err error) bool {
	var failure *Failure
	return errors.As(err, &failure) && failure.connecting
}

// Host returns what the origin wants to be called by, "" when it wants the client's Host.
func (p *Pool) Host() string { return p.host }

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
	for _, up := range p.upstreams {
		if up.isSocket() {
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

// Close closes the idle connections. Those in use end with their exchange or, over HTTP/2, Timeouts.Idle after it.
func (p *Pool) Close() {
	for _, u := range p.upstreams {
		u.closeIdle()
	}
}
