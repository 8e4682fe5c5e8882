package edge

import "sync"

// lineQueue holds lines that wait to be written. An access log has several, so that processors do not wait for one another;
// the lines of a connection all go through the same one, and keep their order.
type lineQueue struct {
	mu sync.Mutex
	// guarded by mu
	pending []byte
	lines   int // in pending
	refused int // lines that found no room since the last take

	spare []byte    // owned by the log's Run: what take gave last, to be filled again
	_     [128]byte // two queues share no cache line
}

// maxLogQueues times maxPending is what a log may hold in memory.
const (
	maxLogQueues = 8
	maxPending   = 4 << 20
)

// put takes a line, if there is room. It returns how many bytes are pending, and whether the line is the first of them.
func (q *lineQueue) put(line []byte) (pending int, first bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.pending)+len(line) > maxPending {
		q.refused++
		return len(q.pending), false
	}
	first = len(q.pending) == 0
	q.pending = append(q.pending, line...)
	q.lines++
	return len(q.pending), first
}

// take returns what is pending. The bytes hold until the next take.
func (q *lineQueue) take() (batch []byte, lines, refused int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	batch, lines, refused = q.pending, q.lines, q.refused
	q.pending, q.lines, q.refused = q.spare[:0], 0, 0
	q.spare = batch
	return batch, lines, refused
}
