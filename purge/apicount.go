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

// pace keeps something to a tenth of one processor, after a burst, and to one at a time.
type pace struct {
	mu    sync.Mutex
	spent time.Duration // guarded by mu: more than a tenth of the time allows
	at    time.Time     // guarded by mu: as of when
}

const (
	paceShare = 10
	paceBurst = 200 * time.Millisecond
)

// begin returns what to call at the end, or nil when it is too early.
func (p *pace) begin() (done func()) {
	if !p.mu.TryLock() {
		return nil
	}
	now := time.Now()
	p.spent = max(0, p.spent-now.Sub(p.at)/paceShare)
	if p.at = now; p.spent >= paceBurst {
		p.mu.Unlock()
		return nil
	}
	return func() {
		p.spent += time.Since(p.at)
		p.at = time.Now()
		p.mu.Unlock()
	}
}
