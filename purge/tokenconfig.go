package purge

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
)

// Config says who may purge, besides the admin token and whoever may open the admin socket.
type Config struct {
	// Allow are addresses or prefixes whose PURGE requests are obeyed without a token. The peer of the connection is meant,
	// and a request that came through a proxy is never obeyed for its address.
	Allow []string `yaml:"allow"`
	// Tokens are bearer tokens by name. The history has the name.
	Tokens map[string]TokenConfig `yaml:"tokens"`
}

// TokenConfig is a bearer token and what it is good for. Start from DefaultTokenConfig.
type TokenConfig struct {
	// Token is where the token is, env:NAME or file:/path, or its hash, sha256:HEX. Never the token itself.
	Token string `yaml:"token" secret:"true"`
	// Sites are those it is good for, by name. Default: all.
	Sites []string `yaml:"sites"`
	// Selectors are those it may use: urls, prefixes, globs, tags, hosts, sites, all. Default: every one.
	Selectors []string `yaml:"selectors" enum:"urls,prefixes,globs,tags,hosts,sites,all"`
	// Rate is how many URLs, tags and so on it may purge a second on average; ten times as many at once, and at least a
	// thousand, which one purge may have. 0 is no bound.
	Rate int `yaml:"rate"`
}

// DefaultTokenConfig is a token that says nothing.
func DefaultTokenConfig() TokenConfig { return TokenConfig{Rate: 100} }

// burstSeconds is how long a pause is made up for.
const burstSeconds = 10

// maxRate is more than any disk writes.
const maxRate = 1_000_000

// Validate reports everything that is wrong, with paths relative to the section. sites are the names that exist.
func (c Config) Validate(sites []string, secrets Secrets, report func(path, problem, hint string)) {
	for i, text := range c.Allow {
		if _, err := parsePrefix(text); err != nil {
			report(fmt.Sprintf("allow[%d]", i), err.Error(), "such as 192.0.2.1, 192.0.2.0/24 or 2001:db8::/32")
		}
	}
	seen := make(map[TokenHash]string)
	for _, name := range slices.Sorted(maps.Keys(c.Tokens)) {
		at := func(path, problem, hint string) { report("tokens."+name+"."+path, problem, hint) }
		c.Tokens[name].validate(name, sites, at)
		h, err := ReadToken(c.Tokens[name].Token, secrets)
		switch first, twice := seen[h]; {
		case err != nil:
			at("token", err.Error(), "")
		case twice:
			at("token", fmt.Sprintf("is that of %q too", first), "the history tells tokens apart by name, so each has its own")
		default:
			seen[h] = name
		}
	}
}

func (c TokenConfig) validate(name string, sites []string, report func(path, problem, hint string)) {
	if name == "" || len(name) > 64 || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' }) {
		report("token", fmt.Sprintf("%q is no name for a token", name), "at most 64 letters, digits and signs, without spaces")
	}
	for i, site := range c.Sites {
		if !slices.Contains(sites, site) {
			report(fmt.Sprintf("sites[%d]", i), fmt.Sprintf("there is no site %q", site), "a site without a name has that of its first host")
		}
	}
	for i, selector := range c.Selectors {
		if !slices.Contains(selectorNames, selector) {
			report(fmt.Sprintf("selectors[%d]", i), fmt.Sprintf("%q is not known", selector), "one of "+strings.Join(selectorNames, ", "))
		}
	}
	if c.Rate < 0 || c.Rate > maxRate {
		report("rate", fmt.Sprintf("is not between 0 and %d", maxRate), "0 is no bound")
	}
}

// callers are all who are known by a token or an address. Immutable.
type callers struct {
	allow  []netip.Prefix
	tokens []token
}

// compile reads the tokens; what Validate finds wrong is an error. admin is the hash of the admin token, if there is one.
func (c Config) compile(admin *TokenHash, secrets Secrets) (*callers, error) {
	all := &callers{}
	for _, text := range c.Allow {
		p, err := parsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("purge.allow: %w", err)
		}
		all.allow = append(all.allow, p)
	}
	if admin != nil {
		all.tokens = append(all.tokens, token{*admin, Caller{Name: "admin token", Admin: true}})
	}
	for name, t := range c.Tokens {
		h, err := ReadToken(t.Token, secrets)
		if err != nil {
			return nil, fmt.Errorf("purge.tokens.%s.token: %w", name, err)
		}
		all.tokens = append(all.tokens, token{h, Caller{
			Name: "token " + name, sites: t.Sites, selectors: t.Selectors,
			rate: rate{perSecond: float64(t.Rate), burst: max(MaxNames, float64(t.Rate)*burstSeconds)},
		}})
	}
	return all, nil
}

func (c *callers) allowed(peer netip.Addr) bool {
	return slices.ContainsFunc(c.allow, func(p netip.Prefix) bool { return p.Contains(peer) })
}

// parsePrefix reads an address or a prefix. Peers are compared as IPv4 where they are that, so IPv4 in IPv6 form is refused.
func parsePrefix(text string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(text); err == nil && addr.Zone() == "" {
		addr = addr.Unmap()
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	p, err := netip.ParsePrefix(text)
	if err != nil || p.Addr().Is4In6() {
		return netip.Prefix{}, fmt.Errorf("%q is no IP address or prefix", text)
	}
	return p.Masked(), nil
}
