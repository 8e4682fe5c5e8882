package cache

import (
	"net/http"
	"slices"
	"testing"
)

// RFC 9111, section 4.4. Every request is for http://example.com/a/b?c=1.
func TestInvalidated(t *testing.T) {
	const target = "example.com/a/b?c=1"
	for _, c := range []struct {
		rule                      string
		method                    string
		status                    int
		location, contentLocation string
		want                      []string
	}{
		{"unsafe and successful", "POST", 200, "", "", []string{target}},
		{"PUT", "PUT", 204, "", "", []string{target}},
		{"DELETE", "DELETE", 202, "", "", []string{target}},
		{"a redirect is no error", "PATCH", 303, "", "", []string{target}},
		{"a method of unknown safety", "FROBNICATE", 200, "", "", []string{target}},
		{"methods are case-sensitive", "get", 200, "", "", []string{target}},
		{"an error", "POST", 400, "/x", "", nil},
		{"a server's error", "POST", 500, "", "", nil},
		{"an interim response", "POST", 100, "", "", nil},
		{"GET", "GET", 200, "/x", "/y", nil},
		{"HEAD", "HEAD", 200, "", "", nil},
		{"OPTIONS", "OPTIONS", 200, "", "", nil},
		{"TRACE", "TRACE", 200, "", "", nil},
		{"registered as safe", "PROPFIND", 207, "", "", nil},
		{"Location", "POST", 201, "http://example.com/x", "", []string{target, "example.com/x"}},
		{"Content-Location", "PUT", 200, "", "/x", []string{target, "example.com/x"}},
		{"both", "POST", 201, "/x", "/y", []string{target, "example.com/x", "example.com/y"}},
		{"the same twice", "POST", 201, "/x", "/x", []string{target, "example.com/x"}},
		{"the target itself", "PUT", 201, "/a/b?c=1", "", []string{target}},
		{"relative to the target", "POST", 201, "x", "", []string{target, "example.com/a/x"}},
		{"relative, upwards", "POST", 201, "../../../x", "", []string{target, "example.com/x"}},
		{"a query alone", "POST", 201, "?d=2", "", []string{target, "example.com/a/b?d=2"}},
		{"without its scheme", "POST", 201, "//example.com/x", "", []string{target, "example.com/x"}},
		{"without a path", "POST", 201, "http://example.com", "", []string{target, "example.com/"}},
		{"a fragment", "POST", 201, "/x#y", "", []string{target, "example.com/x"}},
		{"in canonical form", "POST", 201, "HTTP://Example.COM.:80/%78%2f\"|%7e", "", []string{target, "example.com/x%2F%22%7C~"}},
		{"its query normalised", "POST", 201, "/x?utm_source=a&b=\"", "", []string{target, "example.com/x?b=%22"}},
		{"another host", "POST", 201, "http://example.org/x", "", []string{target}},
		{"another port", "POST", 201, "http://example.com:8080/x", "", []string{target}},
		{"another scheme", "POST", 201, "https://example.com/x", "", []string{target}},
		{"no hierarchical URI", "POST", 201, "mailto:a@example.com", "", []string{target}},
		{"no URI", "POST", 201, "http://[x", "", []string{target}},
		{"a path that no request can have", "POST", 201, "/x%00", "", []string{target}},
		{"a control", "POST", 201, "/x\x01", "", []string{target}},
	} {
		q := requestWith(c.method)
		q.Path, q.RawQuery, q.HasQuery = "/a/b", "c=1", true
		r := &Response{Status: c.status, Header: http.Header{}}
		if c.location != "" {
			r.Header.Set("Location", c.location)
		}
		if c.contentLocation != "" {
			r.Header.Set("Content-Location", c.contentLocation)
		}
		if got := Invalidated(q, r, spelling(q)); !slices.Equal(got, c.want) {
			t.Errorf("%s: %s, %d, %q, %q: got %q, want %q", c.rule, c.method, c.status, c.location, c.contentLocation, got, c.want)
		}
	}
}

func TestInvalidatedOverHTTPS(t *testing.T) {
	q := requestWith("POST")
	q.Secure, q.Host = true, "[2001:db8::1]:8443"
	r := &Response{Status: 201, Header: http.Header{"Location": {"https://[2001:DB8::1]:8443/x", "http://[2001:db8::1]:8443/y"}}}
	want := []string{"[2001:db8::1]:8443/", "[2001:db8::1]:8443/x"}
	if got := Invalidated(q, r, spelling(q)); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// spelling is that of a site with one route and the default policy.
func spelling(q *Query) Spelling {
	return func(path, query string, hasQuery bool) []string {
		other := Query{Host: q.Host, Path: path}
		if err := other.SetQuery(policyWith(nil), query, hasQuery); err != nil {
			panic(err) // it was canonical
		}
		return []string{other.PurgeURL()}
	}
}
