package lane

import "net"

// Writer takes answers. What is small is gathered, so that those to pipelined requests leave in one write.
type Writer struct {
	conn   *conn
	buf    []byte
	err    error // of a write; what comes after it goes nowhere
	pieces [2][]byte
	vector net.Buffers // of pieces
}

const (
	gatherBytes = 16 << 10 // how much is gathered before it is written
	copyBytes   = 4 << 10  // longer pieces are written from where they are
)

// Buffer returns what is gathered: append a head to it, and give the result to Gather.
func (w *Writer) Buffer() []byte { return w.buf }

// Gather takes what Buffer returned with more at its end.
func (w *Writer) Gather(b []byte) { w.buf = b }

// Write takes a piece of a body. It does not keep it.
func (w *Writer) Write(p []byte) (int, error) {
	switch {
	case w.err != nil:
		return 0, w.err
	case len(p) > copyBytes:
		w.err = w.writeBoth(p)
	default:
		if w.buf = append(w.buf, p...); len(w.buf) >= gatherBytes {
			w.flush()
		}
	}
	return len(p), w.err
}

// writeBoth writes what is gathered and p.
func (w *Writer) writeBoth(p []byte) error {
	l, first := w.conn.link, p[:min(len(p), writePiece)]
	if w.conn.stream != stream(l) {
		w.flush()
		_, err := w.conn.stream.Write(p)
		return err
	}
	w.pieces = [2][]byte{w.buf, first}
	w.vector = w.pieces[:]
	err := l.writeBuffers(&w.vector)
	w.pieces, w.buf = [2][]byte{}, w.buf[:0]
	if err == nil && len(first) < len(p) {
		_, err = l.Write(p[len(first):])
	}
	return err
}

// flush writes what is gathered.
func (w *Writer) flush() {
	if w.err == nil && len(w.buf) > 0 {
		_, w.err = w.conn.stream.Write(w.buf)
	}
	w.buf = w.buf[:0]
}

// settle makes w ready to be kept.
func (w *Writer) settle() {
	if cap(w.buf) > 2*gatherBytes {
		w.buf = nil
	}
	w.conn, w.err = nil, nil
}

// flush writes what was gathered on c.
func (c *conn) flush() error {
	if c.work == nil {
		return nil
	}
	c.work.out.flush()
	return c.work.out.err
}
