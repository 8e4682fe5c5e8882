package cache

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestAdmit(t *testing.T) {
	ignoring := func(names ...string) *Policy {
		return routePolicy(func(p *Policy) {
			p.ignore = map[string]bool{}
			for _, name := range names {
				p.ignore[name] = true
			}
		})
	}
	cookies := func(what string) *Policy { return routePolicy(func(p *Policy) { p.SetCookie = what }) }
	method := func(m string) func(*Query) { return func(q *Query) { q.Method = m } }
	noStore := func(q *Query) { q.Control.NoStore = true }
	const fresh, tag = "Cache-Control: max-age=60", `ETag: "a"`
	for _, c := range []struct {
		sentence   string
		query      *Query
		policy     *Policy
		status     int
		lines      []string
		want       Reason
		hitForMiss bool
	}{
		// RFC 9111, section 3: not unless
		{"the method is understood", askedWith(), routePolicy(), 200, []string{fresh}, Stored, false},
		{"POST", askedWith(method("POST")), routePolicy(), 200, []string{fresh}, NotStoredMethod, false},
		{"HEAD has nothing to store", askedWith(method("HEAD")), routePolicy(), 200, []string{fresh}, NotStoredMethod, false},
		{"the status is final", askedWith(), routePolicy(), 103, []string{fresh}, NotStoredStatus, false},
		{"it is understood, if 206", askedWith(), routePolicy(), 206, []string{fresh}, NotStoredPartial, false},
		{"it is understood, if 304", askedWith(), routePolicy(), 304, []string{fresh}, NotStoredStatus, false},
		{"no-store is not present", askedWith(), routePolicy(), 200, []string{fresh + ", no-store"}, NotStoredNoStore, true},
		{"private is not present", askedWith(), routePolicy(), 200, []string{fresh + ", private"}, NotStoredPrivate, true},
		{"nor qualified", askedWith(), routePolicy(), 200, []string{fresh + `, private="x"`}, NotStoredPrivate, true},
		{"private beside public", askedWith(), routePolicy(), 200, []string{fresh + ", public, private"}, NotStoredPrivate, true},
		{"public makes a status cacheable", askedWith(), routePolicy(), 302, []string{"Cache-Control: public", tag}, Stored, false},
		{"Expires does", askedWith(), routePolicy(), 302, []string{"Expires: " + tenSecondsLater}, Stored, false},
		{"max-age does", askedWith(), routePolicy(), 302, []string{fresh}, Stored, false},
		{"s-maxage does", askedWith(), routePolicy(), 302, []string{"Cache-Control: s-maxage=60"}, Stored, false},
		{"a heuristically cacheable status is", askedWith(), routePolicy(), 200, []string{tag}, Stored, false},
		{"another is not", askedWith(), routePolicy(), 302, []string{tag}, NotStoredStatus, true},
		{"an unknown status with explicit freshness", askedWith(), routePolicy(), 299, []string{fresh}, Stored, false},
		{"an unknown error with explicit freshness", askedWith(), routePolicy(), 499, []string{fresh}, Stored, false},
		{"no HTTP status", askedWith(), routePolicy(), 600, []string{fresh}, NotStoredStatus, false},
		{"neither validator nor expiration: not useful", askedWith(), routePolicy(), 200, nil, NotStoredFreshness, true},
		{"an expiration in the past and no validator", askedWith(), routePolicy(), 200, []string{"Cache-Control: max-age=0"}, NotStoredFreshness, true},
		{"expired on the way and no validator", askedWith(), routePolicy(), 200, []string{fresh, "Age: 60"}, NotStoredFreshness, true},
		{"the same with a validator", askedWith(), routePolicy(), 200, []string{fresh, "Age: 60", tag}, Stored, false},
		{"the same with a window left", askedWith(), routePolicy(), 200, []string{fresh + ", stale-while-revalidate=9", "Age: 60"}, Stored, false},
		{"the same with the window over", askedWith(), routePolicy(), 200, []string{fresh + ", stale-while-revalidate=9", "Age: 69"}, NotStoredFreshness, true},
		{"an unreachable origin is no reason to store", askedWith(), routePolicy(func(p *Policy) { p.Stale.Unreachable = time.Hour }), 200, nil, NotStoredFreshness, true},
		{"no-cache with a validator", askedWith(), routePolicy(), 200, []string{fresh + ", no-cache", tag}, Stored, false},
		{"no-cache without", askedWith(), routePolicy(), 200, []string{fresh + ", no-cache"}, NotStoredFreshness, true},
		{"Last-Modified is a validator", askedWith(), routePolicy(), 200, []string{"Last-Modified: " + tenSecondsAgo}, Stored, false},

		// RFC 6585: must not be stored by a cache.
		{"428", askedWith(), routePolicy(), 428, []string{fresh}, NotStoredStatus, false},
		{"429", askedWith(), routePolicy(), 429, []string{fresh}, NotStoredStatus, false},
		{"431", askedWith(), routePolicy(), 431, []string{fresh}, NotStoredStatus, false},
		{"511", askedWith(), routePolicy(), 511, []string{fresh}, NotStoredStatus, false},

		// Errors, which clients may be able to provoke.
		{"a 404 without freshness", askedWith(), routePolicy(), 404, nil, NotStoredFreshness, true},
		{"a 400 without freshness", askedWith(), routePolicy(), 400, []string{tag}, NotStoredStatus, false},
		{"a 5xx with explicit freshness", askedWith(), routePolicy(), 503, []string{fresh}, Stored, false},
		{"a 5xx without", askedWith(), routePolicy(), 503, []string{tag}, NotStoredError, false},
		{"a 5xx already stale", askedWith(), routePolicy(), 503, []string{"Cache-Control: max-age=0", tag}, NotStoredError, false},
		{"a 5xx to be validated", askedWith(), routePolicy(), 503, []string{fresh + ", no-cache", tag}, NotStoredError, false},
		{"a 5xx the route names", askedWith(), routePolicy(func(p *Policy) { p.ttlStatus = map[int]time.Duration{5: time.Second} }), 503, nil, Stored, false},
		{"a 501 guessed fresh", askedWith(), routePolicy(), 501, []string{"Last-Modified: " + tenHoursAgo}, Stored, false},
		{"a 5xx that refuses is no hit-for-miss", askedWith(), routePolicy(), 500, []string{"Cache-Control: no-store"}, NotStoredNoStore, false},

		// Section 3.5.
		{"Authorization", askedWith(withAuthorization), routePolicy(), 200, []string{fresh}, NotStoredAuth, false},
		{"Authorization and must-revalidate", askedWith(withAuthorization), routePolicy(), 200, []string{fresh + ", must-revalidate"}, Stored, false},
		{"Authorization and public", askedWith(withAuthorization), routePolicy(), 200, []string{fresh + ", public"}, Stored, false},
		{"Authorization and s-maxage", askedWith(withAuthorization), routePolicy(), 200, []string{"Cache-Control: s-maxage=60"}, Stored, false},
		{"Authorization and a malformed s-maxage", askedWith(withAuthorization), routePolicy(), 200, []string{"Cache-Control: s-maxage=x", tag}, NotStoredAuth, false},
		{"Authorization and proxy-revalidate", askedWith(withAuthorization), routePolicy(), 200, []string{fresh + ", proxy-revalidate"}, NotStoredAuth, false},
		{"Authorization and no-store: the response refuses", askedWith(withAuthorization), routePolicy(), 200, []string{"Cache-Control: no-store"}, NotStoredNoStore, true},

		// Section 4.1.
		{"Vary: *", askedWith(), routePolicy(), 200, []string{fresh, "Vary: *"}, NotStoredVaryStar, true},
		{"* anywhere in Vary", askedWith(), routePolicy(), 200, []string{fresh, "Vary: Accept, *"}, NotStoredVaryStar, true},
		{"* in a second line", askedWith(), routePolicy(), 200, []string{fresh, "Vary: Accept", "Vary: *"}, NotStoredVaryStar, true},
		{"Vary ignored by the route", askedWith(), ignoring("vary"), 200, []string{fresh, "Vary: *"}, Stored, false},

		// Section 5.2.1.5.
		{"no-store of the request", askedWith(noStore), routePolicy(), 200, []string{fresh}, NotStoredRequest, false},

		// Section 5.2.2.3.
		{"must-understand and a status that is", askedWith(), routePolicy(), 200, []string{fresh + ", must-understand, no-store"}, Stored, false},
		{"must-understand and one that is not", askedWith(), routePolicy(), 299, []string{fresh + ", must-understand, no-store"}, NotStoredUnderstand, true},
		{"must-understand without no-store", askedWith(), routePolicy(), 299, []string{fresh + ", must-understand"}, NotStoredUnderstand, true},
		{"must-understand does not lift private", askedWith(), routePolicy(), 200, []string{fresh + ", must-understand, no-store, private"}, NotStoredPrivate, true},

		// RFC 9213, section 2.2.
		{"a targeted no-store", askedWith(), routePolicy(), 200, []string{"CDN-Cache-Control: no-store", fresh}, NotStoredNoStore, true},
		{"Cache-Control beside a targeted field", askedWith(), routePolicy(), 200, []string{"CDN-Cache-Control: max-age=60", "Cache-Control: no-store"}, Stored, false},
		{"our own targeted field first", askedWith(), routePolicy(), 200, []string{"Selvage-Cache-Control: no-store", "CDN-Cache-Control: max-age=60"}, NotStoredNoStore, true},
		{"Expires beside a targeted field", askedWith(), routePolicy(), 302, []string{"CDN-Cache-Control: immutable", "Expires: " + tenSecondsLater}, NotStoredStatus, true},

		// Cookies, sizes, and what the route ignores.
		{"Set-Cookie", askedWith(), routePolicy(), 200, []string{fresh + ", public", "Set-Cookie: a=b"}, NotStoredSetCookie, true},
		{"set_cookie: store", askedWith(), cookies("store"), 200, []string{fresh, "Set-Cookie: a=b"}, Stored, false},
		{"set_cookie: strip", askedWith(), cookies("strip"), 200, []string{fresh, "Set-Cookie: a=b"}, Stored, false},
		{"larger than the largest", askedWith(), routePolicy(func(p *Policy) { p.MaxObject = 4 }), 200, []string{fresh}, NotStoredTooLarge, true},
		{"just as large", askedWith(), routePolicy(func(p *Policy) { p.MaxObject = 5 }), 200, []string{fresh}, Stored, false},
		{"no-store ignored", askedWith(), ignoring("no-store"), 200, []string{fresh + ", no-store"}, Stored, false},
		{"private ignored", askedWith(), ignoring("private"), 200, []string{fresh + ", private"}, Stored, false},
		{"max-age ignored", askedWith(), ignoring("max-age"), 200, []string{fresh}, NotStoredFreshness, true},
		{"Pragma means nothing in a response", askedWith(), routePolicy(), 200, []string{fresh, "Pragma: no-cache"}, Stored, false},
	} {
		a := Admit(c.query, c.policy, answered(c.status, c.lines...))
		if a.Reason != c.want || a.Store != (c.want == Stored) || a.HitForMiss != c.hitForMiss {
			t.Errorf("%s: %d %q: %s, stored %t, hit-for-miss %t, want %s, %t", c.sentence, c.status, c.lines, a.Reason, a.Store, a.HitForMiss, c.want, c.hitForMiss)
		}
		if a.Meta == nil || a.Meta.Status != c.status {
			t.Errorf("%s: Meta = %v, want one for %d", c.sentence, a.Meta, c.status)
		}
	}
}

