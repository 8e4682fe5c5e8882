package ram

import (
	"sync"
	"testing"
)

// tier returns a tier and what it has said is gone.
func tier(t *testing.T, limit int64) (*Tier[*int], func() map[*int]bool) {
	t.Helper()
	var mu sync.Mutex
	gone := map[*int]bool{}
	k, err := New(limit, func(v *int) {
		mu.Lock()
		defer mu.Unlock()
		gone[v] = true
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	return k, func() map[*int]bool {
		k.Wait()
		mu.Lock()
		defer mu.Unlock()
		out := map[*int]bool{}
		for v := range gone {
			out[v] = true
		}
		return out
	}
}

func TestWhatIsNotGoneFits(t *testing.T) {
	k, gone := tier(t, 1000)
	all := make([]*int, 200)
	for i := range all {
		all[i] = &i
		k.Keep(uint64(i), all[i], 20, false)
	}
	kept := len(all) - len(gone())
	if kept > 50 || kept < 25 {
		t.Errorf("%d values of 20 kept within 1000, want up to 50", kept)
	}
	if used := k.Used(); used != int64(kept*20) {
		t.Errorf("used %d, want %d", used, kept*20)
	}
}

// A replacement must not be lost in ristretto's buffer, nor be taken for the value it replaces.
func TestReplacedValueIsGoneAndItsReplacementStays(t *testing.T) {
	k, gone := tier(t, 1000)
	var last *int
	for i := range 100 {
		last = &i
		k.Keep(7, last, 20, i > 0)
	}
	out := gone()
	if out[last] {
		t.Error("the newest value was let go")
	}
	if len(out) < 98 { // one that was never judged is displaced without a word: the caller replaced it itself
		t.Logf("%d of 99 replaced values were named", len(out))
	}
	if used := k.Used(); used != 20 {
		t.Errorf("used %d, want the cost of one value", used)
	}
}

// What is replaced before it was judged must not take its replacement with it.
func TestValueReplacedAtOnceLeavesAlone(t *testing.T) {
	k, _ := tier(t, 1000)
	for i := range 5000 {
		k.Keep(7, &i, 20, false)
		k.Keep(7, new(int), 20, true)
		if k.Wait(); !k.Holds(7) {
			t.Fatalf("at the %d. time the new value was let go with the old one", i+1)
		}
		k.Drop(7)
		k.Wait()
	}
}

func TestValueLargerThanTheTierIsRefused(t *testing.T) {
	k, gone := tier(t, 100)
	v := new(int)
	k.Keep(1, v, 101, false)
	if !gone()[v] {
		t.Error("it was kept")
	}
}

func TestDroppedValueGivesItsRoomBack(t *testing.T) {
	k, gone := tier(t, 100)
	v := new(int)
	k.Keep(1, v, 60, false)
	k.Wait()
	k.Drop(1)
	if !gone()[v] || k.Used() != 0 {
		t.Errorf("gone %v, used %d, want gone and 0", gone()[v], k.Used())
	}
}
