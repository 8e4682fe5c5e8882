package origin

import (
	"bytes"
	"strings"
)

// Limits of what an upstream may send besides bodies.
const (
	maxHead      = 256 << 10 // all heads of one answer together, interim ones too
	maxTrailer   = 16 << 10
	maxChunkLine = 4 << 10
	maxInterim   = 8 // 1xx responses before the final one
)

// follower reads along with the answers on an HTTP/1 connection and knows at every byte where in the framing it is
// (RFC 9112, sections 4 to 7). It keeps no body, and of a head only the line that has not ended yet.
//
// It refuses whatever two readers might frame differently. net/http is more lenient: it takes bare LF, folds, Content-Length
// beside Transfer-Encoding and repeated equal lengths, and ends a body cleanly though more bytes follow.
type follower struct {
	state     state
	line      []byte // beginning of the current line, when it did not come whole
	lineLimit int    // bytes that the current section may still take
	left      int64  // bytes to come of the body or the chunk

	// Of the exchange.
	isHead    bool // the method is HEAD
	isUpgrade bool // 101 may come
	interim   int  // 1xx responses so far

	head   responseHead // that is being read
	last   responseHead // that was read whole
	hinted []string     // connection of the interim heads
	bare   bool         // the last answer was whole with its head, because of its status or the method
}

// state is what the follower expects next.
type state int

const (
	idle state = iota // nothing: no request is in flight
	statusLine
	fieldLine
	counted // the rest of a body with a Content-Length
	chunkSize
	chunkData
	chunkEnd // the CRLF after a chunk's data
	trailerLine
	untilClose // a body that ends with the connection
	tunnel     // another protocol, after 101
)

// begin expects an answer to a request.
func (f *follower) begin(method string, upgrade bool) {
	f.isHead, f.isUpgrade, f.interim, f.bare = method == "HEAD", upgrade, 0, false
	f.state, f.lineLimit = statusLine, maxHead
	f.head, f.last, f.hinted = responseHead{}, responseHead{}, nil
}

// started reports whether some of the answer, but not all, has come.
func (f *follower) started() bool {
	return f.state != idle && (f.state != statusLine || len(f.line) > 0 || f.interim > 0)
}

// follow reads along with b and returns how many of its bytes belong to answers that keep the rules.
func (f *follower) follow(b []byte) (n int, failure *Failure) {
	for n < len(b) && failure == nil {
		var used int
		used, failure = f.step(b[n:])
		n += used
	}
	return n, failure
}

// step takes as much of b as one state does; b is not empty.
func (f *follower) step(b []byte) (used int, failure *Failure) {
	switch f.state {
	case idle:
		return 0, fault(typeProtocol, "bytes after the end of the response")
	case untilClose, tunnel:
		return len(b), nil
	case counted, chunkData:
		used = int(min(f.left, int64(len(b))))
		if f.left -= int64(used); f.left == 0 {
			f.bodyEnd()
		}
		return used, nil
	}
	line, used, failure := f.takeLine(b)
	if failure != nil || line == nil {
		return used, failure
	}
	f.line = f.line[:0]
	return used, f.takeState(line)
}

// takeState handles a whole line, without its CRLF.
func (f *follower) takeState(line []byte) *Failure {
	switch f.state {
	case statusLine:
		f.state = fieldLine
		return f.head.status(line)
	case fieldLine:
		if len(line) == 0 {
			return f.headEnd()
		}
		return f.head.field(line)
	case chunkSize:
		return f.chunk(line)
	case chunkEnd:
		if len(line) != 0 {
			return fault(typeTransferCoding, "chunk longer than its size")
		}
		f.expect(chunkSize, maxChunkLine)
	case trailerLine:
		if len(line) != 0 {
			return checkTrailer(line)
		}
		f.done()
	}
	return nil
}

func (f *follower) expect(s state, limit int) { f.state, f.lineLimit = s, limit }

func (f *follower) done() {
	f.state = idle
	f.line = nil // a kept connection keeps no head
}

func (f *follower) bodyEnd() {
	if f.state == chunkData {
		f.expect(chunkEnd, len("\r\n"))
		return
	}
	f.done()
}

// takeLine returns the line that ends in b, nil when none does, and how many bytes of b it took. It is never nil for an empty
// line, and valid until the next call.
func (f *follower) takeLine(b []byte) (line []byte, used int, failure *Failure) {
	end := bytes.IndexByte(b, '\n')
	used = end + 1
	if end < 0 {
		used = len(b)
	}
	if f.lineLimit -= used; f.lineLimit < 0 {
		return nil, used, f.tooLong()
	}
	if len(f.line) > 0 || end < 0 {
		f.line = append(f.line, b[:used]...)
		b, end = f.line, len(f.line)-1
	}
	if f.state == statusLine && !mayBeHTTP(b) { // do not wait for the end of a line of something else
		return nil, used, fault(typeProtocol, "not an HTTP/1 response")
	}
	if b[end] != '\n' {
		return nil, used, nil
	}
	line, ok := bytes.CutSuffix(b[:end], []byte("\r"))
	if !ok {
		return nil, used, fault(typeProtocol, "bare LF")
	}
	return line, used, checkBytes(line)
}

func mayBeHTTP(line []byte) bool {
	const version = "HTTP/1."
	return strings.HasPrefix(version, string(line[:min(len(line), len(version))]))
}

func (f *follower) tooLong() *Failure {
	switch f.state {
	case chunkSize:
		return fault(typeTransferCoding, "chunk extensions too long")
	case chunkEnd:
		return fault(typeTransferCoding, "chunk longer than its size")
	case trailerLine:
		return fault(typeTrailerSectionSize, "trailers too long")
	default:
		return fault(typeHeaderSectionSize, "head too long")
	}
}

// headEnd says what follows a head (RFC 9112, section 6.3).
func (f *follower) headEnd() *Failure {
	h := f.head
	if failure := h.checkFraming(); failure != nil {
		return failure
	}
	f.head, f.last = responseHead{}, h
	switch {
	case h.code == 101 && !f.isUpgrade:
		return fault(typeProtocol, "101 to a request without Upgrade")
	case h.code == 101:
		f.state = tunnel
	case h.code < 200:
		f.state = statusLine
		f.hinted = append(f.hinted, h.connection...)
		if f.interim++; f.interim > maxInterim {
			return tooManyInterim()
		}
	case f.isHead, h.code == 204, h.code == 304:
		f.bare = true
		f.done()
	case h.chunked:
		f.expect(chunkSize, maxChunkLine)
	case h.hasLength && h.length == 0:
		f.done()
	case h.hasLength:
		f.state, f.left = counted, h.length
	default:
		f.state = untilClose
	}
	return nil
}

func tooManyInterim() *Failure { return fault(typeProtocol, "too many interim responses") }

// chunk takes a chunk-size line (RFC 9112, section 7.1).
func (f *follower) chunk(line []byte) *Failure {
	size, failure := parseChunkSize(line)
	switch {
	case failure != nil:
		return failure
	case size == 0:
		f.expect(trailerLine, maxTrailer)
	default:
		f.state, f.left = chunkData, size
	}
	return nil
}
