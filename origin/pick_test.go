package origin

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/cespare/xxhash/v2"
)

const picks = 100_000

// choices are upstreams of these weights and nothing else.
func choices(weights ...float64) []choice {
	c := make([]choice, len(weights))
	for i, w := range weights {
		c[i] = choice{weight: w, seed: xxhash.Sum64String(fmt.Sprintf("10.0.0.%d:80", i))}
	}
	return c
}

// dice are the same in every run.
func dice() *rand.Rand { return rand.New(rand.NewPCG(1, 2)) }

// TestShares: what each policy gives to upstreams of unequal weight, within one percentage point of 100,000 picks. Requests
// end in the order they began.
func TestShares(t *testing.T) {
	roll := dice()
	for _, policy := range []struct {
		name     string
		parallel []int // requests in flight
		pick     func(c []choice, n int) int
	}{
		{"round robin", []int{1, 100}, func(c []choice, _ int) int { return smooth(c) }},
		{"least connections", []int{1, 100}, func(c []choice, _ int) int { return leastLoaded(c, roll.Float64()) }},
		// Two draws and a bound even the loads out; where there are many, weights hold only roughly.
		{"random of two", []int{1}, func(c []choice, _ int) int { return lighterOfTwo(c, roll.Float64(), roll.Float64()) }},
		{"least time", []int{1}, func(c []choice, _ int) int { return fasterOfTwo(c, roll.Float64(), roll.Float64()) }},
		{"hash", []int{1, 100}, func(c []choice, n int) int { return rendezvous(c, mix(uint64(n)), 0) }},
		{"hash with a bound", []int{1}, func(c []choice, n int) int { return rendezvous(c, mix(uint64(n)), 1.25) }},
	} {
		for _, weights := range [][]float64{{1}, {1, 1, 1}, {5, 1, 1}, {1, 2, 3, 4}} {
			for _, parallel := range policy.parallel {
				t.Run(fmt.Sprint(policy.name, weights, parallel), func(t *testing.T) {
					checkShares(t, choices(weights...), parallel, policy.pick)
				})
			}
		}
	}
}

func checkShares(t *testing.T, c []choice, parallel int, pick func(c []choice, n int) int) {
	got, all := make([]float64, len(c)), 0.0
	var running []int
	for n := range picks {
		i := pick(c, n)
		got[i]++
		c[i].load++
		if running = append(running, i); len(running) == parallel {
			c[running[0]].load--
			running = running[1:]
		}
	}
	for _, x := range c {
		all += x.weight
	}
	for i, x := range c {
		if share, want := got[i]/picks, x.weight/all; math.Abs(share-want) > 0.01 {
			t.Errorf("upstream %d of weight %v got %.2f %%, want %.2f %%", i, x.weight, 100*share, 100*want)
		}
	}
}

// TestSmoothSpreads: the heaviest is not asked in bursts, and equals are asked in turn.
func TestSmoothSpreads(t *testing.T) {
	for _, row := range []struct {
		weights []float64
		want    string
	}{
		{[]float64{1, 1, 1}, "[0 1 2 0 1 2 0]"},
		{[]float64{5, 1, 1}, "[0 0 1 0 2 0 0]"},
		{[]float64{2, 1}, "[0 1 0 0 1 0 0]"},
	} {
		c := choices(row.weights...)
		var got []int
		for range 7 {
			got = append(got, smooth(c))
		}
		if fmt.Sprint(got) != row.want {
			t.Errorf("weights %v: %v, want %s", row.weights, got, row.want)
		}
	}
}

// TestLeastLoaded: the fewest requests for its weight.
func TestLeastLoaded(t *testing.T) {
	for _, row := range []struct{ loads, weights [3]float64 }{
		{[3]float64{3, 2, 4}, [3]float64{1, 1, 1}},
		{[3]float64{3, 5, 4}, [3]float64{1, 2, 1}},
		{[3]float64{1, 0, 1}, [3]float64{9, 1, 9}},
	} {
		c := choices(row.weights[:]...)
		for i := range c {
			c[i].load = row.loads[i]
		}
		for _, roll := range []float64{0, .5, .999} {
			if got := leastLoaded(c, roll); got != 1 {
				t.Errorf("loads %v for weights %v: picked %d, want 1", row.loads, row.weights, got)
			}
		}
	}
}

// TestRandomOfTwoBalances: two draws keep every load near the mean, where one draw would not.
func TestRandomOfTwoBalances(t *testing.T) {
	c, roll := choices(1, 1, 1, 1, 1, 1, 1, 1), dice()
	most := 0.0
	for range 8000 { // nothing ever ends
		i := lighterOfTwo(c, roll.Float64(), roll.Float64())
		c[i].load++
		most = max(most, c[i].load)
	}
	if most > 1010 {
		t.Errorf("the fullest of 8 has %v of 8000 requests, want little more than 1000", most)
	}
}

// TestDrawTwo: never the same one twice, and each by weight.
func TestDrawTwo(t *testing.T) {
	c, roll := choices(1, 2, 1), dice()
	var first [3]int
	for range picks {
		i, j := drawTwo(c, roll.Float64(), roll.Float64())
		if i == j {
			t.Fatalf("drew %d twice", i)
		}
		first[i]++
	}
	if first[1] < 49_000 || first[1] > 51_000 {
		t.Errorf("half of the weight was drawn first %d times of %d", first[1], picks)
	}
	for _, edge := range []float64{0, math.Nextafter(1, 0)} {
		if i, j := drawTwo(c, edge, edge); i == j || i < 0 || j > 2 {
			t.Errorf("rolls of %v drew %d and %d", edge, i, j)
		}
	}
}

