package lane

import "unsafe"

// Answerer answers requests without net/http, on the connection's own goroutine. It is asked at the boundary between two
// requests, for those whose head says that there is nothing else to do than to answer: GET or HEAD of HTTP/1.1 in origin
// form, without a body, an expectation, an upgrade, or any option of the connection but keep-alive and close.
//
// It gives the whole answer with w and returns Answered, or says with nothing written or counted who is to answer. The Request
// and all it gives out hold until it returns.
type Answerer func(r *Request, w *Writer) Verdict

// Verdict is what becomes of a request that wants nothing but an answer.
type Verdict uint8

const (
	Decline  Verdict = iota // net/http serves it, and all that follow on its connection which are not Answered
	Handle                  // the handler answers it, on the connection's own goroutine unless net/http serves the connection
	Answered                // it has its answer
)

// Request is a head that has passed the strict check, as the bytes that came.
type Request struct {
	Info   *Info
	Method string // GET or HEAD
	Target string // in origin form
	Host   string
	Close  bool // the connection ends with the answer, which has to say so (RFC 9112, section 9.6): see AppendEnd

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

// AppendEnd appends the fields that say where an answer and its connection end, which has so many bytes of content or would have
// for GET, and ends its head.
func (r *Request) AppendEnd(dst []byte, status int, length int64) []byte {
	return appendEnd(appendLength(dst, status, length), false, r.Close)
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

// ask has the Answerer try a whole head.
func (c *conn) ask() Verdict {
	w, srv := c.work, c.link.srv
	if srv.cfg.Answer == nil || !w.head.plain() || srv.draining.Load() {
		return Decline
	}
	c.engage()
	w.out.conn = c
	w.request.read(&c.link.info, &w.head, w.in.bytes())
	verdict := srv.cfg.Answer(&w.request, &w.out)
	c.last = verdict == Answered && w.head.closes
	return verdict
}

// read takes the request from the bytes of a head.
func (r *Request) read(info *Info, h *head, from []byte) {
	*r = Request{
		Info: info, Method: view(h.method.of(from)), Target: view(h.target.of(from)), Host: view(h.host.of(from)), Close: h.closes,
		head: from, fields: h.index,
	}
}

// answered goes on to the next head.
func (c *conn) answered() {
	w := c.work
	if c.link.broken.Load() {
		w.out.err = errAborted
	}
	c.link.requests.Add(1)
	c.served = true
	w.in.r += w.head.next
	w.reset(c.link.srv.settings.Load().Limits)
}

func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
