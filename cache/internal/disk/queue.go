package disk

import (
	"context"
	"sync"
	"time"
)

// job is work for the writer goroutine, and the bytes it keeps in memory until then.
type job struct {
	bytes int64
	do    func(*writer)
}

// queue carries jobs to the writer in the order in which they came. It bounds the bytes waiting, not the jobs: what waits
// without bytes (a removal) is always taken.
type queue struct {
	limit int64
	ready chan struct{} // has one element when there may be jobs
	now   chan struct{} // and when somebody waits for one of them, or there are many

	mu     sync.Mutex
	jobs   []job         // guarded by mu
	bytes  int64         // guarded by mu
	room   chan struct{} // guarded by mu; closed when bytes fall; nil when nobody waits
	closed bool          // guarded by mu: no more jobs
}

func newQueue(limit int64) *queue {
	return &queue{limit: limit, ready: make(chan struct{}, 1), now: make(chan struct{}, 1)}
}

// leave queues a job that nobody waits for, unless there is no room for it.
func (q *queue) leave(bytes int64, do func(*writer)) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	err := q.offerLocked(bytes, do)
	if err != nil || q.bytes > q.limit/4 {
		signal(q.now)
	}
	return err
}

// offer is leave for a job that should be done at once.
func (q *queue) offer(bytes int64, do func(*writer)) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	defer signal(q.now)
	return q.offerLocked(bytes, do)
}

func (q *queue) offerLocked(bytes int64, do func(*writer)) error {
	switch {
	case q.closed:
		return ErrClosed
	case bytes > 0 && q.bytes > 0 && q.bytes+bytes > q.limit:
		return errFull
	}
	q.jobs = append(q.jobs, job{bytes, do})
	q.bytes += bytes
	signal(q.ready)
	return nil
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// gather waits for jobs, and then, unless one is urgent, for a while for others to do with them. It returns early when tick or
// over says so: true of tick.
func (q *queue) gather(tick <-chan time.Time, over <-chan struct{}) (ticked bool) {
	select {
	case <-q.ready:
	case <-tick:
		return true
	case <-over:
		return false
	}
	while := time.NewTimer(gatherFor)
	defer while.Stop()
	select {
	case <-q.now:
	case <-while.C:
	case <-over:
	}
	return false
}

// wait queues a job once there is room for it.
func (q *queue) wait(ctx context.Context, bytes int64, do func(*writer)) error {
	for {
		q.mu.Lock()
		err := q.offerLocked(bytes, do)
		signal(q.now)
		if err != errFull {
			q.mu.Unlock()
			return err
		}
		if q.room == nil {
			q.room = make(chan struct{})
		}
		room := q.room
		q.mu.Unlock()
		select {
		case <-room:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// take removes the oldest job.
func (q *queue) take() (job, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.jobs) == 0 {
		q.jobs = nil
		return job{}, false
	}
	j := q.jobs[0]
	q.jobs[0] = job{}
	q.jobs = q.jobs[1:]
	return j, true
}

// done gives back the room of a job whose bytes are no longer needed.
func (q *queue) done(bytes int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.bytes -= bytes
	q.wakeLocked()
}

// close ends the taking of jobs; those queued remain to be taken.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.wakeLocked()
}

// abandon ends the taking of jobs, and forgets those queued.
func (q *queue) abandon() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed, q.jobs, q.bytes = true, nil, 0
	q.wakeLocked()
}

func (q *queue) wakeLocked() {
	if q.room != nil {
		close(q.room)
		q.room = nil
	}
}

// waiting returns the bytes in the queue.
func (q *queue) waiting() int64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.bytes
}
