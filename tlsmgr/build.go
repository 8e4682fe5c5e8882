package tlsmgr

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// builder makes a snapshot.
type builder struct {
	*Manager
	*snapshot
	old   *snapshot
	sites []builtSite
}

// builtSite is what a site has on every listener.
type builtSite struct {
	Site
	own     CertSource // nil: its listener's
	clients clients
}

func (b *builder) build(listeners []Listener, sites []Site) error {
	if err := b.authorize(); err != nil {
		return err
	}
	ech, err := openECH(b.ECH)
	if err != nil {
		return err
	}
	b.ech = ech
	for _, s := range sites {
		built, err := b.site(s)
		if err != nil {
			return fmt.Errorf("site %s: %w", s.Name, err)
		}
		b.sites = append(b.sites, built)
	}
	b.bind()
	b.views = make(map[string]*view)
	for _, l := range listeners {
		v, err := b.view(l)
		if err != nil {
			return fmt.Errorf("listener %s: %w", l.Address, err)
		}
		b.views[l.Address] = v
	}
	return nil
}

func (b *builder) site(s Site) (out builtSite, err error) {
	out.Site = s
	if out.clients, err = openClients(s.Clients); err != nil {
		return out, err
	}
	switch {
	case s.Issuer == "acme":
		out.own = b.ordering(s)
	case s.Issuer == "internal":
		out.own, err = b.internal(s.Hosts)
	case s.Issuer == "self_signed":
		out.own, err = sourceOrError(selfSigned(s.Hosts))
	case len(s.Certificates) > 0:
		out.own, err = b.open(s.Certificates, false)
	}
	return out, err
}

func (b *builder) view(l Listener) (*view, error) {
	source, err := b.listenerSource(l)
	if err != nil {
		return nil, err
	}
	v := &view{names: newNames[*policy](), stray: refusal()}
	if source != nil {
		v.stray = b.policy("listener "+l.Address, source, clients{})
	}
	for _, s := range b.sites {
		p := b.sitePolicy(s, source)
		for _, host := range s.Hosts {
			v.add(host, p)
		}
		if s.Default {
			v.fallback = p
		}
	}
	return v, nil
}

func (b *builder) listenerSource(l Listener) (CertSource, error) {
	switch {
	case l.SelfSigned:
		return sourceOrError(selfSigned(nil))
	case l.Internal:
		return b.internal(b.hosts())
	case l.Cert != "":
		return b.open([]FileConfig{l.FileConfig}, true)
	}
	return nil, nil
}

// sitePolicy is the policy of a site on a listener with the given source, which may be nil.
func (b *builder) sitePolicy(s builtSite, listener CertSource) *policy {
	source := s.own
	if source == nil {
		source = listener
	}
	if source == nil {
		source = b.ordering(s.Site)
	}
	if source == nil {
		return refusal()
	}
	return b.policy("site "+s.Name, source, s.clients)
}

func (b *builder) policy(label string, source CertSource, c clients) *policy {
	p := newPolicy(label, source, c, b.Manager)
	b.tickets = append(b.tickets, p)
	return p
}

// hosts are all that sites without a certificate of their own answer for.
func (b *builder) hosts() (all []string) {
	for _, s := range b.sites {
		if s.own == nil {
			all = append(all, s.Hosts...)
		}
	}
	return all
}

func (b *builder) open(configs []FileConfig, anyName bool) (CertSource, error) {
	s, err := openFiles(configs, anyName)
	if err != nil {
		return nil, err
	}
	b.files = append(b.files, s)
	return s, nil
}

func (b *builder) internal(hosts []string) (_ CertSource, err error) {
	if b.localRoot = b.old.localRoot; b.localRoot == nil {
		if b.localRoot, err = openLocalCA(context.Background(), b.storage); err != nil {
			return nil, err
		}
	}
	return &localSource{ca: b.localRoot, hosts: hosts}, nil
}

// authorize opens the CA that certificates are ordered from. One that has not changed keeps its account in memory.
func (b *builder) authorize() (err error) {
	if !b.ACME.AcceptTerms {
		return nil
	}
	same := b.old.authority != nil && reflect.DeepEqual(b.old.ACME, b.ACME)
	if same {
		b.authority, b.onDemand = b.old.authority, b.old.onDemand
		return nil
	}
	b.authority, err = newAuthority(b.ACME, b.storage, b.secret, b.log)
	b.onDemand = newOnDemand(b.ACME.OnDemand, b.log)
	return err
}

// ordering is the source of a site whose certificates are ordered; nil where nothing is.
func (b *builder) ordering(s Site) CertSource {
	if b.authority == nil {
		return nil
	}
	demands := s.Default
	for _, host := range s.Hosts {
		switch name := canonicalName(host); {
		case strings.HasPrefix(name, "*"):
			demands = true
		case Orderable(name) && !slices.Contains(b.ordered, name):
			b.ordered = append(b.ordered, name)
		}
	}
	return &acmeSource{b.orders, demands}
}

// sourceOrError keeps a nil pointer from becoming an interface that is not nil.
func sourceOrError(s *fixedSource, err error) (CertSource, error) {
	if err != nil {
		return nil, err
	}
	return s, nil
}
