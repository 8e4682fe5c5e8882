package cache

import (
	"net/url"
	"slices"
)

// Invalidated returns the purge URLs that a response makes invalid (RFC 9111, section 4.4): with a method that is unsafe, or
// unknown and so possibly unsafe, and a status that is no error, the target of the request and, on the same origin, what
// Location and Content-Location name. q has the query as it was sent: what is stored may be another route's.
func Invalidated(q *Query, r *Response, spell Spelling) []string {
	if !invalidates(q, r) {
		return nil
	}
	urls := spell(q.Path, q.RawQuery, q.HasQuery)
	base, err := url.Parse(q.scheme() + "://" + q.PurgeURL())
	if err != nil {
		return urls
	}
	for _, name := range []string{"Location", "Content-Location"} {
		for _, reference := range r.Header[name] {
			for _, u := range q.resolve(base, reference, spell) {
				if !slices.Contains(urls, u) {
					urls = append(urls, u)
				}
			}
		}
	}
	return urls
}

// Spelling returns the purge URLs of all that may be stored for a URL of one host, whose path and query are canonical: routes
// differ in which parameters they keep.
type Spelling func(path, query string, hasQuery bool) []string

// invalidates reports whether a response may have changed anything: to a method that is not safe, and no error.
func invalidates(q *Query, r *Response) bool {
	return !isSafe(q.Method) && r.Status >= 200 && r.Status <= 399
}

// isSafe reports whether the method is registered as safe (RFC 9110, section 9.2.1, and the registry of section 16.1.1).
// Methods are case-sensitive.
func isSafe(method string) bool {
	switch method {
	case "GET", "HEAD", "OPTIONS", "TRACE": // RFC 9110
		return true
	case "PROPFIND", "REPORT", "SEARCH": // RFC 4918, RFC 3253, RFC 5323
		return true
	}
	return false
}

func (q *Query) scheme() string {
	if q.Secure {
		return "https"
	}
	return "http"
}

// referenceBytes may stand in a URI reference.
var referenceBytes = bytesOf(queryChars + "#")

// resolve returns the purge URLs of a reference in a response to q. A reference to another origin must not invalidate
// anything, or a server could empty the cache of its neighbours.
func (q *Query) resolve(base *url.URL, reference string, spell Spelling) []string {
	// Encoded first, since url.Parse spells a path anew, "%2F" included, when a byte in it should have been.
	reference, err := encodeForeign(reference, &referenceBytes, errPathByte)
	if err != nil {
		return nil
	}
	u, err := base.Parse(reference)
	if err != nil || u.Scheme != base.Scheme {
		return nil
	}
	if host, err := CanonicalHost(u.Host, q.Secure); err != nil || host != q.Host {
		return nil
	}
	path, err := CanonicalPath(u.EscapedPath())
	if err != nil {
		return nil
	}
	query, err := CanonicalQuery(u.RawQuery)
	if err != nil {
		return nil
	}
	return spell(path, query, u.ForceQuery || query != "")
}
