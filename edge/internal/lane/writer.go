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

// writeSecure writes to TLS, which makes at least one record of every write. A long piece gives as much to what is gathered
// before it as fills a small record: a client can use that before the next has arrived.
func (w *Writer) writeSecure(p []byte) {
	if len(w.buf)+len(p) <= gatherBytes {
		w.gather(p)
		return
	}
	if n := copyBytes - len(w.buf); len(w.buf) > 0 && n > 0 {
		w.buf = append(w.buf, p[:min(n, len(p))]...)
		p = p[min(n, len(p)):]
	}
	w.seal()
	w.push()
	w.send(p)
}

// Abort ends an answer that cannot be finished: the connection is cut, and the client sees that bytes are missing.
func (w *Writer) Abort() {
	w.push()
	w.err = errAborted
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
	if w.err == nil && len(p) > 0 {
		_, w.err = w.conn.stream.Write(p)
	}
}

// flush has everything leave.
func (w *Writer) flush() error {
	w.push()
	if w.sealing {
		buf, err := w.conn.records.release()
		if w.sealed, w.sealing = buf, false; w.err == nil {
			w.err = err
		}
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
