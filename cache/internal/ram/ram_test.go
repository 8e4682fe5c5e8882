package ram

import (
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
)

// item is a value, and what it was told.
type item struct {
	Place[*item]
	name uint64
	gone int
}

func placeOf(v *item) *Place[*item] { return &v.Place }

func newTier(limit int64) *Tier[*item] {
	return New(limit, placeOf, func(v *item) { v.gone++ })
}

// kept returns what is kept.
func (t *Tier[V]) kept() (all []V) {
	for _, q := range []*queue[V]{&t.trial, &t.main} {
		var none V
		for v := q.oldest; v != none; v = t.placeOf(v).newer {
			all = append(all, v)
		}
	}
	return all
}

// keep keeps the n-th value, under a name that is a hash.
func keep(t *Tier[*item], n uint64, cost int64) *item {
	v := &item{name: spread(n)}
	t.Keep(v, v.name, cost, nil)
	return v
}

func TestWhatIsNotGoneFits(t *testing.T) {
	k := newTier(1000)
	all := make([]*item, 200)
	for i := range all {
		all[i] = keep(k, uint64(i), 20)
	}
	for i, v := range all {
		if want := i < 150; (v.gone == 1) != want || k.Holds(v.name) == want {
			t.Errorf("value %d of 200: gone %d times, held %v", i, v.gone, k.Holds(v.name))
		}
	}
	if used := k.Used(); used != 1000 {
		t.Errorf("used %d, want all of 1000", used)
	}
}

// What was asked for stays, however much comes that is asked for once.
func TestAFloodDisplacesNothingThatIsAskedFor(t *testing.T) {
	k := newTier(1000)
	var wanted []*item
	for i := range 40 {
		wanted = append(wanted, keep(k, uint64(i), 20))
	}
	for i := range 10_000 {
		if i%100 == 0 {
			for _, v := range wanted {
				v.Touch()
			}
		}
		keep(k, uint64(1000+i), 20)
	}
	for _, v := range wanted {
		if v.gone != 0 {
			t.Errorf("value %d is gone", v.name)
		}
	}
}

// The main queue gives up what is not asked for any more.
func TestWhatWasAskedForOnceUponATimeLeaves(t *testing.T) {
	k := newTier(1000)
	old := keep(k, 1, 20)
	for range 10 * mostUses {
		old.Touch()
	}
	for i := range 500 {
		v := keep(k, uint64(1000+i), 20)
		v.Touch()
	}
	if old.gone != 1 {
		t.Errorf("gone %d times, want once", old.gone)
	}
}

// What comes back shortly after it left is not on trial again.
func TestWhatComesBackStays(t *testing.T) {
	k := newTier(1000)
	keep(k, 1, 20)
	for i := range 60 {
		keep(k, uint64(1000+i), 20)
	}
	back := keep(k, 1, 20)
	if back.in != &k.main {
		t.Error("it is on trial")
	}
	for i := range 60 {
		keep(k, uint64(2000+i), 20)
	}
	if back.gone != 0 {
		t.Error("it is gone again")
	}
}

// What comes back where all else was asked for is not the first to leave.
func TestWhatComesBackHasARound(t *testing.T) {
	k := newTier(1000)
	keep(k, 1, 20)
	for i := range 60 {
		keep(k, uint64(1000+i), 20).Touch()
	}
	for _, v := range k.kept() {
		v.Touch()
	}
	back := keep(k, 1, 20)
	keep(k, 2, 20)
	if back.in != &k.main || k.trial.cost > 1000/trialShare {
		t.Errorf("gone %d times, %d bytes on trial; want it to stay while others leave the main queue", back.gone, k.trial.cost)
	}
}

// Two that are too large together may both come before either has made room.
func TestTwoAtATimeMakeRoom(t *testing.T) {
	k := newTier(1000)
	a, b := &item{name: spread(1)}, &item{name: spread(2)}
	if !k.admit(a, a.name, 600, nil) || !k.admit(b, b.name, 600, nil) {
		t.Fatal("one was refused")
	}
	out, over := k.reduce(a)
	if !over || out != b || a.in == nil {
		t.Errorf("%p leaves for %p, want %p", out, a, b)
	}
	if _, over = k.reduce(b); over {
		t.Error("and another one leaves")
	}
}

