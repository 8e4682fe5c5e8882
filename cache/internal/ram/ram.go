// Package ram decides which values stay in memory within a number of bytes. It knows costs and hashes, no HTTP.
//
// The decision is ristretto's (a TinyLFU that admits what is asked for more often than what it would displace). The values
// themselves are the caller's: correctness never rests on what ristretto holds, only on being told who has to go. Its
// habits that matter here: a second Set of a key still in its buffer is lost unless a Del stands between, and one behind a
// Del still in its buffer may go with what that was for; the buffer counts items, not bytes; callbacks must not call back
// into it.
package ram

import (
	"sync"

	"github.com/dgraph-io/ristretto/v2"
)

// Tier keeps values within a cost. V is a pointer type; nil is no value.
type Tier[V comparable] struct {
	cache *ristretto.Cache[uint64, V]
	limit int64
	gone  func(V)

	mu      sync.Mutex // orders the Del and Set of a replacement
	pending int64      // cost handed over since the buffer was last known to be empty; guarded by mu
}

// buffered is the cost that may wait in ristretto's buffer, unjudged, as a share of the limit.
const buffered = 32

// New returns a tier of limit bytes. gone is told every value that has to go, whether refused, displaced or dropped; it
// may be told twice, and must not call the Tier.
func New[V comparable](limit int64, gone func(V)) (*Tier[V], error) {
	var none V
	c, err := ristretto.NewCache(&ristretto.Config[uint64, V]{
		NumCounters:        min(max(limit/(8<<10)*10, 1<<14), 1<<24), // ten for each object of 8 KiB
		MaxCost:            limit,
		BufferItems:        64,
		IgnoreInternalCost: true,
		OnExit: func(v V) {
			if v != none {
				gone(v)
			}
		},
	})
	if err != nil {
		return nil, err
	}
	return &Tier[V]{cache: c, limit: limit, gone: gone}, nil
}

// Keep asks for v to be kept under key; replaces says that another value may be there.
func (t *Tier[V]) Keep(key uint64, v V, cost int64, replaces bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if replaces {
		t.cache.Del(key)
		t.cache.Wait()
		t.pending = 0
	}
	if !t.cache.Set(key, v, cost) {
		t.gone(v)
		return
	}
	if t.pending += cost; t.pending > t.limit/buffered {
		t.cache.Wait()
		t.pending = 0
	}
}

// Touch notes that key was asked for, whether it is here or not.
func (t *Tier[V]) Touch(key uint64) { t.cache.Get(key) }

// Holds reports whether a value is kept under key, without counting as a use.
func (t *Tier[V]) Holds(key uint64) bool {
	_, ok := t.cache.GetTTL(key)
	return ok
}

// Drop lets go of what is kept under key.
func (t *Tier[V]) Drop(key uint64) { t.cache.Del(key) }

// Wait returns when everything handed over has been judged.
func (t *Tier[V]) Wait() { t.cache.Wait() }

// Used returns the cost of what is kept.
func (t *Tier[V]) Used() int64 { return t.cache.MaxCost() - t.cache.RemainingCost() }

// Close ends the tier's goroutines. gone is told everything that was kept.
func (t *Tier[V]) Close() { t.cache.Close() }
