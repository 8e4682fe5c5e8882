package tlsmgr

import (
	"cmp"
	"context"
	"crypto/tls"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/acme"
	"golang.org/x/sync/errgroup"
)

// orders sees to it that names have certificates of an authority: it orders, renews before two thirds of a life are over,
// and tries again, ever more seldom, when that fails.
type orders struct {
	log  *slog.Logger
	wake chan struct{} // something may be due; holds one

	mu        sync.Mutex
	authority *authority          // guarded by mu; nil for none
	onDemand  *onDemand           // guarded by mu; nil for none
	subjects  map[string]*subject // guarded by mu
}

// subject is a name that wants a certificate.
type subject struct {
	name        string
	certificate atomic.Pointer[tls.Certificate]

	// guarded by orders.mu
	demanded bool          // by a handshake, not by the configuration
	trying   bool          // due's choice, or under way
	attempt  *attempt      // under way; nil before it begins
	settled  chan struct{} // closed when the attempt that is due or under way has ended; nil between attempts
	next     time.Time     // of the next attempt
	failures int           // in a row
	problem  error         // of the last attempt
}

const (
	parallelOrders = 4
	// handshakePatience is how long a handshake waits for the first certificate of its own name.
	handshakePatience = 8 * time.Second
)

func newOrders(log *slog.Logger) *orders {
	return &orders{log: log, wake: make(chan struct{}, 1), subjects: make(map[string]*subject)}
}

// want puts an authority and the names of a configuration in force. What is stored is used at once; certificates of an
// earlier authority stay until they are renewed.
func (o *orders) want(a *authority, d *onDemand, names []string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.authority, o.onDemand = a, d
	for name, s := range o.subjects {
		if a == nil || !s.demanded && !slices.Contains(names, name) {
			delete(o.subjects, name)
		}
	}
	for _, name := range names {
		if s, ok := o.subjects[name]; ok {
			s.demanded = false
			continue
		}
		o.addLocked(&subject{name: name}, a.load(context.Background(), name))
	}
	o.nudge()
}

// addLocked adds a subject, with the certificate that was stored for it, if any.
func (o *orders) addLocked(s *subject, stored *tls.Certificate) {
	if stored != nil {
		s.take(stored)
	} else {
		s.settled, s.next = make(chan struct{}), time.Now()
	}
	o.subjects[s.name] = s
}

// take puts a certificate in force. It is renewed when a third of its life is left, a little earlier by chance, so that
// those that came together do not leave together.
func (s *subject) take(c *tls.Certificate) {
	s.certificate.Store(c)
	third := c.Leaf.NotAfter.Sub(c.Leaf.NotBefore) / 3
	s.next = c.Leaf.NotAfter.Add(-third - time.Duration(rand.Int64N(int64(third/10)+1)))
	s.failures, s.problem = 0, nil
}

func (o *orders) nudge() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// run makes the attempts that are due until ctx ends.
func (o *orders) run(ctx context.Context) {
	var attempts errgroup.Group
	attempts.SetLimit(parallelOrders)
	for ctx.Err() == nil {
		for s := o.due(); s != nil; s = o.due() {
			if !attempts.TryGo(func() error { o.try(ctx, s); return nil }) {
				o.postpone(s) // until one ends
				break
			}
		}
		o.sleep(ctx)
	}
	_ = attempts.Wait() // they return no errors
}

// due takes the subject whose attempt is most overdue, nil if none is. Those without a certificate come first.
func (o *orders) due() *subject {
	o.mu.Lock()
	defer o.mu.Unlock()
	var first *subject
	for _, s := range o.subjects {
		if s.trying || s.next.After(time.Now()) {
			continue
		}
		if first == nil || s.before(first) {
			first = s
		}
	}
	if first != nil {
		first.trying = true
		if first.settled == nil {
			first.settled = make(chan struct{})
		}
	}
	return first
}

func (s *subject) before(other *subject) bool {
	if bare := s.certificate.Load() == nil; bare != (other.certificate.Load() == nil) {
		return bare
	}
	return cmp.Or(s.next.Compare(other.next), cmp.Compare(s.name, other.name)) < 0
}

func (o *orders) postpone(s *subject) {
	o.mu.Lock()
	defer o.mu.Unlock()
	s.trying = false
}

// sleep waits until an attempt is due, one has ended, or something else has changed.
func (o *orders) sleep(ctx context.Context) {
	timer := time.NewTimer(o.nextDue())
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-o.wake:
	case <-timer.C:
	}
}

func (o *orders) nextDue() time.Duration {
	o.mu.Lock()
	defer o.mu.Unlock()
	wait := time.Hour
	for _, s := range o.subjects {
		if until := time.Until(s.next); !s.trying && until > 0 {
			wait = min(wait, until)
		}
	}
	return wait
}

// try makes one attempt for s.
func (o *orders) try(ctx context.Context, s *subject) {
	defer o.nudge()
	began := time.Now()
	c, err := o.order(ctx, s)
	o.mu.Lock()
	defer o.mu.Unlock()
	s.trying, s.attempt = false, nil
	defer func() { close(s.settled); s.settled = nil }()
	switch {
	case ctx.Err() != nil:
		s.problem = err
	case err == nil:
		s.take(c)
		o.log.Info("certificate issued", "name", s.name, "issuer", issuerOf(c.Leaf), "until", c.Leaf.NotAfter, "took", time.Since(began), "renewal", s.next)
	case err == errNotAllowed:
		delete(o.subjects, s.name)
		o.log.Info("no certificate is wanted any more", "name", s.name)
	default:
		s.failures++
		s.problem = err
		s.next = time.Now().Add(pauseAfter(s.failures, err))
		o.log.Error("no certificate", "name", s.name, "error", err, "attempts", s.failures, "next", s.next)
	}
}

// order makes an attempt and shows it to those who answer challenges.
func (o *orders) order(ctx context.Context, s *subject) (*tls.Certificate, error) {
	o.mu.Lock()
	authority, demanded, onDemand := o.authority, s.demanded, o.onDemand
	o.mu.Unlock()
	if authority == nil || demanded && !onDemand.permits(ctx, s.name) {
		return nil, errNotAllowed
	}
	a, err := authority.attempt(ctx, s.name)
	if err != nil {
		return nil, err
	}
	o.mu.Lock()
	s.attempt = a
	o.mu.Unlock()
	return a.order()
}

// pauses are the times between attempts that fail. A CA allows five failures an hour for a name, and an attempt may be two.
var pauses = []time.Duration{time.Minute, 5 * time.Minute, 30 * time.Minute, time.Hour, 3 * time.Hour, 6 * time.Hour}

// pauseAfter is how long to wait after so many failures: longer if the CA says so, and a little by chance.
func pauseAfter(failures int, err error) time.Duration {
	pause := pauses[min(failures, len(pauses))-1]
	if asked, limited := acme.RateLimit(err); limited {
		pause = max(pause, min(asked, 24*time.Hour))
	}
	return pause + time.Duration(rand.Int64N(int64(pause/10)))
}
