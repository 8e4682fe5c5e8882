package lane

import (
	"bytes"
	"encoding/binary"
	"math/bits"
)

// lines splits a section of field lines that arrives piece by piece, and fails at the first byte that cannot stand there:
// RFC 9112, section 2.2 lets a recipient take a bare LF as a line end and a bare CR as a space, and every such leniency is a
// way to make two parsers disagree. It also allows empty lines before a request line; they are a fault too.
type lines struct {
	next  int // first byte not looked at
	begin int // of the line that next is in
	fold  bool
}

// scan goes on in buf, which begins where the section begins, and returns at the end of the next line: without its CRLF,
// and whether there was one.
func (l *lines) scan(buf []byte) (line []byte, ok bool, f *fault) {
	for l.next < len(buf) {
		i := l.next
		if i == l.begin && l.fold && isBlank(buf[i]) {
			l.next++
			return nil, false, faultFold // RFC 9112, section 5.2
		}
		if i > l.begin && buf[i-1] == '\r' {
			l.next++
			if buf[i] != '\n' {
				return nil, false, faultBareCR
			}
			line, l.begin = buf[l.begin:i-1], l.next
			return line, true, nil
		}
		if l.next = nextControl(buf, i); l.next == len(buf) {
			break
		}
		b := buf[l.next]
		l.next++
		switch b {
		case '\t', '\r':
		case '\n':
			return nil, false, faultBareLF
		default:
			return nil, false, faultControl // RFC 9110, section 5.5
		}
	}
	return nil, false, nil
}

// nextControl returns the index of the first control character of ASCII from i on, or the length of buf. It looks at eight
// bytes at once.
func nextControl(buf []byte, i int) int {
	const low, high, space, del = 0x7f7f7f7f7f7f7f7f, 0x8080808080808080, 0x6060606060606060, 0x7f7f7f7f7f7f7f7f
	for ; i+8 <= len(buf); i += 8 {
		word := binary.LittleEndian.Uint64(buf[i:])
		// In each byte the high bit stays 0 only below a space, and in the second only at DEL: nothing carries over.
		text := (word&low + space) & ((word^del)&low + low) & high
		if controls := high &^ (text | word); controls != 0 {
			return i + bits.TrailingZeros64(controls)/8
		}
	}
	for ; i < len(buf); i++ {
		if buf[i] < ' ' || buf[i] == 0x7f {
			return i
		}
	}
	return i
}

// field splits a field line (RFC 9112, section 5.1: no whitespace between name and colon).
func field(line []byte) (name, value span, f *fault) {
	colon := tokenLength(line)
	if colon == 0 || colon == len(line) || line[colon] != ':' {
		if bytes.IndexByte(line, ':') < 0 {
			return name, value, faultFieldLine
		}
		return name, value, faultFieldName
	}
	from, to := colon+1, len(line)
	for from < to && isBlank(line[from]) {
		from++
	}
	for from < to && isBlank(line[to-1]) {
		to--
	}
	return spanOf(0, colon), spanOf(from, to), nil
}

// isToken reports whether b is a token (RFC 9110, section 5.6.2).
func isToken(b []byte) bool {
	return len(b) > 0 && tokenLength(b) == len(b)
}

// tokenLength returns how many bytes from the first on can stand in a token.
func tokenLength(b []byte) int {
	for i, c := range b {
		if !tchar[c] {
			return i
		}
	}
	return len(b)
}

var tchar = byteSet("!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")

func byteSet(chars string) (set [256]bool) {
	for i := range len(chars) {
		set[chars[i]] = true
	}
	return set
}

// named reports whether b is name, which is in lower case.
func named(b []byte, name string) bool {
	if len(b) != len(name) {
		return false
	}
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != name[i] {
			return false
		}
	}
	return true
}
