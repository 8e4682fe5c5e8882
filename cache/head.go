package cache

import (
	"net/http"
	"slices"
	"strings"
	"unsafe"
)

// Head is a header section, rendered once: one block of "Name: value\r\n" lines in canonical form and their offsets. The
// zero Head is empty. 300,000 stored http.Header maps cost the garbage collector five times as much as as many blocks.
//
// The bytes belong to the Head for good: strings handed out point into them, so nobody may change them.
type Head struct {
	block   []byte
	lines   []line
	touched bool
}

// line holds where a line's name and its value end; the value begins two bytes after its name, the next line two bytes
// after the value.
type line struct{ name, value uint32 }

// RenderHead renders h, names sorted, the values of a name in order, leaving out the names for which skip says so (in
// canonical form; skip may be nil).
func RenderHead(h http.Header, skip func(name string) bool) Head {
	var room [32]string
	names, size, count := room[:0], 0, 0
	for name, values := range h {
		if skip != nil && skip(name) {
			continue
		}
		names = append(names, name)
		for _, v := range values {
			size += len(name) + len(v) + 4
			count++
		}
	}
	slices.Sort(names)
	out := newHead(size, count)
	for _, name := range names {
		for _, v := range h[name] {
			out.append(name, v)
		}
	}
	return out
}

// newHead returns an empty Head with room for so many bytes and lines, in one piece.
func newHead(size, lines int) Head {
	const lineBytes = int(unsafe.Sizeof(line{}))
	room := make([]line, lines+(size+lineBytes-1)/lineBytes+1)
	block := unsafe.Slice((*byte)(unsafe.Pointer(&room[lines])), size)
	return Head{block: block[:0], lines: room[:0:lines]}
}

func (h *Head) append(name, value string) {
	switch name {
	case "Via", "Location", "Content-Location":
		h.touched = true
	}
	h.block = append(append(h.block, name...), ": "...)
	nameEnd := uint32(len(h.block) - 2)
	h.block = append(append(h.block, value...), "\r\n"...)
	h.lines = append(h.lines, line{nameEnd, uint32(len(h.block) - 2)})
}

// Len returns the number of field lines.
func (h Head) Len() int { return len(h.lines) }

// Touched reports whether there is a field that a node on the way writes anew, Via or a reference, so that the Block cannot be
// sent as it is.
func (h Head) Touched() bool { return h.touched }

// Block returns all lines as they stand in an HTTP/1.1 message. Read only.
func (h Head) Block() []byte { return h.block }

// Line returns the i-th line.
func (h Head) Line(i int) (name, value string) {
	start := uint32(0)
	if i > 0 {
		start = h.lines[i-1].value + 2
	}
	l := h.lines[i]
	return view(h.block[start:l.name]), view(h.block[l.name+2 : l.value])
}

// Value returns the i-th value of the named field (canonical form), as Fields does.
func (h Head) Value(name string, i int) (string, bool) {
	for n := range h.lines {
		if got, value := h.Line(n); got == name {
			if i == 0 {
				return value, true
			}
			i--
		}
	}
	return "", false
}

// Get returns the first value of the named field (canonical form), or "".
func (h Head) Get(name string) string {
	v, _ := h.Value(name, 0)
	return v
}

// Header returns the lines as a map, for code that wants one.
func (h Head) Header() http.Header {
	out := make(http.Header, len(h.lines))
	for i := range h.lines {
		name, value := h.Line(i)
		out[name] = append(out[name], value)
	}
	return out
}

// HeaderFields makes an http.Header answer as Fields.
type HeaderFields http.Header

// Value implements Fields.
func (h HeaderFields) Value(name string, i int) (string, bool) {
	if v := h[name]; i < len(v) {
		return v[i], true
	}
	return "", false
}

// list joins all values of a field with commas, as RFC 9110, section 5.3 allows.
func list(f Fields, name string) string {
	first, ok := f.Value(name, 0)
	if !ok {
		return ""
	}
	second, ok := f.Value(name, 1)
	if !ok {
		return first
	}
	all := []string{first, second}
	for i := 2; ; i++ {
		v, ok := f.Value(name, i)
		if !ok {
			return strings.Join(all, ", ")
		}
		all = append(all, v)
	}
}

func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
