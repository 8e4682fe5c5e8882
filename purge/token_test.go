package purge

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

const (
	adminSecret  = "admin-0123456789"
	deploySecret = "deploy-0123456789"
)

// testSecrets knows one place for each secret.
func testSecrets(where string) (string, error) {
	text, ok := map[string]string{"env:ADMIN": adminSecret + "\n", "env:DEPLOY": deploySecret, "env:SHORT": "short"}[where]
	if !ok {
		return "", errors.New("is not set")
	}
	return text, nil
}

func hashOf(secret string) TokenHash { return sha256.Sum256([]byte(secret)) }

func TestReadToken(t *testing.T) {
	hash := hashOf(deploySecret)
	for _, row := range []struct {
		where, problem string
	}{
		{"env:DEPLOY", ""},
		{"sha256:" + hex.EncodeToString(hash[:]), ""},
		{"sha256:" + strings.ToUpper(hex.EncodeToString(hash[:])), ""},
		{"sha256:" + hex.EncodeToString(hash[:31]), "is no SHA-256"},
		{"sha256:" + strings.Repeat("x", 64), "is no SHA-256"},
		{"env:SHORT", "needs at least 16"},
		{"env:NONE", "is not set"},
	} {
		got, err := ReadToken(row.where, testSecrets)
		switch {
		case row.problem == "" && (err != nil || got != hash):
			t.Errorf("%s: %x, %v, want the hash of the token", row.where, got, err)
		case row.problem != "" && (err == nil || !strings.Contains(err.Error(), row.problem)):
			t.Errorf("%s: error = %v, want %q", row.where, err, row.problem)
		}
	}
	if got, err := ReadToken("env:ADMIN", testSecrets); err != nil || got != hashOf(adminSecret) {
		t.Errorf("a file's last newline is part of the token: %v", err)
	}
}

func testGuard(t *testing.T, c Config) *Guard {
	t.Helper()
	g, admin := NewGuard(), hashOf(adminSecret)
	if err := g.Configure(c, &admin, testSecrets); err != nil {
		t.Fatal(err)
	}
	return g
}

var (
	local  = netip.MustParseAddr("127.0.0.1")
	nearby = netip.MustParseAddr("192.0.2.7")
	remote = netip.MustParseAddr("198.51.100.1")
)

func TestByToken(t *testing.T) {
	g := testGuard(t, Config{Tokens: map[string]TokenConfig{"deploy": {Token: "env:DEPLOY", Sites: []string{"shop"}}}})
	for _, row := range []struct {
		what, authorization string
		who                 string
		want                error
	}{
		{"the admin token", "Bearer " + adminSecret, "admin token", nil},
		{"a token", "Bearer " + deploySecret, "token deploy", nil},
		{"scheme in any case, more space", "bearer   " + deploySecret + " ", "token deploy", nil},
		{"nothing", "", "", ErrNoToken},
		{"no token", "Bearer ", "", ErrNoToken},
		{"another scheme", "Basic " + deploySecret, "", ErrNoToken},
		{"one byte more", "Bearer " + deploySecret + "0", "", ErrToken},
		{"one byte less", "Bearer " + deploySecret[1:], "", ErrToken},
		{"another case", "Bearer " + strings.ToUpper(deploySecret), "", ErrToken},
		{"its hash", fmt.Sprintf("Bearer %x", hashOf(deploySecret)), "", ErrToken},
	} {
		who, err := g.ByToken(row.authorization, remote)
		if !errors.Is(err, row.want) || (who == nil) != (row.who == "") || who != nil && who.Name != row.who {
			t.Errorf("%s: %+v, %v, want %q, %v", row.what, who, err, row.who, row.want)
		}
	}
	if who, _ := g.ByToken("Bearer "+adminSecret, local); !who.Admin || who.confined() {
		t.Errorf("the admin token: %+v", who)
	}
	if who, _ := g.ByToken("Bearer "+deploySecret, local); who.Admin || !who.confined() || who.mayTouch("blog") || !who.mayTouch("shop") {
		t.Errorf("a token of the shop: %+v", who)
	}
}

// Nobody is let in before there is a configuration, not even with nothing.
func TestGuardOfNobody(t *testing.T) {
	g := NewGuard()
	for _, authorization := range []string{"", "Bearer ", "Bearer x", "Bearer " + string(make([]byte, 32))} {
		if who, err := g.ByToken(authorization, local); err == nil {
			t.Errorf("%q is let in as %q", authorization, who.Name)
		}
	}
	if who := g.ByAddress(local); who != nil {
		t.Errorf("loopback is let in as %q", who.Name)
	}
}

