package cache

import "sync/atomic"

// Stats count what the Store does. Gauges are named as what there is, counters as what was done.
type Stats struct {
	Filling    atomic.Int64 // bodies being fetched
	Refreshing atomic.Int64 // fetches under way with nobody waiting
	Led        atomic.Int64 // fetches made, in the background too
	Coalesced  atomic.Int64 // requests that waited for another's fetch
	Refreshed  atomic.Int64 // and those made in the background
	Failed     atomic.Int64 // fetches without a usable answer

	SweptMemory atomic.Int64 // objects that were purged, and are free now
	SweptDisk   atomic.Int64 // records likewise
}

// Stats returns the live counters.
func (s *Store) Stats() *Stats { return &s.stats }

// Objects returns the number of objects stored, and Bytes what they cost.
func (s *Store) Objects() int64 { return s.table.count.Load() }

// Bytes returns the cost of the objects stored.
func (s *Store) Bytes() int64 { return s.ram.Used() }
