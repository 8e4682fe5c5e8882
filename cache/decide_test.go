package cache

import (
	"slices"
	"testing"
	"time"
)

func TestEligible(t *testing.T) {
	for _, c := range []struct {
		sentence string
		change   func(*Query, *Policy)
		want     Reason
	}{
		{"GET", func(*Query, *Policy) {}, ""},
		{"HEAD", func(q *Query, _ *Policy) { q.Method = "HEAD" }, ""},
		{"a range is cut from the whole", func(q *Query, _ *Policy) { q.Present |= HasRange }, ""},
		{"Authorization may find something shared", func(q *Query, _ *Policy) { q.Present |= HasAuthorization }, ""},
		{"caching is off for the route", func(_ *Query, p *Policy) { p.Enabled = false }, PassRoute},
		// RFC 9111, section 4: the request method allows it to be used.
		{"an unsafe method", func(q *Query, _ *Policy) { q.Method = "POST" }, PassMethod},
		{"an unknown method", func(q *Query, _ *Policy) { q.Method = "get" }, PassMethod},
		{"HEAD where the route caches GET alone", func(q *Query, p *Policy) { q.Method, p.Methods = "HEAD", []string{"GET"} }, PassMethod},
		{"Upgrade", func(q *Query, _ *Policy) { q.Present |= HasUpgrade }, PassUpgrade},
		{"a body", func(q *Query, _ *Policy) { q.HasBody = true }, PassBody},
		// Section 5.2.1.5.
		{"no-store", func(q *Query, _ *Policy) { q.Control.NoStore = true }, PassNoStore},
	} {
		q, p := askedWith(), routePolicy()
		c.change(q, p)
		if got := Eligible(q, p); got != c.want {
			t.Errorf("%s: Eligible = %q, want %q", c.sentence, got, c.want)
		}
		if d := Decide(q, p, Found{}, 0); (d.Outcome == Pass) != (c.want != "" || q.Method == "HEAD") {
			t.Errorf("%s: Decide = %v", c.sentence, d.Outcome)
		}
	}
}

// Flags of what else a Decision says.
const (
	background = "background"
	alone      = "alone"
)

func flags(d Decision) []string {
	var out []string
	if d.Background {
		out = append(out, background)
	}
	if d.Alone {
		out = append(out, alone)
	}
	return out
}

