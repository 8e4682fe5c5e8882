package cache

import (
	"maps"
	"net/http"
	"strings"
	"time"
)

// Admit decides whether a response may be stored (RFC 9111, section 3), and makes the Meta it is written from either way.
// It is asked for requests that were Eligible; q.Method is the one the origin was asked with, so that a HEAD that led to a
// GET is judged as GET. The Epoch is the caller's to set.
//
// A response with Set-Cookie is refused unless the route says otherwise. So is one that nothing would ever make usable
// again: not fresh, no validator, no window of RFC 5861. (An unreachable origin might, but a cache full of answers kept
// for that day serves nobody until then.)
func Admit(q *Query, p *Policy, r *Response) Admission {
	m, facts := newMeta(q, p, r)
	reason := facts.refusal(q, p, r, m)
	return Admission{
		Store:      reason == Stored,
		Reason:     reason,
		HitForMiss: refusesAll(reason, r.Status),
		Meta:       m,
	}
}

// facts is what Admit must know of a response beyond its Meta.
type facts struct {
	directives
	basis
	varyStar  bool
	setCookie bool
	tagged    bool // all of its tags are in the Meta
}

// newMeta reads a response's head.
func newMeta(q *Query, p *Policy, r *Response) (*Meta, facts) {
	m := &Meta{Proto: version(r.Proto), Status: r.Status}
	m.Head, m.Date = storedHead(p, r)
	m.ETag, m.Coding = m.Head.Get("Etag"), contentCoding(m.Head) // which point into the Head, and keep nothing else alive
	m.LastModified, _ = parseDate(r.Header.Get("Last-Modified"))
	m.NoTransform = noTransform(r.Header)

	f := facts{directives: control(r.Header, p.ignore)}
	f.basis = m.setTimes(p, r, f.directives)
	if !p.ignore["vary"] {
		m.Vary, f.varyStar = ParseVary(HeaderFields(r.Header))
	}
	m.Tags, f.tagged = responseTags(q, p, r.Header)
	f.setCookie = len(r.Header["Set-Cookie"]) > 0 && p.SetCookie != "store" && p.SetCookie != "strip"
	return m, f
}

// version returns proto, which is part of a line that need not live on.
func version(proto string) string {
	for _, usual := range []string{"HTTP/1.1", "HTTP/2.0", "HTTP/1.0"} {
		if proto == usual {
			return usual
		}
	}
	return strings.Clone(proto)
}

// storedHead renders the fields that are stored (section 3.1) and returns the Date among them. A Date that is missing, unreadable
// or meant for this connection alone becomes the time of receipt (RFC 9110, section 6.6.1). Alt-Svc is left out because it names
// the origin's own alternatives, which would lead clients around this cache; Age and Content-Length because both are written anew.
func storedHead(p *Policy, r *Response) (Head, time.Time) {
	header, named := r.Header, connectionNamed(r.Header)
	date, ok := parseDate(header.Get("Date"))
	if !ok || named["Date"] {
		date = r.Received.Wall.UTC().Truncate(time.Second)
		header = maps.Clone(header)
		if header == nil {
			header = http.Header{}
		}
		header["Date"] = []string{formatDate(date)}
	}
	return RenderHead(header, func(name string) bool {
		switch name {
		case "Date":
			return false
		case "Age", "Alt-Svc", "Content-Length":
			return true
		case "Set-Cookie":
			return p.SetCookie == "strip" || named[name]
		}
		return HopByHop(name) || named[name]
	}), date
}

// HopByHop reports whether a field (in canonical form) belongs to one connection, so that it is neither stored nor
// forwarded (RFC 9110, section 7.6.1; RFC 9111, section 3.1). The fields named in Connection come on top.
func HopByHop(name string) bool {
	switch name {
	case "Connection", "Keep-Alive", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
		"Proxy-Authenticate", "Proxy-Authentication-Info", "Proxy-Authorization":
		return true
	}
	return false
}

// connectionNamed returns the fields named in Connection.
func connectionNamed(h http.Header) map[string]bool {
	var named map[string]bool
	for _, line := range h["Connection"] {
		for option := range strings.SplitSeq(line, ",") {
			if named == nil {
				named = make(map[string]bool)
			}
			named[http.CanonicalHeaderKey(strings.Trim(option, " \t"))] = true
		}
	}
	return named
}

