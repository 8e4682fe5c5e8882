// Package ram decides which values stay in memory within a number of bytes. It knows costs and names, no HTTP.
//
// The decision is S3-FIFO's (Yang, Zhang, Qiu, Yue and Rashmi: "FIFO queues are all you need for cache eviction", SOSP 2023).
// What is new is on trial in a small queue. Most of what comes is asked for once and leaves from there, so that a walk over
// everything turns nothing else out. What was asked for on trial moves to the main queue, where it stays for as many rounds as
// it is asked for; so does what comes back shortly after it left.
//
// The values are the caller's. Each stands in one queue by a Place of its own: nothing is looked up, nothing is held twice, and
// being asked for is one counter.
package ram

import (
	"sync"
	"sync/atomic"
)

// Place is where a value stands in a Tier. A value is kept once: when it has left it does not come back.
type Place[V comparable] struct {
	in           *queue[V] // nil before and after
	newer, older V
	left         bool
	name         uint64
	cost         int64
	uses         atomic.Uint32 // since it came, less the rounds that they were good for
}

// mostUses is how many rounds in the main queue a value can have ahead of it.
const mostUses = 3

// Touch notes that the value was asked for. Of two at once one may be lost.
func (p *Place[V]) Touch() {
	if n := p.uses.Load(); n < mostUses {
		p.uses.Store(n + 1)
	}
}

// Tier keeps values within a cost. V is a pointer type; nil is no value.
type Tier[V comparable] struct {
	limit   int64
	placeOf func(V) *Place[V]
	gone    func(V)

	mu          sync.Mutex
	trial, main queue[V]
	past        past
	names       map[uint64]int32 // how many values each has: two while one replaces another, as a rule none or one
}

// trialShare is the part of the limit that what is on trial has, once the main queue wants the rest.
const trialShare = 10

// New returns a tier of limit bytes. placeOf returns where a value has its Place. gone is told every value that is refused or
// has to leave for another; it may call the Tier.
func New[V comparable](limit int64, placeOf func(V) *Place[V], gone func(V)) *Tier[V] {
	return &Tier[V]{limit: limit, placeOf: placeOf, gone: gone, past: newPast(limit), names: make(map[uint64]int32)}
}

// Keep keeps v, under a name that outlives it: a hash. Where it comes instead of another value of that name, it gets what that has
// earned. What has to leave for it is gone when Keep returns.
func (t *Tier[V]) Keep(v V, name uint64, cost int64, instead V) {
	if !t.admit(v, name, cost, instead) {
		t.gone(v)
		return
	}
	for {
		out, over := t.reduce(v)
		if !over {
			return
		}
		t.gone(out)
	}
}

// admit gives v its place. False: it is too large, or was dropped before it came.
func (t *Tier[V]) admit(v V, name uint64, cost int64, instead V) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	p, q := t.placeOf(v), &t.trial
	if t.past.has(name) {
		q = &t.main
	}
	var none V
	if instead != none {
		if before := t.placeOf(instead); before.in != nil {
			q = before.in
			p.uses.Store(before.uses.Load())
		}
		t.leave(instead)
	}
	if p.left || cost > t.limit {
		p.left = true
		return false
	}
	p.name, p.cost = name, cost
	t.push(q, v)
	t.names[name]++
	return true
}

// reduce takes one value out, if there is more than the limit allows: not the newest, which nobody has had time to ask for.
func (t *Tier[V]) reduce(newest V) (out V, over bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for t.trial.cost+t.main.cost > t.limit {
		v := t.candidate(newest)
		p := t.placeOf(v)
		uses, onTrial := p.uses.Load(), p.in == &t.trial
		if uses == 0 {
			if onTrial {
				t.past.add(p.name)
			}
			t.leave(v)
			return v, true
		}
		t.remove(v)
		if onTrial { // that they have brought it here is all that its uses are good for
			uses = 1
		}
		p.uses.Store(uses - 1)
		t.push(&t.main, v)
	}
	return out, false
}

// candidate returns whose turn it is to leave, or to be spared.
func (t *Tier[V]) candidate(newest V) V {
	var none V
	trial, main := t.turn(&t.trial, newest), t.turn(&t.main, newest)
	if trial == none || t.trial.cost <= t.limit/trialShare && main != none {
		return main
	}
	return trial
}

// turn returns the oldest of a queue, before whom the newest value of all steps back; nil where that is alone.
func (t *Tier[V]) turn(q *queue[V], newest V) (v V) {
	if q.oldest == newest && q.newest != newest {
		t.remove(newest)
		t.push(q, newest)
	}
	if q.oldest == newest {
		return v
	}
	return q.oldest
}

// Drop lets go of v, also of one that has yet to come.
func (t *Tier[V]) Drop(v V) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.leave(v)
}

// leave takes v out for good.
func (t *Tier[V]) leave(v V) {
	p := t.placeOf(v)
	p.left = true
	if p.in == nil {
		return
	}
	t.remove(v)
	if t.names[p.name]--; t.names[p.name] == 0 {
		delete(t.names, p.name)
	}
}

// Holds reports whether a value of that name is kept.
func (t *Tier[V]) Holds(name uint64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.names[name] > 0
}

// Used returns the cost of what is kept.
func (t *Tier[V]) Used() int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.trial.cost + t.main.cost
}

// queue is a list of values by the time they came to it.
type queue[V comparable] struct {
	newest, oldest V
	cost           int64
}

func (t *Tier[V]) push(q *queue[V], v V) {
	var none V
	p := t.placeOf(v)
	p.in, p.older = q, q.newest
	if p.older == none {
		q.oldest = v
	} else {
		t.placeOf(p.older).newer = v
	}
	q.newest = v
	q.cost += p.cost
}

func (t *Tier[V]) remove(v V) {
	var none V
	p := t.placeOf(v)
	q := p.in
	if p.newer == none {
		q.newest = p.older
	} else {
		t.placeOf(p.newer).older = p.older
	}
	if p.older == none {
		q.oldest = p.newer
	} else {
		t.placeOf(p.older).newer = p.newer
	}
	q.cost -= p.cost
	p.in, p.newer, p.older = nil, none, none
}

// past remembers the names that left on trial lately, of those that lead to the same set the last few. It has half of each, so
// that one of some hundred million that are new is taken for known.
type past [][namesPerSet]uint32

// Sizes of what is past: it remembers about as many names as the main queue has values.
const (
	bytesPerName = 4 << 10
	namesPerSet  = 8
)

func newPast(limit int64) past { return make(past, max(16, limit/bytesPerName/namesPerSet)) }

func (p past) set(name uint64) *[namesPerSet]uint32 { return &p[name%uint64(len(p))] }

func (p past) add(name uint64) {
	set := p.set(name)
	copy(set[1:], set[:])
	set[0] = uint32(name >> 32)
}

func (p past) has(name uint64) bool {
	for _, half := range p.set(name) {
		if half == uint32(name>>32) {
			return true
		}
	}
	return false
}
