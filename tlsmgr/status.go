package tlsmgr

import (
	"cmp"
	"crypto/x509"
	"slices"
	"time"
)

// Status tells of one certificate, or of a name that wants one.
type Status struct {
	Name   string `json:"name"`   // a name that is ordered; else the first that the certificate is for
	Source string `json:"source"` // acme, or the file
	Issuer string `json:"issuer,omitempty"`
	// Until is the end of the certificate's life; zero without one.
	Until time.Time `json:"until,omitzero"`
	// Next is when it is ordered or renewed next; zero for files.
	Next     time.Time `json:"next,omitzero"`
	Failures int       `json:"failures,omitempty"` // in a row
	Error    string    `json:"error,omitempty"`    // of the last attempt
}

// Certificates tells of all certificates that can run out: ordered ones and files. Those that are made here renew themselves.
func (m *Manager) Certificates() []Status {
	all := m.orders.statuses()
	for _, s := range m.conf.Load().files {
		all = append(all, *s.loaded.Load()...)
	}
	slices.SortFunc(all, func(a, b Status) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Source, b.Source)) })
	return all
}

func (o *orders) statuses() (all []Status) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, s := range o.subjects {
		status := Status{Name: s.name, Source: "acme", Next: s.next, Failures: s.failures}
		if c := s.certificate.Load(); c != nil {
			status.Issuer, status.Until = issuerOf(c.Leaf), c.Leaf.NotAfter
		}
		if s.problem != nil {
			status.Error = s.problem.Error()
		}
		all = append(all, status)
	}
	return all
}

func issuerOf(leaf *x509.Certificate) string {
	return cmp.Or(leaf.Issuer.CommonName, leaf.Issuer.String())
}

func firstName(leaf *x509.Certificate) string {
	if len(leaf.DNSNames) > 0 {
		return leaf.DNSNames[0]
	}
	return leaf.Subject.CommonName
}
