package origin

import (
	"time"

	"github.com/sony/gobreaker/v2"
)

// Status is what a pool is doing, for operators.
type Status struct {
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
	s := Status{Queued: p.queue.length(), Retries: p.budget.made.Load(), RetriesRefused: p.budget.refused.Load()}
	for _, u := range p.upstreams() {
		s.Upstreams = append(s.Upstreams, u.status(now))
	}
	return s
}

func (u *upstream) status(now time.Time) UpstreamStatus {
	s := UpstreamStatus{
		Upstream: u.name, Backup: u.backup, Weight: u.weight * u.health.share(now),
		InFlight: u.load.inFlight.Load(), Latency: u.pace.at(now),
		Answers: u.answers.Load(), Failures: u.failures.Load(),
		Ejections: u.health.ejections.Load(), Returns: u.health.returns.Load(),
		Checks: u.checks.Load(), FailedChecks: u.failedChecks.Load(),
	}
	s.State, s.Why = u.health.state(now)
	if s.Weight > 0 && u.breaker != nil && u.breaker.State() == gobreaker.StateOpen {
		s.State, s.Why, s.Weight = StateOpen, "circuit breaker", 0
	}
	return s
}
