package cache

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
)

func TestParseRange(t *testing.T) {
	many := func(n int) string { return "bytes=" + strings.TrimSuffix(strings.Repeat("0-0,", n), ",") }
	for _, c := range []struct {
		rule, value string
		size        int64
		spans       []Span
		result      RangeResult
	}{
		{"RFC 9110, 14.1.2: the first 500 bytes", "bytes=0-499", 10000, []Span{{0, 500}}, Partial},
		{"14.1.2: the second 500 bytes", "bytes=500-999", 10000, []Span{{500, 1000}}, Partial},
		{"14.1.2: the last 500 bytes", "bytes=-500", 10000, []Span{{9500, 10000}}, Partial},
		{"14.1.2: or 9500-", "bytes=9500-", 10000, []Span{{9500, 10000}}, Partial},
		{"14.1.2: first, middle and last 1000", "bytes= 0-999, 4500-5499, -1000", 10000,
			[]Span{{0, 1000}, {4500, 5500}, {9000, 10000}}, Partial},
		{"14.1.2: a last position beyond the end", "bytes=9990-20000", 10000, []Span{{9990, 10000}}, Partial},
		{"14.1.2: a suffix longer than the body", "bytes=-20000", 10000, []Span{{0, 10000}}, Partial},
		{"14.1.2: first and last byte only", "bytes=0-0,-1", 10000, []Span{{0, 1}, {9999, 10000}}, Partial},
		{"14.1.1: unit names are case-insensitive", "Bytes=0-0", 10, []Span{{0, 1}}, Partial},
		{"5.6.1.2: empty members", "bytes=,0-0,,2-2,", 10, []Span{{0, 1}, {2, 3}}, Partial},
		{"15.3.7.2: in the order asked for", "bytes=5-6,0-1", 10, []Span{{5, 7}, {0, 2}}, Partial},
		{"next to each other is not overlapping", "bytes=0-1,2-3", 10, []Span{{0, 2}, {2, 4}}, Partial},
		{"14.2: overlapping ranges are coalesced", "bytes=4-6,0-5", 10, []Span{{0, 7}}, Partial},
		{"14.2: one inside the other", "bytes=0-9,2-3,20-21", 30, []Span{{0, 10}, {20, 22}}, Partial},
		{"14.2: the same range again", "bytes=0-,0-,0-", 10, []Span{{0, 10}}, Partial},
		{"15.5.17: those beyond the end are left out", "bytes=0-0,100-", 10, []Span{{0, 1}}, Partial},
		{"15.5.17: all beyond the end", "bytes=10-,20-30", 10, nil, Unsatisfiable},
		{"14.1.2: a suffix of no bytes", "bytes=-0", 10, nil, Unsatisfiable},
		{"a range of an empty body", "bytes=0-", 0, nil, Unsatisfiable},
		{"a suffix of an empty body", "bytes=-5", 0, nil, Whole},
		{"16 ranges", many(16), 10, []Span{{0, 1}}, Partial},
		{"17 ranges", many(17), 10, nil, Whole},
		{"positions beyond 64 bits", "bytes=99999999999999999999-", 10, nil, Unsatisfiable},
		{"a last position beyond 64 bits", "bytes=5-99999999999999999999", 10, []Span{{5, 10}}, Partial},
		{"a suffix beyond 64 bits", "bytes=-99999999999999999999", 10, []Span{{0, 10}}, Partial},
		{"the greatest numbers", "bytes=9223372036854775806-9223372036854775807", math.MaxInt64,
			[]Span{{math.MaxInt64 - 1, math.MaxInt64}}, Partial},
		{"14.2: another unit is ignored", "lines=0-1", 10, nil, Whole},
		{"14.1.1: a last position before the first", "bytes=5-4", 10, nil, Whole},
		{"14.1.1: one bad range spoils the others", "bytes=0-1,5-4", 10, nil, Whole},
		{"no range", "bytes=", 10, nil, Whole},
		{"only commas", "bytes=,,", 10, nil, Whole},
		{"no unit", "0-1", 10, nil, Whole},
		{"a dash alone", "bytes=-", 10, nil, Whole},
		{"no dash", "bytes=5", 10, nil, Whole},
		{"three positions", "bytes=1-2-3", 10, nil, Whole},
		{"signs", "bytes=+1-2", 10, nil, Whole},
		{"letters", "bytes=a-b", 10, nil, Whole},
		{"spaces around the equals sign", "bytes = 0-1", 10, nil, Whole},
		{"spaces around the dash", "bytes=0 - 1", 10, nil, Whole},
		{"two fields joined", "bytes=0-1, bytes=2-3", 10, nil, Whole},
		{"an unknown length", "bytes=0-1", -1, nil, Whole},
		{"empty", "", 10, nil, Whole},
	} {
		spans, result := ParseRange(c.value, c.size)
		if !slices.Equal(spans, c.spans) || result != c.result {
			t.Errorf("%s: %q of %d: got %v, %v; want %v, %v", c.rule, c.value, c.size, spans, result, c.spans, c.result)
		}
	}
}

// Whatever is asked: spans lie in the body, are not empty, and together are no longer than it.
func FuzzRange(f *testing.F) {
	f.Add("bytes=0-499, -500, 500-", int64(1000))
	f.Add("bytes=4-6,0-5,2-99999999999999999999", int64(10))
	f.Add("bytes=-0,9223372036854775807-", int64(math.MaxInt64))
	f.Fuzz(func(t *testing.T, value string, size int64) {
		spans, result := ParseRange(value, size)
		if (result == Partial) != (len(spans) > 0) {
			t.Errorf("%q of %d: %v with %v", value, size, result, spans)
		}
		asked, left := "", size
		for _, s := range spans {
			if s.Start < 0 || s.Len() <= 0 || s.End > size || s.Len() > left {
				t.Fatalf("%q of %d: %v in %v", value, size, s, spans)
			}
			left -= s.Len()
			asked += fmt.Sprintf(",%d-%d", s.Start, s.End-1)
		}
		if again, _ := ParseRange("bytes="+asked, size); !slices.Equal(again, spans) {
			t.Errorf("%q of %d: %v, again %v", value, size, spans, again)
		}
	})
}
