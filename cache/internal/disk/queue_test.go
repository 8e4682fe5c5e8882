package disk

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// TestJobsThatNobodyWaitsForAreGathered, those that somebody waits for are not, and neither is what fills the queue.
func TestJobsThatNobodyWaitsForAreGathered(t *testing.T) {
	job := func(*writer) {}
	for name, c := range map[string]struct {
		queue func(*queue)
		wait  time.Duration
	}{
		"left":            {func(q *queue) { q.leave(10, job) }, gatherFor},
		"many left":       {func(q *queue) { q.leave(10, job); q.leave(20, job) }, 0},
		"one is urgent":   {func(q *queue) { q.leave(10, job); q.offer(0, job) }, 0},
		"one is waited":   {func(q *queue) { q.wait(context.Background(), 10, job) }, 0},
		"no room for it":  {func(q *queue) { q.leave(25, job); q.leave(90, job) }, 0},
		"the clock first": {func(*queue) {}, tickEvery},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q, begin := newQueue(100), time.Now()
				c.queue(q)
				ticked := q.gather(time.After(tickEvery), nil)
				if waited := time.Since(begin); waited != c.wait || ticked != (c.wait == tickEvery) {
					t.Errorf("gather returned %v after %v, want it after %v", ticked, waited, c.wait)
				}
			})
		})
	}
}

func TestGatheringEndsWithTheTier(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		over, end := context.WithCancel(t.Context())
		q, begin := newQueue(100), time.Now()
		q.leave(10, func(*writer) {})
		time.AfterFunc(time.Millisecond, end)
		if q.gather(nil, over.Done()); time.Since(begin) != time.Millisecond {
			t.Errorf("gather returned after %v, want it when all is over", time.Since(begin))
		}
	})
}
