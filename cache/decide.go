package cache

import (
	"net/http"
	"slices"
	"time"
)

// Found is what looking up a Query brought.
type Found struct {
	Meta       *Meta // nil when nothing is stored for the request
	Verdict    Verdict
	Vary       bool // the key is stored, this variant is not
	HitForMiss bool // the last response for the key refused storing
	Backoff    bool // the last fetch failed, and none has succeeded since
	RetryDue   bool // with Backoff: it is this request's turn to have another made
	// Trouble is, with Backoff, what the last fetch came to. An origin that answers with errors is not an unreachable one,
	// moments later no more than at once.
	Trouble Trouble
}

// Eligible returns "" for a request the cache may answer, else the reason to pass it.
func Eligible(q *Query, p *Policy) Reason {
	switch {
	case !p.Enabled:
		return PassRoute
	case !slices.Contains(p.Methods, q.Method): // RFC 9111, section 4
		return PassMethod
	case q.Present.Has(HasUpgrade):
		return PassUpgrade
	case q.HasBody:
		return PassBody
	case q.Control.NoStore: // section 5.2.1.5
		return PassNoStore
	}
	return p.Bypass(q)
}

// Decide chooses how to answer a request (RFC 9111, section 4), given what was found for it.
func Decide(q *Query, p *Policy, f Found, now Instant) Decision {
	d := Decision{Outcome: Pass, Reason: Eligible(q, p)}
	if d.Reason == "" {
		d = choose(q, p, f, now)
	}
	// Section 5.2.1.7. Where the route has no cache there is nobody to honour it, and an unsafe method is not about reuse.
	if q.Control.OnlyIfCached && p.Enabled && isSafe(q.Method) && d.Outcome != Hit && d.Outcome != Stale {
		d.Outcome, d.Reason, d.Alone = Refuse, OnlyIfCached, false
	}
	return d
}

func choose(q *Query, p *Policy, f Found, now Instant) Decision {
	authorized := q.Present.Has(HasAuthorization)
	switch {
	case f.Meta == nil:
		return fetch(q, f, coldReason(f), authorized)
	case f.Verdict == Hard:
		return fetch(q, f, Purged, authorized)
	case authorized && !f.Meta.SharedWithAuth: // section 3.5
		return fetch(q, f, PassAuthorization, true)
	}
	d := judge(q, p, f, now)
	// Those who wait for a response that is never fresh could not use it, so each validates for itself.
	d.Alone = d.Outcome == Revalidate && (f.Meta.neverFresh() || f.HitForMiss)
	return d
}

// coldReason says why there is nothing to use.
func coldReason(f Found) Reason {
	switch {
	case f.HitForMiss:
		return PassHitForMiss
	case f.Vary:
		return VaryMiss
	}
	return URIMiss
}

// fetch is for a request that nothing stored can answer. HEAD passes, because its answer cannot be stored. With
// Authorization a request neither leads nor follows others, because Admit may find its answer to be for it alone.
func fetch(q *Query, f Found, why Reason, authorized bool) Decision {
	d := Decision{Outcome: Miss, Reason: why, Alone: authorized || f.HitForMiss}
	if q.Method == http.MethodHead {
		d.Outcome, d.Reason = Pass, PassHead
	}
	return d
}

// neverFresh reports whether the response needed validation from the moment it came.
func (m *Meta) neverFresh() bool { return m.NoCache || m.Lifetime <= m.InitialAge }

// judge decides on a stored response that may be used for the request.
func judge(q *Query, p *Policy, f Found, now Instant) Decision {
	m := f.Meta
	d := Decision{Outcome: Revalidate, Age: m.Age(now), TTL: m.TTL(now)}
	if f.Verdict == Soft {
		d.TTL = min(d.TTL, 0)
	}
	switch {
	case f.Verdict == MustValidate:
		d.Reason = MustValidateReason
		return d
	case m.NoCache: // section 5.2.2.4
		d.Reason = NoCacheStored
		return d
	}
	if p.honourClient {
		if d.Reason = refusedByClient(&q.Control, m, d); d.Reason != "" {
			return d
		}
	}
	if d.TTL > 0 {
		d.Outcome, d.Reason = Hit, Fresh
		return d
	}
	return judgeStale(q, p, f, d, now)
}

// refusedByClient returns why the client does not want a response that may be used (section 5.2.1), or "". One that is
// immutable need not be validated again because a browser reloads (RFC 8246, section 2); no-cache still asks for it.
func refusedByClient(c *RequestControl, m *Meta, d Decision) Reason {
	switch {
	case c.NoCache:
		return RequestNoCache
	case c.MaxAge >= 0 && d.Age > span(c.MaxAge) && !(m.Immutable && d.TTL > 0):
		return RequestMaxAge
	case c.MinFresh >= 0 && d.TTL < span(c.MinFresh):
		return RequestMinFresh
	case c.MaxAge >= 0 && c.MaxStale < 0 && d.TTL <= 0: // section 5.2.1.1: without max-stale, nothing stale
		return Expired
	}
	return ""
}

// judgeStale decides on a response that is not fresh, or that a purge made stale (section 4.2.4; RFC 5861, section 3).
func judgeStale(q *Query, p *Policy, f Found, d Decision, now Instant) Decision {
	m, staleness := f.Meta, max(0, -d.TTL)
	_, fallback := StaleAllowed(m, f.Verdict, f.Trouble, now)
	switch {
	case !m.ForbidStale && staleness < m.WhileRevalidate:
		d.Outcome, d.Reason, d.Background = Stale, StaleWhileRevalidate, !f.Backoff || f.RetryDue
	case f.Backoff && fallback:
		d.Outcome, d.Reason, d.Background = Stale, StaleBackoff, f.RetryDue
	case p.honourClient && !m.ForbidStale && q.Control.MaxStale >= 0 && staleness <= span(q.Control.MaxStale):
		d.Outcome, d.Reason = Stale, RequestMaxStale
	case f.Verdict == Soft:
		d.Reason = SoftPurged
	default:
		d.Reason = Expired
	}
	return d
}

// span is a request's number of seconds as a duration, bounded above any age.
func span(n int64) time.Duration { return time.Duration(min(n, 1<<33)) * time.Second }

// Trouble is what came instead of a usable answer from the origin.
type Trouble uint8

// The troubles.
const (
	Unreachable Trouble = iota // no answer at all: the cache is disconnected (RFC 9111, section 4.2.4)
	ErrorStatus                // an answer of 500, 502, 503 or 504 (RFC 5861, section 4)
)

// IsErrorStatus reports whether an origin's status is an ErrorStatus.
func IsErrorStatus(status int) bool {
	switch status {
	case 500, 502, 503, 504:
		return true
	}
	return false
}

// StaleAllowed reports whether a stored response may stand in for an answer the origin failed to give, and by which rule.
// What must be validated first never may. The windows begin where freshness ends, purged or not.
func StaleAllowed(m *Meta, v Verdict, t Trouble, now Instant) (Reason, bool) {
	if m == nil || v >= MustValidate || m.ForbidStale || m.NoCache {
		return "", false
	}
	staleness := max(0, -m.TTL(now))
	switch {
	case staleness < m.IfError:
		return StaleIfError, true
	case t == Unreachable && staleness < m.Unreachable:
		return StaleUnreachable, true
	}
	return "", false
}
