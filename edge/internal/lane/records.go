package lane

import "sync"

// records is a link as TLS writes to it, which is a record at a time. Those of one answer are gathered to leave in one write.
//
// The lane gathers on the goroutine that reads; TLS may write an alert or a key update of its own meanwhile.
type records struct {
	*link

	mu sync.Mutex
	// guarded by mu
	gathering bool
	buf       []byte
	err       error // of a write whose records TLS takes for sent
}

// recordsBytes is how much is gathered: two full records (RFC 8446, section 5.2: 2^14 bytes and at most 256 more, beneath a
// header of 5).
const recordsBytes = 2 * (16<<10 + 256 + 5)

// Write gathers or writes a record.
func (r *records) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.gathering {
		return r.link.Write(p)
	}
	if len(r.buf)+len(p) > recordsBytes {
		r.sendLocked()
	}
	r.buf = append(r.buf, p...)
	return len(p), r.err
}

// gather begins to gather, in buf.
func (r *records) gather(buf []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.gathering {
		r.gathering, r.buf = true, buf[:0]
	}
}

// release writes what was gathered, unless the answer has failed, and gives back the memory.
func (r *records) release(failed error) (buf []byte, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err == nil {
		r.err = failed
	}
	r.sendLocked()
	buf, r.buf, r.gathering = r.buf, nil, false
	return buf, r.err
}

func (r *records) sendLocked() {
	if r.err == nil && len(r.buf) > 0 {
		_, r.err = r.link.Write(r.buf)
	}
	r.buf = r.buf[:0]
}
