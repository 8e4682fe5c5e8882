package cache

import (
	"fmt"
	"net/http"
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
		{"257 bytes", http.Header{"Cache-Tag": {strings.Repeat("x", 257) + ",a"}}, []string{"a"}},
	} {
		if diff := cmp.Diff(c.want, tags(c.header), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s (-want +got)\n%s", c.sentence, diff)
		}
	}
}

func TestTagsAreBounded(t *testing.T) {
	var many []string
	for i := range 2 * maxTags {
		many = append(many, fmt.Sprintf("t%d", i))
	}
	if got := len(tags(http.Header{"Cache-Tag": {strings.Join(many, ",")}})); got != maxTags {
		t.Errorf("of %d tags %d are kept, want %d", len(many), got, maxTags)
	}
}
