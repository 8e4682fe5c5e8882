package tlsmgr

import (
	"time"

	"golang.org/x/crypto/acme/autocert"
)

// Config is what the node says of TLS as a whole.
type Config struct {
	// State is the folder for keys and certificates made here: 0700, its files 0600. Default: $STATE_DIRECTORY, else
	// /var/lib/selvage for root, else selvage in the user's own data folder.
	State string `yaml:"state"`
	// ACME is the CA that certificates are ordered from, for sites that have none of their own on a listener that has none.
	ACME ACMEConfig `yaml:"acme"`
	// Tickets are session tickets, with which a client that returns skips most of the handshake.
	Tickets TicketConfig `yaml:"tickets"`
	// ECH are PEM files with a key for Encrypted Client Hello each and its configuration (RFC 9934), the one for new clients
	// first. The others are for those who remember an older one.
	ECH []string `yaml:"ech"`
}

// ACMEConfig is a CA that speaks ACME (RFC 8555), and our account there.
type ACMEConfig struct {
	// Directory is the CA's directory URL. Default: Let's Encrypt.
	Directory string `yaml:"directory"`
	// AcceptTerms agrees to the CA's terms of service. Without it nothing is ordered.
	AcceptTerms bool `yaml:"accept_terms"`
	// Email is where the CA may write to.
	Email string `yaml:"email"`
	// EAB binds the account to one that exists elsewhere (RFC 8555, section 7.3.4), where the CA wants that.
	EAB EABConfig `yaml:"eab"`
	// CA is a PEM file to trust for the directory, in place of the system's.
	CA string `yaml:"ca"`
	// OnDemand is for names that no site spells out: those under a wildcard, and any name of a default site.
	OnDemand OnDemandConfig `yaml:"on_demand"`
}

// EABConfig is an external account binding.
type EABConfig struct {
	KeyID string `yaml:"key_id"`
	// Key is where the key is, in base64url: env:NAME or file:/path. Never the key itself.
	Key string `yaml:"key" secret:"true"`
}

// OnDemandConfig says which names may have a certificate when the first client asks for them.
type OnDemandConfig struct {
	// Names that may: "example.com", "*.example.com".
	Names []string `yaml:"names"`
	// Ask is a URL that is asked about all others, with ?domain=NAME: 200 is yes, another status no.
	Ask string `yaml:"ask"`
	// PerHour bounds how many orders handshakes may cause.
	PerHour int `yaml:"per_hour"`
}

// TicketConfig is about session tickets.
type TicketConfig struct {
	// Rotate is how long new tickets are made with one key. A ticket resumes under its key and the two after it.
	Rotate time.Duration `yaml:"rotate"`
}

// SiteConfig is a site's own TLS. Without any of it the site has its listener's certificate, and on a listener without one
// those that are ordered for its hosts.
type SiteConfig struct {
	// Issuer makes the certificate: acme (the node's CA), internal (the node itself is the CA) or self_signed.
	Issuer string `yaml:"issuer" enum:"acme,internal,self_signed"`
	// Certificates are files instead. Several may cover the same name with keys of different kinds.
	Certificates []FileConfig `yaml:"certificates"`
	// Clients asks clients for certificates.
	Clients ClientsConfig `yaml:"clients"`
}

// FileConfig is a certificate in files. They are read again when they change.
type FileConfig struct {
	Cert string `yaml:"cert"` // PEM, leaf first
	Key  string `yaml:"key"`
}

// ClientsConfig is about client certificates.
type ClientsConfig struct {
	// CA is a PEM file of those who may issue them. Empty: none are asked for.
	CA string `yaml:"ca"`
	// Optional lets clients in that show none. One that is shown is verified all the same.
	Optional bool `yaml:"optional"`
}

// Listener is a listener that speaks TLS, and its certificate for names whose site has none and for clients that name
// nobody: files, one of the node's CA, one made at start, or none.
type Listener struct {
	Address string // tells listeners apart
	FileConfig
	Internal   bool
	SelfSigned bool
}

// Site is a site and whom it answers for.
type Site struct {
	Name    string
	Hosts   []string // "example.com", "*.example.com", "192.0.2.1", "[::1]"
	Default bool     // answers for names that no site has
	SiteConfig
}

// DefaultConfig is a node that says nothing.
func DefaultConfig() Config {
	return Config{
		ACME:    ACMEConfig{Directory: autocert.DefaultACMEDirectory, OnDemand: OnDemandConfig{PerHour: 20}},
		Tickets: TicketConfig{Rotate: 12 * time.Hour},
	}
}
