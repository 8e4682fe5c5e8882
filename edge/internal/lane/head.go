package lane

import (
	"bytes"
	"math"
	"strconv"
)

// head is the strict check of one request head. It is fed as the bytes arrive and fails at the first that cannot be right.
// What it lets pass net/http lets pass too, and frames in the same way.
type head struct {
	lines
	limits Limits
	fields int // -1 before the request line

	version10 bool
	method    span
	target    span
	authority span // of an absolute-form target
	host      span
	hosts     int
	index     []fieldSpan
	special   bool // the method or a field asks for more than an answer
	closes    bool // the client wants no further one (RFC 9112, section 9.6)

	lengths   int
	length    int64 // announced by Content-Length
	encodings int
	expects   int
}

// span is a part of the head, by offsets: the buffer beneath may move while the head arrives.
type span struct{ from, to int32 }

func spanOf(from, to int) span { return span{int32(from), int32(to)} }

func (s span) of(buf []byte) []byte { return buf[s.from:s.to] }

func (s span) in(text string) string { return text[s.from:s.to] }

// after returns s as seen from at bytes before.
func (s span) after(at int) span { return span{s.from + int32(at), s.to + int32(at)} }

// maxHead is what offsets can tell apart, whatever the limits say.
const maxHead = math.MaxInt32

// fieldSpan is a field line.
type fieldSpan struct{ name, value span }

func newHead(limits Limits) head { return head{limits: limits, fields: -1} }

// reset makes h ready for the next head. It keeps the memory of the index.
func (h *head) reset(limits Limits) {
	*h = head{limits: limits, fields: -1, index: h.index[:0]}
}

// scan goes on in buf, which begins where the head begins, and reports whether the head is whole. It is then h.next bytes.
func (h *head) scan(buf []byte) (whole bool, f *fault) {
	for {
		at := h.begin
		line, ok, f := h.lines.scan(buf[:min(len(buf), h.horizon())])
		if f == nil && !ok {
			return false, h.measure()
		}
		if f != nil {
			return false, f
		}
		switch {
		case h.fields < 0:
			f = h.requestLine(line, at)
			h.fields, h.fold = 0, true
		case len(line) == 0:
			return true, h.conclude(buf)
		default:
			f = h.field(line, at)
		}
		if f != nil {
			return false, f
		}
	}
}

// horizon is how far scan may look before a limit is passed. The limits count line ends.
func (h *head) horizon() int {
	limit := min(h.limits.Head, maxHead)
	if h.fields < 0 {
		limit = min(limit, h.limits.RequestLine)
	}
	return int(limit)
}

// measure is the fault of a head that reaches its limit without its end.
func (h *head) measure() *fault {
	switch {
	case h.next < h.horizon():
		return nil
	case h.fields < 0 && h.limits.RequestLine <= h.limits.Head:
		return faultLineTooLong
	}
	return faultHeadTooLarge
}

// requestLine checks method SP target SP version, with exactly one space each (RFC 9112, section 3).
func (h *head) requestLine(line []byte, at int) *fault {
	method, rest, ok := bytes.Cut(line, []byte{' '})
	if !ok {
		return faultRequestLine
	}
	target, version, ok := bytes.Cut(rest, []byte{' '})
	if !ok {
		return faultRequestLine
	}
	if !isToken(method) {
		return faultMethod
	}
	if f := h.checkVersion(version); f != nil {
		return f
	}
	if string(method) == "CONNECT" {
		// Its target and the bytes after its head have a meaning of their own (RFC 9110, section 9.3.6). 501 and not 405:
		// there is no resource that could allow it.
		return faultConnect
	}
	h.special = string(method) != "GET" && string(method) != "HEAD"
	h.method = spanOf(at, at+len(method))
	h.target = spanOf(at+len(method)+1, at+len(line)-len(version)-1)
	authority, f := checkTarget(string(method), target)
	if authority != nil {
		from := at + len(method) + 1 + bytes.Index(target, []byte("//")) + 2
		h.authority = spanOf(from, from+len(authority))
	}
	return f
}

