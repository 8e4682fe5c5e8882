package origin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// Resolver looks up names. *net.Resolver is one.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
	LookupSRV(ctx context.Context, service, proto, name string) (cname string, targets []*net.SRV, err error)
}

// addresses are those that the name of an upstream stands for. They are looked up when they are first needed and then, while
// the pool runs, at an even pace: Go's resolver does not tell for how long an answer holds. While there is none, the last
// one serves.
type addresses struct {
	ResolveConfig
	resolver Resolver
	name     string
	log      *slog.Logger
	gone     func() // called when an address is no longer among them

	looking sync.Mutex // one look-up at a time

	mu      sync.Mutex // guards the following
	known   []netip.Addr
	heard   time.Time // when known was last confirmed
	failing bool      // since then a look-up has failed
	turn    int       // of the next connection
}

// errNoAddress is what a name without any address comes to.
var errNoAddress = errors.New("the name has no address")

// get returns the addresses in the order in which to try them; every call begins with another one.
func (a *addresses) get(ctx context.Context) ([]netip.Addr, error) {
	if all := a.inOrder(); all != nil {
		return all, nil
	}
	a.looking.Lock()
	defer a.looking.Unlock()
	if all := a.inOrder(); all != nil { // looked up while we waited
		return all, nil
	}
	if err := a.lookUp(ctx); err != nil {
		return nil, err
	}
	return a.inOrder(), nil
}

func (a *addresses) inOrder() []netip.Addr {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.known) == 0 || time.Since(a.heard) > a.Keep {
		return nil
	}
	a.turn++
	return alternate(a.known, a.turn-1)
}

// alternate returns addresses of both families in turn, that of the first one first (RFC 8305, section 4), each family
// beginning at its n-th.
func alternate(all []netip.Addr, n int) []netip.Addr {
	var families [2][]netip.Addr
	for _, ip := range all {
		f := 0
		if ip.Is4() != all[0].Is4() {
			f = 1
		}
		families[f] = append(families[f], ip)
	}
	var out []netip.Addr
	for i := range all {
		for _, f := range families {
			if i < len(f) {
				out = append(out, f[(i+n)%len(f)])
			}
		}
	}
	return out
}

// run looks the name up again and again until ctx ends.
func (a *addresses) run(ctx context.Context) {
	every(ctx, a.Interval, func() {
		a.looking.Lock()
		defer a.looking.Unlock()
		ctx, cancel := context.WithTimeout(ctx, a.Interval)
		defer cancel()
		_ = a.lookUp(ctx) // it has logged what there is to say
	})
}

// every calls f at an even pace, give or take a tenth, until ctx ends.
func every(ctx context.Context, pace time.Duration, f func()) {
	pause := time.NewTimer(time.Duration(rand.Float64() * float64(pace)))
	defer pause.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-pause.C:
		}
		f()
		pause.Reset(time.Duration((0.9 + 0.2*rand.Float64()) * float64(pace)))
	}
}

// lookUp asks the resolver once. The caller holds looking.
func (a *addresses) lookUp(ctx context.Context) error {
	all, err := a.resolver.LookupNetIP(ctx, "ip", a.name)
	if err == nil {
		all, err = a.permitted(all)
	}
	if ctx.Err() != nil && errors.Is(context.Cause(ctx), context.Canceled) { // whoever asked has left
		return err
	}
	if err != nil {
		a.fail(err)
		return err
	}
	if a.learn(all) {
		a.gone()
	}
	return nil
}

// fail notes that the last answer has to serve.
func (a *addresses) fail(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.failing {
		a.log.Warn("look-up of the upstream failed; its last addresses are kept", "addresses", len(a.known), "for", a.Keep, "error", err)
	}
	a.failing = true
}

// learn takes an answer, and reports whether an address is gone.
func (a *addresses) learn(all []netip.Addr) (gone bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, ip := range a.known {
		gone = gone || !slices.Contains(all, ip)
	}
	isNew := func(ip netip.Addr) bool { return !slices.Contains(a.known, ip) }
	if gone || slices.ContainsFunc(all, isNew) {
		a.log.Info("addresses of the upstream", "addresses", all)
	}
	a.known, a.heard, a.failing = all, time.Now(), false
	return gone
}

// permitted leaves out addresses that no origin has, unless the configuration allows them: whoever can change a name could
// otherwise have us ask what only this machine may ask.
func (a *addresses) permitted(all []netip.Addr) ([]netip.Addr, error) {
	if len(all) == 0 {
		return nil, errNoAddress
	}
	var out []netip.Addr
	for _, ip := range all {
		if ip = ip.Unmap(); a.allows(ip) || !isProhibited(ip) {
			out = append(out, ip)
		}
	}
	if len(out) < len(all) {
		a.log.Warn("the upstream's name stands for an address that is refused; resolve.allow would allow it", "addresses", all)
	}
	if len(out) == 0 {
		return nil, prohibitedError{a.name}
	}
	return out, nil
}

func (a *addresses) allows(ip netip.Addr) bool {
	return slices.ContainsFunc(a.Allow, func(text string) bool {
		prefix, err := parsePrefix(text)
		return err == nil && prefix.Contains(ip)
	})
}

// prohibited holds link-local addresses, those at which clouds tell a machine its secrets, and those that are nobody's.
var prohibited = []netip.Prefix{
	netip.MustParsePrefix("169.254.0.0/16"), // link-local; metadata of nearly every cloud
	netip.MustParsePrefix("fe80::/10"),
	netip.MustParsePrefix("fd00:ec2::/32"),      // metadata of AWS over IPv6
	netip.MustParsePrefix("100.100.100.200/32"), // metadata of Alibaba Cloud
	netip.MustParsePrefix("192.0.0.192/32"),     // metadata of Oracle Cloud
	netip.MustParsePrefix("0.0.0.0/8"),
	netip.MustParsePrefix("::/128"),
	netip.MustParsePrefix("224.0.0.0/4"),
	netip.MustParsePrefix("ff00::/8"),
	netip.MustParsePrefix("255.255.255.255/32"),
}

// nat64 is the prefix in which gateways reach IPv4 (RFC 6052, section 2.1).
var nat64 = netip.MustParsePrefix("64:ff9b::/96")

func isProhibited(ip netip.Addr) bool {
	ip = ip.WithZone("")
	if nat64.Contains(ip) {
		b := ip.As16()
		ip = netip.AddrFrom4([4]byte(b[12:]))
	}
	return slices.ContainsFunc(prohibited, func(p netip.Prefix) bool { return p.Contains(ip) })
}

// parsePrefix reads an address or a prefix.
func parsePrefix(text string) (netip.Prefix, error) {
	if ip, err := netip.ParseAddr(text); err == nil {
		return netip.PrefixFrom(ip, ip.BitLen()), nil
	}
	return netip.ParsePrefix(text)
}

// prohibitedError is a name of which every address is refused.
type prohibitedError struct{ name string }

func (e prohibitedError) Error() string {
	return fmt.Sprintf("%s stands only for link-local, metadata or other addresses that no origin has", e.name)
}