func TestAReplacementGetsWhatItsForerunnerEarned(t *testing.T) {
	k := newTier(1000)
	first := keep(k, 7, 20)
	first.Touch()
	for i := range 60 {
		keep(k, uint64(1000+i), 20)
	}
	last := first
	for range 100 {
		next := &item{name: first.name}
		k.Keep(next, next.name, 30, last)
		last = next
	}
	for i := range 100 {
		keep(k, uint64(2000+i), 20)
	}
	if first.in != nil || last.gone != 0 || !k.Holds(first.name) {
		t.Errorf("the first is held %v, the last is gone %d times", first.in != nil, last.gone)
	}
}

// Replacements may come in another order than they were made in.
func TestReplacedBeforeItCame(t *testing.T) {
	k := newTier(1000)
	a := keep(k, 7, 20)
	b, c := &item{name: a.name}, &item{name: a.name}
	k.Keep(c, c.name, 20, b)
	k.Keep(b, b.name, 20, a)
	if a.in != nil || b.in != nil || b.gone != 1 || c.in == nil || k.Used() != 20 || !k.Holds(a.name) {
		t.Errorf("kept %v %v %v, used %d, held %v; want the last alone", a.in != nil, b.in != nil, c.in != nil, k.Used(), k.Holds(a.name))
	}
}

func TestValueLargerThanTheTierIsRefused(t *testing.T) {
	k := newTier(100)
	small := keep(k, 1, 60)
	if v := keep(k, 2, 101); v.gone != 1 || k.Holds(v.name) {
		t.Error("it was kept")
	}
	if small.gone != 0 {
		t.Error("and what was there is gone")
	}
	if v := keep(k, 3, 100); v.gone != 0 || small.gone != 1 {
		t.Error("one that just fits was refused")
	}
}

func TestDroppedValueGivesItsRoomBack(t *testing.T) {
	k := newTier(100)
	v := keep(k, 1, 60)
	k.Drop(v)
	k.Drop(v)
	if v.gone != 0 || k.Used() != 0 || k.Holds(v.name) {
		t.Errorf("told %d times, used %d, held %v", v.gone, k.Used(), k.Holds(v.name))
	}
	early := &item{name: spread(2)}
	k.Drop(early)
	k.Keep(early, early.name, 10, nil)
	if early.gone != 1 || k.Used() != 0 {
		t.Errorf("dropped before it came: told %d times, used %d", early.gone, k.Used())
	}
}

// Whatever happens: what is kept fits and is counted, and what is not is told so unless its owner dropped or replaced it.
func TestAccountsAgree(t *testing.T) {
	for seed := range uint64(50) {
		random := rand.New(rand.NewPCG(seed, 1))
		k := newTier(1000)
		newest, dismissed := map[uint64]*item{}, map[*item]bool{}
		var all []*item
		for range 3000 {
			name := spread(random.Uint64N(100))
			switch before := newest[name]; {
			case before != nil && before.in != nil && random.IntN(3) > 0:
				before.Touch()
			case before != nil && random.IntN(4) == 0:
				k.Drop(before)
				dismissed[before] = true
			default:
				v := &item{name: name}
				if before != nil && before.in != nil {
					dismissed[before] = true
				}
				k.Keep(v, name, 1+random.Int64N(120), before)
				newest[name], all = v, append(all, v)
			}
			if k.Used() > 1000 {
				t.Fatalf("seed %d: %d bytes are kept", seed, k.Used())
			}
		}
		sum, kept := int64(0), k.kept()
		for _, v := range kept {
			sum += v.cost
		}
		if sum != k.Used() || len(kept) != len(k.names) {
			t.Errorf("seed %d: %d values of %d bytes are kept, %d of %d counted", seed, len(kept), sum, len(k.names), k.Used())
		}
		for _, v := range all {
			held := slices.Contains(kept, v)
			if held != (v.gone == 0 && !dismissed[v]) || held != (v.in != nil) || v.gone > 1 {
				t.Fatalf("seed %d: held %v, dismissed %v, told %d times", seed, held, dismissed[v], v.gone)
			}
			if !held && (v.newer != nil || v.older != nil) {
				t.Fatalf("seed %d: what has left holds others", seed)
			}
		}
	}
}