func TestDecideWithNothingStored(t *testing.T) {
	head := func(q *Query) { q.Method = "HEAD" }
	onlyIfCached := func(q *Query) { q.Control.OnlyIfCached = true }
	gone := &Meta{Lifetime: time.Hour, SharedWithAuth: true}
	for _, c := range []struct {
		sentence string
		query    *Query
		found    Found
		want     Outcome
		reason   Reason
		flags    []string
	}{
		{"the key is not stored", askedWith(), Found{}, Miss, URIMiss, nil},
		{"the key is, the variant is not", askedWith(), Found{Vary: true}, Miss, VaryMiss, nil},
		{"purged is as not stored", askedWith(), Found{Meta: gone, Verdict: Hard}, Miss, Purged, nil},
		{"the last response refused storing", askedWith(), Found{HitForMiss: true}, Miss, PassHitForMiss, []string{alone}},
		{"a failed fetch changes nothing", askedWith(), Found{Backoff: true}, Miss, URIMiss, nil},
		{"Authorization", askedWith(withAuthorization), Found{}, Miss, URIMiss, []string{alone}},
		{"Authorization and purged", askedWith(withAuthorization), Found{Meta: gone, Verdict: Hard}, Miss, Purged, []string{alone}},
		// RFC 9111, section 3.5.
		{"Authorization and a response not shared with it", askedWith(withAuthorization), Found{Meta: &Meta{Lifetime: time.Hour}}, Miss, PassAuthorization, []string{alone}},
		{"HEAD passes", askedWith(head), Found{}, Pass, PassHead, nil},
		{"HEAD of what refuses storing", askedWith(head), Found{HitForMiss: true}, Pass, PassHead, []string{alone}},
		{"HEAD of what was purged", askedWith(head), Found{Meta: gone, Verdict: Hard}, Pass, PassHead, nil},
		// Section 5.2.1.7.
		{"only-if-cached", askedWith(onlyIfCached), Found{}, Refuse, OnlyIfCached, nil},
		{"only-if-cached and HEAD", askedWith(onlyIfCached, head), Found{}, Refuse, OnlyIfCached, nil},
		{"only-if-cached and no-store", askedWith(onlyIfCached, func(q *Query) { q.Control.NoStore = true }), Found{}, Refuse, OnlyIfCached, nil},
		{"only-if-cached and OPTIONS", askedWith(onlyIfCached, func(q *Query) { q.Method = "OPTIONS" }), Found{}, Refuse, OnlyIfCached, nil},
		{"only-if-cached and an unsafe method", askedWith(onlyIfCached, func(q *Query) { q.Method = "POST" }), Found{}, Pass, PassMethod, nil},
		{"only-if-cached and purged", askedWith(onlyIfCached), Found{Meta: gone, Verdict: Hard}, Refuse, OnlyIfCached, nil},
		{"only-if-cached and Authorization", askedWith(onlyIfCached, withAuthorization), Found{}, Refuse, OnlyIfCached, nil},
	} {
		d := Decide(c.query, routePolicy(), c.found, after(0))
		if d.Outcome != c.want || d.Reason != c.reason || !slices.Equal(flags(d), c.flags) {
			t.Errorf("%s: %v %s %v, want %v %s %v", c.sentence, d.Outcome, d.Reason, flags(d), c.want, c.reason, c.flags)
		}
	}
}

