package origin

import (
	"context"
	"slices"
	"sync"
	"time"
)

// queue is where requests wait, in order, while every upstream is at a limit. Only the first in it tries for an upstream.
type queue struct {
	size     int
	patience time.Duration

	mu      sync.Mutex
	waiting []*waiter // guarded by mu
}

// waiter is one request in the queue. A send on turn has it look again.
type waiter struct{ turn chan struct{} }

// isEmpty reports whether nobody would be overtaken.
func (q *queue) isEmpty() bool { return q.length() == 0 }

func (q *queue) length() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.waiting)
}

// join returns nil when the queue is full.
func (q *queue) join() *waiter {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) >= q.size {
		return nil
	}
	w := &waiter{turn: make(chan struct{}, 1)}
	q.waiting = append(q.waiting, w)
	return w
}

func (q *queue) leave(w *waiter) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.waiting = slices.DeleteFunc(q.waiting, func(other *waiter) bool { return other == w })
	q.wakeLocked()
}

func (q *queue) isFirst(w *waiter) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.waiting[0] == w
}

// wake has the first look again: something has changed.
func (q *queue) wake() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.wakeLocked()
}

func (q *queue) wakeLocked() {
	if len(q.waiting) == 0 {
		return
	}
	select {
	case q.waiting[0].turn <- struct{}{}:
	default: // it will look anyway
	}
}

// wait queues for an upstream; nil and no error when there is none left to ask.
func (p *Pool) wait(a *attempts) (*exchange, error) {
	w := p.queue.join()
	if w == nil {
		return nil, overloaded("every upstream is at its limit, and the queue is full")
	}
	defer p.queue.leave(w)
	patience := time.NewTimer(p.queue.patience)
	defer patience.Stop()
	for {
		var again <-chan time.Time
		if p.queue.isFirst(w) {
			x, full := p.reserve(a, false)
			if x != nil || !full {
				return x, nil
			}
			again = p.nextRate()
		}
		select {
		case <-w.turn:
		case <-again:
		case <-patience.C:
			return nil, overloaded("every upstream is at its limit")
		case <-a.r.Context().Done():
			return nil, context.Cause(a.r.Context())
		}
	}
}

// overloaded is the failure of a request that no upstream had room for.
func overloaded(text string) *Failure {
	f := fault(typeConnectionLimit, text)
	f.Unreachable = true
	return f
}

// nextRate fires when an upstream that is held by its rate alone may be asked; nil when there is none.
func (p *Pool) nextRate() <-chan time.Time {
	now, soonest := time.Now(), time.Duration(0)
	for _, u := range p.upstreams() {
		if d := u.load.rate.wait(now); d > 0 && (soonest == 0 || d < soonest) {
			soonest = d
		}
	}
	if soonest == 0 {
		return nil
	}
	return time.After(soonest)
}