func TestManyAtOnce(t *testing.T) {
	var mu sync.Mutex
	gone := map[*item]bool{}
	k := New(1000, placeOf, func(v *item) {
		mu.Lock()
		defer mu.Unlock()
		gone[v] = true
	})
	var running sync.WaitGroup
	for worker := range uint64(4) {
		random := rand.New(rand.NewPCG(worker, 2))
		running.Go(func() {
			var mine *item
			for range 5000 {
				v := &item{name: spread(random.Uint64N(50))}
				k.Keep(v, v.name, 1+random.Int64N(100), mine)
				v.Touch()
				if mine = v; random.IntN(3) == 0 {
					k.Drop(v)
					mine = nil
				}
			}
		})
	}
	running.Wait()
	if k.Used() > 1000 {
		t.Errorf("%d bytes are kept", k.Used())
	}
	for _, v := range k.kept() {
		if gone[v] {
			t.Error("a value that was said to be gone is kept")
		}
	}
}

// The share of hits is far above that of a queue by the last use: where popularity is all there is to it, where half of all is
// asked for once, and where a robot walks over everything now and then.
func TestHitsAgainstLeastRecentlyUsed(t *testing.T) {
	const names, requests = 20_000, 200_000
	popular := zipf(names, 0.9)
	for _, c := range []struct {
		name string
		ask  func(i int) uint64
		gain float64
	}{
		{"popularity", func(int) uint64 { return popular() }, 1.10},
		{"half asked for once", func(i int) uint64 {
			if i%2 == 0 {
				return uint64(names + i)
			}
			return popular()
		}, 1.30},
		{"robots", func(i int) uint64 {
			if i%20_000 > 15_000 {
				return uint64(names + i)
			}
			return popular()
		}, 1.15},
	} {
		t.Run(c.name, func(t *testing.T) {
			asked := make([]uint64, requests)
			for i := range asked {
				asked[i] = spread(c.ask(i))
			}
			ours, theirs := hits(asked, names*10), hitsByLastUse(asked, names*10)
			t.Logf("%.3f, by last use %.3f", float64(ours)/requests, float64(theirs)/requests)
			if float64(ours) < c.gain*float64(theirs) {
				t.Errorf("%d hits, by last use %d; want %.2f times as many", ours, theirs, c.gain)
			}
		})
	}
}

// spread makes a hash of a number.
func spread(n uint64) uint64 { return (n + 1) * 0x9E3779B97F4A7C15 }

// costOf is 50 to 150.
func costOf(name uint64) int64 { return 50 + int64(name>>40%101) }

func hits(asked []uint64, limit int64) (n int) {
	stored := map[uint64]*item{}
	k := New(limit, placeOf, func(v *item) { delete(stored, v.name) })
	for _, name := range asked {
		if v := stored[name]; v != nil {
			n++
			v.Touch()
			continue
		}
		v := &item{name: name}
		stored[name] = v
		k.Keep(v, name, costOf(name), nil)
	}
	return n
}

func hitsByLastUse(asked []uint64, limit int64) (n int) {
	stored := map[uint64]*item{}
	k := newTier(limit)
	for _, name := range asked {
		v := stored[name]
		if v != nil {
			n++
			k.remove(v)
		} else {
			v = &item{name: name}
			v.cost = costOf(name)
			stored[name] = v
		}
		k.push(&k.main, v)
		for k.main.cost > limit {
			out := k.main.oldest
			k.remove(out)
			delete(stored, out.name)
		}
	}
	return n
}

// zipf returns numbers below n, each by its rank's power.
func zipf(n int, power float64) func() uint64 {
	random := rand.New(rand.NewPCG(1, 2))
	upTo, sum := make([]float64, n), 0.0
	for i := range upTo {
		sum += 1 / math.Pow(float64(i+1), power)
		upTo[i] = sum
	}
	return func() uint64 {
		i, _ := slices.BinarySearch(upTo, random.Float64()*sum)
		return uint64(i)
	}
}

// BenchmarkKeep is a newcomer in a full tier.
func BenchmarkKeep(b *testing.B) {
	k := newTier(1 << 20)
	b.ReportAllocs()
	for i := range b.N {
		v := &item{}
		k.Keep(v, spread(uint64(i)), 100, nil)
	}
}
