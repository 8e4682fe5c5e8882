package cache

// Reason says why a request or response was treated as it was. The string is the log word, the metric label and the
// Cache-Status detail, so there is a bounded number of them.
type Reason string

// Reasons of Decide: why a stored response was or was not used.
const (
	Fresh                Reason = "fresh"
	Expired              Reason = "stale"                  // stored, no longer fresh
	URIMiss              Reason = "uri-miss"               // nothing stored under the key
	VaryMiss             Reason = "vary-miss"              // the key is stored, this variant is not
	NoCacheStored        Reason = "no-cache"               // stored with no-cache: validate first
	MustValidateReason   Reason = "must-validate"          // an unsafe method or lost purge position: validate first
	SoftPurged           Reason = "soft-purged"            // made stale by a purge
	Purged               Reason = "purged"                 // removed by a purge
	StaleWhileRevalidate Reason = "stale-while-revalidate" // RFC 5861, section 3
	StaleIfError         Reason = "stale-if-error"         // RFC 5861, section 4
	StaleUnreachable     Reason = "stale-unreachable"      // RFC 9111, section 4.2.4: disconnected
	StaleBackoff         Reason = "stale-backoff"          // the last fetch failed moments ago
	StaleOutage          Reason = "stale-outage"           // the same section: no upstream is left to ask
	SiteFrozen           Reason = "frozen"                 // an operator wants the origin left alone
	RequestNoCache       Reason = "request-no-cache"
	RequestMaxAge        Reason = "request-max-age"
	RequestMinFresh      Reason = "request-min-fresh"
	RequestMaxStale      Reason = "request-max-stale" // stale, and the client takes it
	OnlyIfCached         Reason = "only-if-cached"
)

// Reasons to pass: the request is not for the cache.
const (
	PassRoute         Reason = "route"  // caching is off for the route
	PassMethod        Reason = "method" // RFC 9111, section 4: only methods understood to be cacheable
	PassNoStore       Reason = "request-no-store"
	PassAuthorization Reason = "authorization" // RFC 9111, section 3.5, and nothing stored allows it
	PassBody          Reason = "body"
	PassUpgrade       Reason = "upgrade"
	PassBypassCookie  Reason = "bypass-cookie"
	PassBypassHeader  Reason = "bypass-header"
	PassBypassPath    Reason = "bypass-path"
	PassHitForMiss    Reason = "hit-for-miss"
	PassRange         Reason = "range"    // a range of something that is not here and will not be stored
	PassHead          Reason = "head"     // HEAD on a cold object
	PassExcluded      Reason = "excluded" // twice a follower of fills that turned out not to be for it
)

// Reasons of Admit: why a response is not stored.
const (
	Stored              Reason = "stored"
	NotStoredNoStore    Reason = "origin-no-store"
	NotStoredPrivate    Reason = "origin-private"
	NotStoredVaryStar   Reason = "vary-star"
	NotStoredSetCookie  Reason = "set-cookie"
	NotStoredAuth       Reason = "authorization-response" // RFC 9111, section 3.5
	NotStoredStatus     Reason = "status"                 // not final, not understood, or not cacheable without freshness
	NotStoredPartial    Reason = "partial"                // 206: never stored as a whole
	NotStoredError      Reason = "server-error"           // a 5xx without explicit freshness, or with something stale to stand in for it
	NotStoredFreshness  Reason = "no-freshness"           // nothing would ever make it usable again
	NotStoredTooLarge   Reason = "too-large"
	NotStoredTags       Reason = "tags"         // more than are kept, so that a purge by the others would miss it
	NotStoredStream     Reason = "event-stream" // it has no end
	NotStoredMethod     Reason = "method-response"
	NotStoredUnderstand Reason = "must-understand" // RFC 9111, section 5.2.2.3
	NotStoredRequest    Reason = "request-no-store-response"
)
