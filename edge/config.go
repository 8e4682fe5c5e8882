package edge

import (
	"time"

	"selvage/cache"
	"selvage/encode"
)

// Config is what the edge needs to know; cmd/selvage composes it with the other rooms' into the file format.
type Config struct {
	Listeners []ListenerConfig `yaml:"listeners"`
	Streams   []StreamConfig   `yaml:"streams"`
	Sites     []SiteConfig     `yaml:"sites"`
	Limits    Limits           `yaml:"limits"`
	Timeouts  Timeouts         `yaml:"timeouts"`
	// TrustedProxies are addresses or prefixes whose X-Forwarded-For, -Proto, -Host and Forwarded are believed.
	TrustedProxies []string  `yaml:"trusted_proxies"`
	Log            LogConfig `yaml:"log"`
	// ID is this node's name in Via, CDN-Loop and Cache-Status. Default: "Selvage" in Cache-Status and Via, and a random
	// token after "selvage-" in CDN-Loop.
	ID string `yaml:"id"`
	// FastLane serves what wants nothing but an answer on the connection itself, without net/http: on or off. Answers are the same
	// either way.
	FastLane string `yaml:"fast_lane" enum:"on,off"`
}

// ListenerConfig is one socket.
type ListenerConfig struct {
	// Address: ":80" (both families), "192.0.2.1:80", "[::1]:80", "unix:/run/selvage/http.sock".
	Address string     `yaml:"address"`
	TLS     *TLSConfig `yaml:"tls"` // absent: http
	// HTTP3 serves HTTP/3 on the UDP port of the same number. Default: where there is TLS on TCP and no PROXY protocol.
	HTTP3 *bool `yaml:"http3"`
	// ProxyProtocol are addresses or prefixes of balancers that begin every connection with a PROXY header, version 1 or 2,
	// which names the client; or "unix".
	ProxyProtocol []string `yaml:"proxy_protocol"`
}

// TLSConfig is a listener's certificate, for names whose site has none of its own and for clients that name nobody. With
// none of these keys such clients are refused.
type TLSConfig struct {
	Cert       string `yaml:"cert"` // PEM, leaf first
	Key        string `yaml:"key"`
	Internal   bool   `yaml:"internal"`    // by the node's own CA
	SelfSigned bool   `yaml:"self_signed"` // made at start
}

// SiteConfig is one site: what answers for a set of hosts.
type SiteConfig struct {
	// Name is the label in metrics, logs and purges. Default: the first host.
	Name string `yaml:"name"`
	// Hosts: "example.com", "*.example.com" (one or more labels).
	Hosts []string `yaml:"hosts"`
	// Default answers for hosts that no site names. At most one site.
	Default bool `yaml:"default"`
	// Origin is the origin of routes that name none.
	Origin string `yaml:"origin"`
	// Cache is the policy of routes that have none.
	Cache *cache.Config `yaml:"cache"`
	// Compress is how routes encode bodies that have none. Without it bodies are sent as the origin codes them.
	Compress *encode.Config `yaml:"compress"`
	// HTTPS is what clients are told about using it.
	HTTPS HTTPSConfig `yaml:"https"`
	// Routes are tried in order; the first that matches is taken. A site without routes has one that matches all.
	Routes []RouteConfig `yaml:"routes"`
	// Methods: "standard" (GET HEAD POST PUT PATCH DELETE OPTIONS; others 501) or "any". CONNECT and TRACE are refused always.
	Methods string `yaml:"methods" enum:"standard,any"`
	// Allow and Deny are addresses or prefixes. Deny wins; with Allow, all others are refused with 403.
	Allow []string `yaml:"allow"`
	Deny  []string `yaml:"deny"`
	// MaxConnsPerAddress bounds the connections of one client address that use this site; 0 is no bound. Beyond: 429.
	MaxConnsPerAddress int `yaml:"max_conns_per_address"`
	// ErrorPages are the bodies of error answers that are made here: by status ("404"), by class ("5xx"), and "offline" for
	// what nobody is left to be asked for. The origin's own errors are passed on as they are.
	ErrorPages map[string]ErrorPageConfig `yaml:"error_pages"`
}

// ErrorPageConfig is the body of an error answer: of a file or in place.
type ErrorPageConfig struct {
	File string `yaml:"file"` // read with the configuration
	Body string `yaml:"body"`
	// ContentType. Default: text/html; charset=utf-8, or what the name of the file says.
	ContentType string `yaml:"content_type"`

	content string // of File, once read
}

// HTTPSConfig is what clients are told about using https. Both defaults depend on the certificate, so cmd/selvage sets them.
type HTTPSConfig struct {
	// Redirect answers http with a 308 to https, port 443.
	Redirect *bool `yaml:"redirect"`
	// HSTS is the Strict-Transport-Security field of answers over https, where the origin sends none.
	HSTS HSTSConfig `yaml:"hsts"`
}