// contentCoding returns Content-Encoding in lower case; identity, which is for Accept-Encoding alone, is none.
func contentCoding(f Fields) string {
	coding := strings.ToLower(strings.Trim(list(f, "Content-Encoding"), " \t"))
	if coding == "identity" {
		return ""
	}
	return coding
}

// refusal goes through the conditions of section 3, the request's first.
func (f facts) refusal(q *Query, p *Policy, r *Response, m *Meta) Reason {
	switch {
	case q.Method != http.MethodGet:
		return NotStoredMethod
	case q.Control.NoStore: // section 5.2.1.5
		return NotStoredRequest
	case r.Status == http.StatusPartialContent:
		return NotStoredPartial
	case !storableStatus(r.Status):
		return NotStoredStatus
	case f.mustUnderstand && !understood(r.Status): // section 5.2.2.3
		return NotStoredUnderstand
	case f.noStore && !f.mustUnderstand: // section 5.2.2.5
		return NotStoredNoStore
	case f.private: // section 5.2.2.7
		return NotStoredPrivate
	case f.varyStar: // section 4.1: no request would ever match
		return NotStoredVaryStar
	case f.setCookie:
		return NotStoredSetCookie
	case q.Present.Has(HasAuthorization) && !m.SharedWithAuth: // section 3.5
		return NotStoredAuth
	case p.MaxObject > 0 && r.Length > p.MaxObject:
		return NotStoredTooLarge
	case !f.tagged:
		return NotStoredTags
	case isEventStream(r.Header):
		return NotStoredStream
	}
	return f.worth(m)
}

// isEventStream reports whether a response goes on for as long as anyone listens, whatever it says of caching.
func isEventStream(h http.Header) bool {
	t, _, _ := strings.Cut(h.Get("Content-Type"), ";")
	return strings.EqualFold(strings.TrimSpace(t), "text/event-stream")
}

// worth judges the last condition of section 3, that something says the response is cacheable, and whether a request
// could come to use it. A 5xx must be fresh now: a stored error is no fallback, but it would displace one.
func (f facts) worth(m *Meta) Reason {
	fresh := !m.NoCache && m.Lifetime > m.InitialAge
	usable := !m.NoCache && m.Lifetime+max(m.WhileRevalidate, m.IfError) > m.InitialAge
	switch {
	case m.Status >= 500 && (f.basis == baseless || !fresh):
		return NotStoredError
	case f.basis < configured && !f.public && !heuristicallyCacheable(m.Status):
		return NotStoredStatus
	case !usable && !m.validates():
		return NotStoredFreshness
	}
	return Stored
}

// validates reports whether there is anything to ask the origin with.
func (m *Meta) validates() bool { return m.ETag != "" || !m.LastModified.IsZero() }

// storableStatus reports whether a status is final and may be stored at all. 304 is about another response; 428, 429, 431
// and 511 must not be stored by any cache (RFC 6585).
func storableStatus(status int) bool {
	switch status {
	case 304, 428, 429, 431, 511:
		return false
	}
	return status >= 200 && status <= 599
}

// understood reports whether the caching requirements of a status are known and met here (section 3): those of RFC 9110,
// section 15, less 206 and 304, which are not stored.
func understood(status int) bool {
	switch status {
	case 206, 304, 306, 418:
		return false
	case 308, 421, 422, 426:
		return true
	}
	return status >= 200 && status <= 205 || status >= 300 && status <= 307 ||
		status >= 400 && status <= 417 || status >= 500 && status <= 505
}

// refusesAll reports whether a refusal lies in the response itself, so that waiting for the next one is as vain. An error
// without a word about storing may speak of one request only: a 400, a 431, a 429.
func refusesAll(reason Reason, status int) bool {
	switch reason {
	case NotStoredNoStore, NotStoredPrivate, NotStoredVaryStar, NotStoredSetCookie, NotStoredUnderstand,
		NotStoredTooLarge, NotStoredTags, NotStoredStream, NotStoredFreshness:
		return status < 500
	case NotStoredStatus:
		return status >= 200 && status < 400 && status != http.StatusNotModified
	}
	return false
}
