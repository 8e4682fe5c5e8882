package lane

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// reply is the http.ResponseWriter of a request that a conn serves. It frames an answer as net/http does, with these differences:
// it never guesses a Content-Type, a body of unknown length is chunked however short it is, and Connection says nothing but close.
type reply struct {
	out    *Writer
	header http.Header
	method string

	status  int   // of the final head; 0 before it
	left    int64 // of the Content-Length
	chunked bool
	closes  bool // the connection ends with the answer
}

func newReply(c *conn, method string) *reply {
	w := &reply{out: &c.work.out, header: make(http.Header), method: method, closes: c.work.head.closes}
	w.out.conn = c
	return w
}

func (w *reply) Header() http.Header { return w.header }

// WriteHeader gives the final head, or an interim one, which leaves at once. What comes after the final one is ignored.
func (w *reply) WriteHeader(status int) {
	switch {
	case w.status != 0:
	case status < 200:
		w.gatherHead(status, notInterim)
		w.end()
		_ = w.out.flush() // who writes the answer sees it
	default:
		w.status = status
		w.closes = w.closes || strings.EqualFold(w.header.Get("Connection"), "close")
		w.frame()
		w.gatherHead(status, notFinal)
		w.gatherOwn()
		w.end()
	}
}

// frame decides where the body ends (RFC 9112, section 6.3).
func (w *reply) frame() {
	if w.status == http.StatusNotModified { // RFC 9110, section 15.4.5
		w.header.Del("Content-Type")
	}
	if !BodyAllowed(w.status) {
		w.header.Del("Content-Length")
		return
	}
	length, err := strconv.ParseUint(w.header.Get("Content-Length"), 10, 63)
	if err != nil {
		w.header.Del("Content-Length")
	}
	if w.method == http.MethodHead {
		return
	}
	w.left, w.chunked = int64(length), err != nil
}

// Fields that are not the handler's to send. What it says with them before an interim head is about the final one.
var (
	notFinal   = map[string]bool{"Connection": true, "Transfer-Encoding": true}
	notInterim = map[string]bool{"Connection": true, "Transfer-Encoding": true, "Content-Length": true}
)

// gatherHead gathers status line and fields but some. Line ends and fields that are none are net/http's to mend.
func (w *reply) gatherHead(status int, but map[string]bool) {
	text := http.StatusText(status)
	if text == "" {
		text = "status code " + strconv.Itoa(status)
	}
	b := strconv.AppendInt(append(w.out.Buffer(), "HTTP/1.1 "...), int64(status), 10)
	w.out.Gather(append(append(append(b, ' '), text...), "\r\n"...))
	_ = w.header.WriteSubset(gatherer{w.out}, but) // it has no error
}

// gatherOwn gathers the fields that are the connection's to send.
func (w *reply) gatherOwn() {
	b := w.out.Buffer()
	if _, ok := w.header["Date"]; !ok {
		b = append(time.Now().UTC().AppendFormat(append(b, "Date: "...), http.TimeFormat), "\r\n"...)
	}
	if w.closes {
		b = append(b, "Connection: close\r\n"...)
	}
	if w.chunked {
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
	}
	w.out.Gather(b)
}

// end ends a head, a chunk, or the trailers.
func (w *reply) end() { w.out.Gather(append(w.out.Buffer(), "\r\n"...)) }

// gatherer has net/http write a head into what is gathered.
type gatherer struct{ *Writer }

func (g gatherer) Write(p []byte) (int, error) {
	g.buf = append(g.buf, p...)
	return len(p), nil
}

func (g gatherer) WriteString(s string) (int, error) {
	g.buf = append(g.buf, s...)
	return len(s), nil
}

func (w *reply) Write(p []byte) (int, error) {
	w.begin()
	switch {
	case !BodyAllowed(w.status):
		return 0, http.ErrBodyNotAllowed
	case w.method == http.MethodHead:
		return len(p), nil
	case w.chunked:
		return w.writeChunk(p)
	case int64(len(p)) > w.left:
		w.closes = true // nobody knows what the handler took for the answer
		return 0, http.ErrContentLength
	}
	w.left -= int64(len(p))
	return w.give(p)
}

// give writes p. What is long leaves at once, all of it.
func (w *reply) give(p []byte) (n int, err error) {
	if n, err = w.out.Write(p); err == nil && len(p) > copyBytes {
		err = w.out.flush()
	}
	return n, err
}

// writeRest writes what ends the body, which leaves at once unless it has an end of its own.
func (w *reply) writeRest(p []byte) (n int, err error) {
	if n, err = w.Write(p); err == nil && !w.chunked {
		err = w.out.flush()
	}
	return n, err
}

// begin gives the head if nobody has.
func (w *reply) begin() {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
}

func (w *reply) writeChunk(p []byte) (n int, err error) {
	if len(p) == 0 {
		return 0, nil // it would be the last
	}
	w.out.Gather(strconv.AppendInt(w.out.Buffer(), int64(len(p)), 16))
	w.end()
	n, err = w.give(p)
	w.end()
	return n, err
}

// FlushError has everything leave that was given.
func (w *reply) FlushError() error {
	w.begin()
	return w.out.flush()
}

// finish ends the answer. After an error the connection has to end, too.
func (w *reply) finish() error {
	if w.status == 0 && w.method != http.MethodHead {
		w.header.Set("Content-Length", "0")
	}
	w.begin()
	switch {
	case w.chunked:
		w.out.Gather(append(w.out.Buffer(), "0\r\n"...))
		w.gatherTrailers()
		w.end()
	case w.left > 0:
		return http.ErrAbortHandler
	}
	return w.out.err
}

// gatherTrailers gathers the fields that are marked as such.
func (w *reply) gatherTrailers() {
	trailers := make(http.Header)
	for name, values := range w.header {
		if name, ok := strings.CutPrefix(name, http.TrailerPrefix); ok {
			trailers[name] = values
		}
	}
	_ = trailers.Write(gatherer{w.out}) // it has no error
}

// BodyAllowed reports whether an answer with that status may have content, and so a Content-Length (RFC 9110, section 6.4.1).
func BodyAllowed(status int) bool {
	return status >= 200 && status != http.StatusNoContent && status != http.StatusNotModified
}
