package purge

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"time"

	"selvage/cache"
)

const (
	countTime  = 20 * time.Millisecond // what an answer may wait for the number of what it purged
	listTime   = 20 * time.Second      // what a dry run may take
	maxMatches = 100                   // that a dry run lists
)

// count says how many stored responses an Entry selects; nil when the node has counted enough for now.
func (a *API) count(ctx context.Context, e *Entry) *Matched {
	done := a.counts.begin()
	if done == nil {
		return nil
	}
	defer done()
	t := a.stored.Count(ctx, e.Matcher().Matches, countTime)
	return &Matched{Responses: t.Objects, Bytes: t.Bytes, Exact: t.Exact}
}

// list finds all that an Entry selects, and tells some of it. One goes at a time, since it walks through the whole cache.
func (a *API) list(ctx context.Context, e *Entry, into *Answer) error {
	if !a.listing.TryLock() {
		return &Problem{Status: http.StatusTooManyRequests, Detail: "another dry run is under way", retry: time.Second}
	}
	defer a.listing.Unlock()
	ctx, cancel := context.WithTimeout(ctx, listTime)
	defer cancel()
	into.Matched, into.Responses = &Matched{}, []Match{}
	m := e.Matcher()
	err := a.stored.Each(ctx, func(h *cache.Holding) bool {
		if !m.Matches(&h.Target) {
			return true
		}
		into.Matched.Responses++
		into.Matched.Bytes += h.Bytes
		if len(into.Responses) < maxMatches {
			into.Responses = append(into.Responses, Match{URL: h.URL, Site: h.Site, Bytes: h.Bytes, Tags: slices.Clone(h.Tags)})
		}
		return true
	})
	into.Matched.Exact = err == nil
	return nil
}

// pace keeps something to a tenth of one processor: one goes at a time, and then it pauses for ten times as long as it took.
type pace struct {
	mu   sync.Mutex
	next time.Time // guarded by mu
}

// begin returns what to call at the end, or nil when it is too early.
func (p *pace) begin() (done func()) {
	if !p.mu.TryLock() {
		return nil
	}
	began := time.Now()
	if began.Before(p.next) {
		p.mu.Unlock()
		return nil
	}
	return func() {
		now := time.Now()
		p.next = now.Add(10 * now.Sub(began))
		p.mu.Unlock()
	}
}
