package cache

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestTags(t *testing.T) {
	for _, c := range []struct {
		sentence string
		header   http.Header
		want     []string
	}{
		{"none", http.Header{}, nil},
		{"Cache-Tag, by commas or spaces", http.Header{"Cache-Tag": {"b,a, c  d"}}, []string{"a", "b", "c", "d"}},
		{"Surrogate-Key, by spaces alone", http.Header{"Surrogate-Key": {"b a,c"}}, []string{"a,c", "b"}},
		{"xkey", http.Header{"Xkey": {"b a", "c"}}, []string{"a", "b", "c"}},
		{"all fields together, each tag once", http.Header{"Cache-Tag": {"a"}, "Surrogate-Key": {"a b"}, "Xkey": {"b"}}, []string{"a", "b"}},
		// RFC 9875, section 2.
		{"Cache-Groups is a List of Strings", http.Header{"Cache-Groups": {`"b", "a c"`}}, []string{"a c", "b"}},
		{"case-sensitive", http.Header{"Cache-Groups": {`"b", "B"`}}, []string{"B", "b"}},
		{"parameters are ignored", http.Header{"Cache-Groups": {`"b";x=1`}}, []string{"b"}},
		{"members of other types are ignored", http.Header{"Cache-Groups": {`"b", c, 1, ("d")`}}, []string{"b"}},
		{"an invalid List is ignored", http.Header{"Cache-Groups": {`"b", "c`}}, nil},
		// The bounds.
		{"256 bytes", http.Header{"Cache-Tag": {strings.Repeat("x", 256)}}, []string{strings.Repeat("x", 256)}},
	} {
		got, ok := responseTags(askedWith(), routePolicy(), c.header)
		if !ok {
			t.Errorf("%s: refused", c.sentence)
		}
		if diff := cmp.Diff(c.want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s (-want +got)\n%s", c.sentence, diff)
		}
	}
}

// A response whose tags are not all kept would survive a purge by the others, so it is not stored.
func TestTagsBeyondTheBoundsAreRefused(t *testing.T) {
	repeated := func(tag func(int) string, n int) string {
		var all strings.Builder
		for i := range n {
			all.WriteString(tag(i) + ",")
		}
		return all.String()
	}
	distinct := func(i int) string { return fmt.Sprint(i) }
	for _, c := range []struct {
		sentence string
		header   http.Header
		want     bool
	}{
		{"1000 tags", http.Header{"Cache-Tag": {repeated(distinct, 1000)}}, true},
		{"1001 tags", http.Header{"Cache-Tag": {repeated(distinct, 1001)}}, false},
		{"1001 tags in two fields", http.Header{"Cache-Tag": {repeated(distinct, 600)}, "Xkey": {repeated(distinct, 1001)}}, false},
		{"one tag 2000 times", http.Header{"Cache-Tag": {repeated(func(int) string { return "a" }, 2000)}}, true},
		{"100000 tags", http.Header{"Cache-Tag": {repeated(distinct, 100_000)}}, false},
		{"100000 groups", http.Header{"Cache-Groups": {repeated(func(i int) string { return fmt.Sprintf(`"%d"`, i) }, 100_000)}}, false},
		{"a tag of 257 bytes", http.Header{"Cache-Tag": {"a", strings.Repeat("x", 257)}}, false},
		{"a field of 1 MiB", http.Header{"Surrogate-Key": {strings.Repeat("a ", 512<<10)}}, false},
		{"a field of 1 MiB that is not read", http.Header{"Edge-Cache-Tag": {strings.Repeat("a ", 512<<10)}}, true},
	} {
		r := answered(200, "Cache-Control: max-age=60")
		maps.Copy(r.Header, c.header)
		got := Admit(askedWith(), routePolicy(), r)
		if got.Store != c.want || !c.want && (got.Reason != NotStoredTags || !got.HitForMiss) {
			t.Errorf("%s: stored = %t, want %t (%s)", c.sentence, got.Store, c.want, got.Reason)
		}
	}
}

