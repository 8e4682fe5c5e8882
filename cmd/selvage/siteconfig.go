package main

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"selvage/edge"
	"selvage/tlsmgr"
)

// siteConfig is a site of the file: what the edge knows of it, and its TLS.
type siteConfig struct {
	edge.SiteConfig
	TLS tlsmgr.SiteConfig `yaml:"tls"`
}

// edgeConfig is the edge's part of the file. Clients of a site whose certificates are ordered are told to use https, unless
// the site says otherwise.
func (f *File) edgeConfig() edge.Config {
	c := f.Config
	c.Sites = nil
	for _, s := range f.Sites {
		if f.TLS.ACME.AcceptTerms && f.orders(s) {
			s.HTTPS.Redirect = cmp.Or(s.HTTPS.Redirect, new(true))
			s.HTTPS.HSTS.MaxAge = cmp.Or(s.HTTPS.HSTS.MaxAge, new(defaultHSTS))
		}
		c.Sites = append(c.Sites, s.SiteConfig)
	}
	return c
}

// defaultHSTS is long enough to be of use, and short enough to be got over.
const defaultHSTS = 180 * 24 * time.Hour

// orders reports whether certificates of a site are ordered: it says so, or neither it nor one of the listeners with TLS has
// any.
func (f *File) orders(s siteConfig) bool {
	bare := func(l edge.ListenerConfig) bool { return l.TLS != nil && *l.TLS == edge.TLSConfig{} }
	return s.TLS.Issuer == "acme" ||
		s.TLS.Issuer == "" && len(s.TLS.Certificates) == 0 && slices.ContainsFunc(f.Listeners, bare)
}

// tlsSites are the sites as certificates see them.
func (f *File) tlsSites() []tlsmgr.Site {
	var all []tlsmgr.Site
	for _, s := range f.Sites {
		all = append(all, tlsmgr.Site{Name: s.Label(), Hosts: s.Hosts, Default: s.Default, SiteConfig: s.TLS})
	}
	return all
}

// tlsListeners are the listeners that speak TLS.
func (f *File) tlsListeners() []tlsmgr.Listener {
	var all []tlsmgr.Listener
	for _, l := range f.Listeners {
		if l.TLS == nil {
			continue
		}
		all = append(all, tlsmgr.Listener{
			Address: l.Address, FileConfig: tlsmgr.FileConfig{Cert: l.TLS.Cert, Key: l.TLS.Key},
			Internal: l.TLS.Internal, SelfSigned: l.TLS.SelfSigned,
		})
	}
	return all
}

// validateSites reads what the sites show for errors, and reports what is wrong with that, with the sites' TLS, and where it
// contradicts what their clients are told.
func (f *File) validateSites(m machine, report func(path, problem, hint string)) {
	for i := range f.Sites {
		s := &f.Sites[i]
		at := below(fmt.Sprintf("sites[%d]", i), report)
		s.ReadErrorPages(m.read, at)
		s.TLS.Validate(below("tls", at))
		f.validateOrder(s, at)
		if s.TLS.Issuer != "internal" && s.TLS.Issuer != "self_signed" {
			continue
		}
		// A browser remembers both for long, and also for whatever is developed under that name next.
		const hint = "leave it out: browsers would remember it for a certificate that only some of them trust"
		if r := s.HTTPS.Redirect; r != nil && *r {
			at("https.redirect", "contradicts issuer: "+s.TLS.Issuer, hint)
		}
		if age := s.HTTPS.HSTS.MaxAge; age != nil && *age > 0 {
			at("https.hsts.max_age", "contradicts issuer: "+s.TLS.Issuer, hint)
		}
	}
}

// validateOrder reports a site that wants a certificate which cannot be ordered.
func (f *File) validateOrder(s *siteConfig, report func(path, problem, hint string)) {
	if !f.orders(*s) {
		return
	}
	acme := f.TLS.ACME
	demand := acme.OnDemand.Ask != "" || len(acme.OnDemand.Names) > 0
	if s.TLS.Issuer == "acme" && !acme.AcceptTerms {
		report("tls.issuer", "wants certificates, and tls.acme.accept_terms is not set", "tls: {acme: {accept_terms: true}}, after reading the CA's terms")
	}
	for i, host := range s.Hosts {
		at := fmt.Sprintf("hosts[%d]", i)
		switch {
		case !acme.AcceptTerms && s.TLS.Issuer == "" && tlsmgr.Orderable(host):
			report(at, "has no certificate on a listener with TLS", "tls: {acme: {accept_terms: true}} orders one; or certificates or an issuer in the site's own tls")
		case strings.HasPrefix(host, "*") && acme.AcceptTerms && !demand:
			report(at, "no certificate can be ordered for a star", "tls.acme.on_demand orders one for each name; or certificates in the site's own tls")
		}
	}
}

// stateFolder is where keys and certificates are kept that are made here: where the configuration says, else in the folder
// that systemd made for this service, else in /var/lib for root, else in the user's own data folder.
func stateFolder(configured string, env func(string) (string, bool), uid int) string {
	if configured != "" {
		return configured
	}
	if service, ok := env("STATE_DIRECTORY"); ok && service != "" {
		folder, _, _ := strings.Cut(service, ":") // systemd.exec(5): several are joined by colons
		return folder
	}
	if uid == 0 {
		return "/var/lib/selvage"
	}
	if data, ok := env("XDG_DATA_HOME"); ok && data != "" {
		return filepath.Join(data, "selvage")
	}
	home, ok := env("HOME")
	if !ok {
		home = os.TempDir()
	}
	return filepath.Join(home, ".local", "share", "selvage")
}
