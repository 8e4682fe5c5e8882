package origin

import (
	"bytes"
	"strconv"
)

// responseHead is what the framing needs to know of a head.
type responseHead struct {
	minor     byte // of the HTTP version
	code      int
	hasLength bool
	length    int64
	chunked   bool
	control   bool // there is a Cache-Control
	closes    bool // Connection says close, or what takes a closer look

	connection []string // the lines of Connection that may name fields
}

// status takes a status line: HTTP-version SP status-code SP [ reason-phrase ] (RFC 9112, section 4). Not a few origins leave the
// second SP out with the phrase; nothing else can be meant.
func (h *responseHead) status(line []byte) *Failure {
	const shape = "HTTP/1.x 200"
	if len(line) < len(shape) || string(line[:7]) != "HTTP/1." || line[8] != ' ' || len(line) > len(shape) && line[12] != ' ' {
		return fault(typeProtocol, "malformed status line")
	}
	if h.minor = line[7]; h.minor != '0' && h.minor != '1' {
		return fault(typeProtocol, "unknown HTTP version")
	}
	for _, c := range line[9:12] {
		if !isDigit(c) {
			return fault(typeProtocol, "malformed status code")
		}
		h.code = h.code*10 + int(c-'0')
	}
	if h.code < 100 {
		return fault(typeProtocol, "malformed status code")
	}
	return nil
}

// field takes a field line and notes those that frame the message.
func (h *responseHead) field(line []byte) *Failure {
	name, value, failure := splitField(line)
	switch {
	case failure != nil:
		return failure
	case equalName(name, "Content-Length"):
		return h.contentLength(value)
	case equalName(name, "Transfer-Encoding"):
		return h.transferEncoding(value)
	case equalName(name, "Cache-Control"):
		h.control = true
	case equalName(name, "Connection") && !equalName(value, "keep-alive"):
		h.closes = true
		if !equalName(value, "close") {
			h.connection = append(h.connection, string(value))
		}
	}
	return nil
}

// isPlain reports whether a head needs no more than looking up its fields: it is the final one of HTTP/1.1, with content of a
// length that it tells, on a connection that stays.
func (h *responseHead) isPlain() bool {
	return h.minor == '1' && h.code >= 200 && h.code != 204 && h.code != 304 && h.hasLength && !h.closes
}

// contentLength refuses what section 6.3 would allow to be repaired: the same length twice.
func (h *responseHead) contentLength(value []byte) *Failure {
	if h.hasLength {
		return fault(typeProtocol, "repeated Content-Length")
	}
	for _, c := range value { // ParseInt would take a sign
		if !isDigit(c) {
			return fault(typeProtocol, "malformed Content-Length")
		}
	}
	length, err := strconv.ParseInt(string(value), 10, 64)
	if err != nil {
		return fault(typeProtocol, "malformed Content-Length")
	}
	h.hasLength, h.length = true, length
	return nil
}

// transferEncoding knows only chunked: we send no TE that would allow another (RFC 9112, section 6.1).
func (h *responseHead) transferEncoding(value []byte) *Failure {
	if h.chunked || !equalName(value, "chunked") {
		return fault(typeTransferCoding, "transfer coding other than chunked")
	}
	h.chunked = true
	return nil
}

// checkFraming judges what only the whole head shows.
func (h *responseHead) checkFraming() *Failure {
	switch {
	case h.chunked && h.hasLength: // RFC 9112, section 6.1
		return fault(typeProtocol, "Content-Length beside Transfer-Encoding")
	case h.chunked && h.minor == '0': // RFC 9112, section 6.1: the framing is faulty
		return fault(typeProtocol, "Transfer-Encoding in HTTP/1.0")
	}
	return nil
}

// checkTrailer refuses fields that would frame the message after it was framed (RFC 9110, section 6.5.1).
func checkTrailer(line []byte) *Failure {
	name, _, failure := splitField(line)
	if failure != nil {
		return failure
	}
	if equalName(name, "Content-Length") || equalName(name, "Transfer-Encoding") {
		return fault(typeProtocol, "framing field among the trailers")
	}
	return nil
}

// splitField takes a field line apart (RFC 9112, section 5): a token, a colon right after it, a value.
func splitField(line []byte) (name, value []byte, failure *Failure) {
	if line[0] == ' ' || line[0] == '\t' {
		return nil, nil, fault(typeProtocol, "folded field line") // section 5.2
	}
	name, value, ok := bytes.Cut(line, []byte(":"))
	if !ok || len(name) == 0 {
		return nil, nil, fault(typeProtocol, "malformed field line")
	}
	for _, c := range name {
		if !isTokenByte(c) {
			return nil, nil, fault(typeProtocol, "malformed field name")
		}
	}
	return name, bytes.Trim(value, " \t"), nil
}

// parseChunkSize reads 1*HEXDIG [ chunk-ext ] (RFC 9112, section 7.1). Extensions are not looked into: no byte in them can end
// the line.
func parseChunkSize(line []byte) (int64, *Failure) {
	digits := line
	if end := bytes.IndexFunc(line, func(r rune) bool { return !isHex(r) }); end >= 0 {
		digits = line[:end]
	}
	if extension := bytes.TrimLeft(line[len(digits):], " \t"); len(digits) < len(line) && (len(extension) == 0 || extension[0] != ';') {
		return 0, fault(typeTransferCoding, "malformed chunk size")
	}
	size, err := strconv.ParseInt(string(digits), 16, 64)
	if err != nil || len(digits) > 16 {
		return 0, fault(typeTransferCoding, "malformed chunk size")
	}
	return size, nil
}

// checkBytes refuses control characters, CR and NUL among them, in a line of which CRLF is already off.
func checkBytes(line []byte) *Failure {
	for _, c := range line {
		if c < ' ' && c != '\t' || c == 0x7f {
			return fault(typeProtocol, "control character in a line")
		}
	}
	return nil
}

// equalName compares without regard to case. ASCII only: bytes.EqualFold would also take the Kelvin sign for a k.
func equalName(b []byte, name string) bool {
	if len(b) != len(name) {
		return false
	}
	for i := range b {
		if lower(b[i]) != lower(name[i]) {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func isHex(r rune) bool {
	return '0' <= r && r <= '9' || 'a' <= r && r <= 'f' || 'A' <= r && r <= 'F'
}

// isTokenByte reports whether c may be in a field name: tchar of RFC 9110, section 5.6.2.
func isTokenByte(c byte) bool {
	switch {
	case isDigit(c), 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z':
		return true
	default:
		return bytes.IndexByte([]byte("!#$%&'*+-.^_`|~"), c) >= 0
	}
}
