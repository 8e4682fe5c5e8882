package cache

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
)

// TestTableAgainstModel makes random changes, with keys that collide in their bucket and in their whole hash, and compares
// with a map.
func TestTableAgainstModel(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	table := newTable(1)
	model := map[string]map[string]*Object{}
	for step := range 20000 {
		key := fmt.Sprint("key", random.IntN(50))
		hash := uint64(key[3]) % 3 // the same for the same key
		variant := fmt.Sprint(random.IntN(4))
		if random.IntN(3) > 0 {
			o := &Object{Key: key, Hash: hash, Variant: variant, Meta: &Meta{Vary: []string{"X"}}}
			if random.IntN(2) > 0 {
				o.room = new(variants)
			}
			table.change(hash, key, func(s *variants) *variants {
				out, _ := s.with(o.Meta.Vary, variant2(s, variant, o))
				return out
			})
			if model[key] == nil {
				model[key] = map[string]*Object{}
			}
			model[key][variant] = o
		} else if o := model[key][variant]; o != nil {
			table.change(hash, key, func(s *variants) *variants { return s.without(o) })
			delete(model[key], variant)
		}
		got := table.find(hash, key).get(variant).stored
		if got != model[key][variant] {
			t.Fatalf("step %d: %s/%s = %p, want %p", step, key, variant, got, model[key][variant])
		}
	}
	want := 0
	for _, m := range model {
		want += len(m)
	}
	seen := 0
	table.each(func(*Object) { seen++ })
	if seen != want || table.count.Load() != int64(want) {
		t.Errorf("each saw %d, count says %d, want %d", seen, table.count.Load(), want)
	}
}

func variant2(s *variants, key string, o *Object) variant {
	v := s.get(key)
	v.key, v.stored = key, o
	return v
}

func TestTableIsReadWhileItChanges(t *testing.T) {
	table := newTable(1)
	var workers sync.WaitGroup
	for w := range 4 {
		workers.Go(func() {
			for i := range 2000 {
				key := fmt.Sprint(w, "-", i%10)
				o := &Object{Key: key, Hash: 7, Meta: &Meta{}}
				table.change(7, key, func(s *variants) *variants {
					out, _ := s.with(nil, variant{stored: o})
					return out
				})
				if got := table.find(7, key).get("").stored; got != o {
					t.Errorf("%s: another object than the one just stored", key)
				}
				if i%3 == 0 {
					table.change(7, key, func(s *variants) *variants { return s.without(o) })
				}
			}
		})
		workers.Go(func() {
			for i := range 2000 {
				key := fmt.Sprint(w, "-", i%10)
				if o := table.find(7, key).get("").stored; o != nil && o.Key != key {
					t.Errorf("found %s under %s", o.Key, key)
				}
			}
		})
	}
	workers.Wait()
}

func TestAnotherVaryDropsWhatWasStoredUnderTheOld(t *testing.T) {
	old := &Object{Variant: "old", Meta: &Meta{}}
	set, _ := (*variants)(nil).with([]string{"Accept"}, variant{key: "old", stored: old})
	set, gone := set.with([]string{"Cookie"}, variant{key: "new", stored: &Object{}})
	if !slices.Equal(gone, []*Object{old}) || len(set.list) != 1 || !slices.Equal(set.vary, []string{"Cookie"}) {
		t.Errorf("gone %v, list %v, vary %v: want the old one gone and the new Vary alone", gone, set.list, set.vary)
	}
}
