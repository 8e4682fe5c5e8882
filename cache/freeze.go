package cache

// Reach says whether the origin of a request can be asked.
type Reach uint8

// The kinds of reach.
const (
	Reachable    Reach = iota
	Disconnected       // no upstream is left that can be expected to answer
	Frozen             // an operator wants the origin left alone
)

// Withhold revises a decision for an origin that cannot be asked, or is not to be: what is stored stands in for its answer,
// whatever its age.
//
// RFC 9111, section 4.2.4, lets a disconnected cache use stale responses, but not against an explicit directive: no-cache,
// must-revalidate, proxy-revalidate and s-maxage hold, and so does what an unsafe method has invalidated (section 4.4). For
// what it has not, the origin is asked all the same, and now and then behind what it has: upstreams may be better than they
// look.
//
// A freeze is what that section calls configuration in accordance with an out-of-band contract: whoever freezes a site speaks
// for its origin, and overrides all of these. What it does not override are hard purges, and section 3.5: a response that is not
// shared with Authorization stays so. Nothing is asked then, and what cannot be answered is refused.
func Withhold(d Decision, q *Query, p *Policy, f Found, r Reach, now Instant) Decision {
	stale := Decision{Outcome: Stale}
	switch {
	case r == Reachable, d.Outcome == Hit:
		return d
	case r == Frozen && f.outlasts(MustValidate, q):
		stale.Reason = SiteFrozen
	case r == Frozen && d.Outcome != Refuse:
		return Decision{Outcome: Refuse, Reason: SiteFrozen}
	case r == Disconnected && d.Outcome != Stale && p.Stale.Outage && f.outlasts(Soft, q) && f.Meta.mayOutliveOrigin():
		stale.Reason, stale.Background = StaleOutage, !f.Backoff || f.RetryDue
	default:
		return d
	}
	stale.Age, stale.TTL = f.Meta.Age(now), f.Meta.TTL(now)
	if f.Verdict != Valid {
		stale.TTL = min(stale.TTL, 0)
	}
	return stale
}

// outlasts reports whether there is a response for the request that no purge worse than v concerns.
func (f Found) outlasts(v Verdict, q *Query) bool {
	return f.Meta != nil && f.Verdict <= v && (f.Meta.SharedWithAuth || !q.Present.Has(HasAuthorization))
}

// mayOutliveOrigin: without a directive against it there is a window, unless the route wants none.
func (m *Meta) mayOutliveOrigin() bool { return m.Unreachable > 0 && !m.ForbidStale && !m.NoCache }
