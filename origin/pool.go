package origin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// Dialer makes connections. Tests pass one of their own.
type Dialer func(ctx context.Context, network, address string) (net.Conn, error)

// Pool is the upstreams that may answer for one origin. It is an http.RoundTripper.
type Pool struct {
	host      string
	upstreams []*upstream
	balance   *balancer
	queue     *queue
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
	balance, err := newBalancer(c.Balance)
	if err != nil {
		return nil, fmt.Errorf("origin %s: %w", name, err)
	}
	p := &Pool{host: c.Host, balance: balance, queue: &queue{size: c.Queue.Size, patience: c.Queue.Wait}}
	for _, uc := range c.upstreams() {
		p.add(newUpstream(uc, c, roots, dial))
	}
	return p, nil
}

func (p *Pool) add(u *upstream) {
	u.queue = p.queue
	if p.balance.policy == sticky {
		u.token = p.balance.tie.token(u.name)
	}
	p.upstreams = append(p.upstreams, u)
}

// RoundTrip sends r to the upstream that the policy picks, and to others, once each, as long as there is no connection to
// send it on. Nothing else is tried again but what http.Transport does for a safe method on a kept connection that had died.
//
// r goes out as it is: its Host, its path (URL.RawPath where that encodes URL.Path), its fields and no others. RemoteAddr is
// the client's address, for the policies that go by it. The response tells by Upstream who answered. Its body and an error of
// RoundTrip are a *Failure, or the cause of r's own context, or the error of r's own body.
func (p *Pool) RoundTrip(r *http.Request) (*http.Response, error) {
	var room [usual]*upstream
	tried := room[:0]
	var last error // of those that were tried
	for {
		u, err := p.acquire(r, tried)
		if u == nil {
			closeUnsent(r)
			return nil, cmp.Or(last, err)
		}
		x := newExchange(r, u)
		response, err := u.roundTrip(r, x)
		if err == nil {
			x.tie = p.balance.tie.cookieFor(r, u)
			return response, nil
		}
		if !isConnecting(err) {
			if !x.isConnected() {
				closeUnsent(r)
			}
			return nil, err
		}
		tried, last = append(tried, u), err
	}
}

// acquire makes room for r at an upstream that was not tried, and waits for it if need be. Neither an upstream nor an error
// means that all were tried.
func (p *Pool) acquire(r *http.Request, tried []*upstream) (*upstream, error) {
	if p.queue.isEmpty() {
		if u, full := p.reserve(r, tried); u != nil || !full {
			return u, nil
		}
	}
	return p.wait(r, tried)
}

// reserve makes room for r at the upstream that the policy picks. Without one, full says whether waiting may help.
func (p *Pool) reserve(r *http.Request, tried []*upstream) (u *upstream, full bool) {
	var room [usual]choice
	for { // until nobody else takes the last room of the one that was picked
		now := time.Now()
		choices, full := p.survey(room[:0], tried, now)
		if len(choices) == 0 {
			return nil, full
		}
		if u := choices[p.balance.pick(choices, r)].upstream; u.load.enter(now) {
			return u, false
		}
	}
}

// closeUnsent closes the body of a request that no connection has taken over: a RoundTripper always closes it.
func closeUnsent(r *http.Request) {
	if r.Body != nil {
		r.Body.Close()
	}
}

// isConnecting reports whether another upstream may be asked.
func isConnecting(err error) bool {
	var failure *Failure
	return errors.As(err, &failure) && failure.connecting
}

// Host returns what the origin wants to be called by, "" when it wants the client's Host.
func (p *Pool) Host() string { return p.host }

// Close closes the idle connections. Those in use end with their exchange or, over HTTP/2, Timeouts.Idle after it.
func (p *Pool) Close() {
	for _, u := range p.upstreams {
		u.closeIdle()
	}
}
