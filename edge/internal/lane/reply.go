package lane

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Reply is the http.ResponseWriter of a request that a conn serves. It frames an answer as net/http does, with these differences:
// it never guesses a Content-Type, a body of unknown length is chunked however short it is, and Connection says nothing but close.
//
// A final head that is there in the form of a message is given with Buffer and Gather, in place of Header and WriteHeader.
type Reply struct {
	out    *Writer
	header http.Header // nil as long as nobody wants it
	method string

	status  int   // of the final head; 0 before it
	left    int64 // of the Content-Length
	chunked bool
	closes  bool // the connection ends with the answer
}

func newReply(c *conn, method string) *Reply {
	w := &Reply{out: &c.work.out, method: method, closes: c.work.head.closes}
	w.out.conn = c
	return w
}

// Header returns the map of the fields to come.
func (w *Reply) Header() http.Header {
	if w.header == nil {
		w.header = make(http.Header)
	}
	return w.header
}

// WriteHeader gives the final head, or an interim one, which leaves at once. What comes after the final one is ignored.
func (w *Reply) WriteHeader(status int) {
	switch {
	case w.status != 0:
	case status < 200:
		w.gatherHead(status, notInterim)
		w.end()
		_ = w.out.flush() // who writes the answer sees it
	default:
		w.closes = w.closes || strings.EqualFold(w.header.Get("Connection"), "close")
		w.frame(status, w.takeLength(status))
		w.gatherHead(status, notFinal)
		w.gatherOwn()
	}
}

// takeLength returns the Content-Length that was given, or -1. What the answer may not have is dropped.
func (w *Reply) takeLength(status int) int64 {
	if status == http.StatusNotModified { // RFC 9110, section 15.4.5
		w.header.Del("Content-Type")
	}
	length, err := strconv.ParseUint(w.header.Get("Content-Length"), 10, 63)
	if err != nil || !BodyAllowed(status) {
		w.header.Del("Content-Length")
		return -1
	}
	return int64(length)
}

// frame decides where the body ends (RFC 9112, section 6.3): after length bytes, of which -1 is unknown.
func (w *Reply) frame(status int, length int64) {
	w.status = status
	if w.method != http.MethodHead && BodyAllowed(status) {
		w.left, w.chunked = max(length, 0), length < 0
	}
}

// Buffer returns what is gathered, for a final head to be appended to.
func (w *Reply) Buffer() []byte { return w.out.Buffer() }

// Gather takes what Buffer returned with status line and field lines at its end, Date among them, each as it is to be sent. What
// says where the body ends is w's to add: after length bytes, of which -1 is unknown. The fields in Header are not sent.
func (w *Reply) Gather(b []byte, status int, length int64) {
	w.frame(status, length)
	w.out.Gather(appendEnd(appendLength(b, status, length), w.chunked, w.closes))
}

// Fields that are not the handler's to send. What it says with them before an interim head is about the final one.
var (
	notFinal   = map[string]bool{"Connection": true, "Transfer-Encoding": true}
	notInterim = map[string]bool{"Connection": true, "Transfer-Encoding": true, "Content-Length": true}
)

// gatherHead gathers status line and fields but some. Line ends and fields that are none are net/http's to mend.
func (w *Reply) gatherHead(status int, but map[string]bool) {
	text := http.StatusText(status)
	if text == "" {
		text = "status code " + strconv.Itoa(status)
	}
	b := strconv.AppendInt(append(w.out.Buffer(), "HTTP/1.1 "...), int64(status), 10)
	w.out.Gather(append(append(append(b, ' '), text...), "\r\n"...))
	_ = w.header.WriteSubset(gatherer{w.out}, but) // it has no error
}

// gatherOwn gathers the fields that are the connection's to send, and ends the head.
func (w *Reply) gatherOwn() {
	b := w.out.Buffer()
	if _, ok := w.header["Date"]; !ok {
		b = append(time.Now().UTC().AppendFormat(append(b, "Date: "...), http.TimeFormat), "\r\n"...)
	}
	w.out.Gather(appendEnd(b, w.chunked, w.closes))
}

// appendLength appends a Content-Length, unless it is unknown or the answer may not have one (RFC 9110, section 8.6).
func appendLength(dst []byte, status int, length int64) []byte {
	if length < 0 || !BodyAllowed(status) {
		return dst
	}
	return append(strconv.AppendInt(append(dst, "Content-Length: "...), length, 10), "\r\n"...)
}

// appendEnd appends the other fields that are the connection's to send, and ends the head.
func appendEnd(dst []byte, chunked, closes bool) []byte {
	if closes {
		dst = append(dst, "Connection: close\r\n"...)
	}
	if chunked {
		dst = append(dst, "Transfer-Encoding: chunked\r\n"...)
	}
	return append(dst, "\r\n"...)
}

// end ends an interim head, a chunk, or the trailers.
func (w *Reply) end() { w.out.Gather(append(w.out.Buffer(), "\r\n"...)) }

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

func (w *Reply) Write(p []byte) (int, error) {
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
func (w *Reply) give(p []byte) (n int, err error) {
	if n, err = w.out.Write(p); err == nil && len(p) > copyBytes {
		err = w.out.flush()
	}
	return n, err
}

// writeRest writes what ends the body, which leaves at once unless it has an end of its own.
func (w *Reply) writeRest(p []byte) (n int, err error) {
	if n, err = w.Write(p); err == nil && !w.chunked {
		err = w.out.flush()
	}
	return n, err
}

// begin gives the head if nobody has.
func (w *Reply) begin() {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
}

func (w *Reply) writeChunk(p []byte) (n int, err error) {
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
func (w *Reply) FlushError() error {
	w.begin()
	return w.out.flush()
}

// finish ends the answer. After an error the connection has to end, too.
func (w *Reply) finish() error {
	if w.status == 0 && w.method != http.MethodHead {
		w.Header().Set("Content-Length", "0")
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
func (w *Reply) gatherTrailers() {
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
