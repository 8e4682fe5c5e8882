package tlsmgr

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// Options are what a Manager is made of.
type Options struct {
	Config    Config // validated
	Listeners []Listener
	Sites     []Site
	Storage   Storage
	// Secret reads what the configuration only points at; needed where it does.
	Secret func(where string) (string, error)
	Logger *slog.Logger
}

// Manager keeps the certificates of a node and gives its listeners their TLS.
type Manager struct {
	storage   Storage
	secret    func(where string) (string, error)
	log       *slog.Logger
	secrets   *secrets
	orders    *orders
	challenge *tls.Config // for handshakes of a CA that validates
	conf      atomic.Pointer[snapshot]
}

// snapshot is a compiled configuration. Immutable.
type snapshot struct {
	Config
	views     map[string]*view // by a listener's address
	bindings  names[*binding]  // by server name
	files     []*fileSource    // their contents are Run's
	tickets   []*policy        // all policies that make tickets
	localRoot *localCA         // nil until a site or listener needs it
	authority *authority       // nil unless the CA's terms are accepted
	onDemand  *onDemand        // nil without
	ech       []tls.EncryptedClientHelloKey
	ordered   []string // names that want certificates of authority
}

// view is what one listener serves. Immutable.
type view struct {
	names[*policy]
	stray *policy // for clients that name nobody, and names that no site has
}

// New makes what the configuration asks for, or says what cannot be had.
func New(o Options) (*Manager, error) {
	m := &Manager{storage: o.Storage, secret: o.Secret, log: o.Logger, secrets: newSecrets(), orders: newOrders(o.Logger)}
	m.challenge = challengeConfig(m.orders)
	m.conf.Store(&snapshot{})
	commit, err := m.Prepare(o.Config, o.Listeners, o.Sites)
	if err != nil {
		return nil, err
	}
	commit()
	return m, nil
}

// Prepare makes what a new configuration asks for, or says what cannot be had. Nothing has changed before commit is called;
// then it is in force for the handshakes that begin from there on. The caller prepares one configuration at a time.
func (m *Manager) Prepare(c Config, listeners []Listener, sites []Site) (commit func(), err error) {
	b := builder{Manager: m, old: m.conf.Load(), snapshot: &snapshot{Config: c}}
	if err := b.build(listeners, sites); err != nil {
		return nil, err
	}
	return func() {
		m.conf.Store(b.snapshot)
		m.orders.want(b.authority, b.onDemand, b.ordered)
		m.renewTicketKeys() // a rotation since b was made has not reached its policies
	}, nil
}

// pollEvery is how often files are looked at. Their owners renew them days before they expire.
const pollEvery = 10 * time.Second

// Run looks after files, ticket keys and orders until ctx ends.
func (m *Manager) Run(ctx context.Context) error {
	var g errgroup.Group
	g.Go(func() error { m.watchFiles(ctx); return nil })
	g.Go(func() error { m.rotateTickets(ctx); return nil })
	g.Go(func() error { m.orders.run(ctx); return nil })
	return g.Wait()
}

func (m *Manager) watchFiles(ctx context.Context) {
	for pause(ctx, pollEvery) {
		for _, s := range m.conf.Load().files {
			s.refresh(time.Now(), m.log)
		}
	}
}

func (m *Manager) rotateTickets(ctx context.Context) {
	for pause(ctx, m.conf.Load().Tickets.Rotate) {
		m.secrets.rotate()
		m.renewTicketKeys()
	}
}

// renewTicketKeys derives the keys of all policies from the secrets as they are now. Run and Reload may do so at once, in
// any order: the keys are as new as the secrets in both.
func (m *Manager) renewTicketKeys() {
	for _, p := range m.conf.Load().tickets {
		p.config.SetSessionTicketKeys(m.secrets.keys(p.label))
	}
}

// pause waits, and reports false when ctx has ended.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// Challenge returns the answer to an ACME challenge (RFC 8555, section 8.3) that is pending for a host. Tokens come from
// strangers.
func (m *Manager) Challenge(ctx context.Context, host, token string) (answer string, ok bool) {
	if len(token) > maxToken || strings.Trim(token, tokenAlphabet) != "" {
		return "", false
	}
	return m.orders.answer(ctx, canonicalName(host), token)
}

// A token is in base64url, of at least 128 bits (RFC 8555, section 8.3).
const (
	tokenAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	maxToken      = 128
)

// TLS returns the configuration for a listener. It stays good over reloads.
func (m *Manager) TLS(address string) (*tls.Config, error) {
	if m.conf.Load().views[address] == nil {
		return nil, fmt.Errorf("listener %s has no TLS", address)
	}
	config := baseConfig()
	config.GetEncryptedClientHelloKeys = m.echKeys
	config.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		if isChallenge(hello) {
			return m.challenge, nil
		}
		v := m.conf.Load().views[address]
		return v.policy(hello.ServerName).config, nil
	}
	return config, nil
}

// echKeys are those of the configuration in force. crypto/tls wants no nil.
func (m *Manager) echKeys(*tls.ClientHelloInfo) ([]tls.EncryptedClientHelloKey, error) {
	if keys := m.conf.Load().ech; keys != nil {
		return keys, nil
	}
	return noECH, nil
}

var noECH = []tls.EncryptedClientHelloKey{}

func (v *view) policy(serverName string) *policy {
	return cmp.Or(v.find(canonicalName(serverName)), v.stray)
}
