package encode

import (
	"context"
	"sync"
	"sync/atomic"
)

// Job makes something that is kept. It calls p.Rest where it can stop for a while, some ten times a second, and ends when that
// returns an error: ctx has ended.
type Job func(ctx context.Context, p *Pace)

// Workshop does jobs in the background, one after the other, and no job twice at once. One goroutine is enough: all of them
// together get a share of one processor.
type Workshop struct {
	pace   Pace
	cancel context.CancelFunc
	done   chan struct{}

	share, room atomic.Int64 // of WorkshopConfig

	mu     sync.Mutex
	more   *sync.Cond       // the queue is no longer empty, or closed
	queue  []task           // guarded by mu
	keys   map[any]struct{} // of jobs that wait or run; guarded by mu
	closed bool             // guarded by mu

	finished, refused, panicked atomic.Int64
}

type task struct {
	key any
	job Job
}

// NewWorkshop returns a workshop at work. busy says whether requests want the processor more; nil is never. Close ends it.
func NewWorkshop(c WorkshopConfig, busy func() bool) *Workshop {
	ctx, cancel := context.WithCancel(context.Background())
	w := &Workshop{cancel: cancel, done: make(chan struct{}), keys: make(map[any]struct{})}
	w.more = sync.NewCond(&w.mu)
	w.pace = Pace{share: &w.share, busy: busy}
	w.Configure(c)
	go func() {
		defer close(w.done)
		w.run(ctx)
	}()
	return w
}

// Configure changes what the workshop may take, from now on.
func (w *Workshop) Configure(c WorkshopConfig) {
	w.share.Store(int64(c.CPU))
	w.room.Store(int64(c.Queue))
}

// Do has a job done later. A job with the key of one that waits or runs is not done: that one will do. It reports false where
// the queue is full, or the workshop closed.
func (w *Workshop) Do(key any, job Job) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, ok := w.keys[key]; ok {
		return true
	}
	if w.closed || len(w.queue) >= int(w.room.Load()) {
		w.refused.Add(1)
		return false
	}
	w.keys[key] = struct{}{}
	w.queue = append(w.queue, task{key, job})
	w.more.Signal()
	return true
}

// Close drops the jobs that wait, ends the one that runs, and waits for that.
func (w *Workshop) Close() {
	w.mu.Lock()
	w.closed = true
	clear(w.queue)
	w.queue = nil
	w.more.Signal()
	w.mu.Unlock()
	w.cancel()
	<-w.done
}

func (w *Workshop) run(ctx context.Context) {
	for {
		t, ok := w.next()
		if !ok {
			return
		}
		w.pace.begin()
		w.perform(ctx, t)
		w.forget(t.key)
		_ = w.pace.Rest(ctx) // its end is seen by next
	}
}

// next waits for a task. ok is false once the workshop is closed.
func (w *Workshop) next() (t task, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.queue) == 0 && !w.closed {
		w.more.Wait()
	}
	if w.closed {
		return t, false
	}
	t, w.queue[0] = w.queue[0], task{}
	w.queue = w.queue[1:]
	return t, true
}

// perform does one job. Encoders work on bytes from anywhere, and a fault of theirs must not end the process: the body stays
// as it is.
func (w *Workshop) perform(ctx context.Context, t task) {
	defer func() {
		if recover() != nil {
			w.panicked.Add(1)
		}
	}()
	t.job(ctx, &w.pace)
	w.finished.Add(1)
}

func (w *Workshop) forget(key any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.keys, key)
}

// WorkshopStats is what a Workshop tells of itself.
type WorkshopStats struct {
	Queue int // jobs that wait
	// Finished jobs returned, Panicked ones did not, Refused ones found the queue full.
	Finished, Panicked, Refused int64
}

// Stats returns the counts so far and the length of the queue now.
func (w *Workshop) Stats() WorkshopStats {
	w.mu.Lock()
	defer w.mu.Unlock()
	return WorkshopStats{
		Queue: len(w.queue), Finished: w.finished.Load(), Panicked: w.panicked.Load(), Refused: w.refused.Load(),
	}
}
