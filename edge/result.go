package edge

import (
	"net/netip"
	"time"

	"selvage/cache"
)

// Result is the one account of an answered request: the access log line, the metrics and Cache-Status are made from it.
type Result struct {
	// The request.
	Begin   time.Time
	Conn    uint64     // the lane's number of the connection, 0 for none: its lines keep their order in the log
	Client  netip.Addr // after trusted proxies were believed
	Proto   string     // "HTTP/1.1", "HTTP/2.0"
	Secure  bool
	Method  string
	Host    string
	Target  string // path and query as received; may hold any byte
	Referer string
	Agent   string
	Site    string // "" when no site was chosen
	Route   string

	// What the cache did.
	Outcome cache.Outcome
	Reason  cache.Reason // why, as in Cache-Status
	Looked  bool         // a site and route were chosen and the cache or an origin was asked: Cache-Status is sent
	Stored  bool         // the answer was stored
	// NotStored is why an origin's answer was not stored, "" when it was or none came. It does not replace Reason, which
	// says why the origin was asked.
	NotStored cache.Reason
	Collapse  bool // it waited for another request's fill
	TTL       time.Duration
	HasTTL    bool
	Upstream  string        // address that answered, "" for none
	Forward   time.Duration // time to the origin's head; 0 when none was asked
	Asked     bool          // the request, or the one whose fetch it shares, went forward to the origin
	Origin    int           // status the origin answered, 0 when none was asked or none came

	// The answer.
	Status  int
	Coding  string // Content-Encoding, "" for none or no content
	Bytes   int64  // of the body, as sent
	First   time.Duration
	Total   time.Duration
	Error   string // Proxy-Status error type (RFC 9209, section 2.3) of an answer we made, or why a transfer ended early
	Aborted bool   // the client did not get the whole answer
}
