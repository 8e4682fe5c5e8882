package lane

import "sync"

// records is a link as TLS reads and writes it. It writes a record at a time: those of one answer are gathered to leave in one
// write.
//
// The lane gathers on the goroutine that reads, or on a handler's; TLS may write an alert or a key update of its own meanwhile.
type records struct {
	*link
	borders borders // owned by whoever reads

	mu sync.Mutex
	// guarded by mu
	gathering bool
	buf       []byte
	err       error // of a write whose records TLS takes for sent
}

// recordsBytes is how much is gathered: two full records (RFC 8446, section 5.2: 2^14 bytes and at most 256 more, beneath a
// header of 5).
const recordsBytes = 2 * (16<<10 + 256 + 5)

// Read reads what TLS wants, and what comes with it.
func (r *records) Read(p []byte) (int, error) {
	n, err := r.link.Read(p)
	r.borders.follow(p[:n])
	return n, err
}

// borders follows where records end: beneath a header of 5 bytes, the last two of which are the length (RFC 8446, section 5.1).
type borders struct {
	header [5]byte
	have   int // of the header
	left   int // of the record
	ended  int // how many records ended in the last read
}

func (b *borders) follow(p []byte) {
	b.ended = 0
	for len(p) > 0 {
		if b.left == 0 {
			n := copy(b.header[b.have:], p)
			if b.have, p = b.have+n, p[n:]; b.have < len(b.header) {
				return
			}
			b.have, b.left = 0, int(b.header[3])<<8|int(b.header[4])
		}
		n := min(b.left, len(p))
		if b.left, p = b.left-n, p[n:]; b.left == 0 {
			b.ended++
		}
	}
}

// lone reports whether the last read ended one record and began no other. TLS reads only when it lacks part of a record, so
// that this one is then all it has.
func (b *borders) lone() bool { return b.ended == 1 && b.left == 0 && b.have == 0 }

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
