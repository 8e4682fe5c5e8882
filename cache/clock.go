package cache

import "time"

// Instant is a point on this node's monotonic clock, in nanoseconds since an arbitrary start. Ages are counted on it, so
// that a jump of the wall clock neither expires nor revives anything.
type Instant int64

// Add returns the instant d later.
func (i Instant) Add(d time.Duration) Instant { return i + Instant(d) }

// Sub returns the time from j to i.
func (i Instant) Sub(j Instant) time.Duration { return time.Duration(i - j) }

// Moment is one reading of both clocks.
type Moment struct {
	Mono Instant   // for ages and lifetimes
	Wall time.Time // for HTTP dates
}

// Clock tells the time. The node has one; tests pass their own.
type Clock interface {
	Now() Moment
}

// SystemClock returns the machine's clock.
func SystemClock() Clock { return systemClock{start: time.Now()} }

type systemClock struct{ start time.Time }

func (c systemClock) Now() Moment {
	now := time.Now()
	return Moment{Mono: Instant(now.Sub(c.start)), Wall: now}
}
