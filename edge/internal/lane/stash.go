package lane

import "io"

// stash holds bytes that were read from the connection and not yet handed up.
type stash struct {
	buf  []byte
	r, w int
}

const (
	stashMin  = 4 << 10
	stashKept = 16 << 10
)

func (s *stash) bytes() []byte { return s.buf[s.r:s.w] }
func (s *stash) len() int      { return s.w - s.r }
func (s *stash) full() bool    { return s.w == len(s.buf) } // the last read may have left something

// take moves bytes to p.
func (s *stash) take(p []byte) int {
	n := copy(p, s.bytes())
	s.r += n
	return n
}

// fill reads once, with room for at least one byte as long as fewer than limit are held.
func (s *stash) fill(r io.Reader, limit int) (int, error) {
	if s.r > 0 {
		s.w = copy(s.buf, s.bytes())
		s.r = 0
	}
	if s.w == len(s.buf) {
		grown := make([]byte, max(stashMin, min(2*len(s.buf), limit), s.w+1))
		copy(grown, s.buf)
		s.buf = grown
	}
	n, err := r.Read(s.buf[s.w:])
	if s.w += n; n > 0 {
		err = nil // TLS may have both; it says so again
	}
	return n, err
}

// settle makes an empty stash ready to be kept.
func (s *stash) settle() {
	s.r, s.w = 0, 0
	if len(s.buf) > stashKept {
		s.buf = nil
	}
}
