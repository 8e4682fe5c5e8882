package cache

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// with returns no directives but those that set sets.
func with(set func(*directives)) directives {
	d := noDirectives()
	set(&d)
	return d
}

func maxAgeOf(s seconds) directives { return with(func(d *directives) { d.maxAge = s }) }

func TestParseDirectives(t *testing.T) {
	for _, c := range []struct {
		sentence string
		lines    []string
		want     directives
	}{
		// RFC 9111, section 5.2.
		{"no field", nil, noDirectives()},
		{"an empty field", []string{""}, noDirectives()},
		{"a token", []string{"no-store"}, with(func(d *directives) { d.noStore = true })},
		{"compared case-insensitively", []string{"NO-Store, Max-AGE=5"}, with(func(d *directives) { d.noStore, d.maxAge = true, 5 })},
		{"several field lines are one list", []string{"public", "max-age=5"}, with(func(d *directives) { d.public, d.maxAge = true, 5 })},
		{"a second line may forbid what the first allowed", []string{"max-age=5", "no-store"}, with(func(d *directives) { d.noStore, d.maxAge = true, 5 })},
		{"an argument as token", []string{"max-age=5"}, maxAgeOf(5)},
		{"recipients ought to accept the quoted form too", []string{`max-age="5"`}, maxAgeOf(5)},
		{"empty list members", []string{", ,max-age=5,,"}, maxAgeOf(5)},
		{"no space is needed", []string{"public,max-age=5"}, with(func(d *directives) { d.public, d.maxAge = true, 5 })},
		{"every directive", []string{"must-revalidate, proxy-revalidate, must-understand, no-cache, no-store, private, public, s-maxage=7, max-age=6"},
			with(func(d *directives) {
				d.mustRevalidate, d.proxyRevalidate, d.mustUnderstand = true, true, true
				d.noCache, d.noStore, d.private, d.public, d.sMaxAge, d.maxAge = true, true, true, true, 7, 6
			})},
		{"RFC 5861 and RFC 8246", []string{"stale-while-revalidate=3, stale-if-error=4, immutable"},
			with(func(d *directives) { d.whileRevalidate, d.ifError, d.immutable = 3, 4, true })},

		// Sections 5.2.2.4 and 5.2.2.7: the qualified forms.
		{"no-cache with field names", []string{`no-cache="Set-Cookie, X"`}, with(func(d *directives) { d.noCache = true })},
		{"no-cache with a token", []string{`no-cache=Set-Cookie, max-age=5`}, with(func(d *directives) { d.noCache, d.maxAge = true, 5 })},
		{"private with field names", []string{`private="Set-Cookie"`}, with(func(d *directives) { d.private = true })},
		{"private with an empty argument", []string{`private=`}, with(func(d *directives) { d.private = true })},

		// Section 5.2.3.
		{"unrecognised directives are ignored", []string{"community=UCI, max-age=5, foo"}, maxAgeOf(5)},
		{"a directive's name in another's argument", []string{`foo="no-store, max-age=9", max-age=5`}, maxAgeOf(5)},
		{"an escaped quotation mark in it", []string{`foo="a\", no-store, ", max-age=5`}, maxAgeOf(5)},
		{"a name that only begins alike", []string{"max-ages=5, no-storex"}, noDirectives()},

		// Section 1.2.2.
		{"delta-seconds of 0", []string{"max-age=0"}, maxAgeOf(0)},
		{"leading zeros", []string{"max-age=0005"}, maxAgeOf(5)},
		{"2^31 - 1", []string{"max-age=2147483647"}, maxAgeOf(1<<31 - 1)},
		{"2^31 is clamped", []string{"max-age=2147483648"}, maxAgeOf(1<<31 - 1)},
		{"beyond 64 bits too", []string{"max-age=99999999999999999999999"}, maxAgeOf(1<<31 - 1)},

		// Section 4.2.1.
		{"the first occurrence is used", []string{"max-age=5, max-age=9"}, maxAgeOf(5)},
		{"also over lines", []string{"max-age=5", "max-age=9"}, maxAgeOf(5)},
		{"also when it is invalid", []string{"max-age=x, max-age=9"}, maxAgeOf(malformed)},
		{"a decimal is stale", []string{"max-age=10.5"}, maxAgeOf(malformed)},
		{"a negative number is stale", []string{"max-age=-1"}, maxAgeOf(malformed)},
		{"a sign is stale", []string{"max-age=+1"}, maxAgeOf(malformed)},
		{"no number is stale", []string{"max-age=abc"}, maxAgeOf(malformed)},
		{"letters after the number are stale", []string{"max-age=10s"}, maxAgeOf(malformed)},
		{"no argument is stale", []string{"max-age"}, maxAgeOf(malformed)},
		{"an empty argument is stale", []string{"max-age="}, maxAgeOf(malformed)},
		{"space before = is stale", []string{"max-age =10"}, maxAgeOf(malformed)},
		{"space after = is stale", []string{"max-age= 10"}, maxAgeOf(malformed)},
		{"a number in two parts is stale", []string{"max-age=10 00"}, maxAgeOf(malformed)},
		{"a number with something behind it is stale", []string{"s-maxage=10 public"}, with(func(d *directives) { d.sMaxAge, d.public = malformed, true })},
		{"single quotes are stale", []string{"max-age='10'"}, maxAgeOf(malformed)},
		{"semicolons are no separators", []string{"max-age=10; public"}, maxAgeOf(malformed)},
		{"s-maxage alike", []string{"s-maxage=x"}, with(func(d *directives) { d.sMaxAge = malformed })},
		{"windows alike", []string{"stale-while-revalidate=x, stale-if-error"},
			with(func(d *directives) { d.whileRevalidate, d.ifError = malformed, malformed })},

		// A bad directive fails alone, and towards the careful side.
		{"the others hold", []string{"max-age=x, private, public"}, with(func(d *directives) { d.maxAge, d.private, d.public = malformed, true, true })},
		{"a prohibition with an argument prohibits", []string{"no-store=1, must-revalidate=0"}, with(func(d *directives) { d.noStore, d.mustRevalidate = true, true })},
		{"a permission with an argument does not permit", []string{"public=1, immutable=1, must-understand=1"}, noDirectives()},
		{"a missing comma", []string{"no-store max-age=5"}, with(func(d *directives) { d.noStore, d.maxAge = true, 5 })},
		{"a missing comma and a bad number", []string{"public max-age=x"}, maxAgeOf(malformed)},
		{"an open quotation mark hides nothing", []string{`foo="bar, no-store`}, with(func(d *directives) { d.noStore = true })},
		{"nor over lines", []string{`foo="bar`, `no-store, x="`}, with(func(d *directives) { d.noStore = true })},
		{"an endless directive", []string{`private="` + strings.Repeat("x,", 1024) + `", max-age=5`}, with(func(d *directives) { d.private, d.maxAge = true, 5 })},
		{"an open qualified form", []string{`private="Set-Cookie`}, with(func(d *directives) { d.private = true })},
	} {
		if diff := cmp.Diff(c.want, parseDirectives(c.lines), cmp.AllowUnexported(directives{})); diff != "" {
			t.Errorf("%s: %q (-want +got)\n%s", c.sentence, c.lines, diff)
		}
	}
}