func TestTagFieldsAreConfigurable(t *testing.T) {
	header := http.Header{"Cache-Tag": {"a"}, "Surrogate-Key": {"b"}, "Edge-Cache-Tag": {"c,d"}, "Cache-Groups": {`"e"`}}
	got, _ := responseTags(askedWith(), routePolicy(func(p *Policy) { p.Tags = []string{"edge-cache-tag", "surrogate-key"} }), header)
	if diff := cmp.Diff([]string{"b", "c", "d"}, got); diff != "" {
		t.Error(diff)
	}
	if got, _ := responseTags(askedWith(), routePolicy(func(p *Policy) { p.Tags = nil }), header); got != nil {
		t.Errorf("no fields at all: %q", got)
	}
}

func withGroups(p *Policy) { p.Groups = true }

// RFC 9875, section 2.1: a group is shared within one origin.
func TestGroupsBelongToAnOrigin(t *testing.T) {
	q := askedWith()
	stored := Admit(q, routePolicy(withGroups), answered(200, "Cache-Control: max-age=60", `Cache-Groups: "x", "y z"`)).Meta.Tags
	want := []string{"http://example.com x", "http://example.com y z", "x", "y z"}
	if diff := cmp.Diff(want, stored); diff != "" {
		t.Errorf("tags of a response (-want +got)\n%s", diff)
	}
	for _, other := range []func(*Query){
		func(q *Query) { q.Secure = true },
		func(q *Query) { q.Host = "www.example.com" },
		func(q *Query) { q.Host = "example.com:8080" },
	} {
		q := askedWith(other)
		q.Method = "POST"
		for _, tag := range InvalidatedGroups(q, answered(200, `Cache-Group-Invalidation: "x"`), routePolicy(withGroups)) {
			if slices.Contains(stored, tag) {
				t.Errorf("%s://%s invalidates %q of another origin", q.scheme(), q.Host, tag)
			}
		}
	}
}

// RFC 9875, section 3.
func TestInvalidatedGroups(t *testing.T) {
	for _, c := range []struct {
		sentence, method string
		status           int
		field            string
		want             []string
	}{
		{"a successful unsafe method", "POST", 200, `"x"`, []string{"http://example.com x"}},
		{"a redirect", "POST", 303, `"x", "y"`, []string{"http://example.com x", "http://example.com y"}},
		{"a method that is unknown, and so possibly unsafe", "FROB", 200, `"x"`, []string{"http://example.com x"}},
		{"a safe method: ignored", "GET", 200, `"x"`, nil},
		{"an error", "POST", 500, `"x"`, nil},
		{"an invalid List", "POST", 200, `"x`, nil},
		{"a token is no String", "POST", 200, `x`, nil},
		{"too long to be read", "POST", 200, strings.Repeat(`"x",`, maxTagFieldBytes/4) + `"y"`, nil},
	} {
		q := askedWith()
		q.Method = c.method
		got := InvalidatedGroups(q, answered(c.status, "Cache-Group-Invalidation: "+c.field), routePolicy(withGroups))
		if diff := cmp.Diff(c.want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s (-want +got)\n%s", c.sentence, diff)
		}
	}
	q := askedWith()
	q.Method = "POST"
	if got := InvalidatedGroups(q, answered(200, `Cache-Group-Invalidation: "x"`), routePolicy()); got != nil {
		t.Errorf("where the site does not allow it: %q", got)
	}
}

// Whatever an origin sends: bounded, sorted, each once.
func FuzzTags(f *testing.F) {
	f.Add("a, b  c", "a,b c", `"x", "y";p=1`)
	f.Add(",,,", "\t", `"x`)
	f.Add(strings.Repeat("a,", 2000), "", "")
	f.Fuzz(func(t *testing.T, tag, key, groups string) {
		h := http.Header{"Cache-Tag": {tag}, "Surrogate-Key": {key}, "Cache-Groups": {groups}}
		got, ok := responseTags(askedWith(), routePolicy(withGroups), h)
		if !ok {
			return
		}
		if len(got) > maxTags || !slices.IsSorted(got) || len(slices.Compact(slices.Clone(got))) != len(got) {
			t.Errorf("%d tags: %q", len(got), got)
		}
		for _, tag := range got {
			if tag == "" || len(tag) > MaxTagBytes {
				t.Errorf("a tag of %d bytes", len(tag))
			}
		}
	})
}
