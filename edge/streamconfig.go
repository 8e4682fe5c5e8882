package edge

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// StreamConfig is a socket whose connections are passed on to origins as they are: TCP, or TLS that only its two ends can
// read.
type StreamConfig struct {
	// Name is the label in metrics and logs. Default: the address.
	Name string `yaml:"name"`
	// Address, as of a listener. With that of a listener with TLS the socket is shared: connections that ask for a name of
	// Routes go past the sites.
	Address string `yaml:"address"`
	// Origin of all connections, or of those that no route takes. Without one those are refused.
	Origin string `yaml:"origin"`
	// Routes choose by the name that a ClientHello asks for (SNI).
	Routes []StreamRouteConfig `yaml:"routes"`
	// ProxyProtocol, as of a listener.
	ProxyProtocol []string `yaml:"proxy_protocol"`
	// Allow and Deny are addresses or prefixes. Deny wins; with Allow, all others are refused.
	Allow []string `yaml:"allow"`
	Deny  []string `yaml:"deny"`
	// MaxConns bounds the open connections; those beyond wait to be accepted. 0 is an eighth of the descriptor
	// limit, divided by the number of streams.
	MaxConns int `yaml:"max_conns"`
	// MaxConnsPerAddress bounds those of one client address; 0 is no bound. Beyond: refused.
	MaxConnsPerAddress int            `yaml:"max_conns_per_address"`
	Timeouts           StreamTimeouts `yaml:"timeouts"`
}

// StreamRouteConfig is where names go.
type StreamRouteConfig struct {
	Hosts  []string `yaml:"hosts"` // as those of sites
	Origin string   `yaml:"origin"`
}

// StreamTimeouts of a connection that is passed on.
type StreamTimeouts struct {
	Hello   time.Duration `yaml:"hello"`   // for the ClientHello, where there are routes
	Connect time.Duration `yaml:"connect"` // to an upstream, all attempts together
	// Idle is the time without a byte either way. Of a large transfer 256 KiB have to be taken in it.
	Idle time.Duration `yaml:"idle"`
}

// DefaultStream is what an entry of `streams:` has that says nothing.
func DefaultStream() StreamConfig {
	return StreamConfig{Timeouts: StreamTimeouts{Hello: 5 * time.Second, Connect: 10 * time.Second, Idle: 10 * time.Minute}}
}

// Label is the stream in metrics and logs.
func (c *StreamConfig) Label() string { return cmp.Or(c.Name, c.Address) }

// sharesWith returns the listener whose socket the stream uses too, nil for none.
func (c *StreamConfig) sharesWith(listeners []ListenerConfig) *ListenerConfig {
	for i := range listeners {
		if listeners[i].Address == c.Address {
			return &listeners[i]
		}
	}
	return nil
}

func (c *Config) validateStreams(origins map[string]bool, p problems) {
	labels, addresses := map[string]bool{}, map[string]bool{}
	for i := range c.Streams {
		s, at := &c.Streams[i], p.under("streams[%d]", i)
		validateAddress(s.Address, at)
		if addresses[s.Address] {
			at("address", strconv.Quote(s.Address)+" is another stream's already", "one stream with routes for all")
		} else if labels[s.Label()] {
			at("name", strconv.Quote(s.Label())+" is another stream's already", "logs and metrics tell them apart by name")
		}
		labels[s.Label()], addresses[s.Address] = true, true
		s.validate(origins, at)
		if l := s.sharesWith(c.Listeners); l != nil {
			s.validateShared(l, c.Sites, at)
		}
	}
}

func (c *StreamConfig) validate(origins map[string]bool, p problems) {
	validateName(c.Name, p)
	if c.Origin == "" && len(c.Routes) == 0 {
		p("origin", "is missing, and so are routes", "where the connections go")
	}
	validateOrigin(c.Origin, origins, p)
	hosts := map[string]int{}
	for i, r := range c.Routes {
		at := p.under("routes[%d]", i)
		if len(r.Hosts) == 0 {
			at("hosts", "there is none, so nothing takes the route", "hosts: [mail.example.com]; the stream's own origin takes what is left")
		}
		validateHosts(r.Hosts, i, hosts, "routes", at)
		if r.Origin == "" {
			at("origin", "is missing", "where the connections go")
		}
		validateOrigin(r.Origin, origins, at)
	}
	validatePeers(c.ProxyProtocol, p, "proxy_protocol")
	validateGate(c.Allow, c.Deny, c.MaxConnsPerAddress, p)
	if c.MaxConns < 0 {
		p("max_conns", "is negative", "0 is a share of the descriptor limit")
	}
	c.Timeouts.validate(p.under("timeouts"))
}

// validateShared: on a socket of the sites a stream gets what it names, and nothing else.
func (c *StreamConfig) validateShared(l *ListenerConfig, sites []SiteConfig, p problems) {
	if l.TLS == nil {
		p("address", "is that of a listener without tls, where nothing names a stream", "an address of its own")
	}
	if c.Origin != "" {
		p("origin", "contradicts the listener at the same address: what no route takes is for the sites", "routes alone, or an address of its own")
	}
	if len(c.ProxyProtocol) > 0 {
		p("proxy_protocol", "is the listener's to say", "proxy_protocol of the listener")
	}
	for i, r := range c.Routes {
		for j, host := range r.Hosts {
			at := fmt.Sprintf("routes[%d].hosts[%d]", i, j)
			if site, name := swallowed(host, sites); name != "" {
				p(at, fmt.Sprintf("%q takes %q of sites[%d], which nobody could reach", host, name, site), "the names of the stream, one by one")
			}
		}
	}
}

// swallowed returns the first host of a site that a route's would take away from it, "" for none.
func swallowed(route string, sites []SiteConfig) (site int, host string) {
	taken, star, err := parseHost(route)
	if err != nil {
		return 0, ""
	}
	for i, s := range sites {
		for _, host := range s.Hosts {
			if name, _, err := parseHost(host); err == nil && (name == taken || star && strings.HasSuffix(name, taken)) {
				return i, host
			}
		}
	}
	return 0, ""
}

func (t StreamTimeouts) validate(p problems) {
	for _, f := range []struct {
		name  string
		value time.Duration
	}{{"hello", t.Hello}, {"connect", t.Connect}, {"idle", t.Idle}} {
		if f.value <= 0 {
			p(f.name, "is not more than 0", "leave it out for the default")
		}
	}
}
