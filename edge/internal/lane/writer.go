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
	long bool  // much was given that the client may not have by the end

	pieces  [2][]byte
	vector  net.Buffers // of pieces
	sealed  []byte      // for the records to be gathered in, while they are not
	sealing bool        // they are
}

const (
	gatherBytes = 16 << 10 // how much is gathered at most; a full record (RFC 8446, section 5.1)
	copyBytes   = 4 << 10  // longer pieces are written from where they are
	sealBytes   = 1 << 10  // more may be several records: TLS begins a connection with small ones
	longBytes   = 64 << 10 // more may take several round trips
)

// Buffer returns what is gathered: append a head to it, and give the result to Gather.
func (w *Writer) Buffer() []byte { return w.buf }

// Gather takes what Buffer returned with more at its end.
func (w *Writer) Gather(b []byte) { w.buf = b }

// Write takes a piece of a body. It does not keep it. After an error, n is how much of it has left at most.
func (w *Writer) Write(p []byte) (n int, err error) {
	w.long = w.long || len(p) > longBytes
	switch {
	case w.conn == nil:
		w.buf, n = append(w.buf, p...), len(p)
	case w.conn.records != nil:
		n = w.writeSecure(p)
	case len(p) > copyBytes:
		n = w.writeBoth(p)
	default:
		n = w.gather(p)
	}
	return n, w.err
}

// gather copies p.
func (w *Writer) gather(p []byte) int {
	if len(w.buf)+len(p) > gatherBytes {
		w.push()
	}
	if w.err != nil {
		return 0
	}
	w.buf = append(w.buf, p...)
	return len(p)
}

// writeBoth writes what is gathered and p, in one call.
func (w *Writer) writeBoth(p []byte) int {
	if w.err != nil {
		return 0
	}
	first := p[:min(len(p), writePiece)]
	w.pieces = [2][]byte{w.buf, first}
	w.vector = w.pieces[:]
	w.err = w.conn.link.writeBuffers(&w.vector)
	sent := len(first)
	if n := len(w.vector); n > 0 { // of what is left the last is of p
		sent -= min(sent, len(w.vector[n-1]))
	}
	w.pieces, w.buf = [2][]byte{}, w.buf[:0]
	return sent + w.send(p[len(first):])
}

// writeSecure writes to TLS, which makes records of 16 KiB of every write. So what is gathered is joined by as much of a long
// piece as leaves full records, or else by what makes a record worth its trouble.
func (w *Writer) writeSecure(p []byte) int {
	if len(w.buf)+len(p) <= gatherBytes {
		return w.gather(p)
	}
	joined := 0
	if n := copyBytes - len(w.buf); len(w.buf) > 0 && n > 0 {
		if odd := len(p) % gatherBytes; odd > n && len(w.buf)+odd <= gatherBytes {
			n = odd
		}
		w.buf, joined = append(w.buf, p[:n]...), n
	}
	w.seal()
	w.push()
	return joined + w.send(p[joined:])
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
	if len(w.buf) > sealBytes {
		w.seal()
	}
	w.send(w.buf)
	w.buf = w.buf[:0]
}

// send writes p and returns how much of it has left.
func (w *Writer) send(p []byte) int {
	if w.err != nil || len(p) == 0 {
		return 0
	}
	now := 0
	if l := w.conn.link; w.conn.records == nil && l.inside.Load() {
		if now = l.writeNow(p); now == len(p) {
			return now // it did not wait, and so needs no deadline
		}
	}
	n, err := w.conn.stream.Write(p[now:])
	w.err = err
	return now + n
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
	w.conn, w.err, w.long = nil, nil, false
}

// flush has everything leave that was gathered on c.
func (c *conn) flush() error {
	if c.work == nil || c.work.out.conn == nil {
		return nil
	}
	return c.work.out.flush()
}
