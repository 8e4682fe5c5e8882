package origin

import (
	"fmt"
	"time"

	"github.com/sony/gobreaker/v2"
)

// Status is what a pool is doing, for operators.
type Status struct {
	Out            bool             `json:"out"`     // no upstream is left that can be expected to answer
	Queued         int              `json:"queued"`  // requests that wait for an upstream below its limits
	Retries        int64            `json:"retries"` // since the start, as the next
	RetriesRefused int64            `json:"retries_refused"`
	Upstreams      []UpstreamStatus `json:"upstreams"` // in the order of the configuration
}

// UpstreamStatus is what an upstream is doing.
type UpstreamStatus struct {
	Upstream string  `json:"upstream"`
	Backup   bool    `json:"backup,omitempty"`
	State    string  `json:"state"`         // one of the States
	Why      string  `json:"why,omitempty"` // it is down or ejected
	Weight   float64 `json:"weight"`        // now: less than configured after it has come back, 0 while it is out
	InFlight int64   `json:"in_flight"`
	Latency  float64 `json:"latency_seconds"` // to the head of an answer, as of late; 0 is not known

	// Since the start.
	Answers      int64 `json:"answers"` // failures included
	Failures     int64 `json:"failures"`
	Ejections    int64 `json:"ejections"`
	Returns      int64 `json:"returns"`
	Checks       int64 `json:"checks"`
	FailedChecks int64 `json:"failed_checks"`
}

// Status tells what the pool and its upstreams are doing.
func (p *Pool) Status() Status {
	now := time.Now()
	s := Status{Out: p.IsOut(), Queued: p.queue.length(), Retries: p.budget.made.Load(), RetriesRefused: p.budget.refused.Load()}
	for _, u := range p.upstreams() {
		s.Upstreams = append(s.Upstreams, u.status(now))
	}
	return s
}

func (u *upstream) status(now time.Time) UpstreamStatus {
	s := UpstreamStatus{
		Upstream: u.name, Backup: u.backup, Weight: float64(u.weight.Load()) * u.health.share(now),
		InFlight: u.load.inFlight.Load(), Latency: u.pace.at(now),
		Answers: u.answers.Load(), Failures: u.failures.Load(),
		Ejections: u.health.ejections.Load(), Returns: u.health.returns.Load(),
		Checks: u.checks.Load(), FailedChecks: u.failedChecks.Load(),
	}
	s.State, s.Why = u.health.state(now)
	if u.draining.Load() {
		s.State, s.Why, s.Weight = StateDraining, "", 0
	}
	if s.Weight > 0 && u.breaker != nil && u.breaker.State() == gobreaker.StateOpen {
		s.State, s.Why, s.Weight = StateOpen, "circuit breaker", 0
	}
	return s
}

// Change is what an operator may change of an upstream while the pool runs; nil is left as it is.
type Change struct {
	// Drain: no more requests, while those in flight are finished.
	Drain  *bool `json:"drain,omitempty"`
	Weight *int  `json:"weight,omitempty"`
}

// Change changes the upstream of a name, until the pool is made anew. What an error says is the operator's fault.
func (p *Pool) Change(upstream string, c Change) error {
	if c.Weight != nil && (*c.Weight < 1 || *c.Weight > maxWeight) {
		return fmt.Errorf("weight %d is not from 1 to %d", *c.Weight, maxWeight)
	}
	for _, u := range p.upstreams() {
		if u.name == upstream {
			u.change(c)
			return nil
		}
	}
	return fmt.Errorf("origin %s has no upstream %s", p.name, upstream)
}

func (u *upstream) change(c Change) {
	if c.Weight != nil {
		u.weight.Store(int64(*c.Weight))
	}
	if c.Drain != nil {
		u.draining.Store(*c.Drain)
		u.pool.queue.wake()
	}
	u.health.log.Info("upstream changed by the operator", "draining", u.draining.Load(), "weight", u.weight.Load())
}
