package origin

import (
	"cmp"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"
)

// Validate reports every problem of c, with the path of the value in c and a hint.
func (c Config) Validate(report func(path, problem, hint string)) {
	c.validateURLs(report)
	if c.Host != "" && !isHostPort(c.Host) {
		report("host", "malformed host or port", "host: www.example.com")
	}
	c.Timeouts.validate(report)
	if c.IdleConns < 0 {
		report("idle_conns", "negative", "0 keeps no connection")
	}
	c.validateTLS(report)
}

func (c Config) validateURLs(report func(path, problem, hint string)) {
	if len(c.URLs) == 0 {
		report("urls", "no upstream", "urls: [http://127.0.0.1:8080]")
	}
	var seen []address
	for i, text := range c.URLs {
		path := fmt.Sprintf("urls[%d]", i)
		a, problem, hint := parseAddress(text)
		switch {
		case problem != "":
			report(path, problem, hint)
		case slices.ContainsFunc(seen, func(b address) bool { return a.name == b.name }):
			report(path, a.name+" is there twice", "name each upstream once")
		default:
			seen = append(seen, a)
		}
	}
}

func (t Timeouts) validate(report func(path, problem, hint string)) {
	for _, row := range []struct {
		path  string
		value time.Duration
	}{{"connect", t.Connect}, {"first_byte", t.FirstByte}, {"gap", t.Gap}, {"idle", t.Idle}} {
		if row.value < 0 {
			report("timeouts."+row.path, "negative", "leave it out for the default")
		}
	}
}

func (c Config) validateTLS(report func(path, problem, hint string)) {
	if c.TLS == (TLSConfig{}) {
		return
	}
	isHTTPS := func(text string) bool {
		a, problem, _ := parseAddress(text)
		return problem == "" && a.scheme == "https"
	}
	if !slices.ContainsFunc(c.URLs, isHTTPS) {
		report("tls", "no upstream is https", "urls: [https://origin.example.com]")
	}
	if c.TLS.Name != "" && !isHost(c.TLS.Name) {
		report("tls.name", "malformed name", "name: origin.example.com")
	}
	if c.TLS.CA != "" && c.TLS.Insecure {
		report("tls.insecure", "contradicts tls.ca: nothing is verified", "leave one of them out")
	}
	if _, err := c.TLS.roots(); err != nil {
		report("tls.ca", err.Error(), "a file of PEM certificates")
	}
}

// roots returns the certificates to trust, nil for the system's.
func (t TLSConfig) roots() (*x509.CertPool, error) {
	if t.CA == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(t.CA)
	if err != nil {
		return nil, fmt.Errorf("read certificates: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, errors.New("read certificates: none in " + t.CA)
	}
	return roots, nil
}

func (c Config) withDefaults() Config {
	d := DefaultConfig().Timeouts
	t := &c.Timeouts
	t.Connect = cmp.Or(t.Connect, d.Connect)
	t.FirstByte = cmp.Or(t.FirstByte, d.FirstByte)
	t.Gap = cmp.Or(t.Gap, d.Gap)
	t.Idle = cmp.Or(t.Idle, d.Idle)
	return c
}
