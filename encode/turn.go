package encode

import (
	"runtime"
	"sync/atomic"
	"time"
)

// turns are for Fast encoders: as many as there are processors work at a time, in the order in which they came. More of them
// would be done no sooner, and whatever else there is to do would stand in a queue with all of them, at every step.
var turns = turnstile{places: make(chan struct{}, runtime.GOMAXPROCS(0))}

type turnstile struct {
	places  chan struct{}
	waiting atomic.Int64
	waited  atomic.Int64 // nanoseconds, of who came in last
}

func (t *turnstile) enter() {
	select {
	case t.places <- struct{}{}:
		if t.waited.Load() != 0 {
			t.waited.Store(0)
		}
		return
	default:
	}
	begin := time.Now()
	t.waiting.Add(1)
	t.places <- struct{}{}
	t.waiting.Add(-1)
	t.waited.Store(int64(time.Since(begin)))
}

func (t *turnstile) leave() { <-t.places }

// longWait is what a piece of 64 KiB may wait for an encoder to have its turn: each encoder then still gives 3 MB a second.
const longWait = 20 * time.Millisecond

func (t *turnstile) slow() bool {
	return t.waiting.Load() > 0 && time.Duration(t.waited.Load()) > longWait
}

// Behind reports whether the Fast encoders at work have so much to do that another one would keep its client waiting.
func Behind() bool { return turns.slow() }
