package origin

import "time"

// Config is one entry of `origins:`.
type Config struct {
	// URLs of the upstreams: http://host:port, https://host, unix:/path/to/socket, and tcp://host:port for streams. A path in
	// the URL is refused.
	URLs []string `yaml:"urls"`
	// Upstreams are more of them, of which there is more to say than the URL.
	Upstreams []UpstreamConfig `yaml:"upstreams"`
	// Balance says which upstream gets a request.
	Balance BalanceConfig `yaml:"balance"`
	// Queue is where requests wait while every upstream is at a limit.
	Queue QueueConfig `yaml:"queue"`
	// Check asks every upstream how it is.
	Check CheckConfig `yaml:"check"`
	// Outliers are upstreams that are kept from requests for a while because of their answers.
	Outliers OutlierConfig `yaml:"outliers"`
	// Breaker stops asking an upstream that fails, even if there is no other.
	Breaker BreakerConfig `yaml:"breaker"`
	// SlowStart is how long an upstream that has come back takes to get its whole share.
	SlowStart time.Duration `yaml:"slow_start"`
	// Panic: when fewer upstreams than this many percent are well, it no longer matters who is. When none is, it never does.
	Panic int `yaml:"panic"`
	// Retry says how often a request without an answer is sent again.
	Retry RetryConfig `yaml:"retry"`
	// Host is sent instead of the client's Host.
	Host string `yaml:"host"`
	// Timeouts of one exchange.
	Timeouts Timeouts `yaml:"timeouts"`
	// IdleConns is how many idle connections are kept to each upstream; 0 is none.
	IdleConns int `yaml:"idle_conns"`
	// Protocol: auto (HTTP/2 or HTTP/1.1 over TLS, as the upstream chooses; HTTP/1.1 without), http1 or http2 (without TLS,
	// with prior knowledge).
	Protocol string `yaml:"protocol" enum:"auto,http1,http2"`
	// ProxyProtocol is the version of the header that connections for streams begin with: off, v1 or v2. It names the client.
	ProxyProtocol string `yaml:"proxy_protocol" enum:"off,v1,v2"`
	// Resolve says how names become addresses.
	Resolve ResolveConfig `yaml:"resolve"`
	// TLS of https upstreams.
	TLS TLSConfig `yaml:"tls"`
	// Path changes the paths of requests, and those in answers back.
	Path PathConfig `yaml:"path"`
	// Hide names fields of answers that are removed.
	Hide []string `yaml:"hide"`
	// Sign signs requests for a private bucket.
	Sign SignConfig `yaml:"sign"`
}

// PathConfig are prefixes, of whole segments, of a request's path. Where the origin's answers name its own paths, in Location,
// Content-Location and the Path of cookies, they are changed back.
type PathConfig struct {
	Strip string `yaml:"strip"` // is taken off where it is there
	Add   string `yaml:"add"`   // comes in front, after that
}

// SignConfig is for AWS Signature Version 4, which S3 and what is like it want. The keys are where they are: env:NAME or
// file:/path.
type SignConfig struct {
	Region       string `yaml:"region"`
	Service      string `yaml:"service"`
	AccessKey    string `yaml:"access_key" secret:"true"`
	SecretKey    string `yaml:"secret_key" secret:"true"`
	SessionToken string `yaml:"session_token" secret:"true"`
}

// ResolveConfig says how names of upstreams become addresses.
type ResolveConfig struct {
	// Interval between two look-ups, give or take a tenth.
	Interval time.Duration `yaml:"interval"`
	// Keep is how long the last answer serves while look-ups fail.
	Keep time.Duration `yaml:"keep"`
	// Allow holds addresses or prefixes that a name may stand for though they are link-local or a cloud's metadata service.
	Allow []string `yaml:"allow"`
}

// UpstreamConfig is one upstream.
type UpstreamConfig struct {
	URL string `yaml:"url"` // as in Config.URLs
	// Weight is its share of the requests beside those of the others, 1 to 1000. Default 1.
	Weight int `yaml:"weight"`
	// Backup: it is asked only while none of the others can be.
	Backup bool `yaml:"backup"`
	// MaxRequests bounds the requests in flight, which over HTTP/1 are as many connections; 0 is no bound.
	MaxRequests int `yaml:"max_requests"`
	// MaxRate bounds the requests a second; 0 is no bound.
	MaxRate int `yaml:"max_rate"`
	// SRV: the host of the URL is the name of SRV records, every target of which is an upstream with the weight given there.
	SRV bool `yaml:"srv"`
}

