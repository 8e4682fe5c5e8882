package purge

import (
	"sync/atomic"

	"selvage/cache"
)

// Stats are figures of a journal.
type Stats struct {
	Rows        int    // selectors that are remembered
	Globs       int    // of them
	Records     int    // purges in the history
	WriteErrors uint64 // writes of the file that failed, since the process began
	Counts      []Count
}

// Count tells how many purges of one kind came into force, since the process began, with at least one selector of a sort:
// all, site, host, tag, url, prefix, glob or site_tag.
type Count struct {
	Kind     cache.Verdict
	Selector string
	Purges   uint64
}

// Stats returns the figures as they are now.
func (j *Journal) Stats() Stats {
	s := Stats{Counts: j.counts.list()}
	j.mu.RLock()
	s.Rows, s.Globs = len(j.rows), len(j.globs)
	j.mu.RUnlock()
	j.told.RLock()
	s.Records = len(j.history.records)
	j.told.RUnlock()
	if j.ledger != nil {
		s.WriteErrors = j.ledger.failures.Load()
	}
	return s
}

// counts has a place for each kind and table, and one more for everything.
type counts [cache.Hard][tableCount + 1]atomic.Uint64

func (c *counts) add(e *Entry) {
	of := &c[e.Kind-1]
	if e.All {
		of[tableCount].Add(1)
	}
	for t := range tableCount {
		if len(*e.names(t)) > 0 {
			of[t].Add(1)
		}
	}
}

func (c *counts) list() (all []Count) {
	for kind := range c {
		for t := range c[kind] {
			name := "all"
			if table(t) < tableCount {
				name = table(t).String()
			}
			all = append(all, Count{cache.Verdict(kind + 1), name, c[kind][t].Load()})
		}
	}
	return all
}
