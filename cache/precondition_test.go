package cache

import (
	"testing"
	"time"
)

const (
	httpDate      = "Sun, 06 Nov 1994 08:49:37 GMT"
	secondBefore  = "Sun, 06 Nov 1994 08:49:36 GMT"
	minuteAfter   = "Sun, 06 Nov 1994 08:50:37 GMT"
	malformedDate = "yesterday"
)

var modified = time.Date(1994, time.November, 6, 8, 49, 37, 0, time.UTC)

func TestPrecondition(t *testing.T) {
	const etag = `"a"`
	for _, c := range []struct {
		rule  string
		lines []string
		want  Condition
	}{
		{"none", nil, Proceed},

		{"RFC 9110, 13.1.2: a tag that matches", []string{`If-None-Match: "a"`}, NotModified},
		{"13.1.2: a tag that does not", []string{`If-None-Match: "b"`}, Proceed},
		{"13.1.2: the comparison is weak", []string{`If-None-Match: W/"a"`}, NotModified},
		{"13.1.2: * matches what is stored", []string{`If-None-Match: *`}, NotModified},
		{"13.1.2: a list", []string{`If-None-Match: "b", W/"a"`}, NotModified},
		{"5.2: a list over several lines", []string{`If-None-Match: "b"`, `If-None-Match: "a"`}, NotModified},
		{"5.6.1.2: empty members", []string{`If-None-Match: ,, "a" ,`}, NotModified},
		{"no member", []string{`If-None-Match:`}, Proceed},
		{"8.8.3: tags are case-sensitive", []string{`If-None-Match: "A"`}, Proceed},
		{"8.8.3: so is W/", []string{`If-None-Match: w/"a"`}, Proceed},
		{"malformed: no quotes", []string{`If-None-Match: a`}, Proceed},
		{"malformed: the quote never closes", []string{`If-None-Match: "a`}, Proceed},
		{"malformed: something behind the tag", []string{`If-None-Match: "a"b`}, Proceed},
		{"malformed: the others hold", []string{`If-None-Match: b, "c"d, "a"`}, NotModified},

		{"13.1.3: not modified since its date", []string{"If-Modified-Since: " + httpDate}, NotModified},
		{"13.1.3: not modified since later", []string{"If-Modified-Since: " + minuteAfter}, NotModified},
		{"13.1.3: modified since", []string{"If-Modified-Since: " + secondBefore}, Proceed},
		{"13.1.3: ignored when it is no date", []string{"If-Modified-Since: " + malformedDate}, Proceed},
		{"13.1.3: ignored when there are two", []string{"If-Modified-Since: " + httpDate, "If-Modified-Since: " + httpDate}, Proceed},
		{"13.1.3: ignored beside If-None-Match", []string{"If-Modified-Since: " + httpDate, `If-None-Match: "b"`}, Proceed},
		{"13.1.3: even beside a malformed one", []string{"If-Modified-Since: " + httpDate, `If-None-Match: b`}, Proceed},
		{"13.2.2, step 3 before 4", []string{"If-Modified-Since: " + secondBefore, `If-None-Match: "a"`}, NotModified},

		{"13.2.2, step 1 is for the origin", []string{`If-Match: "b"`}, Proceed},
		{"13.2.2, step 2 is for the origin", []string{"If-Unmodified-Since: " + secondBefore}, Proceed},
		{"and they hide no other", []string{`If-Match: "b"`, `If-None-Match: "a"`}, NotModified},
	} {
		q := requestWith("GET", c.lines...)
		if got := Precondition(q, 200, etag, modified, modified.Add(time.Hour)); got != c.want {
			t.Errorf("%s: %q: got %v, want %v", c.rule, c.lines, got, c.want)
		}
	}
}

