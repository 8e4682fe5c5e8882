package cache

import (
	"net/http"
	"strings"
)

// Validates reports whether a 304 is about m, whose validators the origin was asked with (RFC 9111, section 4.3.4). If it
// is not, the answer tells nothing of what is stored, and the origin must be asked again without condition.
//
// An entity tag decides where both have one. We deviate in one point, for nginx and others that weaken the tag of what
// they compress but not of the 304: "a" also validates W/"a", because that is what the origin just compared (RFC 9110,
// section 13.1.2). Freshen then leaves the stored tag weak. A 304 without any validator answers what it was asked.
func Validates(m *Meta, r *Response) bool {
	if r.Status != http.StatusNotModified {
		return false
	}
	if tag := r.Header.Get("Etag"); tag != "" {
		if m.ETag != "" {
			return opaqueTag(m.ETag) == opaqueTag(tag)
		}
		if tag == opaqueTag(tag) { // strong, and not ours
			return false
		}
	}
	if field := r.Header.Get("Last-Modified"); field != "" {
		modified, ok := parseDate(field)
		return ok && modified.Equal(m.LastModified)
	}
	return r.Header.Get("Etag") == ""
}

// opaqueTag is an entity tag without its weakness, for weak comparison (RFC 9110, section 8.8.3.2).
func opaqueTag(tag string) string { return strings.TrimPrefix(tag, "W/") }

// Freshen makes the Meta of m updated by a 304 that Validates it, and decides anew whether it may be kept: the 304 may
// have turned it private. If Store is false, the answer is for the one who asked, m is not fresh, and what the response
// refuses by itself goes from the cache.
func Freshen(q *Query, p *Policy, m *Meta, r *Response) Admission {
	stored := *q
	stored.Method = http.MethodGet // only what answers GET is stored, whichever method asks now
	return Admit(&stored, p, &Response{
		Proto:     m.Proto,
		Status:    m.Status,
		Header:    updated(m, r.Header),
		Length:    -1,
		Requested: r.Requested,
		Received:  r.Received,
	})
}

// updated returns m's fields, replaced by those of a 304 (RFC 9111, section 3.2). Excepted are Content-Length,
// Content-Encoding and Content-Range, which describe the stored bytes, and what is not stored at all. Date and Age are
// always those of the 304: they say how old the confirmation is.
func updated(m *Meta, from http.Header) http.Header {
	fields := m.Head.Header()
	delete(fields, "Date")
	named := connectionNamed(from)
	for name, values := range from {
		switch {
		case HopByHop(name) || named[name]:
		case name == "Content-Length" || name == "Content-Encoding" || name == "Content-Range":
		case name == "Etag" && strings.HasPrefix(m.ETag, "W/") && len(values) > 0 && values[0] == opaqueTag(m.ETag):
		default:
			fields[name] = values
		}
	}
	return fields
}
