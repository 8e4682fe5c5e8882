package lane

import (
	"errors"
	"net"
)

// Writer takes answers. What is small is gathered, so that those to pipelined requests leave in one write. The zero Writer
// has no connection and only gathers.
type Writer struct {
	conn *conn
	buf  []byte
	err  error // of a write; what comes after it goes nowhere

	pieces  [2][]byte
	vector  net.Buffers // of pieces
	sealed  []byte      // for the records to be gathered in, while they are not
	sealing bool        // they are
}

const (
	gatherBytes = 16 << 10 // how much is gathered at most; a full record (RFC 8446, section 5.1)
	copyBytes   = 4 << 10  // longer pieces are written from where they are
)

// Buffer returns what is gathered: append a head to it, and give the result to Gather.
func (w *Writer) Buffer() []byte { return w.buf }

// Gather takes what Buffer returned with more at its end.
func (w *Writer) Gather(b []byte) { w.buf = b }

// Write takes a piece of a body. It does not keep it.
func (w *Writer) Write(p []byte) (int, error) {
	switch {
	case w.conn == nil:
		w.buf = append(w.buf, p...)
	case w.conn.records != nil:
		w.writeSecure(p)
	case len(p) > copyBytes:
		w.writeBoth(p)
	default:
		w.gather(p)
	}
	if w.err != nil {
		return 0, w.err
	}
	return len(p), nil
}

// gather copies p.
func (w *Writer) gather(p []byte) {
	if len(w.buf)+len(p) > gatherBytes {
		w.push()
	}
	w.buf = append(w.buf, p...)
}

// writeBoth writes what is gathered and p, in one call.
func (w *Writer) writeBoth(p []byte) {
	if w.err != nil {
		return
	}
	first := p[:min(len(p), writePiece)]
	w.pieces = [2][]byte{w.buf, first}
	w.vector = w.pieces[:]
	w.err = w.conn.link.writeBuffers(&w.vector)
	w.pieces, w.buf = [2][]byte{}, w.buf[:0]
	w.send(p[len(first):])
}

// writeSecure writes to TLS, which makes records of 16 KiB of every write. So what is gathered is joined by as much of a long
// piece as leaves full records, or else by what makes a record worth its trouble.
func (w *Writer) writeSecure(p []byte) {
	if len(w.buf)+len(p) <= gatherBytes {
		w.gather(p)
		return
	}
	if n := copyBytes - len(w.buf); len(w.buf) > 0 && n > 0 {
		if odd := len(p) % gatherBytes; odd > n && len(w.buf)+odd <= gatherBytes {
			n = odd
		}
		w.buf, p = append(w.buf, p[:n]...), p[n:]
	}
	w.seal()
	w.push()
	w.send(p)
}

// Abort ends an answer that cannot be finished: the client sees a reset. What was given before may still reach it.
func (w *Writer) Abort() {
	if w.conn == nil {
		return
	}
	if w.flush() == nil {
		w.err = errAborted
	}
	w.conn.link.discard()
	w.conn.link.broken.Store(true)
}

var errAborted = errors.New("lane: answer broken off")

// seal has the records leave together that follow.
func (w *Writer) seal() {
	if r := w.conn.records; r != nil && !w.sealing {
		r.gather(w.sealed)
		w.sealing = true
	}
}

// push writes what is gathered. TLS may make several records of it.
func (w *Writer) push() {
	if len(w.buf) > copyBytes {
		w.seal()
	}
	w.send(w.buf)
	w.buf = w.buf[:0]
}

func (w *Writer) send(p []byte) {
	if w.err != nil || len(p) == 0 {
		return
	}
	if l := w.conn.link; w.conn.records == nil && l.inside.Load() {
		if p = p[l.writeNow(p):]; len(p) == 0 {
			return // it did not wait, and so needs no deadline
		}
	}
	_, w.err = w.conn.stream.Write(p)
}

// flush has everything leave.
func (w *Writer) flush() error {
	w.push()
	if w.sealing {
		w.sealed, w.err = w.conn.records.release(w.err)
		w.sealing = false
	}
	return w.err
}

// settle makes w ready to be kept.
func (w *Writer) settle() {
	if cap(w.buf) > 2*gatherBytes {
		w.buf = nil
	}
	w.conn, w.err = nil, nil
}

// flush has everything leave that was gathered on c.
func (c *conn) flush() error {
	if c.work == nil || c.work.out.conn == nil {
		return nil
	}
	return c.work.out.flush()
}
