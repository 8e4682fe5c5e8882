package cache

import (
	"net/http"
	"time"
)

// Response is the head of an origin's answer as it arrived: what Admit and Freshen judge.
type Response struct {
	Proto  string // version of the message, "HTTP/1.1"
	Status int
	Header http.Header // hop-by-hop fields are still in it; Admit drops them
	Length int64       // of the body; -1 when not known yet
	// Requested and Received are request_time and response_time of RFC 9111, section 4.2.3.
	Requested, Received Moment
}

// Meta holds the facts of a stored response. Immutable once published.
type Meta struct {
	Proto  string // version in which the response was received, for Via
	Status int
	Head   Head // the origin's field lines, without hop-by-hop fields, Age and Content-Length; Date is always there

	Vary         []string // canonical names, sorted; empty when the response does not vary
	ETag         string   // as sent, with quotes and W/
	LastModified time.Time
	Date         time.Time // of the Date field, or of receipt
	Coding       string    // Content-Encoding in lower case, "" for identity

	Received   Instant       // response_time on the monotonic clock
	ReceivedAt time.Time     // the same on the wall clock, for the disk
	InitialAge time.Duration // corrected_initial_age (RFC 9111, section 4.2.3)
	Lifetime   time.Duration // freshness_lifetime (section 4.2.1); 0 is never fresh
	Heuristic  bool          // Lifetime is a guess (section 4.2.2)

	NoCache        bool // no-cache: validate before every use
	ForbidStale    bool // must-revalidate, proxy-revalidate, s-maxage, no-cache: never used stale
	SharedWithAuth bool // public, must-revalidate or s-maxage: usable for requests with Authorization (section 3.5)
	Immutable      bool // RFC 8246
	NoTransform    bool // its bytes are sent as they came (section 5.2.2.6)

	// Windows after Lifetime in which the response may be used stale; 0 is not at all.
	WhileRevalidate, IfError, Unreachable time.Duration

	Tags  []string // from Cache-Tag, Surrogate-Key, xkey, Cache-Groups
	Epoch uint64   // purges applied when the origin was asked
}

// Age returns current_age at now (RFC 9111, section 4.2.3).
func (m *Meta) Age(now Instant) time.Duration { return m.InitialAge + max(0, now.Sub(m.Received)) }

// TTL returns how much longer the response is fresh; negative when it is stale.
func (m *Meta) TTL(now Instant) time.Duration { return m.Lifetime - m.Age(now) }
