package cache

// Fields gives access to the field lines of a request, however they are held: a map in the handler, raw bytes in the
// connection. Names are asked for in canonical form ("Accept-Encoding").
type Fields interface {
	// Value returns the i-th field line with that name, in the order received, and whether there is one.
	Value(name string, i int) (string, bool)
}

// Query holds the facts of one request that rules may see. It is built by ReduceField, one field line at a time, so that
// every way of reading a request yields the same Query.
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
}

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
)

// Has reports whether all of want are in s.
func (s FieldSet) Has(want FieldSet) bool { return s&want == want }

// RequestControl is a request's Cache-Control (RFC 9111, section 5.2.1). Durations are in seconds; -1 is absent.
type RequestControl struct {
	NoStore, NoCache, OnlyIfCached bool
	MaxAge, MinFresh               int64
	MaxStale                       int64 // math.MaxInt64 when given without a value
}

// CodingSet is what a client accepts, reduced to the codings this cache knows, for Vary and towards the origin.
type CodingSet uint8

// The known codings, in the fixed order in which they are sent to the origin.
const (
	Brotli CodingSet = 1 << iota
	Gzip
	Zstd
	IdentityRefused // identity;q=0, or *;q=0 without identity
)
