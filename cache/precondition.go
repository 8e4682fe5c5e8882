package cache

import (
	"strings"
	"time"
)

// Condition is the outcome of a request's preconditions.
type Condition uint8

// The conditions.
const (
	Proceed     Condition = iota // answer as if there were none
	NotModified                  // 304: the client has it already
)

// Precondition evaluates the preconditions of q against a stored response, in the order of RFC 9110, section 13.2.2, as far
// as a cache has a say in them: If-None-Match and If-Modified-Since of GET and HEAD. If-Match and If-Unmodified-Since are
// for the origin server alone, and a cache must not evaluate them (section 13.2.2, steps 1 and 2; RFC 9111, section 4.3.2),
// so a 412 is never a cache's own.
//
// status, etag, lastModified (zero if there is none) and date are those of the stored response. One that is not stored has the
// date zero: see modifiedSince.
func Precondition(q *Query, status int, etag string, lastModified, date time.Time) Condition {
	// RFC 9110, section 13.2.1: preconditions are ignored where the answer without them is no 2xx.
	if status < 200 || status > 299 || q.Method != "GET" && q.Method != "HEAD" {
		return Proceed
	}
	if q.Present.Has(HasIfNoneMatch) {
		if noneMatch(q, etag) {
			return Proceed
		}
		return NotModified
	}
	if q.Present.Has(HasIfModifiedSince) && !modifiedSince(q, lastModified, date) {
		return NotModified
	}
	return Proceed
}

// noneMatch evaluates If-None-Match (RFC 9110, section 13.1.2): false for "*", since there is a stored response, and for a
// tag that matches by the weak comparison, whichever of our codings it is of. Others are compared as they are spelt; one that
// is malformed matches its like only.
func noneMatch(q *Query, etag string) bool { return matchedTag(q, etag) == "" }

// matchedTag returns the first tag of If-None-Match that etag matches, or "".
func matchedTag(q *Query, etag string) string {
	for i := 0; ; i++ {
		line, ok := q.field("If-None-Match", i)
		if !ok {
			return ""
		}
		for tag, rest := cutTag(line); tag != ""; tag, rest = cutTag(rest) {
			if tag == "*" || etag != "" && sameContent(tag, etag) {
				return tag
			}
		}
	}
}

// cutTag cuts the first entity-tag off a list. A comma may be part of a tag, and a backslash escapes nothing in it (RFC 9110,
// section 8.8.3), so that this is not the list of quoted strings that cutMember reads.
func cutTag(list string) (tag, rest string) {
	list = strings.TrimLeft(list, " \t,")
	quote := strings.IndexByte(list, '"')
	if quote != 0 && !strings.HasPrefix(list, `W/"`) {
		tag, rest, _ = strings.Cut(list, ",")
		return trimOWS(tag), rest
	}
	closing := strings.IndexByte(list[quote+1:], '"')
	if closing < 0 {
		return list, ""
	}
	end := quote + 1 + closing + 1
	tail, rest, _ := strings.Cut(list[end:], ",")
	return trimOWS(list[:end+len(tail)]), rest
}

// weakEqual and strongEqual are the comparisons of RFC 9110, section 8.8.3.2.
func weakEqual(a, b string) bool {
	return strings.TrimPrefix(a, "W/") == strings.TrimPrefix(b, "W/")
}

func strongEqual(a, b string) bool { return a == b && !strings.HasPrefix(a, "W/") }

// modifiedSince evaluates If-Modified-Since (RFC 9110, section 13.1.3): true also when the field is no single valid date, or
// there is none to compare it with, and it is then ignored. A stored response without Last-Modified is judged by its Date (RFC
// 9111, section 4.3.2); one that came just now would be unchanged to every client whose clock is ahead.
func modifiedSince(q *Query, lastModified, date time.Time) bool {
	value, ok := single(q, "If-Modified-Since")
	if !ok {
		return true
	}
	since, ok := parseDate(value)
	if lastModified.IsZero() {
		lastModified = date
	}
	return !ok || lastModified.IsZero() || lastModified.After(since)
}

// single returns the value of a field that must not be there twice.
func single(q *Query, name string) (string, bool) {
	if _, twice := q.field(name, 1); twice {
		return "", false
	}
	value, ok := q.field(name, 0)
	return trimOWS(value), ok
}

// RangeApplies reports whether the Range of q holds for a stored response: always without If-Range, else only if its
// validator is strong and the very one of the response (RFC 9110, section 13.1.5). Where it does not, the Range is ignored,
// and so are two: their lines make no single valid one (section 5.3).
func RangeApplies(q *Query, etag string, lastModified, date time.Time) bool {
	if _, twice := q.field("Range", 1); twice {
		return false
	}
	if !q.Present.Has(HasIfRange) {
		return true
	}
	validator, ok := single(q, "If-Range")
	if !ok {
		return false
	}
	// A tag is told from a date by a quote among its first three characters.
	if strings.Contains(validator[:min(3, len(validator))], `"`) {
		return strongEqual(validator, etag)
	}
	// Section 8.8.2.2: a modification date identifies a response that was made at least a second later, when the second
	// of the modification was over.
	since, ok := parseDate(validator)
	return ok && !lastModified.IsZero() && since.Equal(lastModified) && date.Sub(lastModified) >= time.Second
}
