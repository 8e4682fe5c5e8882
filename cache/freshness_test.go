package cache

import (
	"testing"
	"time"
)

const (
	tenSecondsLater = "Fri, 02 Jan 2026 12:00:20 GMT"
	tenSecondsAgo   = "Fri, 02 Jan 2026 12:00:00 GMT"
	tenHoursAgo     = "Fri, 02 Jan 2026 02:00:10 GMT"
)

func TestFreshnessLifetime(t *testing.T) {
	override := func(p *Policy) { p.TTL.Override = 7 * time.Second }
	standard := func(p *Policy) { p.TTL.Default = 8 * time.Second }
	byStatus := func(p *Policy) {
		p.ttlStatus = map[int]time.Duration{404: 9 * time.Second, 4: 4 * time.Second, 5: 5 * time.Second}
	}
	capped := func(p *Policy) { p.TTL.Max = 6 * time.Second }
	for _, c := range []struct {
		sentence string
		status   int
		lines    []string
		policy   *Policy
		want     time.Duration
		guess    bool
	}{
		// RFC 9111, section 4.2.1: the first match of
		{"s-maxage", 200, []string{"Cache-Control: max-age=5, s-maxage=9", "Expires: " + tenSecondsLater}, routePolicy(), 9 * time.Second, false},
		{"max-age", 200, []string{"Cache-Control: max-age=5", "Expires: " + tenSecondsLater}, routePolicy(), 5 * time.Second, false},
		{"max-age=0 over Expires", 200, []string{"Cache-Control: max-age=0", "Expires: " + tenSecondsLater}, routePolicy(), 0, false},
		{"Expires minus Date", 200, []string{"Date: " + tenSecondsAgo, "Expires: " + tenSecondsLater}, routePolicy(), 20 * time.Second, false},
		{"using the time of receipt if there is no Date", 200, []string{"Date:", "Expires: " + tenSecondsLater}, routePolicy(), 10 * time.Second, false},
		{"or one that is no date", 200, []string{"Date: yesterday", "Expires: " + tenSecondsLater}, routePolicy(), 10 * time.Second, false},
		{"the first of two Expires", 200, []string{"Expires: " + tenSecondsLater, "Expires: " + tenSecondsAgo}, routePolicy(), 10 * time.Second, false},
		{"an invalid first Expires", 200, []string{"Expires: soon", "Expires: " + tenSecondsLater}, routePolicy(), 0, false},
		{"a malformed s-maxage is stale", 200, []string{"Cache-Control: s-maxage=x, max-age=5"}, routePolicy(), 0, false},
		{"no explicit expiration time", 200, []string{`ETag: "a"`}, routePolicy(), 0, false},

		// Section 5.3.
		{"Expires: 0 is in the past", 200, []string{"Expires: 0", "Last-Modified: " + tenHoursAgo}, routePolicy(), 0, false},
		{"an Expires before Date", 200, []string{"Expires: " + tenSecondsAgo}, routePolicy(), 0, false},
		{"an Expires equal to Date", 200, []string{"Expires: " + receiptDate}, routePolicy(), 0, false},
		{"an Expires in 2300 is clamped", 200, []string{"Expires: Mon, 01 Jan 2300 00:00:00 GMT"}, routePolicy(), greatestLifetime, false},
		{"an Expires in 9999 too", 200, []string{"Expires: Fri, 01 Jan 9999 00:00:00 GMT"}, routePolicy(), greatestLifetime, false},

		// Section 4.2.2.
		{"a tenth of the time since Last-Modified", 200, []string{"Last-Modified: " + tenHoursAgo}, routePolicy(), time.Hour, true},
		{"measured from Date", 200, []string{"Date: " + tenSecondsLater, "Last-Modified: " + tenSecondsAgo}, routePolicy(), 2 * time.Second, true},
		{"at most a day", 200, []string{"Last-Modified: Thu, 01 Jan 2015 00:00:00 GMT"}, routePolicy(), 24 * time.Hour, true},
		{"never negative", 200, []string{"Last-Modified: " + tenSecondsLater}, routePolicy(), 0, true},
		{"not when an explicit time is there", 200, []string{"Cache-Control: max-age=0", "Last-Modified: " + tenHoursAgo}, routePolicy(), 0, false},
		{"not from an invalid date", 200, []string{"Last-Modified: last week", `ETag: "a"`}, routePolicy(), 0, false},
		{"for a status defined so", 404, []string{"Last-Modified: " + tenHoursAgo}, routePolicy(), time.Hour, true},
		{"501 is one", 501, []string{"Last-Modified: " + tenHoursAgo}, routePolicy(), time.Hour, true},
		{"not for others", 302, []string{"Last-Modified: " + tenHoursAgo}, routePolicy(), 0, false},
		{"unless marked public", 302, []string{"Last-Modified: " + tenHoursAgo, "Cache-Control: public"}, routePolicy(), time.Hour, true},
		{"also one that nobody knows", 599, []string{"Last-Modified: " + tenHoursAgo, "Cache-Control: public"}, routePolicy(), time.Hour, true},
		{"and no server error", 503, []string{"Last-Modified: " + tenHoursAgo, "Cache-Control: public"}, routePolicy(), 0, false},

		// RFC 9213, section 2.2.
		{"a targeted field takes the place of both", 200, []string{"CDN-Cache-Control: public", "Cache-Control: max-age=5", "Expires: " + tenSecondsLater}, routePolicy(), 0, false},
		{"and gives its own", 200, []string{"CDN-Cache-Control: max-age=3", "Cache-Control: s-maxage=5"}, routePolicy(), 3 * time.Second, false},

		// The route.
		{"ttl.default without freshness", 200, nil, routePolicy(standard), 8 * time.Second, false},
		{"ttl.default over a guess", 200, []string{"Last-Modified: " + tenHoursAgo}, routePolicy(standard), 8 * time.Second, false},
		{"ttl.default not against the origin", 200, []string{"Cache-Control: max-age=5"}, routePolicy(standard), 5 * time.Second, false},
		{"ttl.default not for errors", 404, nil, routePolicy(standard), 0, false},
		{"ttl.status", 404, nil, routePolicy(byStatus, standard), 9 * time.Second, false},
		{"ttl.status of a class", 410, nil, routePolicy(byStatus), 4 * time.Second, false},
		{"ttl.status of server errors", 503, nil, routePolicy(byStatus), 5 * time.Second, false},
		{"ttl.status not against the origin", 404, []string{"Cache-Control: max-age=1"}, routePolicy(byStatus), time.Second, false},
		{"ttl.override against the origin", 200, []string{"Cache-Control: max-age=5"}, routePolicy(override), 7 * time.Second, false},
		{"ttl.override where the origin says nothing", 200, nil, routePolicy(override, standard), 7 * time.Second, false},
		{"ttl.override not for silent errors", 500, nil, routePolicy(override), 0, false},
		{"ttl.max", 200, []string{"Cache-Control: max-age=9"}, routePolicy(capped), 6 * time.Second, false},
		{"ttl.max below it", 200, []string{"Cache-Control: max-age=5"}, routePolicy(capped), 5 * time.Second, false},
		{"ttl.max of a guess", 200, []string{"Last-Modified: " + tenHoursAgo}, routePolicy(capped), 6 * time.Second, true},
		{"expires ignored", 200, []string{"Expires: " + tenSecondsLater}, routePolicy(func(p *Policy) { p.ignore = map[string]bool{"expires": true} }), 0, false},
		{"max-age ignored leaves Expires", 200, []string{"Cache-Control: max-age=5", "Expires: " + tenSecondsLater},
			routePolicy(func(p *Policy) { p.ignore = map[string]bool{"max-age": true} }), 10 * time.Second, false},
	} {
		m := Admit(askedWith(), c.policy, answered(c.status, c.lines...)).Meta
		if m.Lifetime != c.want || m.Heuristic != c.guess {
			t.Errorf("%s: %d %q: lifetime = %v, guess %t, want %v, %t", c.sentence, c.status, c.lines, m.Lifetime, m.Heuristic, c.want, c.guess)
		}
	}
}

