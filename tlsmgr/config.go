package tlsmgr

import "time"

// Config is what the node says of TLS as a whole.
type Config struct {
	// State is the folder for keys and certificates made here: 0700, its files 0600. Default: $STATE_DIRECTORY, else
	// /var/lib/selvage for root, else selvage in the user's own data folder.
	State string `yaml:"state"`
	// Tickets are session tickets, with which a client that returns skips most of the handshake.
	Tickets TicketConfig `yaml:"tickets"`
}

// TicketConfig is about session tickets.
type TicketConfig struct {
	// Rotate is how long new tickets are made with one key. A ticket resumes under its key and the two after it.
	Rotate time.Duration `yaml:"rotate"`
}

// SiteConfig is a site's own TLS. Without any of it the site has its listener's certificate.
type SiteConfig struct {
	// Issuer makes the certificate: internal (the node's own CA) or self_signed.
	Issuer string `yaml:"issuer" enum:"internal,self_signed"`
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
	return Config{Tickets: TicketConfig{Rotate: 12 * time.Hour}}
}
