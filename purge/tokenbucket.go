package purge

import (
	"sync"
	"time"
)

// rate is how often something may happen: so many times a second on average, and burst times at once after a pause. The zero
// rate is no bound.
type rate struct{ perSecond, burst float64 }

// limiter keeps a token bucket for everybody who is bounded, by name. It is itself bounded: who has paused for long enough is
// forgotten, and when all are busy somebody is, which gives them one more burst.
type limiter struct {
	mu      sync.Mutex
	buckets map[string]bucket // guarded by mu
}

// bucket is what may still happen at once, as of a moment.
type bucket struct {
	rate  rate
	level float64
	at    time.Time
}

const maxBuckets = 4096

func newLimiter() *limiter { return &limiter{buckets: make(map[string]bucket)} }

// take counts n times for name, at most the burst, unless that would be too many: then it returns how long until it is not.
func (l *limiter) take(name string, n int, r rate) (wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.bucketLocked(name, r)
	if wait = b.wait(n); wait > 0 || r.perSecond == 0 {
		return wait
	}
	b.level -= float64(n)
	if _, known := l.buckets[name]; !known && len(l.buckets) >= maxBuckets {
		l.forgetLocked(b.at)
	}
	l.buckets[name] = b
	return 0
}

// wait returns how long until take would count once.
func (l *limiter) wait(name string, r rate) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.bucketLocked(name, r)
	return b.wait(1)
}

// bucketLocked returns the bucket as it is now. One that is not there is full.
func (l *limiter) bucketLocked(name string, r rate) bucket {
	now := time.Now()
	b, ok := l.buckets[name]
	if !ok {
		return bucket{rate: r, level: r.burst, at: now}
	}
	b.rate = r // a reload may have changed it
	return b.refilled(now)
}

func (b bucket) refilled(now time.Time) bucket {
	b.level = min(b.rate.burst, b.level+now.Sub(b.at).Seconds()*b.rate.perSecond)
	b.at = now
	return b
}

// wait returns how long until there are n.
func (b bucket) wait(n int) time.Duration {
	if b.rate.perSecond == 0 || b.level >= float64(n) {
		return 0
	}
	return time.Duration((float64(n) - b.level) / b.rate.perSecond * float64(time.Second))
}

// forgetLocked makes room for one more.
func (l *limiter) forgetLocked(now time.Time) {
	somebody := ""
	for name, b := range l.buckets {
		somebody = name
		if b.refilled(now).level >= b.rate.burst {
			delete(l.buckets, name)
		}
	}
	if len(l.buckets) >= maxBuckets {
		delete(l.buckets, somebody)
	}
}
