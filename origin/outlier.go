package origin

import (
	"math"
	"slices"
	"sync"
	"time"
)

// hear takes what an exchange says of u that began and took so long to the head of its answer.
func (u *upstream) hear(v verdict, why string, began time.Time, took time.Duration, endProbe func(error)) {
	now := time.Now()
	var err error
	switch v {
	case unknown:
		err = errNoVerdict
	case good:
		u.answers.Add(1)
		u.reprieve.end()
		mean, redeemed := u.outliers.succeeded(began, took, now)
		if redeemed {
			u.health.pardon(now)
		}
		if mean > 0 && u.outliers.Slower > 0 && u.pool.isSlow(u, mean) {
			u.pool.eject(u, "slower than the others", now)
		}
	case bad, silent:
		err = errBad
		u.answers.Add(1)
		u.failures.Add(1)
		u.pace.observe(max(took, slowFailure), now)
		shows := u.outliers.failed(now)
		ejected := shows != "" && u.pool.eject(u, shows+": "+why, now)
		switch {
		case shows != "" && !ejected:
			u.reprieve.begin(now.Add(u.outliers.Eject), v == silent)
		case v == bad:
			u.reprieve.end()
		}
	}
	if endProbe != nil {
		endProbe(err)
	}
}

// slowFailure is what a failure counts as: one that comes quickly makes nobody fast.
const slowFailure = time.Second

// eject keeps requests from u for a while, unless too many are ejected already. One is always left.
func (p *Pool) eject(u *upstream, why string, now time.Time) (ejected bool) {
	p.ejecting.Lock()
	defer p.ejecting.Unlock()
	if u.health.isEjected(now) { // what it says now is of requests that were under way
		return true
	}
	n := 1
	for _, other := range p.upstreams() {
		if other != u && other.health.isEjected(now) {
			n++
		}
	}
	if all := len(p.upstreams()); n >= all || 100*n > u.outliers.MaxEjected*all {
		return false
	}
	u.health.eject(now.Add(u.outliers.sentence(now)), why, now)
	return true
}

// isSlow compares a mean latency of u with the median of the others'.
func (p *Pool) isSlow(u *upstream, mean float64) bool {
	var others []float64
	for _, other := range p.upstreams() {
		if m := other.outliers.lastMean(); other != u && m > 0 {
			others = append(others, m)
		}
	}
	if len(others) == 0 {
		return false
	}
	slices.Sort(others)
	return mean > float64(u.outliers.Slower)*others[len(others)/2]
}

// outliers looks for upstreams whose answers are worse than they should be, or than the others'.
type outliers struct {
	OutlierConfig
	mu     sync.Mutex // guards the following
	inARow int        // failures
	tally  tally
	// mean latency of the last whole window, 0 when there were too few answers
	mean float64
	// times it was ejected, without a long good time since, and when the last time began and ended
	times        int
	began, ended time.Time
	merits       int // good answers in a row to what was asked since it began
}

// tally is what happened in a window.
type tally struct {
	began            time.Time
	answers, failure int
	seconds          float64 // of all good answers together
}

// failed counts a failure, and says what it shows, "" for nothing.
func (o *outliers) failed(now time.Time) (why string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.rollLocked(now)
	o.inARow++
	o.merits = 0
	o.tally.answers++
	o.tally.failure++
	switch {
	case o.Failures > 0 && o.inARow >= o.Failures:
		return "failures in a row"
	case o.ErrorRate > 0 && o.tally.answers >= o.Requests && 100*o.tally.failure >= o.ErrorRate*o.tally.answers:
		return "error rate"
	}
	return ""
}

// succeeded counts a good answer. Once a window it gives the mean latency of that window, else 0. An upstream that is asked
// though it is ejected, since none is better, has redeemed itself by as many good answers in a row as failures would have it ejected.
func (o *outliers) succeeded(began time.Time, took time.Duration, now time.Time) (mean float64, redeemed bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	mean = o.rollLocked(now)
	o.inARow = 0
	o.tally.answers++
	o.tally.seconds += took.Seconds()
	if now.Before(o.ended) && !began.Before(o.began) {
		o.merits++
		redeemed = o.merits == max(1, o.Failures)
	}
	return mean, redeemed
}

// rollLocked begins a new window if it is time.
func (o *outliers) rollLocked(now time.Time) (mean float64) {
	if now.Sub(o.tally.began) < o.Window {
		return 0
	}
	if good := o.tally.answers - o.tally.failure; good >= max(1, o.Requests) {
		mean = o.tally.seconds / float64(good)
	}
	o.mean, o.tally = mean, tally{began: now}
	return mean
}

func (o *outliers) lastMean() float64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.mean
}

// maxEjections bounds how often the time doubles.
const maxEjections = 5

// sentence is how long an upstream is ejected this time: twice as long as the last, unless that is long ago.
func (o *outliers) sentence(now time.Time) time.Duration {
	o.mu.Lock()
	defer o.mu.Unlock()
	if now.Sub(o.ended) > 10*o.Eject {
		o.times = 0
	}
	long := o.Eject * time.Duration(math.Exp2(float64(o.times)))
	o.times = min(o.times+1, maxEjections)
	o.began, o.ended, o.merits, o.inARow, o.tally = now, now.Add(long), 0, 0, tally{began: now}
	return long
}
