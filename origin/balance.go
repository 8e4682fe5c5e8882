package origin

import (
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"

	"github.com/cespare/xxhash/v2"
)

// The policies.
const (
	roundRobin = "round_robin"
	leastConns = "least_conns"
	leastTime  = "least_time"
	randomly   = "random"
	byHash     = "hash"
	sticky     = "sticky"
)

// The kinds of hash.
const (
	hashURL    = "url"
	hashClient = "client"
	hashHeader = "header"
	hashCookie = "cookie"
)

// balancer picks among the upstreams that may be asked.
type balancer struct {
	policy string
	hash   string  // kind
	field  string  // name of the header or cookie to hash
	bound  float64 // of hash
	tie    tie     // of sticky

	turn sync.Mutex // guards every upstream's credit
}

func newBalancer(c BalanceConfig) (*balancer, error) {
	b := &balancer{policy: c.Policy, bound: float64(c.Bound) / 100}
	b.hash, b.field, _ = strings.Cut(c.Hash, ":")
	var err error
	if c.Policy == sticky {
		b.tie, err = newTie(c.Cookie)
	}
	return b, err
}

// pick returns the index of one of the choices, of which there is at least one. It allocates nothing.
func (b *balancer) pick(c []choice, r *http.Request) int {
	switch b.policy {
	case leastConns:
		return leastLoaded(c, rand.Float64())
	case leastTime:
		return fasterOfTwo(c, rand.Float64(), rand.Float64())
	case randomly:
		return lighterOfTwo(c, rand.Float64(), rand.Float64())
	case byHash:
		return rendezvous(c, b.key(r), b.bound)
	case sticky:
		if i := b.tie.named(c, r); i >= 0 {
			return i
		}
	}
	return b.next(c)
}

// next is the round robin.
func (b *balancer) next(c []choice) int {
	b.turn.Lock()
	defer b.turn.Unlock()
	for i := range c {
		c[i].credit = c[i].upstream.credit
	}
	picked := smooth(c)
	for i := range c {
		c[i].upstream.credit = c[i].credit
	}
	return picked
}

// key is what hash goes by. It is the same on every node.
func (b *balancer) key(r *http.Request) uint64 {
	var value string
	switch b.hash {
	case hashClient:
		value = r.RemoteAddr
	case hashHeader:
		value = r.Header.Get(b.field)
	case hashCookie:
		value = cookie(r.Header, b.field)
	}
	if value != "" {
		return xxhash.Sum64String(value)
	}
	path := r.URL.RawPath
	if path == "" {
		path = r.URL.Path
	}
	key := xxhash.Sum64String(r.Host)
	key = mix(key) ^ xxhash.Sum64String(path)
	return mix(key) ^ xxhash.Sum64String(r.URL.RawQuery)
}

// cookie returns the value of the first cookie of that name (RFC 6265, section 4.2.1), "" for none.
func cookie(h http.Header, name string) string {
	for _, line := range h["Cookie"] {
		for pair := range strings.SplitSeq(line, ";") {
			if n, value, ok := strings.Cut(strings.TrimSpace(pair), "="); ok && n == name {
				return value
			}
		}
	}
	return ""
}
