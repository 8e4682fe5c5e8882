package lane

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// fault is why a head is refused: the status of the answer and one word that is its metric label, its log word and the
// text of its body.
type fault struct {
	status int
	reason string
}

// The faults of a head.
var (
	faultRequestLine  = &fault{400, "request-line"}
	faultMethod       = &fault{400, "method"}
	faultTarget       = &fault{400, "target"}
	faultAuthority    = &fault{400, "authority-mismatch"}
	faultVersion      = &fault{505, "version"}
	faultConnect      = &fault{501, "connect"}
	faultBareLF       = &fault{400, "bare-lf"}
	faultBareCR       = &fault{400, "bare-cr"}
	faultControl      = &fault{400, "control-byte"}
	faultFold         = &fault{400, "fold"}
	faultFieldLine    = &fault{400, "field-line"}
	faultFieldName    = &fault{400, "field-name"}
	faultFieldValue   = &fault{400, "field-value"}
	faultHost         = &fault{400, "host"}
	faultHosts        = &fault{400, "host-count"}
	faultLength       = &fault{400, "content-length"}
	faultLengths      = &fault{400, "content-length-repeated"}
	faultBothFramings = &fault{400, "content-length-and-transfer-encoding"}
	faultEncoding     = &fault{400, "transfer-encoding"}
	faultCoding       = &fault{501, "transfer-coding"}
	faultTrailer      = &fault{400, "trailer"}
	faultExpect       = &fault{417, "expect"}
	faultLineTooLong  = &fault{414, "request-line-too-long"}
	faultHeadTooLarge = &fault{431, "head-too-large"}
	faultManyFields   = &fault{431, "too-many-fields"}
	faultSlowHead     = &fault{408, "head-timeout"}
	faultPlainHTTP    = &fault{400, "http-on-https-port"}
)

// Refusal tells of a head that was refused before a handler saw it.
type Refusal struct {
	Conn   uint64 // Info.ID
	Remote net.Addr
	Secure bool
	Status int
	Reason string
	Line   []byte // the request line as far as it was read, at most 1 KiB; any bytes; nil for what is none
}

const maxRefusalLine = 1 << 10

// refused counts a refusal and tells the owner.
func (s *Server) refused(l *link, f *fault, seen []byte) {
	s.count(f.reason)
	if s.cfg.Refused == nil {
		return
	}
	line, _, _ := bytes.Cut(seen, []byte{'\n'})
	line = bytes.TrimSuffix(line[:min(len(line), maxRefusalLine)], []byte{'\r'})
	if !beginsRequest(line) {
		line = nil
	}
	s.cfg.Refused(Refusal{
		Conn: l.info.ID, Remote: l.info.Remote, Secure: l.info.Secure,
		Status: f.status, Reason: f.reason, Line: bytes.Clone(line),
	})
}

// beginsRequest reports whether a line begins as a request line does. What stands in its place when a client has lost count
// of its bytes, a field with credentials or a form with a password, is not for a log.
func beginsRequest(line []byte) bool {
	method, target, _ := bytes.Cut(line, []byte{' '})
	return isToken(method) && (string(method) == "CONNECT" || bytes.HasPrefix(target, []byte{'/'}) ||
		bytes.HasPrefix(target, []byte{'*'}) || bytes.HasPrefix(target, []byte("http")))
}

// answer renders the whole response to a refused head. no-store, because 414 and 501 are heuristically cacheable
// (RFC 9110, section 15.1) and this one says nothing about the resource.
func (f *fault) answer(now time.Time) []byte {
	body := f.body()
	return fmt.Appendf(nil, "HTTP/1.1 %d %s\r\nDate: %s\r\nContent-Type: text/plain; charset=utf-8\r\n"+
		"Content-Length: %d\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n%s",
		f.status, http.StatusText(f.status), now.UTC().Format(http.TimeFormat), len(body), body)
}

// Bounds of the linger.
const (
	lingerTime  = time.Second
	lingerBytes = 256 << 10
)

// linger ends the sending side and reads on for a while: closing a socket with unread bytes resets the connection, and the
// reset may overtake the answer (RFC 9112, section 9.6).
func linger(c net.Conn, closeWrite func() error) {
	if closeWrite() != nil || c.SetReadDeadline(time.Now().Add(lingerTime)) != nil {
		return
	}
	// Whatever ends the reading, the connection is closed next.
	_, _ = io.CopyN(io.Discard, c, lingerBytes)
}

func (f *fault) body() []byte {
	return fmt.Appendf(nil, "%d %s: %s\n", f.status, http.StatusText(f.status), f.reason)
}
