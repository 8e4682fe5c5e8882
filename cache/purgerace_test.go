package cache_test

import (
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"

	"selvage/cache"
)

// After a purge is acknowledged, no request that begins later gets what it purged. Here that is tried with all that moves at
// once: fills, followers, hits, validations, background refreshes, objects that go to the disk and come back, restarts,
// and purges of every kind by every selector. The model is one number a page: the version that the last acknowledged purge
// has left, below which no answer may be.
//
// It runs in real time, and without a pause: what it is about happens between two instructions. `go test` plays a moment
// of it, SELVAGE_SOAK=1, which `make soak` sets, more than a million requests and three thousand purges.
func TestNoRequestSeesWhatWasPurged(t *testing.T) {
	size := raceSize{requests: 40_000, purges: 100, restarts: 2}
	if os.Getenv("SELVAGE_SOAK") != "" {
		size = raceSize{requests: 1_200_000, purges: 3_600, restarts: 40}
	}
	w := newWorld(t, 1)
	for range size.restarts + 1 {
		w.race(size.requests/(size.restarts+1), size.purges/(size.restarts+1))
		w.restart()
	}
	w.close()
	t.Log(w.tally.String())
	if w.tally.violations.Load() > 0 {
		t.Errorf("%d answers from before a purge", w.tally.violations.Load())
	}
	for what, n := range map[string]*atomic.Int64{
		"hits": &w.tally.hits, "stale answers": &w.tally.stale, "misses": &w.tally.misses, "validations": &w.tally.validated,
		"followers": &w.tally.followed, "refreshes": &w.tally.refreshed, "answers from the disk": &w.tally.fromDisk,
	} {
		if n.Load() == 0 {
			t.Errorf("no %s: the test does not try what it is for", what)
		}
	}
}

// The same, with epochs read when the answer is here: fills that were under way bring back what was purged. If the test
// does not find that, it finds nothing.
func TestTheRaceIsFoundWithoutEpochs(t *testing.T) {
	w := newWorld(t, 2)
	w.epochless = true
	w.reopen()
	for round := 0; round < 100 && w.tally.violations.Load() == 0; round++ {
		w.race(2_000, 20)
	}
	w.close()
	t.Log(w.tally.String())
	if w.tally.violations.Load() == 0 {
		t.Error("nobody saw what was purged, though nothing kept it from coming back")
	}
}

type raceSize struct{ requests, purges, restarts int }

const (
	raceClients = 6
	racePurgers = 2
)

// race lets clients and purgers loose until there were so many requests and purges.
func (w *world) race(requests, purges int) {
	var left, unpurged atomic.Int64
	left.Store(int64(requests))
	unpurged.Store(int64(purges))
	turns := make(chan struct{}, 1) // a purge for so many requests
	every := int64(max(1, requests/purges))
	var clients, purgers sync.WaitGroup
	for i := range uint64(raceClients) {
		clients.Go(func() {
			c := w.newClient(i)
			for n := left.Add(-1); n >= 0; n = left.Add(-1) {
				c.visit()
				if n%every == 0 {
					turns <- struct{}{}
				}
			}
		})
	}
	for i := range uint64(racePurgers) {
		purgers.Go(func() {
			p := w.newPurger(i)
			for range turns {
				if unpurged.Add(-1) >= 0 {
					p.purge()
				}
			}
		})
	}
	clients.Wait()
	close(turns)
	purgers.Wait()
}

// raceTally counts what happened.
type raceTally struct {
	requests, hits, stale, misses, validated, followed, refreshed, fromDisk, failed, violations atomic.Int64
	purges                                                                                      [cache.Hard]atomic.Int64
	restarts                                                                                    int
}

func (t *raceTally) String() string {
	return fmt.Sprintf("%d requests: %d hits (%d from the disk), %d stale, %d misses, %d validated, %d followed, %d failed; "+
		"%d background refreshes; purges: %d hard, %d must-validate, %d soft; %d restarts; %d violations",
		t.requests.Load(), t.hits.Load(), t.fromDisk.Load(), t.stale.Load(), t.misses.Load(), t.validated.Load(),
		t.followed.Load(), t.failed.Load(), t.refreshed.Load(),
		t.purges[cache.Hard-1].Load(), t.purges[cache.MustValidate-1].Load(), t.purges[cache.Soft-1].Load(),
		t.restarts, t.violations.Load())
}
