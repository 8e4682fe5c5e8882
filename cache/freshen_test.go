package cache

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestValidates(t *testing.T) {
	const strong, weak, modified = `ETag: "a"`, `ETag: W/"a"`, "Last-Modified: " + tenHoursAgo
	for _, c := range []struct {
		sentence      string
		stored, lines []string
		want          bool
	}{
		// RFC 9111, section 4.3.4: the first match of
		{"the same strong validator", []string{strong}, []string{strong}, true},
		{"another strong validator", []string{strong}, []string{`ETag: "b"`}, false},
		{"another strong validator beside the same date", []string{strong, modified}, []string{`ETag: "b"`, modified}, false},
		{"the same strong validator beside another date", []string{strong, modified}, []string{strong, "Last-Modified: " + tenSecondsAgo}, true},
		{"a strong validator where none is stored", []string{modified}, []string{strong, modified}, false},
		{"a weak validator that corresponds", []string{weak}, []string{weak}, true},
		{"to a strong one", []string{strong}, []string{weak}, true},
		{"a weak validator that does not", []string{weak}, []string{`ETag: W/"b"`, modified}, false},
		{"a date that corresponds", []string{modified}, []string{modified}, true},
		{"a date in another form", []string{modified}, []string{"Last-Modified: Friday, 02-Jan-26 02:00:10 GMT"}, true},
		{"a date that does not", []string{modified}, []string{"Last-Modified: " + tenSecondsAgo}, false},
		{"a date that is none", []string{modified}, []string{"Last-Modified: x"}, false},
		{"a date where none is stored", []string{strong}, []string{modified}, false},
		{"a date beside a weak tag where none is stored", []string{modified}, []string{weak, modified}, true},
		{"a weak tag where none is stored", []string{modified}, []string{weak}, false},
		{"no validator: it answers what was asked", []string{strong}, nil, true},
		// Our deviation, for origins that weaken the tag of what they compress.
		{"the strong form of a weak tag", []string{weak}, []string{strong}, true},
		{"another strong tag than the weak one", []string{weak}, []string{`ETag: "b"`}, false},
	} {
		m := storedAs(t, routePolicy(), append(c.stored, "Cache-Control: max-age=1")...)
		if got := Validates(m, answered(304, c.lines...)); got != c.want {
			t.Errorf("%s: stored %q, 304 with %q: validates = %t, want %t", c.sentence, c.stored, c.lines, got, c.want)
		}
	}
	if m := storedAs(t, routePolicy(), strong); Validates(m, answered(200, strong)) {
		t.Error("a 200 validates")
	}
}

func TestFreshen(t *testing.T) {
	p := routePolicy()
	m := storedAs(t, p, "Cache-Control: max-age=5", `ETag: "a"`, "Content-Type: text/plain", "Content-Encoding: gzip",
		"X-Kept: 1", "X-Replaced: 1", "X-Replaced: 2", "X-Named: stored", "Cache-Tag: old")
	r := answered(304, "Date: "+tenSecondsLater, "Age: 2", "Cache-Control: max-age=60", `ETag: W/"a"`,
		"Content-Type: text/html", "Content-Encoding: br", "Content-Length: 0", "Content-Range: bytes 0-1/2",
		"X-Replaced: 3", "X-New: 1", "Connection: X-Named", "X-Named: 304", "Keep-Alive: 1", "Alt-Svc: clear", "Cache-Tag: new")
	r.Requested.Mono, r.Received.Mono = after(9*time.Second), after(10*time.Second)
	r.Received.Wall = receipt.Wall.Add(10 * time.Second)

	m.Proto, r.Proto = "HTTP/2.0", "HTTP/1.1"

	a := Freshen(askedWith(), p, m, r)
	if !a.Store {
		t.Fatalf("Freshen = %s, want it stored", a.Reason)
	}
	if a.Meta.Proto != m.Proto {
		t.Errorf("version = %q, want that of the stored response, %q", a.Meta.Proto, m.Proto)
	}
	// RFC 9111, section 3.2.
	want := "Cache-Control: max-age=60\r\nCache-Tag: new\r\nContent-Encoding: gzip\r\nContent-Type: text/html\r\nDate: " + tenSecondsLater +
		"\r\nEtag: W/\"a\"\r\nX-Kept: 1\r\nX-Named: stored\r\nX-New: 1\r\nX-Replaced: 3\r\n"
	if diff := cmp.Diff(want, string(a.Meta.Head.Block())); diff != "" {
		t.Errorf("freshened fields (-want +got)\n%s", diff)
	}
	// Section 4.2.3: age_value 2 and response_delay 1.
	if got := a.Meta.TTL(after(10 * time.Second)); got != 57*time.Second {
		t.Errorf("ttl when freshened = %v, want 57s", got)
	}
	if a.Meta.Status != 200 || a.Meta.Coding != "gzip" || a.Meta.ETag != `W/"a"` || a.Meta.Tags[0] != "new" {
		t.Errorf("freshened Meta = %+v", a.Meta)
	}
	if m.Head.Get("X-Replaced") != "1" || m.Lifetime != 5*time.Second {
		t.Errorf("Freshen changed the stored Meta: %q, %v", m.Head.Block(), m.Lifetime)
	}
}