// The statuses that RFC 9110, section 15.1 lets caches guess for, and those it defines at all.
func TestStatuses(t *testing.T) {
	want := map[string]string{
		"heuristically cacheable": "200 203 204 206 300 301 308 404 405 410 414 501",
		"understood": "200 201 202 203 204 205 300 301 302 303 305 307 308 400 401 402 403 404 405 406 407 408 409 410 411 412 413" +
			" 414 415 416 417 421 422 426 500 501 502 503 504 505",
	}
	for name, is := range map[string]func(int) bool{"heuristically cacheable": heuristicallyCacheable, "understood": understood} {
		var got []string
		for status := range 1000 {
			if is(status) {
				got = append(got, fmt.Sprint(status))
			}
		}
		if diff := cmp.Diff(want[name], strings.Join(got, " ")); diff != "" {
			t.Errorf("%s (-want +got)\n%s", name, diff)
		}
	}
}

func TestStoredFields(t *testing.T) {
	p := routePolicy(func(p *Policy) { p.SetCookie = "strip" })
	r := answered(200,
		// RFC 9111, section 3.1: all fields, unrecognised ones too, but
		"Cache-Control: max-age=60", "X-Unknown: 1", "X-Unknown: 2", "CDN-Cache-Control: max-age=9", "Surrogate-Key: a",
		// those of the connection,
		"Connection: close, X-Named", "X-Named: 1", "Keep-Alive: 1", "Proxy-Connection: 1", "TE: 1", "Trailer: X", "Transfer-Encoding: chunked", "Upgrade: h2c",
		// of the proxy,
		"Proxy-Authenticate: Basic", "Proxy-Authentication-Info: 1", "Proxy-Authorization: 1",
		// and those written anew or kept from clients.
		"Age: 5", "Content-Length: 5", "Alt-Svc: h3=\":443\"", "Set-Cookie: a=b")
	got := string(Admit(askedWith(), p, r).Meta.Head.Block())
	want := "Cache-Control: max-age=60\r\nCdn-Cache-Control: max-age=9\r\nDate: " + receiptDate + "\r\nSurrogate-Key: a\r\nX-Unknown: 1\r\nX-Unknown: 2\r\n"
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("stored fields (-want +got)\n%s", diff)
	}
	if r.Header.Get("Connection") == "" || r.Header.Get("Set-Cookie") == "" {
		t.Errorf("Admit changed the response: %v", r.Header)
	}
}