// BalanceConfig is how an upstream is picked. All policies respect weights.
type BalanceConfig struct {
	// Policy is round_robin, least_conns (fewest requests in flight), least_time (of two picked at random the one with the
	// shorter answers and fewer requests in flight), random (of two picked at random the one with fewer requests in flight),
	// hash (equal requests to the same upstream) or sticky (every client to the upstream that a cookie of ours names).
	Policy string `yaml:"policy" enum:"round_robin,least_conns,least_time,random,hash,sticky"`
	// Hash is what makes requests equal: url, client (the address), header:NAME or cookie:NAME. Requests without such a
	// header or cookie go by their URL.
	Hash string `yaml:"hash"`
	// Bound is the most that an upstream gets by hash, in percent of its fair share of the requests in flight; beyond it the
	// next in rank is asked. 0 is no bound.
	Bound int `yaml:"bound"`
	// Cookie is that of sticky.
	Cookie CookieConfig `yaml:"cookie"`
}

// CookieConfig is the cookie that ties a client to an upstream.
type CookieConfig struct {
	Name string `yaml:"name"`
	// Secret is where the key is that signs it: env:NAME or file:/path. Without one a key is made at every start, so that
	// clients are spread anew then, and every node spreads them by itself.
	Secret string `yaml:"secret" secret:"true"`
	// MaxAge is how long clients keep it; 0 is until they are closed.
	MaxAge time.Duration `yaml:"max_age"`
}

// QueueConfig bounds how many requests wait for an upstream below its limits, and for how long. Beyond that: 503.
type QueueConfig struct {
	Size int           `yaml:"size"`
	Wait time.Duration `yaml:"wait"`
}

// CheckConfig is how upstreams are checked.
type CheckConfig struct {
	// Kind: off, http (a GET), tcp (a connection) or tls (a handshake, with the certificate verified).
	Kind string `yaml:"kind" enum:"off,http,tcp,tls"`
	// Path and Host of the GET. Host is the origin's by default, or else the URL's.
	Path string `yaml:"path"`
	Host string `yaml:"host"`
	// Status holds those that are well: "200", "2xx".
	Status []string `yaml:"status"`
	// Body is a text that the first 64 KiB of the body must hold; "" is none.
	Body string `yaml:"body"`
	// Interval between two checks, give or take a tenth.
	Interval time.Duration `yaml:"interval"`
	// Timeout of one check, from the connection to the end.
	Timeout time.Duration `yaml:"timeout"`
	// Healthy and Unhealthy are how many checks in a row change what is believed.
	Healthy   int `yaml:"healthy"`
	Unhealthy int `yaml:"unhealthy"`
}

// OutlierConfig says which answers have an upstream ejected. A failure is no answer, a broken one, or a 500, 502, 503 or 504.
type OutlierConfig struct {
	// Failures in a row; 0 is no limit.
	Failures int `yaml:"failures"`
	// ErrorRate in percent of the answers in a window, if there are at least Requests; 0 is no limit.
	ErrorRate int `yaml:"error_rate"`
	Requests  int `yaml:"requests"`
	// Slower is how many times the latency of the others, by their median, is too slow; 0 is no limit. Means are compared, of
	// windows with at least Requests.
	Slower int           `yaml:"slower"`
	Window time.Duration `yaml:"window"`
	// Eject is how long the first time lasts. It doubles with every time that follows soon, up to 32 times.
	Eject time.Duration `yaml:"eject"`
	// MaxEjected bounds how many may be ejected at once, in percent of all.
	MaxEjected int `yaml:"max_ejected"`
}

// BreakerConfig is a circuit breaker for every upstream.
type BreakerConfig struct {
	// Failures in a row open it; 0 is no breaker.
	Failures int `yaml:"failures"`
	// Pause is how long nothing is sent.
	Pause time.Duration `yaml:"pause"`
	// Probes is how many requests are let through after that. When all of them succeed it closes, when one fails it opens.
	Probes int `yaml:"probes"`
}

