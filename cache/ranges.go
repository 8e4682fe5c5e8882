package cache

import (
	"cmp"
	"math"
	"slices"
	"strings"
)

// Span is the bytes from Start up to End of a body, without the byte at End.
type Span struct{ Start, End int64 }

// Len returns the number of bytes.
func (s Span) Len() int64 { return s.End - s.Start }

// RangeResult says what to do with a Range.
type RangeResult uint8

// The results.
const (
	Whole         RangeResult = iota // ignore the field: 200
	Partial                          // 206 with the spans
	Unsatisfiable                    // 416
)

// maxRanges is how many ranges are taken seriously. RFC 9110, section 14.2 lets a server ignore a Range that asks for many
// small ones.
const maxRanges = 16

// ParseRange reads a Range for a body of size bytes (RFC 9110, section 14). Spans are not empty, lie within the body and do
// not overlap, so that no answer is longer than the body. They come in the order asked for, as section 15.3.7.2 wants,
// unless some overlapped and were coalesced.
//
// Ignored, and so Whole: a unit other than bytes, a syntax error anywhere, more than 16 ranges, a suffix of an empty body (it
// is satisfiable, but no Content-Range can say so). Only GET has ranges; that is for the caller to know.
func ParseRange(value string, size int64) ([]Span, RangeResult) {
	unit, set, ok := strings.Cut(trimOWS(value), "=")
	if !ok || !sameToken(unit, "bytes") || size < 0 {
		return nil, Whole
	}
	var spans []Span
	count := 0
	for spec, rest := cutMember(set); spec != ""; spec, rest = cutMember(rest) {
		span, ok := parseRangeSpec(spec, size)
		if count++; !ok || count > maxRanges {
			return nil, Whole
		}
		if span.Len() > 0 {
			spans = append(spans, span)
		}
	}
	switch {
	case count == 0:
		return nil, Whole
	case len(spans) == 0:
		return nil, Unsatisfiable
	}
	return coalesce(spans), Partial
}

// parseRangeSpec reads "first-last", "first-" or "-suffix" (section 14.1.2). The span is empty when no byte of the body is in
// the range; !ok means that the range, and with it the field, is to be ignored.
func parseRangeSpec(spec string, size int64) (Span, bool) {
	first, last, ok := strings.Cut(spec, "-")
	if !ok {
		return Span{}, false
	}
	if first == "" {
		suffix, ok := parsePosition(last)
		return Span{max(0, size-suffix), size}, ok && (size > 0 || suffix == 0)
	}
	start, ok := parsePosition(first)
	if !ok {
		return Span{}, false
	}
	end := int64(math.MaxInt64)
	if last != "" {
		// Section 14.1.1: a range whose last position is before its first is invalid.
		if end, ok = parsePosition(last); !ok || end < start {
			return Span{}, false
		}
	}
	if start >= size {
		return Span{}, true
	}
	return Span{start, min(end, size-1) + 1}, true
}

// parsePosition reads 1*DIGIT. What is too great for an int64 lies beyond the end of any body, as MaxInt64 does.
func parsePosition(s string) (int64, bool) {
	n := int64(0)
	for i := range len(s) {
		digit := int64(s[i]) - '0'
		if digit < 0 || digit > 9 {
			return 0, false
		}
		if n > (math.MaxInt64-digit)/10 {
			n = math.MaxInt64
		} else {
			n = n*10 + digit
		}
	}
	return n, s != ""
}

// coalesce joins spans that overlap, and then sorts them; spans that do not are left alone. Section 14.2: overlapping ranges
// are a way to have a server send many times what it holds.
func coalesce(spans []Span) []Span {
	sorted := slices.SortedFunc(slices.Values(spans), func(a, b Span) int { return cmp.Compare(a.Start, b.Start) })
	joined := sorted[:1]
	for _, next := range sorted[1:] {
		if last := &joined[len(joined)-1]; next.Start < last.End {
			last.End = max(last.End, next.End)
		} else {
			joined = append(joined, next)
		}
	}
	if len(joined) == len(spans) {
		return spans
	}
	return joined
}
