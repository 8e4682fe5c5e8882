package cache

import (
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// requestWith returns the Query of a request for http://example.com/ with these field lines ("Name: value").
func requestWith(method string, lines ...string) *Query {
	q, h := NewQuery(), http.Header{}
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ":")
		h.Add(name, strings.TrimSpace(value))
		q.ReduceField(name, strings.TrimSpace(value))
	}
	q.Method, q.Host, q.Path, q.Fields = method, "example.com", "/", HeaderFields(h)
	return &q
}

func TestRequestControl(t *testing.T) {
	type control = RequestControl
	for _, c := range []struct {
		rule  string
		lines []string
		want  control
	}{
		{"no line, no directive", nil, noControl},
		{"RFC 9111, 5.2.1.1: max-age=5", []string{"Cache-Control: max-age=5"}, control{MaxAge: 5, MinFresh: -1, MaxStale: -1}},
		{"5.2.1.2: max-stale without an argument accepts any age", []string{"Cache-Control: max-stale"},
			control{MaxAge: -1, MinFresh: -1, MaxStale: math.MaxInt64}},
		{"5.2.1.2: max-stale=10", []string{"Cache-Control: max-stale=10"}, control{MaxAge: -1, MinFresh: -1, MaxStale: 10}},
		{"5.2.1.3: min-fresh=600", []string{"Cache-Control: min-fresh=600"}, control{MaxAge: -1, MinFresh: 600, MaxStale: -1}},
		{"5.2.1.4: no-cache", []string{"Cache-Control: no-cache"}, control{NoCache: true, MaxAge: -1, MinFresh: -1, MaxStale: -1}},
		{"5.2.1.5: no-store", []string{"Cache-Control: no-store"}, control{NoStore: true, MaxAge: -1, MinFresh: -1, MaxStale: -1}},
		{"5.2.1.6: no-transform", []string{"Cache-Control: no-transform"}, control{NoTransform: true, MaxAge: -1, MinFresh: -1, MaxStale: -1}},
		{"5.2.1.7: only-if-cached", []string{"Cache-Control: only-if-cached"},
			control{OnlyIfCached: true, MaxAge: -1, MinFresh: -1, MaxStale: -1}},
		{"5.2: names are case-insensitive", []string{"Cache-Control: No-Store"},
			control{NoStore: true, MaxAge: -1, MinFresh: -1, MaxStale: -1}},
		{"5.2: an argument may be quoted", []string{`Cache-Control: max-age="5"`}, control{MaxAge: 5, MinFresh: -1, MaxStale: -1}},
		{"5.2.3: unknown directives are ignored", []string{`Cache-Control: foo="no-store, no-cache", max-age=1`},
			control{MaxAge: 1, MinFresh: -1, MaxStale: -1}},
		{"1.2.2: too great a number is 2^31", []string{"Cache-Control: max-age=99999999999999999999"},
			control{MaxAge: 1 << 31, MinFresh: -1, MaxStale: -1}},
		{"several lines add up", []string{"Cache-Control: max-age=5", "cache-control: no-store"},
			control{NoStore: true, MaxAge: 5, MinFresh: -1, MaxStale: -1}},
		{"a malformed directive fails alone", []string{"Cache-Control: max-age=x, max-age=, max-age, max-stale=y, min-fresh=-1, no-cache"},
			control{NoCache: true, MaxAge: -1, MinFresh: -1, MaxStale: -1}},
		{"a quote that never closes fails alone", []string{`Cache-Control: foo="bar, no-store`},
			control{NoStore: true, MaxAge: -1, MinFresh: -1, MaxStale: -1}},
		{"a quote that never closes leaves one before it alone", []string{`Cache-Control: a="b,no-cache," c="d, no-store`},
			control{NoStore: true, MaxAge: -1, MinFresh: -1, MaxStale: -1}},
		{"the most demanding of several holds",
			[]string{"Cache-Control: max-age=9, max-age=3, max-stale, max-stale=4, min-fresh=2, min-fresh=1"},
			control{MaxAge: 3, MinFresh: 2, MaxStale: 4}},
		{"5.4: Pragma where there is no Cache-Control", []string{"Pragma: x, No-Cache"},
			control{NoCache: true, MaxAge: -1, MinFresh: -1, MaxStale: -1}},
		{"5.4: Pragma before Cache-Control is ignored", []string{"Pragma: no-cache", "Cache-Control: max-age=1"},
			control{MaxAge: 1, MinFresh: -1, MaxStale: -1}},
		{"5.4: Pragma behind Cache-Control is ignored", []string{"Cache-Control: max-age=1", "Pragma: no-cache"},
			control{MaxAge: 1, MinFresh: -1, MaxStale: -1}},
		{"an empty Cache-Control is one", []string{"Pragma: no-cache", "Cache-Control:"}, noControl},
	} {
		if got := requestWith("GET", c.lines...).Control; got != c.want {
			t.Errorf("%s: %q: got %+v, want %+v", c.rule, c.lines, got, c.want)
		}
	}
}