func TestPreconditionOfResponse(t *testing.T) {
	match, since := `If-None-Match: "a"`, "If-Modified-Since: "+httpDate
	never := time.Time{}
	for _, c := range []struct {
		rule           string
		method, line   string
		status         int
		etag           string
		modified, date time.Time
		want           Condition
	}{
		{"HEAD", "HEAD", match, 200, `"a"`, never, modified, NotModified},
		{"13.1.3: other methods ignore If-Modified-Since", "POST", since, 200, "", modified, modified, Proceed},
		{"RFC 9111, 4.3.2: the cache does not answer other methods", "PUT", match, 200, `"a"`, never, modified, Proceed},
		{"13.2.1: any 2xx", "GET", match, 203, `"a"`, never, modified, NotModified},
		{"13.2.1: no redirect", "GET", match, 301, `"a"`, never, modified, Proceed},
		{"13.2.1: no error", "GET", match, 404, `"a"`, never, modified, Proceed},
		{"a weak tag of the response", "GET", match, 200, `W/"a"`, never, modified, NotModified},
		{"a response without a tag", "GET", match, 200, "", never, modified, Proceed},
		{"nothing but W/ is no tag", "GET", "If-None-Match: W/", 200, "", never, modified, Proceed},
		{"* and a response without a tag", "GET", "If-None-Match: *", 200, "", never, modified, NotModified},
		{"a tag with a comma in it", "GET", `If-None-Match: "x", "b,c"`, 200, `"b,c"`, never, modified, NotModified},
		{"a backslash escapes nothing", "GET", `If-None-Match: "b\", "c"`, 200, `"c"`, never, modified, NotModified},
		{"bytes above ASCII", "GET", "If-None-Match: \"\xe4\"", 200, "\"\xe4\"", never, modified, NotModified},
		{"4.3.2: without Last-Modified the Date counts", "GET", since, 200, "", never, modified, NotModified},
		{"4.3.2: a later Date", "GET", since, 200, "", never, modified.Add(time.Second), Proceed},
		{"RFC 9110, 13.1.3: what is not stored has neither", "GET", since, 200, "", never, never, Proceed},
	} {
		q := requestWith(c.method, c.line)
		if got := Precondition(q, c.status, c.etag, c.modified, c.date); got != c.want {
			t.Errorf("%s: %s %q: got %v, want %v", c.rule, c.method, c.line, got, c.want)
		}
	}
}

// RFC 9110, section 13.1.5.
func TestRangeApplies(t *testing.T) {
	hourLater := modified.Add(time.Hour)
	for _, c := range []struct {
		rule           string
		lines          []string
		etag           string
		modified, date time.Time
		want           bool
	}{
		{"no If-Range", nil, `"a"`, modified, hourLater, true},
		{"the tag", []string{`If-Range: "a"`}, `"a"`, modified, hourLater, true},
		{"another tag", []string{`If-Range: "b"`}, `"a"`, modified, hourLater, false},
		{"the comparison is strong: weak in the request", []string{`If-Range: W/"a"`}, `"a"`, modified, hourLater, false},
		{"the comparison is strong: weak in the response", []string{`If-Range: "a"`}, `W/"a"`, modified, hourLater, false},
		{"the comparison is strong: weak in both", []string{`If-Range: W/"a"`}, `W/"a"`, modified, hourLater, false},
		{"no tag to compare with", []string{`If-Range: "a"`}, "", modified, hourLater, false},
		{"a list is no tag", []string{`If-Range: "b", "a"`}, `"a"`, modified, hourLater, false},
		{"the date", []string{"If-Range: " + httpDate}, `"a"`, modified, hourLater, true},
		{"an earlier date", []string{"If-Range: " + secondBefore}, `"a"`, modified, hourLater, false},
		{"a later date: the match is exact", []string{"If-Range: " + minuteAfter}, `"a"`, modified, hourLater, false},
		{"8.8.2.2: weak if made in the second of its modification", []string{"If-Range: " + httpDate}, "", modified, modified, false},
		{"8.8.2.2: strong a second later", []string{"If-Range: " + httpDate}, "", modified, modified.Add(time.Second), true},
		{"no date to compare with", []string{"If-Range: " + httpDate}, "", time.Time{}, hourLater, false},
		{"neither tag nor date", []string{"If-Range: " + malformedDate}, "", modified, hourLater, false},
		{"empty", []string{"If-Range:"}, "", modified, hourLater, false},
		{"two lines of Range", []string{"Range: bytes=0-1", "Range: bytes=3-4"}, `"a"`, modified, hourLater, false},
		{"two lines", []string{`If-Range: "a"`, `If-Range: "a"`}, `"a"`, modified, hourLater, false},
	} {
		q := requestWith("GET", c.lines...)
		if got := RangeApplies(q, c.etag, c.modified, c.date); got != c.want {
			t.Errorf("%s: %q: got %v, want %v", c.rule, c.lines, got, c.want)
		}
	}
}
