package lane

import (
	"errors"
	"unsafe"
)

// Answerer answers requests without net/http, on the connection's own goroutine. It is asked at the boundary between two
// requests, for those whose head says that there is nothing else to do than to answer: GET or HEAD of HTTP/1.1 in origin
// form, without a body, an expectation, an upgrade, or any option of the connection but keep-alive.
//
// It gives the whole answer with w and returns true; or it returns false with nothing written or counted, and the handler
// gets the request. The Request and all it gives out hold until it returns.
type Answerer func(r *Request, w *Writer) bool

// Request is a head that has passed the strict check, as the bytes that came.
type Request struct {
	Info   *Info
	Method string // GET or HEAD
	Target string // in origin form
	Host   string

	head   []byte
	fields []fieldSpan
}

// Len returns the number of field lines.
func (r *Request) Len() int { return len(r.fields) }

// Field returns the i-th field line, its name as it came.
func (r *Request) Field(i int) (name, value string) {
	f := r.fields[i]
	return view(f.name.of(r.head)), view(f.value.of(r.head))
}

// Value returns the i-th line of the field with that name, in any letter case, and whether there is one.
func (r *Request) Value(name string, i int) (string, bool) {
	for _, f := range r.fields {
		if !sameName(f.name.of(r.head), name) {
			continue
		}
		if i == 0 {
			return view(f.value.of(r.head)), true
		}
		i--
	}
	return "", false
}

// sameName compares field names without regard to letter case.
func sameName(got []byte, name string) bool {
	if len(got) != len(name) {
		return false
	}
	for i, c := range got {
		if lower(c) != lower(name[i]) {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		c += 'a' - 'A'
	}
	return c
}

// Writer takes answers. What is small is gathered, so that those to pipelined requests leave in one write.
type Writer struct {
	conn *conn
	buf  []byte
	err  error // of a write; what comes after it goes nowhere
}

// Buffer returns what is gathered: append a head to it, and give the result to Gather.
func (w *Writer) Buffer() []byte { return w.buf }

// Gather takes what Buffer returned with more at its end.
func (w *Writer) Gather(b []byte) { w.buf = b }

// Write takes a piece of a body. It does not keep it.
func (w *Writer) Write(p []byte) (int, error) {
	w.buf = append(w.buf, p...)
	if len(w.buf) >= gatherBytes {
		w.flush()
	}
	return len(p), w.err
}

// Abort ends an answer that cannot be finished: the connection is cut, and the client sees that bytes are missing.
func (w *Writer) Abort() {
	w.flush()
	w.err = errAborted
}

var errAborted = errors.New("lane: answer broken off")

// gatherBytes is how much is gathered before it is written.
const gatherBytes = 16 << 10

func (w *Writer) flush() {
	if w.err == nil && len(w.buf) > 0 {
		_, w.err = w.conn.stream.Write(w.buf)
	}
	w.buf = w.buf[:0]
}

// answer has the Answerer try a whole head. False: it is for net/http.
func (c *conn) answer() bool {
	ask := c.link.srv.cfg.Answer
	if ask == nil || !c.head.plain() || c.link.srv.draining.Load() {
		return false
	}
	r := c.head.request(&c.link.info, c.in.bytes())
	c.out.conn = c
	return ask(&r, &c.out)
}

// answered goes on to the next head. What was gathered leaves before the wait for it.
func (c *conn) answered() error {
	c.link.requests.Add(1)
	c.served = true
	c.in.r += c.head.next
	if c.in.len() == 0 {
		c.out.flush()
	}
	if c.out.err != nil {
		return c.out.err
	}
	c.await()
	return nil
}

func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
