package lane

import "bytes"

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
		l.next++
		b := buf[i]
		if i > l.begin && buf[i-1] == '\r' {
			if b != '\n' {
				return nil, false, faultBareCR
			}
			line, l.begin = buf[l.begin:i-1], l.next
			return line, true, nil
		}
		if f := l.check(b, i == l.begin); f != nil {
			return nil, false, f
		}
	}
	return nil, false, nil
}

// check judges one byte that does not follow a CR.
func (l *lines) check(b byte, first bool) *fault {
	switch {
	case b == '\n':
		return faultBareLF
	case first && l.fold && (b == ' ' || b == '\t'):
		return faultFold // RFC 9112, section 5.2
	case b < ' ' && b != '\t' && b != '\r', b == 0x7f:
		return faultControl // RFC 9110, section 5.5
	}
	return nil
}

// field splits a field line (RFC 9112, section 5.1: no whitespace between name and colon).
func field(line []byte) (name, value []byte, f *fault) {
	name, value, ok := bytes.Cut(line, []byte{':'})
	if !ok {
		return nil, nil, faultFieldLine
	}
	if !isToken(name) {
		return nil, nil, faultFieldName
	}
	return name, bytes.Trim(value, " \t"), nil
}

// isToken reports whether b is a token (RFC 9110, section 5.6.2).
func isToken(b []byte) bool {
	for _, c := range b {
		if !tchar[c] {
			return false
		}
	}
	return len(b) > 0
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