func TestIgnoredDirectives(t *testing.T) {
	ignore := map[string]bool{"no-store": true, "private": true, "s-maxage": true, "expires": true}
	d := parseDirectives([]string{"no-store, private, no-cache, s-maxage=7, max-age=5"})
	d.drop(ignore)
	want := with(func(d *directives) { d.noCache, d.maxAge = true, 5 })
	if diff := cmp.Diff(want, d, cmp.AllowUnexported(directives{})); diff != "" {
		t.Errorf("no-store, private and s-maxage ignored (-want +got)\n%s", diff)
	}
}

// FuzzDirectives holds that nothing in a field hides a directive in a line of its own, and that reading never fails.
func FuzzDirectives(f *testing.F) {
	f.Add(`public, max-age="10", foo="a, b"`)
	f.Add(`max-age=10.5, private="x`)
	f.Fuzz(func(t *testing.T, line string) {
		d := parseDirectives([]string{line, "no-store", line, "s-maxage=5"})
		if !d.noStore {
			t.Errorf("%q hides no-store", line)
		}
		if !d.sMaxAge.given() {
			t.Errorf("%q hides s-maxage", line)
		}
		if parts := slices.Collect(splitDirectives(line)); strings.Join(parts, ",") != line {
			t.Errorf("splitDirectives(%q) = %q, which is not the line", line, parts)
		}
		for _, s := range []seconds{d.maxAge, d.sMaxAge, d.whileRevalidate, d.ifError} {
			if s < malformed || s.duration() < 0 || s.duration() > greatestLifetime {
				t.Errorf("%q has %d seconds", line, s)
			}
		}
	})
}