func TestDecideWithStored(t *testing.T) {
	const (
		ten     = "Cache-Control: max-age=10"
		swr     = ten + ", stale-while-revalidate=20"
		sie     = ten + ", stale-if-error=30"
		tag     = `ETag: "a"`
		instant = time.Nanosecond
	)
	s := time.Second
	head := func(q *Query) { q.Method = "HEAD" }
	onlyIfCached := func(q *Query) { q.Control.OnlyIfCached = true }
	verdict := func(v Verdict) Found { return Found{Verdict: v} }
	for _, c := range []struct {
		sentence string
		query    *Query
		lines    []string
		found    Found // without its Meta
		now      time.Duration
		want     Outcome
		reason   Reason
		flags    []string
	}{
		// RFC 9111, sections 4 and 4.2: fresh, or validated, or allowed to be stale.
		{"fresh when just received", askedWith(), []string{ten}, Found{}, 0, Hit, Fresh, nil},
		{"fresh until its lifetime", askedWith(), []string{ten}, Found{}, 10*s - instant, Hit, Fresh, nil},
		{"stale when its age reaches it", askedWith(), []string{ten, tag}, Found{}, 10 * s, Revalidate, Expired, nil},
		{"age on arrival counts", askedWith(), []string{ten, "Age: 6"}, Found{}, 4 * s, Revalidate, Expired, nil},
		{"stale without a validator is fetched anew", askedWith(), []string{ten}, Found{}, 11 * s, Revalidate, Expired, nil},
		{"HEAD from a stored GET", askedWith(head), []string{ten}, Found{}, 0, Hit, Fresh, nil},
		{"HEAD of a stale one as GET", askedWith(head), []string{ten}, Found{}, 11 * s, Revalidate, Expired, nil},
		{"never fresh: nobody to share the validation with", askedWith(), []string{"Cache-Control: max-age=0", tag}, Found{}, 0, Revalidate, Expired, []string{alone}},
		{"no freshness at all alike", askedWith(), []string{tag}, Found{}, 0, Revalidate, Expired, []string{alone}},
		{"expired on the way alike", askedWith(), []string{ten, tag, "Age: 10"}, Found{}, 0, Revalidate, Expired, []string{alone}},
		// Section 5.2.2.4.
		{"no-cache is validated though fresh", askedWith(), []string{ten + ", no-cache", tag}, Found{}, 0, Revalidate, NoCacheStored, []string{alone}},
		{"no-cache qualified alike", askedWith(), []string{ten + `, no-cache="x"`, tag}, Found{}, 0, Revalidate, NoCacheStored, []string{alone}},
		// Section 3.5.
		{"Authorization and public", askedWith(withAuthorization), []string{ten + ", public"}, Found{}, 0, Hit, Fresh, nil},
		{"Authorization and must-revalidate, stale", askedWith(withAuthorization), []string{ten + ", must-revalidate"}, Found{}, 11 * s, Revalidate, Expired, nil},
		{"Authorization and none of these", askedWith(withAuthorization), []string{ten}, Found{}, 0, Miss, PassAuthorization, []string{alone}},
		// Section 5.2.1.7.
		{"only-if-cached and fresh", askedWith(onlyIfCached), []string{ten}, Found{}, 0, Hit, Fresh, nil},
		{"only-if-cached and stale", askedWith(onlyIfCached), []string{ten}, Found{}, 11 * s, Refuse, OnlyIfCached, nil},
		{"only-if-cached and allowed to be stale", askedWith(onlyIfCached), []string{swr}, Found{}, 11 * s, Stale, StaleWhileRevalidate, []string{background}},
		{"only-if-cached and no-cache", askedWith(onlyIfCached), []string{ten + ", no-cache", tag}, Found{}, 0, Refuse, OnlyIfCached, nil},

		// RFC 5861, section 3.
		{"stale-while-revalidate while fresh", askedWith(), []string{swr}, Found{}, 9 * s, Hit, Fresh, nil},
		{"after it becomes stale", askedWith(), []string{swr}, Found{}, 10 * s, Stale, StaleWhileRevalidate, []string{background}},
		{"up to the indicated number of seconds", askedWith(), []string{swr}, Found{}, 30*s - instant, Stale, StaleWhileRevalidate, []string{background}},
		{"and no longer", askedWith(), []string{swr}, Found{}, 30 * s, Revalidate, Expired, nil},
		{"forbidden by must-revalidate", askedWith(), []string{swr + ", must-revalidate"}, Found{}, 11 * s, Revalidate, Expired, nil},
		{"forbidden by s-maxage", askedWith(), []string{"Cache-Control: s-maxage=10, stale-while-revalidate=20"}, Found{}, 11 * s, Revalidate, Expired, nil},
		{"forbidden by no-cache", askedWith(), []string{swr + ", no-cache", tag}, Found{}, 11 * s, Revalidate, NoCacheStored, []string{alone}},
		// Section 4: only when there is an error.
		{"stale-if-error waits for the error", askedWith(), []string{sie}, Found{}, 11 * s, Revalidate, Expired, nil},

		// The purges.
		{"valid", askedWith(), []string{ten}, verdict(Valid), 0, Hit, Fresh, nil},
		{"soft: stale from now on", askedWith(), []string{ten, tag}, verdict(Soft), 0, Revalidate, SoftPurged, nil},
		{"soft: stale-while-revalidate applies", askedWith(), []string{swr}, verdict(Soft), 0, Stale, StaleWhileRevalidate, []string{background}},
		{"soft: its window ends as ever", askedWith(), []string{swr}, verdict(Soft), 30 * s, Revalidate, SoftPurged, nil},
		{"must-validate though fresh", askedWith(), []string{swr, tag}, verdict(MustValidate), 0, Revalidate, MustValidateReason, nil},
		{"hard", askedWith(), []string{swr, tag}, verdict(Hard), 0, Miss, Purged, nil},

		// After a failed fetch.
		{"backoff changes nothing for what is fresh", askedWith(), []string{sie}, Found{Backoff: true}, 0, Hit, Fresh, nil},
		{"backoff inside stale-if-error", askedWith(), []string{sie}, Found{Backoff: true, RetryDue: true}, 39 * s, Stale, StaleBackoff, []string{background}},
		{"backoff inside stale-if-error, from errors", askedWith(), []string{sie}, Found{Backoff: true, Trouble: ErrorStatus}, 39 * s, Stale, StaleBackoff, nil},
		{"backoff from errors, which none but stale-if-error forgives", askedWith(), []string{ten}, Found{Backoff: true, Trouble: ErrorStatus, RetryDue: true}, 11 * s, Revalidate, Expired, nil},
		{"backoff before the next attempt is due", askedWith(), []string{sie}, Found{Backoff: true}, 39 * s, Stale, StaleBackoff, nil},
		{"backoff after it", askedWith(), []string{sie}, Found{Backoff: true}, 40 * s, Revalidate, Expired, nil},
		{"backoff after a soft purge", askedWith(), []string{sie}, Found{Backoff: true, RetryDue: true, Verdict: Soft}, 0, Stale, StaleBackoff, []string{background}},
		{"backoff and must-validate", askedWith(), []string{sie}, Found{Backoff: true, Verdict: MustValidate}, 0, Revalidate, MustValidateReason, nil},
		{"backoff and must-revalidate", askedWith(), []string{sie + ", must-revalidate"}, Found{Backoff: true}, 11 * s, Revalidate, Expired, nil},
		{"after a refusal to store, stale ones are validated in parallel", askedWith(), []string{ten, tag}, Found{HitForMiss: true}, 11 * s, Revalidate, Expired, []string{alone}},
		{"and fresh ones used", askedWith(), []string{ten}, Found{HitForMiss: true}, 0, Hit, Fresh, nil},
	} {
		c.found.Meta = storedAs(t, routePolicy(), c.lines...)
		d := Decide(c.query, routePolicy(), c.found, after(c.now))
		if d.Outcome != c.want || d.Reason != c.reason || !slices.Equal(flags(d), c.flags) {
			t.Errorf("%s: %q after %v: %v %s %v, want %v %s %v", c.sentence, c.lines, c.now, d.Outcome, d.Reason, flags(d), c.want, c.reason, c.flags)
		}
	}
}