// RFC 9110, section 7.6.1: also of the fields that have a rule of their own.
func TestNamedFieldsAreNotStored(t *testing.T) {
	p := routePolicy(func(p *Policy) { p.SetCookie = "store" })
	r := answered(200, "Cache-Control: max-age=60", "Connection: set-cookie, Date", "Set-Cookie: a=b", "Date: "+tenSecondsAgo)
	got := string(Admit(askedWith(), p, r).Meta.Head.Block())
	if want := "Cache-Control: max-age=60\r\nDate: " + receiptDate + "\r\n"; got != want {
		t.Errorf("stored fields %q, want %q", got, want)
	}
}

// RFC 9110, section 6.6.1: a response without a Date gets the time of receipt.
func TestStoredDate(t *testing.T) {
	for line, want := range map[string]string{
		"Date: " + tenSecondsAgo: tenSecondsAgo,
		"Date:":                  receiptDate,
		"Date: yesterday":        receiptDate,
		"Connection: Date":       receiptDate, // Date was there: it is kept, since caches behind us count on it
	} {
		m := Admit(askedWith(), routePolicy(), answered(200, line)).Meta
		if got := m.Head.Get("Date"); got != want || formatDate(m.Date) != want {
			t.Errorf("%s: Date = %q and %v, want %q", line, got, m.Date, want)
		}
	}
}

