package origin

import (
	"bytes"
	"io"
	"net/http"
	"net/textproto"
	"strings"
)

// readHead reads the final or an interim head that comes next on the link. Most are plain, and with their follower have been read
// once: what is left is to look up where their fields are. http.ReadResponse, which reads the others, would begin at the start.
func (k *link) readHead(x *exchange) (*http.Response, error) {
	here, _ := k.in.Peek(k.in.Buffered()) // it is there
	end := bytes.Index(here, []byte("\r\n\r\n"))
	last := k.lastHead()
	if end < 0 || isInterim(here) || x.method == http.MethodHead || !last.isPlain() {
		return http.ReadResponse(k.in, &x.outgoing)
	}
	r := &x.response
	*r = plainHead(string(here[:end]), last)
	_, _ = k.in.Discard(end + len("\r\n\r\n")) // nor can this fail
	r.Request, r.Body = &x.outgoing, http.NoBody
	if r.ContentLength > 0 {
		x.measured = measured{k.in, r.ContentLength}
		r.Body = &x.measured
	}
	return r, nil
}

// lastHead is what the follower knows of the last head that it has seen whole.
func (k *link) lastHead() responseHead {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.follower.last
}

// isInterim reports whether a head that keeps the rules is one behind which others come.
func isInterim(head []byte) bool { return head[len("HTTP/1.1 ")] == '1' }

// plainHead returns what http.ReadResponse makes of a plain head, of which text is all but the empty line at the end. All strings
// are parts of text.
func plainHead(text string, h responseHead) http.Response {
	line, fields, _ := strings.Cut(text, "\r\n")
	version, status, _ := strings.Cut(line, " ")
	return http.Response{
		Status: status, StatusCode: h.code, Proto: version, ProtoMajor: 1, ProtoMinor: 1,
		Header: splitFields(fields), ContentLength: h.length,
	}
}

// splitFields takes field lines apart.
func splitFields(text string) http.Header {
	n := strings.Count(text, "\n") + 1
	header, values := make(http.Header, n), make([]string, 0, n) // of which most fields take one
	for text != "" {
		var line string
		line, text, _ = strings.Cut(text, "\r\n")
		name, value, _ := strings.Cut(line, ":")
		name, value = textproto.CanonicalMIMEHeaderKey(name), strings.Trim(value, " \t")
		if before, again := header[name]; again {
			header[name] = append(before, value)
			continue
		}
		values = append(values, value)
		header[name] = values[len(values)-1 : len(values) : len(values)]
	}
	return header
}

// measured is a body of known length.
type measured struct {
	from io.Reader
	left int64
}

// Read tells of the end with the last bytes.
func (b *measured) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, io.EOF
	}
	n, err := b.from.Read(p[:min(int64(len(p)), b.left)])
	if b.left -= int64(n); b.left == 0 {
		return n, io.EOF
	}
	return n, unexpected(err)
}

// Close is the linkBody's affair.
func (b *measured) Close() error { return nil }