func TestPresence(t *testing.T) {
	for name, want := range map[string]FieldSet{
		"authorization": HasAuthorization, "COOKIE": HasCookie, "Range": HasRange, "If-range": HasIfRange,
		"if-match": HasIfMatch, "If-None-Match": HasIfNoneMatch, "IF-MODIFIED-SINCE": HasIfModifiedSince,
		"if-unmodified-since": HasIfUnmodifiedSince, "upgrade": HasUpgrade, "Expect": HasExpect,
		"accept-encoding": HasAcceptEncoding, "cache-control": HasCacheControl,
		"Accept": 0, "Cookies": 0, "Coo\u212aie": 0, "": 0,
	} {
		q := NewQuery()
		if q.ReduceField(name, "x"); q.Present != want {
			t.Errorf("%q: present = %b, want %b", name, q.Present, want)
		}
	}
}

var hotLines = [][2]string{
	{"Host", "example.com"}, {"user-agent", "Mozilla/5.0"}, {"accept", "text/html,*/*;q=0.8"},
	{"accept-encoding", "gzip, deflate, br;q=0.9, zstd"}, {"Cache-Control", `max-age="0", no-cache, foo="a,b"`},
	{"Pragma", "no-cache"}, {"Cookie", "a=1; b=2"}, {"If-None-Match", `"a", W/"b"`}, {"Range", "bytes=0-1"},
}

func TestReduceFieldAllocatesNothing(t *testing.T) {
	var q Query
	allocs := testing.AllocsPerRun(100, func() {
		q = NewQuery()
		for _, line := range hotLines {
			q.ReduceField(line[0], line[1])
		}
	})
	if allocs != 0 {
		t.Errorf("%v allocations for each request, want 0", allocs)
	}
	if q.Coding != Brotli|Gzip|Zstd || !q.Control.NoCache {
		t.Errorf("coding %b, control %+v: the lines were not read", q.Coding, q.Control)
	}
}

// Lines may come in any order: every permutation of a request's lines reduces to the same Query.
func FuzzReduceField(f *testing.F) {
	f.Add("no-cache, max-age=5", "gzip;q=0, *", "max-age=3", "gzip", "no-cache")
	f.Add(`max-stale, foo="`, "identity;q=0", `", min-fresh=99999999999`, "br;q=2", "x")
	f.Fuzz(func(t *testing.T, control1, coding1, control2, coding2, pragma string) {
		lines := [][2]string{
			{"Cache-Control", control1}, {"accept-encoding", coding1}, {"CACHE-CONTROL", control2},
			{"Accept-Encoding", coding2}, {"pragma", pragma},
		}
		forwards, backwards := NewQuery(), NewQuery()
		for _, line := range lines {
			forwards.ReduceField(line[0], line[1])
		}
		slices.Reverse(lines)
		for _, line := range lines {
			backwards.ReduceField(line[0], line[1])
		}
		if a, b := fmt.Sprintf("%+v", forwards), fmt.Sprintf("%+v", backwards); a != b {
			t.Errorf("%q: %s, in reverse %s", lines, a, b)
		}
		for _, seconds := range []int64{forwards.Control.MaxAge, forwards.Control.MinFresh} {
			if seconds < -1 || seconds > 1<<31 {
				t.Errorf("%q: %+v: a number of seconds is out of range", lines, forwards.Control)
			}
		}
	})
}
