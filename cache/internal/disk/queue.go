package disk

import (
	"context"
	"sync"
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

	mu     sync.Mutex
	jobs   []job         // guarded by mu
	bytes  int64         // guarded by mu
	room   chan struct{} // guarded by mu; closed when bytes fall; nil when nobody waits
	closed bool          // guarded by mu: no more jobs
}

func newQueue(limit int64) *queue { return &queue{limit: limit, ready: make(chan struct{}, 1)} }

// offer queues a job unless there is no room for it.
func (q *queue) offer(bytes int64, do func(*writer)) error {
	q.mu.Lock()
	defer q.mu.Unlock()
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
	select {
	case q.ready <- struct{}{}:
	default:
	}
	return nil
}

// wait queues a job once there is room for it.
func (q *queue) wait(ctx context.Context, bytes int64, do func(*writer)) error {
	for {
		q.mu.Lock()
		err := q.offerLocked(bytes, do)
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
