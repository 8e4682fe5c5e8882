package tlsmgr

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Validate reports what is wrong with the node's part.
func (c Config) Validate(report func(path, problem, hint string)) {
	const least, most = time.Minute, 48 * time.Hour // three of them are no longer than a ticket may live (RFC 8446, section 4.6.1)
	if c.Tickets.Rotate < least || c.Tickets.Rotate > most {
		report("tickets.rotate", "is not between 1m and 48h", "leave it out for the default of 12h")
	}
	c.ACME.validate(func(path, problem, hint string) { report("acme."+path, problem, hint) })
}

func (c ACMEConfig) validate(report func(path, problem, hint string)) {
	if !isURL(c.Directory, "https") {
		report("directory", fmt.Sprintf("%q is no https URL", c.Directory), "leave it out for Let's Encrypt")
	}
	if local, domain, ok := strings.Cut(c.Email, "@"); c.Email != "" && (!ok || local == "" || domain == "") {
		report("email", fmt.Sprintf("%q is no address", c.Email), "such as ops@example.com")
	}
	if (c.EAB.KeyID == "") != (c.EAB.Key == "") {
		report("eab", "has a key_id or a key alone", "the CA gives both")
	}
	d := c.OnDemand
	if d.Ask != "" && !isURL(d.Ask, "http", "https") {
		report("on_demand.ask", fmt.Sprintf("%q is no URL", d.Ask), "such as http://127.0.0.1:9000/allowed")
	}
	for i, name := range d.Names {
		if !Orderable(strings.TrimPrefix(name, "*.")) {
			report(fmt.Sprintf("on_demand.names[%d]", i), fmt.Sprintf("%q is no name that can be ordered", name), `such as "example.com" or "*.example.com"`)
		}
	}
	if d.PerHour < 1 {
		report("on_demand.per_hour", "is less than 1", "leave it out for the default of 20")
	}
}

func isURL(text string, schemes ...string) bool {
	u, err := url.Parse(text)
	return err == nil && u.Host != "" && slices.Contains(schemes, u.Scheme)
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