func TestAge(t *testing.T) {
	for _, c := range []struct {
		sentence string
		lines    []string
		delay    time.Duration // from request_time to response_time
		later    time.Duration // from response_time to now
		want     time.Duration
	}{
		// RFC 9111, section 4.2.3.
		{"a response without delay", nil, 0, 0, 0},
		{"apparent_age: response_time - date_value", []string{"Date: " + tenSecondsAgo}, 0, 0, 10 * time.Second},
		{"at least 0", []string{"Date: " + tenSecondsLater}, 0, 0, 0},
		{"an ancient Date is bounded", []string{"Date: Wed, 01 Jan 1500 00:00:00 GMT"}, 0, 0, greatestAge},
		{"corrected_age_value: age_value + response_delay", []string{"Age: 5"}, 3 * time.Second, 0, 8 * time.Second},
		{"response_delay without Age", nil, 3 * time.Second, 0, 3 * time.Second},
		{"the greater of the two: age", []string{"Age: 20", "Date: " + tenSecondsAgo}, 0, 0, 20 * time.Second},
		{"the greater of the two: date", []string{"Age: 5", "Date: " + tenSecondsAgo}, 0, 0, 10 * time.Second},
		{"plus resident_time", []string{"Age: 5"}, 0, 7 * time.Second, 12 * time.Second},
		{"resident_time is never negative", []string{"Age: 5"}, 0, -time.Minute, 5 * time.Second},
		{"a clock that runs backwards", nil, -time.Minute, 0, 0},

		// Section 5.1.
		{"the first member of a list", []string{"Age: 5, 9"}, 0, 0, 5 * time.Second},
		{"the first line of several", []string{"Age: 5", "Age: 9"}, 0, 0, 5 * time.Second},
		{"space around it", []string{"Age: 5 , 9"}, 0, 0, 5 * time.Second},
		{"an invalid first line is ignored", []string{"Age: x", "Age: 9"}, 0, 0, 0},
		{"an invalid first member is ignored", []string{"Age: x, 9"}, 0, 0, 0},
		{"an empty first member is ignored", []string{"Age: , 9"}, 0, 0, 0},
		{"negative is ignored", []string{"Age: -5"}, 0, 0, 0},
		{"a sign is ignored", []string{"Age: +5"}, 0, 0, 0},
		{"a decimal is ignored", []string{"Age: 5.0"}, 0, 0, 0},
		{"a parameter is ignored", []string{"Age: 5;a=b"}, 0, 0, 0},
		{"leading zeros", []string{"Age: 0005"}, 0, 0, 5 * time.Second},
		// Section 1.2.2.
		{"2^31 - 1", []string{"Age: 2147483647"}, 0, 0, greatestAge - time.Second},
		{"2^31", []string{"Age: 2147483648"}, 0, 0, greatestAge},
		{"beyond 2^31", []string{"Age: 2147483649"}, 0, 0, greatestAge},
		{"beyond 64 bits", []string{"Age: 99999999999999999999999"}, 0, 0, greatestAge},
	} {
		r := answered(200, c.lines...)
		r.Requested.Mono = receipt.Mono.Add(-c.delay)
		m := Admit(askedWith(), routePolicy(), r).Meta
		if got := m.Age(after(c.later)); got != c.want {
			t.Errorf("%s: %q after %v and %v: age = %v, want %v", c.sentence, c.lines, c.delay, c.later, got, c.want)
		}
	}
}

