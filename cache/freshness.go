package cache

import (
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// The greatest age and lifetime counted with (RFC 9111, section 1.2.2). The second is a second less, so that a response
// whose Age is too large to count is never fresh.
const (
	greatestAge      = (math.MaxInt32 + 1) * time.Second
	greatestLifetime = math.MaxInt32 * time.Second
)

// A guess at freshness is a tenth of the time since the last change, and at most a day (section 4.2.2).
const (
	heuristicPart = 10
	maxHeuristic  = 24 * time.Hour
)

// basis is what a freshness lifetime rests on.
type basis uint8

const (
	baseless   basis = iota // nothing: the lifetime is 0
	guessed                 // Last-Modified (section 4.2.2)
	configured              // the route, for this response's status or for any
	explicit                // the origin (section 4.2.1)
)

// setTimes fills in what Meta knows of time, and returns what the lifetime rests on.
func (m *Meta) setTimes(p *Policy, r *Response, d directives) basis {
	m.Received, m.ReceivedAt = r.Received.Mono, r.Received.Wall
	m.InitialAge = initialAge(r, m.Date)

	lifetime, from := p.lifetime(m, r.Header, d)
	m.Lifetime = min(max(0, lifetime), greatestLifetime)
	if p.TTL.Max > 0 {
		m.Lifetime = min(m.Lifetime, p.TTL.Max)
	}
	m.Heuristic = from == guessed

	m.NoCache = d.noCache
	m.Immutable = d.immutable
	m.ForbidStale = d.mustRevalidate || d.proxyRevalidate || d.noCache || d.sMaxAge.given()
	m.SharedWithAuth = d.public || d.mustRevalidate || d.sMaxAge >= 0
	m.setWindows(p, d)
	return from
}

// setWindows opens the windows for stale use: RFC 5861's as the origin wants them, else as the route does.
func (m *Meta) setWindows(p *Policy, d directives) {
	if m.ForbidStale {
		return // section 4.2.4: prohibited by an explicit directive
	}
	m.WhileRevalidate = window(d.whileRevalidate, p.Stale.WhileRevalidate)
	m.IfError = window(d.ifError, p.Stale.IfError)
	m.Unreachable = window(absent, p.Stale.Unreachable)
}

func window(wanted seconds, otherwise time.Duration) time.Duration {
	if wanted.given() {
		return wanted.duration()
	}
	return min(max(0, otherwise), greatestLifetime)
}

// lifetime is freshness_lifetime (section 4.2.1), and what the route's configuration makes of it. A ttl for the status
// speaks for any status, since it names it; the ttl for all only where an origin that says nothing means no harm: error
// answers that clients can provoke are not kept by default.
func (p *Policy) lifetime(m *Meta, h http.Header, d directives) (time.Duration, basis) {
	if given, ok := p.explicitLifetime(m, h, d); ok {
		if p.TTL.Override > 0 {
			return p.TTL.Override, explicit
		}
		return given, explicit
	}
	if named, ok := p.statusTTL(m.Status); ok {
		return named, configured
	}
	if general := p.generalTTL(); general > 0 && m.Status < 400 && heuristicallyCacheable(m.Status) {
		return general, configured
	}
	return heuristicLifetime(m, d)
}

// explicitLifetime is what the origin says: s-maxage, else max-age, else Expires less Date. The first Expires line counts,
// and one that is no date is in the past (section 5.3).
func (p *Policy) explicitLifetime(m *Meta, h http.Header, d directives) (time.Duration, bool) {
	if d.sMaxAge.given() {
		return d.sMaxAge.duration(), true
	}
	if d.maxAge.given() {
		return d.maxAge.duration(), true
	}
	lines := h["Expires"]
	if len(lines) == 0 || d.targeted || p.ignore["expires"] {
		return 0, false
	}
	expires, ok := parseDate(lines[0])
	if !ok {
		return 0, true
	}
	return expires.Sub(m.Date), true
}

// statusTTL is the route's ttl for a status, or for its class.
func (p *Policy) statusTTL(status int) (time.Duration, bool) {
	if ttl, ok := p.ttlStatus[status]; ok {
		return ttl, true
	}
	ttl, ok := p.ttlStatus[status/100]
	return ttl, ok
}

// generalTTL is the route's ttl for responses without any freshness.
func (p *Policy) generalTTL() time.Duration {
	if p.TTL.Override > 0 {
		return p.TTL.Override
	}
	return p.TTL.Default
}

// heuristicLifetime guesses (section 4.2.2), only from Last-Modified, for statuses defined as heuristically cacheable and
// for responses marked public. That is often said of a whole site, so it does not count for an ErrorStatus.
func heuristicLifetime(m *Meta, d directives) (time.Duration, basis) {
	if m.LastModified.IsZero() {
		return 0, baseless
	}
	if !heuristicallyCacheable(m.Status) && (!d.public || IsErrorStatus(m.Status)) {
		return 0, baseless
	}
	unchanged := max(0, m.Date.Sub(m.LastModified))
	return min(unchanged/heuristicPart, maxHeuristic), guessed
}

// heuristicallyCacheable reports whether the definition of a status lets caches guess (RFC 9110, section 15.1).
func heuristicallyCacheable(status int) bool {
	switch status {
	case 200, 203, 204, 206, 300, 301, 308, 404, 405, 410, 414, 501:
		return true
	}
	return false
}

// initialAge is corrected_initial_age (section 4.2.3). Dates have whole seconds, so the time of receipt is cut to them
// before the two are compared, or every response would arrive up to a second old.
func initialAge(r *Response, date time.Time) time.Duration {
	apparent := r.Received.Wall.Truncate(time.Second).Sub(date)
	delay := min(max(0, r.Received.Mono.Sub(r.Requested.Mono)), greatestAge)
	return min(max(0, apparent, ageValue(r.Header)+delay), greatestAge)
}

// ageValue reads Age (section 5.1): the first member of a list, nothing when that is not a number, and 2^31 seconds when
// it is a larger one.
func ageValue(h http.Header) time.Duration {
	lines := h["Age"]
	if len(lines) == 0 {
		return 0
	}
	first, _, _ := strings.Cut(lines[0], ",")
	first = strings.Trim(first, " \t")
	if first == "" || strings.Trim(first, "0123456789") != "" {
		return 0
	}
	n, err := strconv.ParseInt(first, 10, 64)
	if err != nil { // more digits than int64 has
		return greatestAge
	}
	return time.Duration(min(n, int64(greatestAge/time.Second))) * time.Second
}
