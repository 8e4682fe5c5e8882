package origin

import "time"

// Config is one entry of `origins:`.
type Config struct {
	// URLs of the upstreams: http://host:port, https://host, unix:/path/to/socket. A path in the URL is refused.
	URLs []string `yaml:"urls"`
	// Upstreams are more of them, of which there is more to say than the URL.
	Upstreams []UpstreamConfig `yaml:"upstreams"`
	// Balance says which upstream gets a request.
	Balance BalanceConfig `yaml:"balance"`
	// Queue is where requests wait while every upstream is at a limit.
	Queue QueueConfig `yaml:"queue"`
	// Host is sent instead of the client's Host.
	Host string `yaml:"host"`
	// Timeouts of one exchange.
	Timeouts Timeouts `yaml:"timeouts"`
	// IdleConns is how many idle connections are kept to each upstream; 0 is none.
	IdleConns int `yaml:"idle_conns"`
	// TLS of https upstreams.
	TLS TLSConfig `yaml:"tls"`
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

// Timeouts of one exchange with an upstream. 0 is the default of DefaultConfig.
type Timeouts struct {
	Connect   time.Duration `yaml:"connect"`    // TCP and TLS
	FirstByte time.Duration `yaml:"first_byte"` // from the request sent to the end of the head
	Gap       time.Duration `yaml:"gap"`        // between two bytes of a body, either way
	Idle      time.Duration `yaml:"idle"`       // of a kept connection
}

// TLSConfig says how an https upstream is verified.
type TLSConfig struct {
	// CA is a file of PEM certificates to trust instead of the system's.
	CA string `yaml:"ca"`
	// Name is the server name to send and to verify, when it is not the URL's host.
	Name string `yaml:"name"`
	// Insecure switches verification off. It is logged at every start.
	Insecure bool `yaml:"insecure"`
}

// DefaultConfig is what an origin has that says nothing.
func DefaultConfig() Config {
	return Config{
		Balance:   BalanceConfig{Policy: roundRobin, Hash: hashURL, Bound: 125, Cookie: CookieConfig{Name: "selvage-upstream"}},
		Queue:     QueueConfig{Size: 256, Wait: time.Second},
		Timeouts:  Timeouts{Connect: 5 * time.Second, FirstByte: 60 * time.Second, Gap: 60 * time.Second, Idle: 90 * time.Second},
		IdleConns: 256,
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
