package origin

import (
	"slices"
	"time"
)

// usual is how many upstreams a pick has room for without allocating.
const usual = 16

// survey appends those that may be asked now and were not tried: of the primaries that are well, or else of the backups that
// are, or else, rather than nobody, of all. Where all that are left fail, and are not ejected only because too many are, they are
// no better than the ejected: one of those may have got well. It says too whether some are left out because they are at a limit.
func (p *Pool) survey(into []choice, tried []*upstream, wellOnly bool, now time.Time) (c []choice, full bool) {
	if p.isPanicking(now) {
		return p.surveyTier(into, false, true, tried, now)
	}
	for _, tier := range [...]struct{ backups, sick bool }{{false, false}, {true, false}, {false, true}, {true, true}} {
		if tier.sick && wellOnly {
			break
		}
		if c, full = p.surveyTier(into, tier.backups, tier.sick, tried, now); len(c) > 0 || full {
			return c, full
		}
	}
	return nil, false
}

func (p *Pool) surveyTier(c []choice, backups, sick bool, tried []*upstream, now time.Time) (_ []choice, full bool) {
	promising := sick
	for _, u := range p.upstreams() {
		if u.backup != backups || u.draining.Load() || slices.Contains(tried, u) || !u.breaker.lets() {
			continue
		}
		share := u.health.share(now)
		promising = promising || u.isWell(now)
		switch {
		case share == 0 && !sick:
		case !u.load.hasRoom(now):
			full = true
		default:
			c = append(c, u.choice(now, share))
		}
	}
	if !promising {
		return c[:0], false
	}
	return c, full
}

// isWell reports whether nothing is held against u.
func (u *upstream) isWell(now time.Time) bool {
	return !u.reprieve.holds(now) && u.health.share(now) > 0
}

// isPanicking reports whether so few primaries are well that they would be overrun by what is meant for all.
func (p *Pool) isPanicking(now time.Time) bool {
	if p.panic == 0 {
		return false
	}
	all, well := 0, 0
	for _, u := range p.upstreams() {
		if u.backup || u.draining.Load() {
			continue
		}
		if all++; u.health.share(now) > 0 {
			well++
		}
	}
	return 100*well < p.panic*all
}

// choice is u as it is now. One that is asked though it is not well has all its weight.
func (u *upstream) choice(now time.Time, share float64) choice {
	if share == 0 {
		share = 1
	}
	x := choice{upstream: u, weight: float64(u.weight.Load()) * share, load: float64(u.load.inFlight.Load()), seed: u.seed}
	if u.pool.balance.policy == leastTime {
		x.latency = u.pace.at(now)
	}
	return x
}

// enter makes room for a request. What it returns belongs to its exchange.
func (u *upstream) enter(now time.Time) (endProbe func(error), ok bool) {
	endProbe, ok = u.breaker.begin()
	if ok && !u.load.enter(now) {
		if endProbe != nil {
			endProbe(errNoVerdict)
		}
		return nil, false
	}
	return endProbe, ok
}

// leave ends a request's part in the load.
func (u *upstream) leave() {
	u.load.inFlight.Add(-1)
	u.pool.queue.wake()
}
