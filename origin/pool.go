package origin

import (
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
	retry      RetryConfig
	total      time.Duration
	budget     budget
	panic      int // percent of the primaries

	racing   sync.WaitGroup // exchanges of hedged requests
	ejecting sync.Mutex     // one at a time, or together they may be too many
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
		retry:  c.Retry,
		total:  c.Timeouts.Total,
		closed: make(chan struct{}),
	}
	p.budget.share, p.budget.reserve = float64(c.Retry.Budget)/100, c.Retry.Reserve
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

// acquire begins an exchange with an upstream that was not tried, and waits for one if need be. Neither an exchange nor an
// error means that there is none left.
func (p *Pool) acquire(a *attempts) (*exchange, error) {
	if p.queue.isEmpty() {
		if x, full := p.reserve(a, false); x != nil || !full {
			return x, nil
		}
	}
	return p.wait(a)
}

// reserve begins an exchange with the upstream that the policy picks. Without one, full says whether waiting may help.
func (p *Pool) reserve(a *attempts, wellOnly bool) (x *exchange, full bool) {
	for { // until nobody else takes the last room of the one that was picked
		now := time.Now()
		u, full := p.pick(a, wellOnly, now)
		if u == nil {
			return nil, full
		}
		if x := p.begin(a, u, now); x != nil {
			return x, false
		}
	}
}

// begin begins an exchange with u, or returns nil where u has no room.
func (p *Pool) begin(a *attempts, u *upstream, now time.Time) *exchange {
	endProbe, ok := u.enter(now)
	if !ok {
		return nil
	}
	x := newExchange(a.r, u)
	x.endProbe, x.until = endProbe, a.until
	return x
}

func (p *Pool) pick(a *attempts, wellOnly bool, now time.Time) (u *upstream, full bool) {
	var room [usual]choice
	choices, full := p.survey(room[:0], a.tried, wellOnly, now)
	if len(choices) == 0 {
		return nil, full
	}
	return choices[p.balance.pick(choices, a.r)].upstream, false
}

// orUnavailable is the failure of a request for which there is no upstream that may be asked, unless there is a better one.
func orUnavailable(err error) error {
	if err != nil {
		return err
	}
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

// Host returns what the origin wants to be called by, "" when it wants the client's Host.
func (p *Pool) Host() string { return p.host }

// Close ends Run, closes the idle connections and waits for races that are lost. Connections in use end with their exchange or, over HTTP/2, Timeouts.Idle after it.
func (p *Pool) Close() {
	p.close()
	for _, u := range p.upstreams {
		u.closeIdle()
	}
	p.racing.Wait()
}