func TestFreshenDecidesAnew(t *testing.T) {
	method := func(q *Query) { q.Method = "HEAD" }
	const stored = "Cache-Control: max-age=5, public"
	for _, c := range []struct {
		sentence   string
		query      *Query
		lines      []string
		want       Reason
		hitForMiss bool
		lifetime   time.Duration
	}{
		{"a 304 that says nothing keeps the stored rules", askedWith(), nil, Stored, false, 5 * time.Second},
		{"for HEAD too, as it was a GET that was stored", askedWith(method), nil, Stored, false, 5 * time.Second},
		{"for Authorization, as long as it is public", askedWith(withAuthorization), nil, Stored, false, 5 * time.Second},
		{"and not when it is no longer", askedWith(withAuthorization), []string{"Cache-Control: max-age=9"}, NotStoredAuth, false, 9 * time.Second},
		{"a 304 that says no-store", askedWith(), []string{"Cache-Control: no-store"}, NotStoredNoStore, true, 0},
		{"a 304 that says private", askedWith(), []string{"Cache-Control: private, max-age=9"}, NotStoredPrivate, true, 9 * time.Second},
		{"a 304 that sets a cookie", askedWith(), []string{"Set-Cookie: a=b"}, NotStoredSetCookie, true, 5 * time.Second},
		{"a 304 that varies on everything", askedWith(), []string{"Vary: *"}, NotStoredVaryStar, true, 5 * time.Second},
		{"a targeted 304", askedWith(), []string{"CDN-Cache-Control: max-age=7"}, Stored, false, 7 * time.Second},
	} {
		m := storedAs(t, routePolicy(), stored, `ETag: "a"`)
		a := Freshen(c.query, routePolicy(), m, answered(304, c.lines...))
		if a.Reason != c.want || a.HitForMiss != c.hitForMiss || a.Meta.Lifetime != c.lifetime {
			t.Errorf("%s: %q: %s, hit-for-miss %t, lifetime %v, want %s, %t, %v", c.sentence, c.lines, a.Reason, a.HitForMiss, a.Meta.Lifetime, c.want, c.hitForMiss, c.lifetime)
		}
	}
}

// A 304 without Date is dated by its receipt, not by what it confirms, or it would be as old as that.
func TestFreshenDates(t *testing.T) {
	m := storedAs(t, routePolicy(), "Cache-Control: max-age=5", `ETag: "a"`)
	r := answered(304, "Date:")
	r.Received.Wall = receipt.Wall.Add(time.Hour)
	if got := Freshen(askedWith(), routePolicy(), m, r).Meta; got.InitialAge != 0 || got.Head.Get("Date") != "Fri, 02 Jan 2026 13:00:10 GMT" {
		t.Errorf("freshened by a 304 without Date: age %v, Date %q", got.InitialAge, got.Head.Get("Date"))
	}
}

// The bytes under a weak tag must not come under the strong one: it may be the tag of others.
func TestFreshenKeepsWeakTag(t *testing.T) {
	m := storedAs(t, routePolicy(), `ETag: W/"a"`)
	if got := Freshen(askedWith(), routePolicy(), m, answered(304, `ETag: "a"`)).Meta; got.ETag != `W/"a"` || got.Head.Get("Etag") != `W/"a"` {
		t.Errorf("ETag = %s and %s in the head, want the stored weak one", got.ETag, got.Head.Get("Etag"))
	}
}
