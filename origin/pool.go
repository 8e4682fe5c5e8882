package origin

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Pool is the upstreams that may answer for one origin. It is an http.RoundTripper.
type Pool struct {
	name, host string
	config     Config
	log        *slog.Logger
	network    Network
	tls        *tls.Config // of all upstreams, without a name
	rules      *rules
	services   []*service
	balance    *balancer
	queue      *queue
	retry      RetryConfig
	total      time.Duration
	budget     budget
	panic      int // percent of the primaries

	changing sync.Mutex // of members
	members  atomic.Pointer[[]*upstream]
	ejecting sync.Mutex  // one at a time, or together they may be too many
	out      atomic.Bool // what IsOut last said
	closed   chan struct{}
	close    func()
}

// New makes the pool of the origin called name.
func New(name string, c Config, network Network, log *slog.Logger) (*Pool, error) {
	c = c.withDefaults()
	var problem error
	c.Validate(func(path, text, _ string) {
		problem = errors.Join(problem, fmt.Errorf("origin %s: %s: %s", name, path, text))
	})
	if problem != nil {
		return nil, problem
	}
	if c.TLS.Insecure {
		log.Warn("certificates of the origin are not verified", "origin", name)
	}
	p := &Pool{
		name: name, host: c.Host, config: c, log: log, network: network.orReal(), panic: c.Panic,
		queue: &queue{size: c.Queue.Size, patience: c.Queue.Wait},
		retry: c.Retry, total: c.Timeouts.Total,
		closed: make(chan struct{}),
	}
	p.close = sync.OnceFunc(func() { close(p.closed) })
	p.budget.share, p.budget.reserve = float64(c.Retry.Budget)/100, c.Retry.Reserve
	var err error
	if p.balance, err = newBalancer(c.Balance); err == nil {
		p.tls, err = c.tlsConfig()
	}
	if err == nil {
		p.rules, err = newRules(p, c)
	}
	if err != nil {
		return nil, fmt.Errorf("origin %s: %w", name, err)
	}
	return p, p.fill(c.upstreams())
}

// fill makes the upstreams of the configuration.
func (p *Pool) fill(all []UpstreamConfig) error {
	p.members.Store(new([]*upstream))
	for _, uc := range all {
		a, _, _ := parseAddress(uc.URL)
		switch {
		case !uc.SRV:
			u, err := p.newUpstream(uc, a)
			if err != nil {
				return fmt.Errorf("origin %s: %w", p.name, err)
			}
			p.add(u)
		case p.network.Resolver == nil:
			return fmt.Errorf("origin %s: nothing can look up the service %s", p.name, a.host)
		default:
			p.services = append(p.services, newService(p, uc))
		}
	}
	return nil
}

// upstreams returns those there are now, in an order that stays.
func (p *Pool) upstreams() []*upstream { return *p.members.Load() }

// takes reports whether u gets new requests: it is still there, and not drained.
func (p *Pool) takes(u *upstream) bool {
	return !u.draining.Load() && slices.Contains(p.upstreams(), u)
}

func (p *Pool) add(u *upstream) {
	p.changing.Lock()
	defer p.changing.Unlock()
	all := append(slices.Clip(p.upstreams()), u)
	p.members.Store(&all)
	p.queue.wake()
}

// remove takes u out. What is in flight there goes on.
func (p *Pool) remove(u *upstream) {
	p.changing.Lock()
	defer p.changing.Unlock()
	all := slices.DeleteFunc(slices.Clone(p.upstreams()), func(other *upstream) bool { return other == u })
	p.members.Store(&all)
	u.transports.Load().closeIdle()
}

// Run looks after the upstreams until ctx ends or the pool is closed: it checks them and looks up their names. A pool that
// does not run answers all the same, but for services.
func (p *Pool) Run(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var running sync.WaitGroup
	for _, u := range p.upstreams() {
		running.Go(func() { u.run(ctx) })
	}
	for _, s := range p.services {
		running.Go(func() { s.run(ctx) })
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
	f := fault(typeUnavailable, "every upstream is drained, or cut off by its circuit breaker")
	f.Status, f.Unreachable = http.StatusServiceUnavailable, true
	return f
}

// closeUnsent closes the body of a request that no connection has taken over: a RoundTripper always closes it.
func closeUnsent(r *http.Request) {
	if r.Body != nil {
		r.Body.Close()
	}
}

// isClosed: what is under way goes on, and may ask once more, but keeps nothing for later.
func (p *Pool) isClosed() bool {
	select {
	case <-p.closed:
		return true
	default:
		return false
	}
}

// Host returns what the origin wants to be called by, "" when it wants the client's Host.
func (p *Pool) Host() string { return p.host }

// Close ends Run and closes the idle connections. Those in use end with their exchange or, over HTTP/2, Timeouts.Idle after it.
func (p *Pool) Close() {
	p.close()
	for _, u := range p.upstreams() {
		u.transports.Load().closeIdle()
	}
}
