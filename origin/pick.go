package origin

import "math"

// choice is an upstream that may be asked, as it is at one moment. The picks below are pure and total functions of at least
// one choice; chance comes to them as a roll, a number from 0 up to 1.
type choice struct {
	upstream *upstream
	weight   float64 // more than 0
	load     float64 // requests in flight
	latency  float64 // seconds to the head of an answer, as of late; 0 is not known
	seed     uint64  // a hash of its name
	credit   float64 // of smooth
}

// smooth is the weighted round robin that does not send bursts to the heaviest (Igor Sysoev's, in nginx): every choice earns
// its weight, the richest is picked and pays what all have earned. Equal weights make it a plain round robin.
func smooth(c []choice) int {
	best, earned := 0, 0.0
	for i := range c {
		earned += c[i].weight
		if c[i].credit += c[i].weight; c[i].credit > c[best].credit {
			best = i
		}
	}
	c[best].credit -= earned
	return best
}

// leastLoaded picks the fewest requests in flight for its weight; among equals the roll decides, by weight.
func leastLoaded(c []choice, roll float64) int {
	least, among := math.Inf(1), 0.0
	for _, x := range c {
		switch l := x.load / x.weight; {
		case l < least:
			least, among = l, x.weight
		case l == least:
			among += x.weight
		}
	}
	last := 0
	for i, x := range c {
		if x.load/x.weight != least {
			continue
		}
		if last, roll = i, roll-x.weight/among; roll < 0 {
			break
		}
	}
	return last
}

// lighterOfTwo draws two by weight and picks the one with fewer requests in flight for its weight. Two draws avoid what a
// look at all invites: that everybody picks the same one before its load shows (Mitzenmacher, "The power of two choices").
func lighterOfTwo(c []choice, roll1, roll2 float64) int {
	i, j := drawTwo(c, roll1, roll2)
	if c[j].load/c[j].weight < c[i].load/c[i].weight {
		return j
	}
	return i
}

// fasterOfTwo draws two by weight and picks the one that promises its answer sooner.
func fasterOfTwo(c []choice, roll1, roll2 float64) int {
	i, j := drawTwo(c, roll1, roll2)
	if c[j].promise() < c[i].promise() {
		return j
	}
	return i
}

// promise is how long an answer may take: its latency, as often as requests are there before it. One that has never answered
// is tried with one request, and waits for that to show.
func (x *choice) promise() float64 {
	if x.latency == 0 && x.load > 0 {
		return math.Inf(1)
	}
	return x.latency * (x.load/x.weight + 1)
}

// drawTwo draws two different ones, where there are two, by weight.
func drawTwo(c []choice, roll1, roll2 float64) (first, second int) {
	all := 0.0
	for _, x := range c {
		all += x.weight
	}
	first = draw(c, roll1*all, -1)
	if len(c) == 1 {
		return first, first
	}
	return first, draw(c, roll2*(all-c[first].weight), first)
}

// draw returns where at falls when the weights, but for that of except, are laid end to end.
func draw(c []choice, at float64, except int) int {
	last := 0
	for i, x := range c {
		if i == except {
			continue
		}
		if last, at = i, at-x.weight; at < 0 {
			break
		}
	}
	return last
}

// rendezvous picks the one that ranks highest for a key: every key has its own order of all upstreams, so that only the keys
// of one that leaves move, each to the next in its order (Thaler and Ravishankar, "A name-based mapping scheme for
// rendezvous", with weights as Schindelhauer and Schomaker have them). One whose load has reached bound times its fair share
// of all load, this request included, is passed over (Mirrokni, Thorup and Zadimoghaddam, "Consistent hashing with bounded
// loads"); a bound of 0 is none.
func rendezvous(c []choice, key uint64, bound float64) int {
	weights, load := 0.0, 1.0
	for _, x := range c {
		weights += x.weight
		load += x.load
	}
	first, best := 0, -1
	firstRank, bestRank := math.Inf(-1), math.Inf(-1)
	for i, x := range c {
		r := x.rank(key)
		if r > firstRank {
			first, firstRank = i, r
		}
		if isWithin := bound == 0 || x.load+1 <= math.Ceil(bound*load*x.weight/weights); isWithin && r > bestRank {
			best, bestRank = i, r
		}
	}
	if best < 0 { // a bound below 1 has no room for all
		return first
	}
	return best
}

// rank is an exponentially distributed number, negative, that depends on key and name alone: the greatest among several is
// each one's in proportion to its weight.
func (x *choice) rank(key uint64) float64 {
	uniform := (float64(mix(key^x.seed)>>11) + 0.5) / (1 << 53)
	return math.Log(uniform) / x.weight
}

// mix spreads every bit of x over all of them (the finalizer of SplitMix64).
func mix(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}
