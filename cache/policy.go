package cache

import (
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Config is a route's `cache:` section. The zero value is not useful: start from DefaultConfig.
type Config struct {
	// Enabled: false passes every request of the route to the origin.
	Enabled bool `yaml:"enabled"`
	// TTL sets freshness where the origin does not, or against it.
	TTL TTLConfig `yaml:"ttl"`
	// Stale says how long a stale response may still be used. The origin's own stale-while-revalidate and stale-if-error win.
	Stale StaleConfig `yaml:"stale"`
	// Bypass names requests that pass to the origin without looking at the cache.
	Bypass BypassConfig `yaml:"bypass"`
	// Key says what, besides host, scheme class, path and query, tells two responses apart.
	Key KeyConfig `yaml:"key"`
	// Ignore names response directives to be treated as absent: no-cache, no-store, private, max-age, s-maxage, expires,
	// must-revalidate, proxy-revalidate, vary.
	Ignore []string `yaml:"ignore"`
	// SetCookie: refuse (default) never stores a response with Set-Cookie; store keeps it whole; strip removes the field,
	// stores the rest, and sends nobody the cookie.
	SetCookie string `yaml:"set_cookie" enum:"refuse,store,strip"`
	// RequestCookies: keep (default) forwards Cookie to the origin on a fill; strip removes it, on cacheable requests only.
	RequestCookies string `yaml:"request_cookies" enum:"keep,strip"`
	// ClientDirectives: ignore (default) or honour Cache-Control: no-cache, max-age, min-fresh, max-stale and Pragma of
	// requests. no-store and only-if-cached are always honoured.
	ClientDirectives string `yaml:"client_directives" enum:"ignore,honour"`
	// MaxObject is the largest body stored, in bytes. 0: an eighth of the memory tier.
	MaxObject int64 `yaml:"max_object" unit:"bytes"`
	// Tags names the response fields that purge tags are read from.
	Tags []string `yaml:"tags"`
	// Groups lets the answer to an unsafe method invalidate groups of responses by Cache-Group-Invalidation (RFC 9875).
	Groups bool `yaml:"groups"`
	// Methods answered from the cache: GET and HEAD, or GET alone.
	Methods []string `yaml:"methods"`
}

// TTLConfig is `cache.ttl`. A duration of 0 is "not set" for Default, Override and Max.
type TTLConfig struct {
	Default  time.Duration            `yaml:"default"`  // when the origin gives no freshness at all
	Status   map[string]time.Duration `yaml:"status"`   // the same by status ("404") or class ("5xx")
	Override time.Duration            `yaml:"override"` // instead of whatever freshness the origin gives
	Max      time.Duration            `yaml:"max"`      // upper bound of any freshness lifetime
}

// StaleConfig is `cache.stale`.
type StaleConfig struct {
	WhileRevalidate time.Duration `yaml:"while_revalidate"` // when the origin names none
	IfError         time.Duration `yaml:"if_error"`         // when the origin names none
	Unreachable     time.Duration `yaml:"unreachable"`      // no answer at all from the origin; 0 is never
	Outage          bool          `yaml:"outage"`           // the same for as long as no upstream is left to ask
}

// BypassConfig is `cache.bypass`. In Cookies and Paths a trailing * matches any rest.
type BypassConfig struct {
	Cookies []string `yaml:"cookies"` // names of cookies, case-sensitive
	Headers []string `yaml:"headers"` // names of request fields
	Paths   []string `yaml:"paths"`   // "/exact", "/prefix*"; matched against the canonical path
}

// KeyConfig is `cache.key`.
type KeyConfig struct {
	Query   QueryConfig `yaml:"query"`
	Headers []string    `yaml:"headers"` // request fields whose values join the key
	Cookies []string    `yaml:"cookies"` // cookies whose values join the key
}

// QueryConfig is `cache.key.query`. What is not in the key is not sent to the origin either, on a fill. Names are compared as
// they are spelt; a trailing * matches any rest.
type QueryConfig struct {
	Keep  []string `yaml:"keep"`  // taken off the default list of tracking parameters; "*" empties it
	Drop  []string `yaml:"drop"`  // more names to drop; "*" drops the whole query
	Allow []string `yaml:"allow"` // when given, only these stay, tracking parameters among them
	Sort  bool     `yaml:"sort"`  // order by name, stable
}

// DefaultConfig is what a route without a `cache:` section has.
func DefaultConfig() Config {
	return Config{
		Enabled:          true,
		Stale:            StaleConfig{Unreachable: time.Hour, Outage: true},
		SetCookie:        "refuse",
		RequestCookies:   "keep",
		ClientDirectives: "ignore",
		Tags:             TagFields(),
		Methods:          []string{"GET", "HEAD"},
	}
}

// Policy is a Config compiled for the rules. Immutable; made by Config.Compile.
type Policy struct {
	Config
	Codings      *Codings // that we make; nil: none, and the origin's are passed on. Set once compiled
	honourClient bool
	ttlStatus    map[int]time.Duration // by status, and by class (4 for 4xx)
	ignore       map[string]bool       // response directives treated as absent

	tracking, queryKeep, queryDrop, queryAllow patterns

	bypassCookies, bypassPaths patterns
	bypassHeaders              []string // canonical
	tagFields                  []string // canonical

	// Sorted, so that their order in the file does not change the key.
	keyHeaders []string // canonical
	keyCookies []string
}

// Compile returns the Policy of a Config that Validate finds nothing wrong with.
func (c Config) Compile() *Policy {
	return &Policy{
		Config:        c,
		honourClient:  c.ClientDirectives == "honour",
		ttlStatus:     c.TTL.byStatus(),
		ignore:        compilePatterns(c.Ignore).exact,
		tracking:      compilePatterns(TrackingParameters()),
		queryKeep:     compilePatterns(c.Key.Query.Keep),
		queryDrop:     compilePatterns(c.Key.Query.Drop),
		queryAllow:    compilePatterns(c.Key.Query.Allow),
		bypassCookies: compilePatterns(c.Bypass.Cookies),
		bypassPaths:   compilePatterns(c.Bypass.Paths),
		bypassHeaders: canonicalNames(c.Bypass.Headers),
		tagFields:     canonicalNames(c.Tags),
		keyHeaders:    canonicalNames(c.Key.Headers),
		keyCookies:    slices.Sorted(slices.Values(c.Key.Cookies)),
	}
}

// byStatus turns "404" into 404 and "4xx" into 4.
func (c TTLConfig) byStatus() map[int]time.Duration {
	ttl := make(map[int]time.Duration, len(c.Status))
	for key, lifetime := range c.Status {
		if status, err := strconv.Atoi(strings.TrimSuffix(key, "xx")); err == nil {
			ttl[status] = lifetime
		}
	}
	return ttl
}

func canonicalNames(names []string) []string {
	canonical := make([]string, 0, len(names))
	for _, name := range names {
		canonical = append(canonical, textproto.CanonicalMIMEHeaderKey(name))
	}
	slices.Sort(canonical)
	return canonical
}
