package origin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// Dialer makes connections. Tests pass one of their own.
type Dialer func(ctx context.Context, network, address string) (net.Conn, error)

// Pool is the upstreams that may answer for one origin. It is an http.RoundTripper.
type Pool struct {
	name, host string
	log        *slog.Logger
	upstreams  []*upstream
	checkers   []*checker
	balance    *balancer
	queue      *queue
	panic      int // percent of the primaries

	ejecting sync.Mutex // one at a time, or together they may be too many
	closed   chan struct{}
	close    func()
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
	p := &Pool{
		name: name, host: c.Host, log: log, balance: balance, panic: c.Panic,
		queue:  &queue{size: c.Queue.Size, patience: c.Queue.Wait},
		closed: make(chan struct{}),
	}
	p.close = sync.OnceFunc(func() { close(p.closed) })
	for _, uc := range c.upstreams() {
		u := newUpstream(p, uc, c, roots, dial)
		p.upstreams = append(p.upstreams, u)
		if c.Check.Kind != checkOff {
			p.checkers = append(p.checkers, newChecker(c.Check, u, c.Host))
		}
	}
	return p, nil
}

// Run checks the upstreams until ctx ends or the pool is closed. A pool that does not run answers all the same.
func (p *Pool) Run(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var running sync.WaitGroup
	for _, k := range p.checkers {
		running.Go(func() { k.run(ctx) })
	}
	select {
	case <-ctx.Done():
	case <-p.closed:
		stop()
	}
	running.Wait()
	return nil
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
		x, err := p.acquire(r, tried)
		if x == nil {
			closeUnsent(r)
			return nil, cmp.Or(last, err, error(unavailable()))
		}
		u := x.upstream
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

// acquire begins an exchange with an upstream that was not tried, and waits for one if need be. Neither an exchange nor an
// error means that there is none left.
func (p *Pool) acquire(r *http.Request, tried []*upstream) (*exchange, error) {
	if p.queue.isEmpty() {
		if x, full := p.reserve(r, tried); x != nil || !full {
			return x, nil
		}
	}
	return p.wait(r, tried)
}

// reserve begins an exchange with the upstream that the policy picks. Without one, full says whether waiting may help.
func (p *Pool) reserve(r *http.Request, tried []*upstream) (x *exchange, full bool) {
	for { // until nobody else takes the last room of the one that was picked
		now := time.Now()
		u, full := p.pick(r, tried, now)
		if u == nil {
			return nil, full
		}
		if endProbe, ok := u.enter(now); ok {
			x := newExchange(r, u)
			x.endProbe = endProbe
			return x, false
		}
	}
}

func (p *Pool) pick(r *http.Request, tried []*upstream, now time.Time) (u *upstream, full bool) {
	var room [usual]choice
	choices, full := p.survey(room[:0], tried, now)
	if len(choices) == 0 {
		return nil, full
	}
	return choices[p.balance.pick(choices, r)].upstream, false
}

// unavailable is the failure of a request for which there is no upstream that may be asked.
func unavailable() *Failure {
	f := fault(typeUnavailable, "every upstream is cut off by its circuit breaker")
	f.Status, f.Unreachable = http.StatusServiceUnavailable, true
	return f
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

// Close ends Run and closes the idle connections. Those in use end with their exchange or, over HTTP/2, Timeouts.Idle after it.
func (p *Pool) Close() {
	p.close()
	for _, u := range p.upstreams {
		u.closeIdle()
	}
}