func TestDecideOnHitDoesNotAllocate(t *testing.T) {
	q, p, found := askedWith(), routePolicy(), Found{Meta: storedAs(t, routePolicy(), "Cache-Control: max-age=10")}
	if n := testing.AllocsPerRun(100, func() { Decide(q, p, found, after(0)) }); n != 0 {
		t.Errorf("Decide on a hit makes %v allocations, want 0", n)
	}
}

func TestDecideTellsAgeAndTTL(t *testing.T) {
	m := storedAs(t, routePolicy(), "Cache-Control: max-age=10, stale-while-revalidate=20", "Age: 1")
	for _, c := range []struct {
		verdict  Verdict
		now      time.Duration
		age, ttl time.Duration
	}{
		{Valid, 2 * time.Second, 3 * time.Second, 7 * time.Second},
		{Valid, 12 * time.Second, 13 * time.Second, -3 * time.Second},
		{Soft, 2 * time.Second, 3 * time.Second, 0},
		{Soft, 12 * time.Second, 13 * time.Second, -3 * time.Second},
	} {
		d := Decide(askedWith(), routePolicy(), Found{Meta: m, Verdict: c.verdict}, after(c.now))
		if d.Age != c.age || d.TTL != c.ttl {
			t.Errorf("verdict %d after %v: age %v, ttl %v, want %v, %v", c.verdict, c.now, d.Age, d.TTL, c.age, c.ttl)
		}
	}
}