// Dates have no fractions of seconds: the time of receipt must not count its own.
func TestAgeOfFreshlyDatedResponse(t *testing.T) {
	r := answered(200, "Cache-Control: max-age=1")
	r.Received.Wall = r.Received.Wall.Add(999 * time.Millisecond)
	if got := Admit(askedWith(), routePolicy(), r).Meta.InitialAge; got != 0 {
		t.Errorf("age 999 ms into the second of Date = %v, want 0", got)
	}
}

// A response whose Age is too large to count is stale, however long it says it is fresh.
func TestGreatestAgeIsStale(t *testing.T) {
	for _, line := range []string{"Cache-Control: max-age=99999999999", "Expires: Fri, 01 Jan 9999 00:00:00 GMT"} {
		m := Admit(askedWith(), routePolicy(), answered(200, line, "Age: 99999999999")).Meta
		if ttl := m.TTL(receipt.Mono); ttl >= 0 {
			t.Errorf("%s with an Age beyond 2^31: ttl = %v, want it negative", line, ttl)
		}
	}
}

func TestStaleWindows(t *testing.T) {
	route := routePolicy(func(p *Policy) {
		p.Stale = StaleConfig{WhileRevalidate: 1 * time.Second, IfError: 2 * time.Second, Unreachable: 3 * time.Second}
	})
	for _, c := range []struct {
		sentence                              string
		lines                                 []string
		whileRevalidate, ifError, unreachable time.Duration
		forbidden                             bool
	}{
		{"the route's, when the origin names none", []string{"Cache-Control: max-age=9"}, time.Second, 2 * time.Second, 3 * time.Second, false},
		// RFC 5861, sections 3 and 4.
		{"the origin's win", []string{"Cache-Control: max-age=9, stale-while-revalidate=30, stale-if-error=40"}, 30 * time.Second, 40 * time.Second, 3 * time.Second, false},
		{"also when they are none", []string{"Cache-Control: max-age=9, stale-while-revalidate=0, stale-if-error=0"}, 0, 0, 3 * time.Second, false},
		{"what cannot be read is none", []string{"Cache-Control: max-age=9, stale-while-revalidate=x, stale-if-error"}, 0, 0, 3 * time.Second, false},
		{"from a targeted field", []string{"CDN-Cache-Control: max-age=9, stale-if-error=40", "Cache-Control: stale-if-error=50"}, time.Second, 40 * time.Second, 3 * time.Second, false},
		// RFC 9111, section 4.2.4.
		{"prohibited by must-revalidate", []string{"Cache-Control: max-age=9, must-revalidate, stale-while-revalidate=30"}, 0, 0, 0, true},
		{"prohibited by proxy-revalidate", []string{"Cache-Control: max-age=9, proxy-revalidate, stale-if-error=30"}, 0, 0, 0, true},
		{"prohibited by s-maxage", []string{"Cache-Control: s-maxage=9, stale-while-revalidate=30"}, 0, 0, 0, true},
		{"prohibited by no-cache", []string{"Cache-Control: max-age=9, no-cache, stale-if-error=30"}, 0, 0, 0, true},
	} {
		m := Admit(askedWith(), route, answered(200, c.lines...)).Meta
		if m.WhileRevalidate != c.whileRevalidate || m.IfError != c.ifError || m.Unreachable != c.unreachable || m.ForbidStale != c.forbidden {
			t.Errorf("%s: %q: windows = %v, %v, %v, forbidden %t, want %v, %v, %v, %t", c.sentence, c.lines,
				m.WhileRevalidate, m.IfError, m.Unreachable, m.ForbidStale, c.whileRevalidate, c.ifError, c.unreachable, c.forbidden)
		}
	}
}
