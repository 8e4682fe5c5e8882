package origin

import (
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// load counts an upstream's requests in flight, and holds them to its limits.
type load struct {
	inFlight atomic.Int64
	max      int64 // of inFlight; 0 is no bound
	rate     rate
}

// hasRoom reports whether enter would succeed now.
func (l *load) hasRoom(now time.Time) bool {
	return (l.max == 0 || l.inFlight.Load() < l.max) && l.rate.wait(now) <= 0
}

// enter counts a request in, unless a limit forbids it.
func (l *load) enter(now time.Time) bool {
	if n := l.inFlight.Add(1); l.max > 0 && n > l.max || !l.rate.take(now) {
		l.inFlight.Add(-1)
		return false
	}
	return true
}

// rate lets so many through in a second, up to a tenth of a second's worth of them at once.
type rate struct {
	interval time.Duration // between two; 0 is no bound
	mu       sync.Mutex
	due      time.Time // when the next one is due at an even pace; guarded by mu
}

// leeway is how far ahead of an even pace requests may be.
const leeway = 100 * time.Millisecond

func newInterval(perSecond int) time.Duration {
	if perSecond == 0 {
		return 0
	}
	return time.Second / time.Duration(perSecond)
}

// wait is how long it takes until one may pass.
func (r *rate) wait(now time.Time) time.Duration {
	if r.interval == 0 {
		return 0
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.waitLocked(now)
}

func (r *rate) waitLocked(now time.Time) time.Duration {
	return r.due.Sub(now.Add(max(0, leeway-r.interval)))
}

func (r *rate) take(now time.Time) bool {
	if r.interval == 0 {
		return true
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.waitLocked(now) > 0 {
		return false
	}
	if r.due.Before(now) {
		r.due = now
	}
	r.due = r.due.Add(r.interval)
	return true
}

// pace is how long an upstream takes to answer: a moving average that follows a rise at once and a fall slowly, and fades
// while nothing is heard, so that one that was slow is tried again (the peak EWMA of Finagle).
type pace struct {
	mu      sync.Mutex
	seconds float64   // at the time of heard; guarded by mu
	heard   time.Time // guarded by mu
}

// fade is the time in which the average forgets all but 1/e of what it was.
const fade = 10 * time.Second

// observe notes that an answer took so long.
func (p *pace) observe(took time.Duration, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	keep := p.keepLocked(now)
	seconds := max(took.Seconds(), 1e-6) // 0 is not known
	p.seconds = max(seconds, p.seconds*keep+seconds*(1-keep))
	p.heard = now
}

// at is the average in seconds, 0 when nothing was ever heard.
func (p *pace) at(now time.Time) float64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.seconds == 0 {
		return 0
	}
	return max(p.seconds*p.keepLocked(now), 1e-6)
}

// keepLocked is the part of the average that is left of it.
func (p *pace) keepLocked(now time.Time) float64 {
	return math.Exp(-max(0, now.Sub(p.heard).Seconds()) / fade.Seconds())
}