// An address that has tried too many tokens is told nothing more of them for a second; others are not concerned. An IPv6 host
// has its whole network to try from.
func TestForgedTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := testGuard(t, Config{})
		for i := range 1000 {
			from := netip.MustParseAddr(fmt.Sprintf("2001:db8::%x", i))
			_, err := g.ByToken(fmt.Sprintf("Bearer forged-%016d", i), from)
			if want := i < int(failureRate.burst); errors.Is(err, ErrToken) != want {
				t.Fatalf("forged token %d: %v", i, err)
			}
		}
		var many *TooManyError
		for _, authorization := range []string{"Bearer forged", ""} {
			if _, err := g.ByToken(authorization, netip.MustParseAddr("2001:db8::ffff")); !errors.As(err, &many) || many.Retry > time.Second {
				t.Errorf("%q after a thousand wrong ones: %v, want to be told to wait", authorization, err)
			}
		}
		if _, err := g.ByToken("Bearer forged", remote); !errors.Is(err, ErrToken) {
			t.Errorf("another address: %v, want %v", err, ErrToken)
		}
		time.Sleep(time.Second)
		if _, err := g.ByToken("Bearer forged", netip.MustParseAddr("2001:db8::ffff")); !errors.Is(err, ErrToken) {
			t.Errorf("a second later: %v, want %v", err, ErrToken)
		}
	})
}

// Whoever shares an address with those who purge, a balancer's or the loopback, cannot keep them from it.
func TestForgedTokensLockNobodyOut(t *testing.T) {
	g := testGuard(t, Config{})
	for range 2 * int(failureRate.burst) {
		_, _ = g.ByToken("Bearer forged", local)
	}
	if who, err := g.ByToken("Bearer "+adminSecret, local); err != nil || !who.Admin {
		t.Errorf("the right token after too many wrong ones: %+v, %v", who, err)
	}
}

func TestByAddress(t *testing.T) {
	g := testGuard(t, Config{Allow: []string{"192.0.2.0/24", "2001:db8::1"}})
	for address, want := range map[string]bool{
		"192.0.2.7": true, "192.0.3.7": false, "2001:db8::1": true, "2001:db8::2": false, "127.0.0.1": false,
	} {
		if who := g.ByAddress(netip.MustParseAddr(address)); (who != nil) != want {
			t.Errorf("%s is let in = %v, want %v", address, who != nil, want)
		}
	}
	if who := g.ByAddress(netip.Addr{}); who != nil {
		t.Error("a unix socket is in no prefix")
	}
	if who := g.ByAddress(nearby); who.Admin || who.maySelect("all") || !who.maySelect("urls") {
		t.Errorf("an address may purge more than URLs: %+v", who)
	}
}

// After a reload the old token is worth nothing; after one that fails it is worth what it was.
func TestTokensAreChanged(t *testing.T) {
	g := testGuard(t, Config{Tokens: map[string]TokenConfig{"deploy": {Token: "env:DEPLOY"}}})
	if err := g.Configure(Config{Tokens: map[string]TokenConfig{"deploy": {Token: "env:NONE"}}}, nil, testSecrets); err == nil {
		t.Error("a token that cannot be read: no error")
	}
	if _, err := g.ByToken("Bearer "+deploySecret, local); err != nil {
		t.Errorf("after a refused change: %v", err)
	}
	if err := g.Configure(Config{}, nil, testSecrets); err != nil {
		t.Fatal(err)
	}
	if _, err := g.ByToken("Bearer "+deploySecret, local); !errors.Is(err, ErrToken) {
		t.Errorf("a token taken out: %v, want %v", err, ErrToken)
	}
}

func TestConfigIsValidated(t *testing.T) {
	for _, row := range []struct {
		what string
		c    Config
		want string
	}{
		{"all is well", Config{
			Allow:  []string{"192.0.2.1", "::/0"},
			Tokens: map[string]TokenConfig{"a": {Token: "env:DEPLOY", Sites: []string{"shop"}, Selectors: []string{"tags"}}},
		}, ""},
		{"no address", Config{Allow: []string{"example.com"}}, "allow[0]"},
		{"no prefix", Config{Allow: []string{"192.0.2.1", "192.0.2.0/33"}}, "allow[1]"},
		{"a prefix that no peer has", Config{Allow: []string{"::ffff:192.0.2.0/120"}}, "allow[0]"},
		{"a token that is not there", Config{Tokens: map[string]TokenConfig{"a": {Token: "env:NONE"}}}, "tokens.a.token"},
		{"an unknown site", Config{Tokens: map[string]TokenConfig{"a": {Token: "env:DEPLOY", Sites: []string{"shpo"}}}}, "tokens.a.sites[0]"},
		{"an unknown selector", Config{Tokens: map[string]TokenConfig{"a": {Token: "env:DEPLOY", Selectors: []string{"tag"}}}}, "tokens.a.selectors[0]"},
		{"a negative rate", Config{Tokens: map[string]TokenConfig{"a": {Token: "env:DEPLOY", Rate: -1}}}, "tokens.a.rate"},
		{"one token twice", Config{Tokens: map[string]TokenConfig{"a": {Token: "env:DEPLOY"}, "b": {Token: "env:DEPLOY"}}}, "tokens.b.token"},
		{"a name with a space", Config{Tokens: map[string]TokenConfig{"a b": {Token: "env:DEPLOY"}}}, "tokens.a b.token"},
	} {
		var got []string
		row.c.Validate([]string{"shop"}, testSecrets, func(path, problem, hint string) { got = append(got, path) })
		if strings.Join(got, " ") != row.want {
			t.Errorf("%s: problems at %q, want %q", row.what, got, row.want)
		}
	}
}
