package cache

import (
	"math"
	"strings"
)

// Fields gives access to the field lines of a request, however they are held: a map in the handler, raw bytes in the
// connection. Names are asked for in canonical form ("Accept-Encoding").
type Fields interface {
	// Value returns the i-th field line with that name, in the order received, and whether there is one.
	Value(name string, i int) (string, bool)
}

// Query holds the facts of one request that rules may see. It is built by ReduceField, one field line at a time, so that
// every way of reading a request yields the same Query. Begin with NewQuery.
type Query struct {
	Method   string
	Secure   bool   // https: part of the key
	Host     string // lower case, no trailing dot, no default port
	Path     string // canonical: the same bytes key the cache and go to the origin
	RawQuery string // normalised by the route's policy: the same bytes key the cache and go to the origin
	HasQuery bool   // "/?" differs from "/"
	Site     string // name of the site, for purges
	Route    string // the route's name, when it was chosen by anything but host, path and method; else ""
	Fields   Fields

	Control RequestControl // Cache-Control, or Pragma in its absence
	Present FieldSet       // which of the fields that rules ask for are there
	Coding  CodingSet      // Accept-Encoding, reduced
	HasBody bool           // a body was announced, even one of length 0 by chunks

	Key  string // made by MakeKey
	Hash uint64 // seeded hash of Key

	offer codingOffer // the Accept-Encoding lines read so far
	coded bool        // codings are ours to make, so none of them splits the cache: set by MakeKey
}

// NewQuery returns the Query of a request of which nothing has been read yet.
func NewQuery() Query { return Query{Control: noControl} }

// FieldSet is a set of request fields whose mere presence matters.
type FieldSet uint32

// The fields of a FieldSet.
const (
	HasAuthorization FieldSet = 1 << iota
	HasCookie
	HasRange
	HasIfRange
	HasIfMatch
	HasIfNoneMatch
	HasIfModifiedSince
	HasIfUnmodifiedSince
	HasUpgrade
	HasExpect
	HasAcceptEncoding
	HasCacheControl
	HasDictionary // Available-Dictionary
)

// Has reports whether all of want are in s.
func (s FieldSet) Has(want FieldSet) bool { return s&want == want }

// RequestControl is a request's Cache-Control (RFC 9111, section 5.2.1). Durations are in seconds; -1 is absent.
type RequestControl struct {
	NoStore, NoCache, OnlyIfCached bool
	NoTransform                    bool
	MaxAge, MinFresh               int64
	MaxStale                       int64 // math.MaxInt64 when given without a value
}

var noControl = RequestControl{MaxAge: -1, MinFresh: -1, MaxStale: -1}

// CodingSet is what a client accepts, reduced to the codings this cache knows, for Vary and towards the origin.
type CodingSet uint8

// The known codings, in the fixed order in which they are sent to the origin.
const (
	Brotli CodingSet = 1 << iota
	Gzip
	Zstd
	IdentityRefused // identity;q=0, or *;q=0 without identity
)

// ReduceField takes one field line into account; the name may be in any letter case. The order in which the lines of
// different fields come makes no difference. It does not allocate, and keeps no part of its arguments.
func (q *Query) ReduceField(name, value string) {
	switch {
	case sameToken(name, "Cache-Control"):
		q.reduceControl(value)
	case sameToken(name, "Pragma"):
		q.reducePragma(value)
	case sameToken(name, "Accept-Encoding"):
		q.Present |= HasAcceptEncoding
		q.offer.add(value)
		q.Coding = q.offer.set()
	default:
		q.Present |= presence(name)
	}
}

// presence returns the bit of a field of which rules only ask first whether it is there.
func presence(name string) FieldSet {
	switch {
	case sameToken(name, "Authorization"):
		return HasAuthorization
	case sameToken(name, "Cookie"):
		return HasCookie
	case sameToken(name, "Range"):
		return HasRange
	case sameToken(name, "If-Range"):
		return HasIfRange
	case sameToken(name, "If-Match"):
		return HasIfMatch
	case sameToken(name, "If-None-Match"):
		return HasIfNoneMatch
	case sameToken(name, "If-Modified-Since"):
		return HasIfModifiedSince
	case sameToken(name, "If-Unmodified-Since"):
		return HasIfUnmodifiedSince
	case sameToken(name, "Upgrade"):
		return HasUpgrade
	case sameToken(name, "Expect"):
		return HasExpect
	case sameToken(name, "Available-Dictionary"):
		return HasDictionary
	}
	return 0
}

// reduceControl adds one Cache-Control line. The first one takes back what a Pragma before it has set.
func (q *Query) reduceControl(value string) {
	if !q.Present.Has(HasCacheControl) {
		q.Present |= HasCacheControl
		q.Control = noControl
	}
	for member, rest := cutMember(value); member != ""; member, rest = cutMember(rest) {
		q.Control.add(member)
	}
}

// reducePragma adds one Pragma line. Where there is no Cache-Control, Pragma: no-cache is taken for Cache-Control: no-cache,
// as RFC 7234, section 5.4 said; RFC 9111 deprecates it and leaves that to the cache.
func (q *Query) reducePragma(value string) {
	if q.Present.Has(HasCacheControl) {
		return
	}
	for member, rest := cutMember(value); member != ""; member, rest = cutMember(rest) {
		if sameToken(member, "no-cache") {
			q.Control.NoCache = true
		}
	}
}

// add takes one directive into account (RFC 9111, section 5.2.1). One that is malformed fails alone, and of several with
// the same name the most demanding holds, so that neither the order nor the split into lines matters.
func (c *RequestControl) add(directive string) {
	name, argument, given := strings.Cut(directive, "=")
	name, argument = trimOWS(name), unquote(trimOWS(argument))
	switch {
	case sameToken(name, "no-store"):
		c.NoStore = true
	case sameToken(name, "no-cache"):
		c.NoCache = true
	case sameToken(name, "only-if-cached"):
		c.OnlyIfCached = true
	case sameToken(name, "no-transform"):
		c.NoTransform = true
	case sameToken(name, "max-age"):
		c.MaxAge = least(c.MaxAge, deltaSeconds(argument))
	case sameToken(name, "max-stale") && !given:
		c.MaxStale = least(c.MaxStale, math.MaxInt64)
	case sameToken(name, "max-stale"):
		c.MaxStale = least(c.MaxStale, deltaSeconds(argument))
	case sameToken(name, "min-fresh"):
		c.MinFresh = max(c.MinFresh, deltaSeconds(argument))
	}
}

// least returns the lesser of two numbers of seconds, of which either may be absent.
func least(a, b int64) int64 {
	if a < 0 || b >= 0 && b < a {
		return b
	}
	return a
}

// deltaSeconds reads a number of seconds (RFC 9111, section 1.2.2): -1 for what is none, 2^31 for all that is greater.
func deltaSeconds(s string) int64 {
	const most = 1 << 31
	seconds := int64(0)
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return -1
		}
		seconds = min(most, seconds*10+int64(s[i]-'0'))
	}
	if s == "" {
		return -1
	}
	return seconds
}