func TestClientDirectives(t *testing.T) {
	const ten = "Cache-Control: max-age=10"
	s := time.Second
	noCache := func(c *RequestControl) { c.NoCache = true }
	maxAge := func(n int64) func(*RequestControl) { return func(c *RequestControl) { c.MaxAge = n } }
	minFresh := func(n int64) func(*RequestControl) { return func(c *RequestControl) { c.MinFresh = n } }
	maxStale := func(n int64) func(*RequestControl) { return func(c *RequestControl) { c.MaxStale = n } }
	both := func(a, b func(*RequestControl)) func(*RequestControl) { return func(c *RequestControl) { a(c); b(c) } }
	for _, c := range []struct {
		sentence string
		control  func(*RequestControl)
		line     string
		now      time.Duration
		honoured Outcome
		reason   Reason
		ignored  Outcome
	}{
		// RFC 9111, section 5.2.1.1.
		{"max-age: an age less than or equal", maxAge(5), ten, 5 * s, Hit, Fresh, Hit},
		{"max-age: a greater age", maxAge(5), ten, 6 * s, Revalidate, RequestMaxAge, Hit},
		{"max-age=0", maxAge(0), ten, 1 * s, Revalidate, RequestMaxAge, Hit},
		{"max-age: nothing stale without max-stale", maxAge(60), ten + ", stale-while-revalidate=60", 11 * s, Revalidate, Expired, Stale},
		{"max-age and max-stale", both(maxAge(60), maxStale(60)), ten, 11 * s, Stale, RequestMaxStale, Revalidate},
		{"max-age beyond 64 bits of nanoseconds", maxAge(1 << 62), ten, 5 * s, Hit, Fresh, Hit},
		// Section 5.2.1.2.
		{"max-stale: exceeded by no more", maxStale(5), ten, 15 * s, Stale, RequestMaxStale, Revalidate},
		{"max-stale: exceeded by more", maxStale(5), ten, 16 * s, Revalidate, Expired, Revalidate},
		{"max-stale without a value", maxStale(1<<63 - 1), ten, 1e6 * s, Stale, RequestMaxStale, Revalidate},
		{"max-stale and must-revalidate", maxStale(5), ten + ", must-revalidate", 11 * s, Revalidate, Expired, Revalidate},
		{"max-stale and a fresh response", maxStale(5), ten, 1 * s, Hit, Fresh, Hit},
		// Section 5.2.1.3.
		{"min-fresh: for at least so long", minFresh(5), ten, 5 * s, Hit, Fresh, Hit},
		{"min-fresh: for less", minFresh(5), ten, 6 * s, Revalidate, RequestMinFresh, Hit},
		{"min-fresh: stale is never fresh enough", minFresh(0), ten + ", stale-while-revalidate=60", 11 * s, Revalidate, RequestMinFresh, Stale},
		// Section 5.2.1.4, and 5.4 for Pragma, which is reduced to the same.
		{"no-cache", noCache, ten, 0, Revalidate, RequestNoCache, Hit},
		{"no-cache and stale-while-revalidate", noCache, ten + ", stale-while-revalidate=60", 11 * s, Revalidate, RequestNoCache, Stale},
		// RFC 8246, section 2.
		{"immutable: not validated on reload", maxAge(0), ten + ", immutable", 1 * s, Hit, Fresh, Hit},
		{"immutable: only while fresh", maxAge(0), ten + ", immutable", 11 * s, Revalidate, RequestMaxAge, Revalidate},
		{"immutable: unless the client insists", noCache, ten + ", immutable", 1 * s, Revalidate, RequestNoCache, Hit},
	} {
		q := askedWith()
		c.control(&q.Control)
		found := Found{Meta: storedAs(t, routePolicy(), c.line)}
		d := Decide(q, routePolicy(func(p *Policy) { p.honourClient = true }), found, after(c.now))
		if d.Outcome != c.honoured || d.Reason != c.reason {
			t.Errorf("%s, honoured: %q after %v: %v %s, want %v %s", c.sentence, c.line, c.now, d.Outcome, d.Reason, c.honoured, c.reason)
		}
		if d := Decide(q, routePolicy(), found, after(c.now)); d.Outcome != c.ignored {
			t.Errorf("%s, ignored: %q after %v: %v %s, want %v", c.sentence, c.line, c.now, d.Outcome, d.Reason, c.ignored)
		}
	}
}