// checkVersion takes 1.1 and 1.0. The HTTP/2 preface, "PRI * HTTP/2.0", ends here too.
func (h *head) checkVersion(v []byte) *fault {
	switch {
	case string(v) == "HTTP/1.1":
	case string(v) == "HTTP/1.0":
		h.version10 = true
	case len(v) == 8 && string(v[:5]) == "HTTP/" && isDigit(v[5]) && v[6] == '.' && isDigit(v[7]):
		return faultVersion // RFC 9110, section 15.6.6
	default:
		return faultRequestLine
	}
	return nil
}

// lengthsWatched are the lengths of the names that field looks at.
var lengthsWatched = [...]bool{4: true, 6: true, 7: true, 10: true, 14: true, 17: true}

func (h *head) field(line []byte, at int) *fault {
	if h.fields++; h.fields > h.limits.Fields {
		return faultManyFields
	}
	nameSpan, valueSpan, f := field(line)
	if f != nil {
		return f
	}
	h.index = append(h.index, fieldSpan{nameSpan.after(at), valueSpan.after(at)})
	name, value := nameSpan.of(line), valueSpan.of(line)
	if len(name) < len(lengthsWatched) && !lengthsWatched[len(name)] {
		return nil
	}
	switch {
	case named(name, "host"):
		h.hosts++
		h.host = valueSpan.after(at)
		if !isHost(value) {
			return faultHost
		}
	case named(name, "content-length"):
		h.lengths++
		return h.contentLength(value)
	case named(name, "transfer-encoding"):
		h.encodings++
		return checkEncoding(value)
	case named(name, "trailer"):
		return checkTrailerNames(value)
	case named(name, "expect"):
		// RFC 9110, section 10.1.1: the only expectation there is.
		if h.expects++; h.expects > 1 || !named(value, "100-continue") {
			return faultExpect
		}
	case named(name, "upgrade"):
		h.special = true
	case named(name, "connection"):
		switch {
		case named(value, "close"):
			h.closes = true
		case !named(value, "keep-alive"):
			h.special = true
		}
	}
	return nil
}

// contentLength is strict beyond RFC 9110, section 8.6: no list of equal values, no zeros in front.
func (h *head) contentLength(value []byte) *fault {
	if len(value) == 0 || len(value) > 1 && value[0] == '0' {
		return faultLength
	}
	for _, c := range value {
		if !isDigit(c) {
			return faultLength
		}
	}
	n, err := strconv.ParseInt(string(value), 10, 64)
	if err != nil {
		return faultLength
	}
	h.length = n
	return nil
}

// checkEncoding takes exactly one chunked. Another coding beneath it is well-formed and not implemented here (RFC 9112,
// section 6.1); anything else leaves the length of the body unknown (section 6.3).
func checkEncoding(value []byte) *fault {
	if named(value, "chunked") {
		return nil
	}
	codings := bytes.Split(value, []byte{','})
	for i, c := range codings {
		c = bytes.Trim(c, " \t")
		if last := i == len(codings)-1; !isToken(c) || named(c, "chunked") != last {
			return faultEncoding
		}
	}
	return faultCoding
}

// conclude checks what only the whole head shows.
func (h *head) conclude(buf []byte) *fault {
	switch {
	case h.lengths > 1:
		return faultLengths
	case h.encodings > 1:
		return faultEncoding
	case h.lengths > 0 && h.encodings > 0:
		// RFC 9112, section 6.1 allows to process the message by its Transfer-Encoding. A client that sends both is broken
		// or an attacker.
		return faultBothFramings
	case h.version10 && h.encodings > 0:
		return faultEncoding // RFC 9112, section 6.1: faulty framing
	case h.hosts > 1, h.hosts == 0 && !h.version10:
		return faultHosts // RFC 9112, section 3.2
	case h.hosts == 1 && h.authority.to > 0 && !bytes.EqualFold(h.host.of(buf), h.authority.of(buf)):
		// RFC 9112, section 3.2.2 lets the target win. A client must send both alike (section 3.2), so this one lies.
		return faultAuthority
	}
	return nil
}

// plain reports whether a whole head asks for nothing but an answer; see Answerer.
func (h *head) plain() bool {
	switch {
	case h.version10, h.special, h.hosts != 1, h.lengths+h.encodings+h.expects > 0, h.authority.to > 0:
		return false
	}
	return true
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
