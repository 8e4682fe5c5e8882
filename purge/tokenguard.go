package purge

import (
	"errors"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"
)

// Caller is who asks for a purge, and what they may.
type Caller struct {
	Name  string // as the history has it: "token deploy", "user alice", "address 192.0.2.1"
	Admin bool   // the other admin endpoints are open too

	sites     []string // nil: all
	selectors []string // nil: all
	rate      rate
}

// LocalUser is whoever may open the admin socket. What they do to the cache they could do to its files.
func LocalUser(name string) *Caller { return &Caller{Name: name, Admin: true} }

func (c *Caller) maySelect(selector string) bool {
	return c.selectors == nil || slices.Contains(c.selectors, selector)
}

func (c *Caller) mayTouch(site string) bool { return c.sites == nil || slices.Contains(c.sites, site) }

// confined reports whether there is anything that the Caller may not touch, and is told nothing of.
func (c *Caller) confined() bool { return c.sites != nil }

// Guard knows who may purge. It is safe for concurrent use.
type Guard struct {
	callers  atomic.Pointer[callers]
	purges   *limiter // by the Caller's name
	failures *limiter // by address
}

// NewGuard returns a Guard that lets nobody in before Configure.
func NewGuard() *Guard {
	g := &Guard{purges: newLimiter(), failures: newLimiter()}
	g.callers.Store(&callers{})
	return g
}

// Configure puts a configuration in force. Secrets are read anew, so this is how a token is changed. After an error the old
// one stays.
func (g *Guard) Configure(c Config, admin *TokenHash, secrets Secrets) error {
	all, err := c.compile(admin, secrets)
	if err != nil {
		return err
	}
	g.callers.Store(all)
	return nil
}

// Why somebody is not let in.
var (
	ErrNoToken = errors.New("a token is wanted")
	ErrToken   = errors.New("the token is not known")
)

// TooManyError is a rate limit that was met.
type TooManyError struct {
	What  string
	Retry time.Duration // when to try again
}

func (e *TooManyError) Error() string { return "too many " + e.What }

// An address may try a number of tokens that are not known, and then one a second. Tokens are too long to be guessed: this
// keeps the log readable, and the attempt cheap.
var failureRate = rate{perSecond: 1, burst: 20}

// ByToken returns whose token an Authorization field has, sent from an address. One that is known is taken whatever else came
// from there: behind one address may be many, and any of them could keep the others from purging.
func (g *Guard) ByToken(authorization string, from netip.Addr) (*Caller, error) {
	h, ok := bearer(authorization)
	if c := findToken(g.callers.Load().tokens, h); ok && c != nil {
		return c, nil
	}
	who := network(from)
	if wait := g.failures.wait(who, failureRate); wait > 0 {
		return nil, &TooManyError{"tokens that are not known", wait}
	}
	if !ok {
		return nil, ErrNoToken
	}
	g.failures.take(who, 1, failureRate)
	return nil, ErrToken
}

// WantsTokens reports whether any token is good for anything.
func (g *Guard) WantsTokens() bool { return len(g.callers.Load().tokens) > 0 }

// ByAddress returns the Caller that a peer is for its address alone, or nil.
func (g *Guard) ByAddress(peer netip.Addr) *Caller {
	if !g.callers.Load().allowed(peer) {
		return nil
	}
	return &Caller{Name: "address " + peer.String(), selectors: []string{"urls"}, rate: addressRate}
}

// addressRate is for content systems that send a PURGE for each of the many pages that one edit has changed.
var addressRate = rate{perSecond: 100, burst: 1000}

// charge counts what a Caller names. It is names that are counted, and not purges: each takes a row of the tables, and when
// these are full the oldest purges come to hold for everything, also for what the Caller may not touch.
func (g *Guard) charge(c *Caller, names int) error {
	return tooFast(g.purges.take(c.Name, names, c.rate))
}

// spent reports whether a Caller has no name left, so that nothing of what it sends needs to be read.
func (g *Guard) spent(c *Caller) error { return tooFast(g.purges.wait(c.Name, c.rate)) }

func tooFast(wait time.Duration) error {
	if wait > 0 {
		return &TooManyError{"purges", wait}
	}
	return nil
}

// network is what one party holds: an IPv4 address, or the network that an IPv6 host may take any address of.
func network(peer netip.Addr) string {
	if p, err := peer.Prefix(64); err == nil && peer.Is6() {
		return p.String()
	}
	return peer.String()
}