// HSTSConfig is HTTP Strict Transport Security (RFC 6797).
type HSTSConfig struct {
	// MaxAge is how long browsers are to use https only. 0 makes them forget.
	MaxAge     *time.Duration `yaml:"max_age"`
	Subdomains bool           `yaml:"subdomains"` // the same for all names below
	Preload    bool           `yaml:"preload"`    // consent to be put on browsers' built-in lists
}

// RouteConfig is one route of a site.
type RouteConfig struct {
	// Name is the label in logs, and joins the key of a route that is chosen by header.
	Name  string      `yaml:"name"`
	Match MatchConfig `yaml:"match"`
	// Exactly one of the following, or the site's origin.
	Origin   string          `yaml:"origin"`
	Redirect *RedirectConfig `yaml:"redirect"`
	Respond  *RespondConfig  `yaml:"respond"`

	Cache    *cache.Config  `yaml:"cache"`
	Compress *encode.Config `yaml:"compress"`
	// RequestHeaders and ResponseHeaders are set, added or removed on the way to the origin and to the client.
	RequestHeaders  HeaderConfig `yaml:"request_headers"`
	ResponseHeaders HeaderConfig `yaml:"response_headers"`
}

// MatchConfig selects requests; what is empty matches all.
type MatchConfig struct {
	// Path: "/exact", "/prefix/*", "*.css". Matched against the canonical path.
	Path []string `yaml:"path"`
	// Methods: HEAD always goes with GET.
	Methods []string `yaml:"methods"`
	// Headers: name to exact value, or "*" for present.
	Headers map[string]string `yaml:"headers"`
}

// RedirectConfig answers with a redirect.
type RedirectConfig struct {
	// To is a URL or path; {host}, {path} and {query} (with its "?") are replaced.
	To     string `yaml:"to"`
	Status int    `yaml:"status"` // 301, 302, 303, 307 or 308; default 308
}

// RespondConfig answers with fixed bytes.
type RespondConfig struct {
	Status      int    `yaml:"status"` // default 200
	Body        string `yaml:"body"`
	ContentType string `yaml:"content_type"` // default text/plain; charset=utf-8
}

// HeaderConfig changes fields. Order: remove, set, add.
type HeaderConfig struct {
	Remove []string          `yaml:"remove"`
	Set    map[string]string `yaml:"set"`
	Add    map[string]string `yaml:"add"`
}

// Limits of what a client may send. Beyond them a clear 4xx.
type Limits struct {
	RequestLine int64 `yaml:"request_line" unit:"bytes"` // 414
	Head        int64 `yaml:"head" unit:"bytes"`         // 431: request line and all field lines
	Fields      int   `yaml:"fields"`                    // 431
	Body        int64 `yaml:"body" unit:"bytes"`         // 413; 0 is no bound
	Conns       int   `yaml:"conns"`                     // client connections; 0 is three quarters of the descriptor limit, or half beside streams
}

// Timeouts towards clients.
type Timeouts struct {
	Handshake time.Duration `yaml:"handshake"`
	Header    time.Duration `yaml:"header"` // from the first byte of a head to its end
	Idle      time.Duration `yaml:"idle"`   // between two requests
	Body      time.Duration `yaml:"body"`   // between two reads of a request body
	// BodyRate is the least average rate of a request body after its first Body timeout, in bytes per second.
	BodyRate int64 `yaml:"body_rate" unit:"bytes"`
	// Write bounds the time without progress while writing to a client, never the length of a transfer.
	Write time.Duration `yaml:"write"`
	// Stream is the idle limit of upgraded connections and event streams, in place of Write and the origin's gap.
	Stream time.Duration `yaml:"stream"`
	// Drain bounds the graceful end of the process.
	Drain time.Duration `yaml:"drain"`
}

// LogConfig is the access log.
type LogConfig struct {
	// Format: auto (json off a terminal, text on one), json, text, combined, off.
	Format string `yaml:"format" enum:"auto,json,text,combined,off"`
	// File: "-" is stdout. Reopened on SIGUSR1.
	File string `yaml:"file"`
}

// DefaultConfig is an edge that says nothing.
func DefaultConfig() Config {
	return Config{
		Limits: Limits{RequestLine: 16 << 10, Head: 64 << 10, Fields: 128, Body: 0},
		Timeouts: Timeouts{
			Handshake: 10 * time.Second, Header: 15 * time.Second, Idle: 2 * time.Minute,
			Body: 30 * time.Second, BodyRate: 128, Write: 30 * time.Second, Stream: 10 * time.Minute, Drain: 30 * time.Second,
		},
		Log:      LogConfig{Format: "auto", File: "-"},
		FastLane: "on",
	}
}
