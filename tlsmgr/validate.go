package tlsmgr

import (
	"fmt"
	"time"
)

// Validate reports what is wrong with the node's part.
func (c Config) Validate(report func(path, problem, hint string)) {
	const least, most = time.Minute, 48 * time.Hour // three of them are no longer than a ticket may live (RFC 8446, section 4.6.1)
	if c.Tickets.Rotate < least || c.Tickets.Rotate > most {
		report("tickets.rotate", "is not between 1m and 48h", "leave it out for the default of 12h")
	}
}

// Validate reports what is wrong with a site's part.
func (c SiteConfig) Validate(report func(path, problem, hint string)) {
	if c.Issuer != "" && len(c.Certificates) > 0 {
		report("issuer", "contradicts certificates", "one or the other")
	}
	for i, f := range c.Certificates {
		at := fmt.Sprintf("certificates[%d]", i)
		switch {
		case f.Cert == "":
			report(at+".cert", "is missing", "the PEM file of the certificate, leaf first")
		case f.Key == "":
			report(at+".key", "is missing", "the PEM file of the certificate's key")
		}
	}
	if c.Clients.Optional && c.Clients.CA == "" {
		report("clients.ca", "is missing beside optional", "the PEM file of those who may issue client certificates")
	}
}
