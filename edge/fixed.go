package edge

import (
	"cmp"
	"net/http"
	"strconv"
	"strings"
)

// answer is a response that the configuration gives in full: neither cache nor origin is asked. Immutable.
type answer struct {
	status      int
	contentType string // "" without body
	location    string // of a redirect
	body        string
}

// fixed returns the answer of a route that has no origin.
func (r *route) fixed(host, path, rawQuery string, hasQuery bool) (answer, bool) {
	switch {
	case r.redirect != nil:
		return r.redirect.answer(host, path, rawQuery, hasQuery), true
	case r.respond != nil:
		return *r.respond, true
	default:
		return answer{}, false
	}
}

// write sends the answer, with the route's changes of response fields, and returns the bytes of body sent.
func (a answer) write(w http.ResponseWriter, method string, changes headerChanges) (int, error) {
	h := w.Header()
	if a.contentType != "" {
		h.Set("Content-Type", a.contentType)
	}
	if a.location != "" {
		h.Set("Location", a.location)
	}
	if a.status != http.StatusNoContent {
		h.Set("Content-Length", strconv.Itoa(len(a.body)))
	}
	changes.apply(h)
	w.WriteHeader(a.status)
	if method == http.MethodHead || a.body == "" {
		return 0, nil
	}
	return w.Write([]byte(a.body))
}

func compileRespond(cfg RespondConfig) *answer {
	a := &answer{status: cmp.Or(cfg.Status, http.StatusOK), body: cfg.Body, contentType: cfg.ContentType}
	if a.body != "" {
		a.contentType = cmp.Or(a.contentType, "text/plain; charset=utf-8")
	}
	return a
}

// redirect is a compiled RedirectConfig.
type redirect struct {
	status   int
	parts    []string // literal text at even places, the name of a placeholder at odd ones
	absolute bool     // the target begins with scheme and host
}

func compileRedirect(cfg RedirectConfig) *redirect {
	return &redirect{
		status:   cmp.Or(cfg.Status, http.StatusPermanentRedirect),
		parts:    splitTemplate(cfg.To),
		absolute: hasScheme(cfg.To),
	}
}

// splitTemplate cuts "a{b}c" into a, b, c. A brace without its partner is literal text.
func splitTemplate(to string) []string {
	var parts []string
	for {
		open := strings.IndexByte(to, '{')
		if open < 0 {
			return append(parts, to)
		}
		end := strings.IndexByte(to[open:], '}')
		if end < 0 {
			return append(parts, to)
		}
		parts = append(parts, to[:open], to[open+1:open+end])
		to = to[open+end+1:]
	}
}

func (r *redirect) answer(host, path, rawQuery string, hasQuery bool) answer {
	location := r.location(host, path, rawQuery, hasQuery)
	return answer{
		status:      r.status,
		contentType: "text/plain; charset=utf-8",
		location:    location,
		body:        "See " + location + "\n",
	}
}

// location fills the template. What comes from the request stays what it stands for: a path is made to begin with one
// slash, so that it neither extends the host before it nor becomes one ("//elsewhere"), and bytes outside the grammar of
// RFC 3986 are percent-encoded.
func (r *redirect) location(host, path, rawQuery string, hasQuery bool) string {
	var b strings.Builder
	for i, part := range r.parts {
		switch {
		case i%2 == 0:
			b.WriteString(part)
		case part == "host":
			writeEscaped(&b, hostName(host), "/?@%")
		case part == "path":
			if !strings.HasSuffix(b.String(), "/") {
				b.WriteByte('/')
			}
			writeEscaped(&b, strings.TrimPrefix(path, "/"), "?")
		case part == "query" && hasQuery:
			b.WriteByte('?')
			writeEscaped(&b, rawQuery, "")
		}
	}
	if r.absolute {
		return b.String()
	}
	// Browsers take a backslash for a slash; writeEscaped has left none that a request brought.
	return "/" + strings.TrimLeft(b.String(), "/")
}

func hasScheme(to string) bool {
	return strings.HasPrefix(to, "http://") || strings.HasPrefix(to, "https://")
}

// writeEscaped percent-encodes the bytes that no URI has (RFC 3986, section 2), '#', which would begin a fragment, and those
// that would end the part of the URI that is being written.
func writeEscaped(b *strings.Builder, s, ends string) {
	const hex = "0123456789ABCDEF" // capitals: RFC 3986, section 2.1
	for i := range len(s) {
		c := s[i]
		if c <= ' ' || c >= 0x7f || strings.IndexByte("\"#<>\\^`{|}", c) >= 0 || strings.IndexByte(ends, c) >= 0 {
			b.WriteByte('%')
			b.WriteByte(hex[c>>4])
			b.WriteByte(hex[c&15])
			continue
		}
		b.WriteByte(c)
	}
}
