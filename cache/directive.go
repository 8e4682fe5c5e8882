package cache

import (
	"iter"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/pquerna/cachecontrol/cacheobject"
)

// directives is what a response tells caches (RFC 9111, section 5.2.2; RFC 5861; RFC 8246), from Cache-Control or from a
// targeted field. The qualified forms no-cache="…" and private="…" count as the unqualified ones, as the notes of
// sections 5.2.2.4 and 5.2.2.7 allow.
type directives struct {
	targeted bool // from a targeted field: Expires is ignored too

	noStore, noCache, private, public bool
	mustRevalidate, proxyRevalidate   bool
	mustUnderstand, immutable         bool

	maxAge, sMaxAge          seconds
	whileRevalidate, ifError seconds
}

// seconds is the argument of a directive such as max-age, or one of the two constants.
type seconds int64

const (
	absent    seconds = -1 // no such directive
	malformed seconds = -2 // there, but its argument is no number of seconds: as good as 0
)

func (s seconds) given() bool { return s != absent }

func (s seconds) duration() time.Duration { return time.Duration(max(0, s)) * time.Second }

// or keeps the first occurrence of a directive (RFC 9111, section 4.2.1).
func (s seconds) or(later seconds) seconds {
	if s.given() {
		return s
	}
	return later
}

func noDirectives() directives {
	return directives{maxAge: absent, sMaxAge: absent, whileRevalidate: absent, ifError: absent}
}

// parseDirectives reads the lines of a Cache-Control field. A bad directive fails alone, towards the careful side: a
// freshness lifetime that cannot be read is one of 0 (section 4.2.1), a prohibition with an argument still prohibits, a
// permission with one permits nothing.
func parseDirectives(lines []string) directives {
	d := noDirectives()
	for _, line := range lines {
		for directive := range splitDirectives(line) {
			d.add(directive)
		}
	}
	return d
}

// splitDirectives cuts a field line at the commas outside quoted strings. A quotation mark that is never closed quotes
// nothing, or it would hide the no-store behind it.
func splitDirectives(line string) iter.Seq[string] {
	return func(yield func(string) bool) {
		start, quoting := 0, true
		for i := 0; i < len(line); i++ {
			switch {
			case line[i] == ',':
				if !yield(line[start:i]) {
					return
				}
				start = i + 1
			case line[i] == '"' && quoting:
				end := closingQuote(line, i)
				if quoting = end >= 0; quoting {
					i = end
				}
			}
		}
		yield(line[start:])
	}
}

// closingQuote returns where the quoted string that opens at open ends, or -1.
func closingQuote(line string, open int) int {
	for i := open + 1; i < len(line); i++ {
		switch line[i] {
		case '\\':
			i++
		case '"':
			return i
		}
	}
	return -1
}

// maxDirective is how many bytes of a directive are parsed. cacheobject copies the rest of its input for each quotation
// mark in it, so that an endless directive would cost the square of its length.
const maxDirective = 1024

// add takes in one directive. Given a whole field, cacheobject would drop every good directive beside one bad one.
func (d *directives) add(directive string) {
	if len(directive) > maxDirective {
		d.addMalformed(directive)
		return
	}
	got, err := cacheobject.ParseResponseCacheControl(directive)
	if err != nil {
		d.addMalformed(directive)
		return
	}
	d.addUnended(directive)
	d.noStore = d.noStore || got.NoStore
	d.noCache = d.noCache || got.NoCachePresent
	d.private = d.private || got.PrivatePresent
	d.public = d.public || got.Public
	d.mustRevalidate = d.mustRevalidate || got.MustRevalidate
	d.proxyRevalidate = d.proxyRevalidate || got.ProxyRevalidate
	d.mustUnderstand = d.mustUnderstand || slices.Contains(got.Extensions, "must-understand")
	d.immutable = d.immutable || got.Immutable
	// Absent is -1 there as here.
	d.maxAge = d.maxAge.or(seconds(got.MaxAge))
	d.sMaxAge = d.sMaxAge.or(seconds(got.SMaxAge))
	d.whileRevalidate = d.whileRevalidate.or(seconds(got.StaleWhileRevalidate))
	d.ifError = d.ifError.or(seconds(got.StaleIfError))
}

// addUnended takes in numbers that something follows where a comma should be: "max-age=36 00" is no lifetime of 36 seconds.
func (d *directives) addUnended(directive string) {
	if strings.Contains(directive, `"`) { // the blanks may be quoted
		return
	}
	for word, rest := cutWord(directive); rest != ""; word, rest = cutWord(rest) {
		name, _, _ := strings.Cut(strings.ToLower(word), "=")
		if number := d.number(name); number != nil {
			*number = number.or(malformed)
		}
	}
}

// cutWord returns the first word of s, and the others; blanks stand between them and nowhere else.
func cutWord(s string) (word, rest string) {
	s = strings.TrimSpace(s)
	if end := strings.IndexFunc(s, unicode.IsSpace); end >= 0 {
		return s[:end], strings.TrimSpace(s[end:])
	}
	return s, ""
}

func (d *directives) addMalformed(directive string) {
	for _, word := range strings.Fields(directive) {
		name, _, _ := strings.Cut(strings.ToLower(word), "=")
		if flag := d.flag(name); flag != nil && !permits(name) {
			*flag = true
		}
		if number := d.number(name); number != nil {
			*number = number.or(malformed)
		}
	}
}

// permits reports whether a directive gives a cache more freedom, not less.
func permits(name string) bool {
	return name == "public" || name == "immutable" || name == "must-understand"
}

// drop forgets the directives that the route is configured to ignore.
func (d *directives) drop(ignore map[string]bool) {
	for name := range ignore {
		if flag := d.flag(name); flag != nil {
			*flag = false
		}
		if number := d.number(name); number != nil {
			*number = absent
		}
	}
}

// flag returns the directive of that name which takes no argument, or nil.
func (d *directives) flag(name string) *bool {
	switch name {
	case "no-store":
		return &d.noStore
	case "no-cache":
		return &d.noCache
	case "private":
		return &d.private
	case "public":
		return &d.public
	case "must-revalidate":
		return &d.mustRevalidate
	case "proxy-revalidate":
		return &d.proxyRevalidate
	case "must-understand":
		return &d.mustUnderstand
	case "immutable":
		return &d.immutable
	}
	return nil
}

// number returns the directive of that name which takes a number of seconds, or nil.
func (d *directives) number(name string) *seconds {
	switch name {
	case "max-age":
		return &d.maxAge
	case "s-maxage":
		return &d.sMaxAge
	case "stale-while-revalidate":
		return &d.whileRevalidate
	case "stale-if-error":
		return &d.ifError
	}
	return nil
}
