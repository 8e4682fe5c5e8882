package origin

import (
	"sync/atomic"
	"time"
)

// IsOut reports whether no upstream is left that can be expected to answer: each is down, ejected, cut off or drained, or would
// be ejected, were it not the last. Requests are sent all the same, where there is anybody to send them to.
func (p *Pool) IsOut() bool {
	out := p.noneExpected(time.Now())
	if p.out.CompareAndSwap(!out, out) {
		if out {
			p.log.Warn("no upstream of the origin is left", "origin", p.name)
		} else {
			p.log.Info("an upstream of the origin can be asked again", "origin", p.name)
		}
	}
	return out
}

func (p *Pool) noneExpected(now time.Time) bool {
	for _, u := range p.upstreams() {
		if !u.draining.Load() && u.breaker.lets() && !u.reprieve.isSilent(now) && u.health.share(now) > 0 {
			return false
		}
	}
	return p.isSurveyed()
}

// isSurveyed reports whether every service was looked up: before that nobody knows which upstreams there are.
func (p *Pool) isSurveyed() bool {
	for _, s := range p.services {
		select {
		case <-s.found:
		default:
			return false
		}
	}
	return true
}

// reprieve is that of an upstream which is not ejected for its failures, since too many are. It is asked, but nobody counts on
// it, until it does well or the time is up.
type reprieve struct {
	until  atomic.Int64 // Unix nanoseconds; 0 for none
	silent atomic.Bool  // its last failure was to say nothing
}

func (r *reprieve) begin(until time.Time, silent bool) {
	r.silent.Store(silent)
	r.until.Store(until.UnixNano())
}

func (r *reprieve) holds(now time.Time) bool { return now.UnixNano() < r.until.Load() }

// isSilent: an answer that is an error is one too. Who gives it can be contacted, so that the cache is not disconnected (RFC
// 9111, section 4.2.4).
func (r *reprieve) isSilent(now time.Time) bool { return r.silent.Load() && r.holds(now) }

// end is asked for after every good answer, so it writes only where there is something to end.
func (r *reprieve) end() {
	if r.until.Load() != 0 {
		r.until.Store(0)
	}
}