// RetryConfig bounds retries. Only what may be sent twice is: a request of which nothing was sent, or one with a safe method
// and without a body.
type RetryConfig struct {
	// Attempts of a request, the first included. Those that find nobody listening do not count.
	Attempts int `yaml:"attempts"`
	// Budget bounds the retries in any ten seconds, in percent of the requests in that time.
	Budget int `yaml:"budget"`
	// Reserve is how many retries any ten seconds have at least.
	Reserve int `yaml:"reserve"`
	// Status holds those that have a request sent to another upstream, if one is well, or no worse.
	Status []int `yaml:"status"`
	// Hedge sends a GET to a second upstream too when the first has not answered after that time; 0 is never.
	Hedge time.Duration `yaml:"hedge"`
}

// Timeouts of one exchange with an upstream. 0 is the default of DefaultConfig.
type Timeouts struct {
	Connect   time.Duration `yaml:"connect"`    // TCP and TLS
	FirstByte time.Duration `yaml:"first_byte"` // from the request sent to the end of the head
	Gap       time.Duration `yaml:"gap"`        // between two bytes of a body, either way
	Idle      time.Duration `yaml:"idle"`       // of a kept connection
	// Total is from the request to the head of its answer, all attempts together; it does not hold for requests with a body.
	Total time.Duration `yaml:"total"`
}

// TLSConfig says how an https upstream is verified.
type TLSConfig struct {
	// CA is a file of PEM certificates to trust instead of the system's.
	CA string `yaml:"ca"`
	// Name is the server name to send and to verify, when it is not the URL's host.
	Name string `yaml:"name"`
	// Cert and Key are PEM files of the certificate that tells the upstream who we are.
	Cert string `yaml:"cert"`
	Key  string `yaml:"key"`
	// Insecure switches verification off. It is logged at every start.
	Insecure bool `yaml:"insecure"`
}

// DefaultConfig is what an origin has that says nothing.
func DefaultConfig() Config {
	return Config{
		Balance: BalanceConfig{Policy: roundRobin, Hash: hashURL, Bound: 125, Cookie: CookieConfig{Name: "selvage-upstream"}},
		Queue:   QueueConfig{Size: 256, Wait: time.Second},
		Check: CheckConfig{
			Kind: checkOff, Path: "/", Status: []string{"2xx", "3xx"},
			Interval: 5 * time.Second, Timeout: 2 * time.Second, Healthy: 2, Unhealthy: 3,
		},
		Outliers: OutlierConfig{
			Failures: 5, ErrorRate: 50, Requests: 20, Window: 10 * time.Second, Eject: 10 * time.Second, MaxEjected: 70,
		},
		Breaker:   BreakerConfig{Pause: 10 * time.Second, Probes: 1},
		SlowStart: 10 * time.Second,
		Retry:     RetryConfig{Attempts: 3, Budget: 20, Reserve: 10, Status: []int{500, 502, 503, 504}},
		Timeouts: Timeouts{
			Connect: 5 * time.Second, FirstByte: 60 * time.Second, Gap: 60 * time.Second, Idle: 90 * time.Second,
			Total: 2 * time.Minute,
		},
		IdleConns: 256,
		Protocol:  protocolAuto, ProxyProtocol: proxyOff,
		Resolve: ResolveConfig{Interval: 10 * time.Second, Keep: time.Hour},
		Hide:    []string{"Server", "X-Powered-By", "X-AspNet-Version", "X-AspNetMvc-Version", "X-Runtime", "X-Backend-Server"},
		Sign:    SignConfig{Service: "s3"},
	}
}

// DefaultUpstream is what an entry of `upstreams:` has that says nothing.
func DefaultUpstream() UpstreamConfig { return UpstreamConfig{Weight: 1} }

// upstreams returns all of them, the URLs first.
func (c Config) upstreams() []UpstreamConfig {
	var all []UpstreamConfig
	for _, url := range c.URLs {
		u := DefaultUpstream()
		u.URL = url
		all = append(all, u)
	}
	return append(all, c.Upstreams...)
}
