package origin

import "time"

// Config is one entry of `origins:`.
type Config struct {
	// URLs of the upstreams: http://host:port, https://host, unix:/path/to/socket. A path in the URL is refused.
	URLs []string `yaml:"urls"`
	// Host is sent instead of the client's Host.
	Host string `yaml:"host"`
	// Timeouts of one exchange.
	Timeouts Timeouts `yaml:"timeouts"`
	// IdleConns is how many idle connections are kept to each upstream; 0 is none.
	IdleConns int `yaml:"idle_conns"`
	// TLS of https upstreams.
	TLS TLSConfig `yaml:"tls"`
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
		Timeouts:  Timeouts{Connect: 5 * time.Second, FirstByte: 60 * time.Second, Gap: 60 * time.Second, Idle: 90 * time.Second},
		IdleConns: 256,
	}
}
