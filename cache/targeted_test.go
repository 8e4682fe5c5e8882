package cache

import (
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// targetedAs is as with, for a targeted field.
func targetedAs(set func(*directives)) directives {
	return with(func(d *directives) { d.targeted = true; set(d) })
}

func TestTargetedFields(t *testing.T) {
	fallback := maxAgeOf(1) // of the Cache-Control beside every field here
	for _, c := range []struct {
		sentence string
		lines    []string // of CDN-Cache-Control
		want     directives
	}{
		// RFC 9213, section 2.1.
		{"a Dictionary of directives", []string{"max-age=60, must-revalidate"}, targetedAs(func(d *directives) { d.maxAge, d.mustRevalidate = 60, true })},
		{"several lines are one Dictionary", []string{"max-age=60", "no-cache"}, targetedAs(func(d *directives) { d.maxAge, d.noCache = 60, true })},
		{"the last of two members counts", []string{"max-age=60, max-age=5"}, targetedAs(func(d *directives) { d.maxAge = 5 })},
		{"parameters are ignored", []string{"max-age=60;a=b, no-store;c"}, targetedAs(func(d *directives) { d.maxAge, d.noStore = 60, true })},
		{"unrecognised members are ignored", []string{"foo=1, bar, max-age=60"}, targetedAs(func(d *directives) { d.maxAge = 60 })},
		{"field names as String", []string{`private="Set-Cookie", no-cache="X"`}, targetedAs(func(d *directives) { d.private, d.noCache = true, true })},
		{"a Boolean false", []string{"no-store=?0, max-age=60"}, targetedAs(func(d *directives) { d.maxAge = 60 })},
		{"a Decimal is not consumed", []string{"max-age=60.5, public"}, targetedAs(func(d *directives) { d.public = true })},
		{"a String is not consumed as seconds", []string{`max-age="60", public`}, targetedAs(func(d *directives) { d.public = true })},
		{"a Token is not consumed as seconds", []string{"max-age=a60, public"}, targetedAs(func(d *directives) { d.public = true })},
		{"a Boolean is not consumed as seconds", []string{"max-age, public"}, targetedAs(func(d *directives) { d.public = true })},
		{"an Inner List is not consumed", []string{"no-store=(a b), max-age=60"}, targetedAs(func(d *directives) { d.maxAge = 60 })},
		{"an Integer is not consumed as Boolean", []string{"no-store=1, max-age=60"}, targetedAs(func(d *directives) { d.maxAge = 60 })},
		{"a negative number is not consumed", []string{"max-age=-1, public"}, targetedAs(func(d *directives) { d.public = true })},
		{"a number too large is clamped", []string{"max-age=99999999999"}, targetedAs(func(d *directives) { d.maxAge = 1<<31 - 1 })},
		{"an empty field is ignored", []string{""}, fallback},
		{"a parsing error: letter case", []string{"Max-Age=60"}, fallback},
		{"a parsing error: space around =", []string{"max-age = 60"}, fallback},
		{"a parsing error: trailing comma", []string{"max-age=60,"}, fallback},
		{"a parsing error: sixteen digits", []string{"max-age=9999999999999999"}, fallback},
		{"a parsing error drops good members too", []string{"no-store, max-age=60, ="}, fallback},
		{"absent", nil, fallback},
	} {
		h := http.Header{"Cache-Control": {"max-age=1"}, "Cdn-Cache-Control": c.lines}
		if diff := cmp.Diff(c.want, control(h, nil), cmp.AllowUnexported(directives{})); diff != "" {
			t.Errorf("%s: %q (-want +got)\n%s", c.sentence, c.lines, diff)
		}
	}
}

func TestTargetList(t *testing.T) {
	for _, c := range []struct {
		sentence string
		header   http.Header
		want     directives
	}{
		// RFC 9213, section 2.2.
		{"the first in target-list order", http.Header{"Selvage-Cache-Control": {"max-age=3"}, "Cdn-Cache-Control": {"max-age=2"}},
			targetedAs(func(d *directives) { d.maxAge = 3 })},
		{"the first that is valid", http.Header{"Selvage-Cache-Control": {"="}, "Cdn-Cache-Control": {"max-age=2"}},
			targetedAs(func(d *directives) { d.maxAge = 2 })},
		{"the first that is not empty", http.Header{"Selvage-Cache-Control": {""}, "Cdn-Cache-Control": {"max-age=2"}},
			targetedAs(func(d *directives) { d.maxAge = 2 })},
		{"Cache-Control is ignored whole", http.Header{"Cdn-Cache-Control": {"max-age=2"}, "Cache-Control": {"no-store, s-maxage=9"}},
			targetedAs(func(d *directives) { d.maxAge = 2 })},
		{"even beside members that say nothing here", http.Header{"Cdn-Cache-Control": {"foo"}, "Cache-Control": {"max-age=9"}},
			targetedAs(func(*directives) {})},
		{"fields not on the list change nothing", http.Header{"Other-Cache-Control": {"no-store"}, "Cache-Control": {"max-age=9"}}, maxAgeOf(9)},
	} {
		if diff := cmp.Diff(c.want, control(c.header, nil), cmp.AllowUnexported(directives{})); diff != "" {
			t.Errorf("%s (-want +got)\n%s", c.sentence, diff)
		}
	}
}

func FuzzTargeted(f *testing.F) {
	f.Add("max-age=60, no-cache=\"Set-Cookie\";a, private")
	f.Add("max-age=-5, stale-while-revalidate=1.5")
	f.Fuzz(func(t *testing.T, line string) {
		d, ok := parseTargeted([]string{line})
		if !ok {
			return
		}
		for _, s := range []seconds{d.maxAge, d.sMaxAge, d.whileRevalidate, d.ifError} {
			if s < absent || s.duration() > greatestLifetime {
				t.Errorf("%q has %d seconds", line, s)
			}
		}
		if more, ok := parseTargeted([]string{line, "no-store"}); !ok || !more.noStore {
			t.Errorf("no-store after the valid line %q = %t, %t", line, more.noStore, ok)
		}
	})
}
