package cache

import "time"

// Outcome is what Decide chose.
type Outcome uint8

// The outcomes.
const (
	Miss       Outcome = iota // nothing usable: fetch
	Hit                       // use it
	Stale                     // use it though stale; fetch in the background if Decision.Background
	Revalidate                // validate it, then use it or its replacement
	Pass                      // send the request to the origin, store nothing
	Refuse                    // 504: only-if-cached, and nothing usable
)

func (o Outcome) String() string {
	return [...]string{"miss", "hit", "stale", "revalidate", "pass", "refuse"}[o]
}

// Decision is what to do with a request, and why.
type Decision struct {
	Outcome    Outcome
	Reason     Reason
	Background bool          // with Stale: revalidate while nobody waits
	Alone      bool          // with Miss or Revalidate: neither lead nor follow, as the answer may be of no use to others; with HEAD, so would GET
	Age, TTL   time.Duration // of the Meta that was judged, if any
}

// Verdict is what the purges say of an Object.
type Verdict uint8

// The verdicts, from mild to severe; the severest that applies wins.
const (
	Valid        Verdict = iota
	Soft                 // stale: stale-while-revalidate and stale-if-error apply
	MustValidate         // used only after the origin's 304
	Hard                 // gone: not served, not validated, no validator either
)

func (v Verdict) String() string { return [...]string{"valid", "soft", "must-validate", "hard"}[v] }

// Purges is what the cache needs to know of purging. Implemented by package purge.
type Purges interface {
	// Applied returns the number of the newest purge in force. It never falls.
	Applied() uint64
	// Verdict judges t by the purges with a number in (after, upTo]. The severest wins.
	Verdict(t *Target, after, upTo uint64) Verdict
}

// Target is what purge selectors match: both schemes, every variant, route and extra key part fall with it.
type Target struct {
	Site string
	Host string
	URL  string // host, canonical path, and "?" with the normalised query if there is one
	Tags []string
}

// Admission is Admit's answer.
type Admission struct {
	Store  bool
	Reason Reason
	// HitForMiss: the response itself refuses storing, so that requests for the same key should not wait for one another.
	// Never set for reasons that lie in the request, nor for 5xx.
	HitForMiss bool
	// Meta is always there: an unstored response is written from it too.
	Meta *Meta
}