// TestHashMovesLittle: when one of n upstreams leaves, the keys that move are its own, 1/n, and no more than 1.3/n.
func TestHashMovesLittle(t *testing.T) {
	for _, n := range []int{2, 3, 10, 50} {
		weights := make([]float64, n)
		for i := range weights {
			weights[i] = 1
		}
		all, moved := choices(weights...), 0
		fewer := all[1:]
		for key := range uint64(picks) {
			before, after := rendezvous(all, mix(key), 0), rendezvous(fewer, mix(key), 0)+1
			if before != after {
				moved++
				if before != 0 {
					t.Fatalf("key %d moved from %d to %d, though %d is still there", key, before, after, before)
				}
			}
		}
		if share, most := float64(moved)/picks, 1.3/float64(n); share > most || share < 0.7/float64(n) {
			t.Errorf("1 of %d left: %.4f of the keys moved, want about %.4f and at most %.4f", n, share, 1/float64(n), most)
		}
	}
}

// TestHashKeepsTheBound: however few keys there are, nobody gets more than the bound, and a key that is passed on goes to
// the same second choice.
func TestHashKeepsTheBound(t *testing.T) {
	roll := dice()
	c := choices(1, 1, 2, 4)
	const bound = 1.25
	var running []int
	total := 0.0
	for range picks {
		key := mix(uint64(roll.ExpFloat64())) // few keys make most requests
		i := rendezvous(c, key, bound)
		c[i].load++
		total++
		if most := math.Ceil(bound * total * c[i].weight / 8); c[i].load > most {
			t.Fatalf("upstream %d has %v of %v requests in flight, want at most %v", i, c[i].load, total, most)
		}
		if running = append(running, i); len(running) > 60 {
			c[running[0]].load--
			running = running[1:]
			total--
		}
	}
	idle := choices(1, 1, 1)
	first := rendezvous(idle, 7, bound)
	idle[first].load = 10
	second := rendezvous(idle, 7, bound)
	if second == first || rendezvous(idle, 7, bound) != second {
		t.Errorf("key 7 goes to %d, and past its bound to %d", first, second)
	}
}

// TestLeastTime lets 100,000 requests arrive, 200 a second, at three upstreams, one of which takes ten times as long: it
// gets less than 5 % of them. When it is as fast as the others, it gets its share again.
func TestLeastTime(t *testing.T) {
	sim := newSimulation(3)
	sim.takes[1] = 100 * time.Millisecond
	got := sim.run(picks)
	if share := float64(got[1]) / picks; share >= 0.05 {
		t.Errorf("the slow one got %.1f %%, want less than 5 %%", 100*share)
	}
	sim.takes[1] = 10 * time.Millisecond
	sim.run(200 * 60) // a minute to find out
	got = sim.run(picks)
	if share := float64(got[1]) / picks; share < 0.25 || share > 0.42 {
		t.Errorf("recovered, it got %.1f %%, want about a third", 100*share)
	}
	sim.takes[1] = 100 * time.Millisecond
	if got := sim.run(2000); got[1] > 40 {
		t.Errorf("slow again, it got %d of the first 2000, want it noticed at once", got[1])
	}
}

// simulation is upstreams that answer after a while, in a time of its own.
type simulation struct {
	now   time.Time
	roll  *rand.Rand
	paces []pace
	loads []float64
	takes []time.Duration
	under []arrival // under way, in order of arrival
}

type arrival struct {
	upstream int
	ends     time.Time
	took     time.Duration
}

func newSimulation(n int) *simulation {
	s := &simulation{
		now: time.Unix(0, 0), roll: dice(), paces: make([]pace, n), loads: make([]float64, n), takes: make([]time.Duration, n),
	}
	for i := range s.takes {
		s.takes[i] = 10 * time.Millisecond
	}
	return s
}

// run lets n requests arrive and returns who got how many.
func (s *simulation) run(n int) []int {
	got := make([]int, len(s.loads))
	for range n {
		s.now = s.now.Add(time.Duration(s.roll.ExpFloat64() * float64(5*time.Millisecond)))
		s.settle()
		c := choices(make([]float64, len(s.loads))...)
		for i := range c {
			c[i].weight, c[i].load, c[i].latency = 1, s.loads[i], s.paces[i].at(s.now)
		}
		i := fasterOfTwo(c, s.roll.Float64(), s.roll.Float64())
		took := time.Duration(float64(s.takes[i]) * (0.8 + 0.4*s.roll.Float64()))
		s.under = append(s.under, arrival{i, s.now.Add(took), took})
		s.loads[i]++
		got[i]++
	}
	return got
}

// settle ends what has ended by now.
func (s *simulation) settle() {
	left := s.under[:0]
	for _, a := range s.under {
		if a.ends.After(s.now) {
			left = append(left, a)
			continue
		}
		s.loads[a.upstream]--
		s.paces[a.upstream].observe(a.took, a.ends)
	}
	s.under = left
}

// TestPaceUnknown: an upstream that has never answered is tried, with one request at a time.
func TestPaceUnknown(t *testing.T) {
	c := choices(1, 1)
	c[0].latency = 0.001
	if got := fasterOfTwo(c, 0, 0); got != 1 {
		t.Errorf("picked %d, want the one that nothing is known of", got)
	}
	c[1].load = 1
	if got := fasterOfTwo(c, 0, 0); got != 0 {
		t.Errorf("picked %d, want to wait for the first answer of the other", got)
	}
}