func TestMetaOfResponse(t *testing.T) {
	m := storedAs(t, routePolicy(), "Cache-Control: max-age=60, public, immutable", `ETag: W/"a"`, "Last-Modified: "+tenSecondsAgo,
		"Content-Encoding: GZip", "Vary: b, accept-encoding", "Vary: B", "Cache-Tag: t", "Age: 3")
	want := &Meta{
		Status: 200, Vary: []string{"Accept-Encoding", "B"}, ETag: `W/"a"`, LastModified: receipt.Wall.Add(-10 * time.Second),
		Date: receipt.Wall, Coding: "gzip", Received: receipt.Mono, ReceivedAt: receipt.Wall, InitialAge: 3 * time.Second,
		Lifetime: time.Minute, SharedWithAuth: true, Immutable: true, Tags: []string{"t"},
	}
	if diff := cmp.Diff(want, m, cmpopts.IgnoreFields(Meta{}, "Head")); diff != "" {
		t.Errorf("Meta (-want +got)\n%s", diff)
	}
	if coding := Admit(askedWith(), routePolicy(), answered(200, "Content-Encoding: identity")).Meta.Coding; coding != "" {
		t.Errorf("coding of identity = %q, want none", coding)
	}
}

// FuzzAdmit holds that Admit is total, and that nothing beside them outweighs the words that forbid storing.
func FuzzAdmit(f *testing.F) {
	f.Add(200, "Cache-Control", "max-age=60, public", "Vary", "Accept")
	f.Add(503, "Expires", "0", "Age", "99999999999")
	f.Add(304, "Connection", "Date", "Set-Cookie", "a")
	f.Fuzz(func(t *testing.T, status int, name1, value1, name2, value2 string) {
		r := answered(status)
		for _, field := range [...][2]string{{name1, value1}, {name2, value2}} {
			name := http.CanonicalHeaderKey(field[0])
			r.Header[name] = append(r.Header[name], field[1])
		}
		a := Admit(askedWith(), routePolicy(), r)
		m := a.Meta
		if a.Store != (a.Reason == Stored) || a.Store && a.HitForMiss {
			t.Errorf("%d %v: %+v contradicts itself", status, r.Header, a)
		}
		if m.Lifetime < 0 || m.Lifetime > greatestLifetime || m.InitialAge < 0 || m.InitialAge > greatestAge {
			t.Errorf("%d %v: lifetime %v, age %v", status, r.Header, m.Lifetime, m.InitialAge)
		}
		if _, ok := parseDate(m.Head.Get("Date")); !ok {
			t.Errorf("%d %v: stored Date = %q", status, r.Header, m.Head.Get("Date"))
		}
		for i := range m.Head.Len() {
			if name, _ := m.Head.Line(i); HopByHop(name) || name == "Content-Length" {
				t.Errorf("%d %v: %s is stored", status, r.Header, name)
			}
		}
		for name, line := range map[string]string{"Selvage-Cache-Control": "no-store", "Set-Cookie": "a=b", "Vary": "*"} {
			forbidden := *r
			forbidden.Header = r.Header.Clone()
			if name == "Selvage-Cache-Control" {
				forbidden.Header.Del(name) // a Dictionary with an invalid line beside it is invalid whole
			}
			forbidden.Header.Add(name, line)
			if a := Admit(askedWith(), routePolicy(), &forbidden); a.Store {
				t.Errorf("%d %v is stored", status, forbidden.Header)
			}
		}
	})
}