func TestStaleAllowed(t *testing.T) {
	p := routePolicy(func(p *Policy) { p.Stale.Unreachable = time.Minute })
	s := time.Second
	const sie = "Cache-Control: max-age=10, stale-if-error=20"
	for _, c := range []struct {
		sentence string
		line     string
		verdict  Verdict
		trouble  Trouble
		now      time.Duration
		want     Reason // "" for not allowed
	}{
		// RFC 5861, section 4: when an error is encountered, regardless of other freshness information.
		{"an error status", sie, Valid, ErrorStatus, 11 * s, StaleIfError},
		{"no answer is an error too", sie, Valid, Unreachable, 11 * s, StaleIfError},
		{"until the window ends", sie, Valid, ErrorStatus, 30*s - 1, StaleIfError},
		{"and no longer", sie, Valid, ErrorStatus, 30 * s, ""},
		{"of a response still fresh", sie, Valid, ErrorStatus, 0, StaleIfError},
		{"of one purged softly", sie, Soft, ErrorStatus, 0, StaleIfError},
		// RFC 9111, section 4.2.4: unless it is disconnected.
		{"disconnected, after stale-if-error", sie, Valid, Unreachable, 30 * s, StaleUnreachable},
		{"disconnected, without", "Cache-Control: max-age=10", Valid, Unreachable, 70*s - 1, StaleUnreachable},
		{"disconnected for too long", "Cache-Control: max-age=10", Valid, Unreachable, 70 * s, ""},
		{"an answer is no disconnection", "Cache-Control: max-age=10", Valid, ErrorStatus, 11 * s, ""},
		{"prohibited by must-revalidate", sie + ", must-revalidate", Valid, Unreachable, 11 * s, ""},
		{"prohibited by proxy-revalidate", sie + ", proxy-revalidate", Valid, Unreachable, 11 * s, ""},
		{"prohibited by s-maxage", sie + ", s-maxage=10", Valid, Unreachable, 11 * s, ""},
		{"prohibited by no-cache", sie + `, no-cache`, Valid, Unreachable, 11 * s, ""},
		{"prohibited by a purge that wants validation", sie, MustValidate, Unreachable, 11 * s, ""},
		{"prohibited by a hard purge", sie, Hard, Unreachable, 11 * s, ""},
	} {
		m := storedAs(t, p, c.line, `ETag: "a"`)
		got, ok := StaleAllowed(m, c.verdict, c.trouble, after(c.now))
		if got != c.want || ok != (c.want != "") {
			t.Errorf("%s: %q after %v: %q, %t, want %q", c.sentence, c.line, c.now, got, ok, c.want)
		}
	}
	if _, ok := StaleAllowed(nil, Valid, Unreachable, 0); ok {
		t.Error("nothing stored may be used stale")
	}
}

// Admit opens no windows where stale use is forbidden; a Meta that has them all the same, from an older disk, is not used.
func TestForbidStaleOutweighsWindows(t *testing.T) {
	m := &Meta{Lifetime: time.Second, WhileRevalidate: time.Hour, IfError: time.Hour, Unreachable: time.Hour, ForbidStale: true}
	if d := Decide(askedWith(), routePolicy(), Found{Meta: m, Backoff: true}, Instant(2*time.Second)); d.Outcome != Revalidate {
		t.Errorf("Decide = %v %s, want revalidate", d.Outcome, d.Reason)
	}
	for _, m := range []*Meta{m, {IfError: time.Hour, NoCache: true}} {
		if reason, ok := StaleAllowed(m, Valid, Unreachable, Instant(2*time.Second)); ok {
			t.Errorf("StaleAllowed(%+v) = %s, want it forbidden", m, reason)
		}
	}
}

func TestIsErrorStatus(t *testing.T) {
	var got []int
	for status := range 1000 {
		if IsErrorStatus(status) {
			got = append(got, status)
		}
	}
	if want := []int{500, 502, 503, 504}; !slices.Equal(got, want) {
		t.Errorf("error statuses = %v, want %v", got, want)
	}
}
