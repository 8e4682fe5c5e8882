package lane

import (
	"bytes"
	"errors"
	"math/bits"
)

// ErrMalformedBody is what reading a request body yields when its chunks or trailers are malformed. The request's context
// is cancelled by then; the handler answers 400, and the connection is closed after the answer.
var ErrMalformedBody = errors.New("malformed chunked body")

// Bounds of a chunked body, within those of net/http: what is accepted here must not be refused there.
const (
	maxChunk      = 1 << 60 // of one chunk; beyond is an attempt at overflow
	maxChunkLine  = 1 << 10 // size, extensions and line end
	maxExtensions = 8 << 10 // all extensions of a body (RFC 9112, section 7.1.1: ought to limit)
	maxTrailers   = 4 << 10 // the whole trailer section
)

// chunks follows a chunked body (RFC 9112, section 7.1) to its end and never decodes it. It withholds a line until it is
// whole, and the last chunk until the trailer section is whole and checked: net/http then meets a malformed one as an error
// of the reader, not as something it would interpret.
type chunks struct {
	state      chunkState
	left       int64 // bytes of the current chunk's data
	extensions int   // bytes seen in the body
	last       int   // length of the last chunk's line
	trailers   lines
	err        error // a fault stays one: it may be found while bytes before it are still to be taken
}

type chunkState uint8

const (
	chunkSize chunkState = iota
	chunkData
	chunkEnd // CRLF after the data
	chunkTrailers
)

// follow looks at buf, the bytes not yet released, and returns how many of them may be handed up and whether the message
// ends there. The caller takes them before it calls again.
func (c *chunks) follow(buf []byte) (ready int, end bool, err error) {
	for c.err == nil {
		n, inTrailers := 0, c.state == chunkTrailers
		n, c.err = c.step(buf[ready:])
		ready += n
		if inTrailers {
			return ready, n > 0, c.err
		}
		if n == 0 && c.state != chunkTrailers {
			break
		}
	}
	return ready, false, c.err
}

// step returns the length of what comes next if it is whole, of data whatever there is.
func (c *chunks) step(buf []byte) (n int, err error) {
	switch c.state {
	case chunkSize:
		return c.size(buf)
	case chunkEnd:
		return c.dataEnd(buf)
	case chunkTrailers:
		return c.trailer(buf)
	}
	n = int(min(c.left, int64(len(buf))))
	if c.left -= int64(n); c.left == 0 {
		c.state = chunkEnd
	}
	return n, nil
}

// size reads a chunk's line if it is whole, and judges what there is of it if it is not.
func (c *chunks) size(buf []byte) (n int, err error) {
	size, digits := uint64(0), 0
	for digits < len(buf) && isHex(buf[digits]) {
		size = size<<4 | hexValue(buf[digits])
		digits++
	}
	if digits > 16 || digits == 0 && len(buf) > 0 || bits.Len64(size) > bits.Len64(maxChunk-1) {
		return 0, ErrMalformedBody
	}
	n, err = c.extension(buf[digits:])
	if n == 0 || err != nil {
		return 0, err
	}
	c.left, c.state = int64(size), chunkData
	if size == 0 {
		c.last, c.state, c.trailers = digits+n, chunkTrailers, lines{fold: true}
		return 0, nil
	}
	return digits + n, nil
}

// extension checks what follows the size: nothing or ";" and text, then CRLF. Whitespace before the ";" and before the line
// end is refused: some parsers take it for part of the number.
func (c *chunks) extension(buf []byte) (n int, err error) {
	if len(buf) > 0 && buf[0] != ';' && buf[0] != '\r' {
		return 0, ErrMalformedBody
	}
	cr := bytes.IndexByte(buf, '\r')
	text := buf
	if cr >= 0 {
		text = buf[:cr]
	}
	for _, b := range text {
		if b < ' ' && b != '\t' || b >= 0x7f {
			return 0, ErrMalformedBody
		}
	}
	if len(buf) > maxChunkLine && cr < 0 || len(text) > maxChunkLine || c.extensions+len(text) > maxExtensions {
		return 0, ErrMalformedBody
	}
	if cr < 0 || cr+1 == len(buf) {
		return 0, nil
	}
	if buf[cr+1] != '\n' || cr > 0 && isBlank(buf[cr-1]) {
		return 0, ErrMalformedBody
	}
	c.extensions += len(text)
	return cr + 2, nil
}

func (c *chunks) dataEnd(buf []byte) (n int, err error) {
	if len(buf) > 0 && buf[0] != '\r' || len(buf) > 1 && buf[1] != '\n' {
		return 0, ErrMalformedBody
	}
	if len(buf) < 2 {
		return 0, nil
	}
	c.state = chunkSize
	return 2, nil
}

// trailer returns the length of the last chunk with its trailer section, once it is whole.
func (c *chunks) trailer(buf []byte) (n int, err error) {
	section := buf[c.last:]
	for {
		line, ok, f := c.trailers.scan(section[:min(len(section), maxTrailers)])
		switch {
		case f != nil:
			return 0, ErrMalformedBody
		case !ok && c.trailers.next >= maxTrailers:
			return 0, ErrMalformedBody
		case !ok:
			return 0, nil
		case len(line) == 0:
			return c.last + c.trailers.next, nil
		}
		if name, _, f := field(line); f != nil || forbiddenTrailer(name.of(line)) {
			return 0, ErrMalformedBody
		}
	}
}

// forbiddenTrailer reports whether a field may not come after the body: framing, routing, authentication, conditions and
// content format (RFC 9110, section 6.5.1). A recipient that merged it would act on what nobody has checked.
func forbiddenTrailer(name []byte) bool {
	lower := string(bytes.ToLower(name))
	return trailersForbidden[lower] || hasAnyPrefix(lower, "if-", "x-forwarded-", "proxy-")
}

var trailersForbidden = map[string]bool{
	"transfer-encoding": true, "content-length": true, "host": true, "trailer": true, "te": true, "connection": true,
	"keep-alive": true, "upgrade": true, "http2-settings": true, "expect": true, "max-forwards": true, "via": true,
	"forwarded": true, "cdn-loop": true, "authorization": true, "www-authenticate": true, "cookie": true,
	"set-cookie": true, "cache-control": true, "pragma": true, "range": true, "content-encoding": true,
	"content-type": true, "content-range": true, "realm": true, "x-real-ip": true,
}

// checkTrailerNames checks a Trailer field: it may not announce what may not come.
func checkTrailerNames(value []byte) *fault {
	for name := range bytes.SplitSeq(value, []byte{','}) {
		if name = bytes.Trim(name, " \t"); len(name) > 0 && (!isToken(name) || forbiddenTrailer(name)) {
			return faultTrailer
		}
	}
	return nil
}

func hasAnyPrefix(s string, prefixes ...string) bool {
	for _, p := range prefixes {
		if len(s) >= len(p) && s[:len(p)] == p {
			return true
		}
	}
	return false
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' }

func hexValue(c byte) uint64 {
	switch {
	case c >= 'a':
		return uint64(c-'a') + 10
	case c >= 'A':
		return uint64(c-'A') + 10
	}
	return uint64(c - '0')
}
