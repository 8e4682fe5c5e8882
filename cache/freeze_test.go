package cache

import (
	"slices"
	"testing"
	"time"
)

func TestWithhold(t *testing.T) {
	const (
		ten = "Cache-Control: max-age=10"
		tag = `ETag: "a"`
	)
	s, year := time.Second, 365*24*time.Hour
	head := func(q *Query) { q.Method = "HEAD" }
	post := func(q *Query) { q.Method = "POST" }
	onlyIfCached := func(q *Query) { q.Control.OnlyIfCached = true }
	nothing := []string(nil) // stored
	wants := func(outage bool, unreachable time.Duration) *Policy {
		return routePolicy(func(p *Policy) { p.Stale.Outage, p.Stale.Unreachable = outage, unreachable })
	}
	normal := wants(true, time.Hour)
	for _, c := range []struct {
		sentence string
		reach    Reach
		policy   *Policy
		query    *Query
		lines    []string
		found    Found // without its Meta
		now      time.Duration
		want     Outcome
		reason   Reason
		flags    []string
	}{
		{"reachable changes nothing", Reachable, normal, askedWith(), []string{ten, tag}, Found{}, year, Revalidate, Expired, nil},

		// RFC 9111, section 4.2.4: a disconnected cache may use what is stale.
		{"disconnected, fresh", Disconnected, normal, askedWith(), []string{ten}, Found{}, 0, Hit, Fresh, nil},
		{"disconnected, whatever its age", Disconnected, normal, askedWith(), []string{ten}, Found{}, year, Stale, StaleOutage, []string{background}},
		{"HEAD alike", Disconnected, normal, askedWith(head), []string{ten}, Found{}, year, Stale, StaleOutage, []string{background}},
		{"after a failure once in a while", Disconnected, normal, askedWith(), []string{ten}, Found{Backoff: true}, year, Stale, StaleOutage, nil},
		{"when it is time again", Disconnected, normal, askedWith(), []string{ten}, Found{Backoff: true, RetryDue: true}, year, Stale, StaleOutage, []string{background}},
		{"and made stale by a purge", Disconnected, normal, askedWith(), []string{ten}, Found{Verdict: Soft}, 0, Stale, StaleOutage, []string{background}},
		{"other windows come first", Disconnected, normal, askedWith(), []string{ten + ", stale-while-revalidate=20"}, Found{}, 11 * s, Stale, StaleWhileRevalidate, []string{background}},
		{"only-if-cached takes it", Disconnected, normal, askedWith(onlyIfCached), []string{ten}, Found{}, year, Stale, StaleOutage, []string{background}},
		// But not where it is prohibited by an explicit in-protocol directive.
		{"no-cache", Disconnected, normal, askedWith(), []string{ten + ", no-cache", tag}, Found{}, 0, Revalidate, NoCacheStored, []string{alone}},
		{"must-revalidate", Disconnected, normal, askedWith(), []string{ten + ", must-revalidate"}, Found{}, 11 * s, Revalidate, Expired, nil},
		{"proxy-revalidate", Disconnected, normal, askedWith(), []string{ten + ", proxy-revalidate"}, Found{}, 11 * s, Revalidate, Expired, nil},
		{"s-maxage", Disconnected, normal, askedWith(), []string{"Cache-Control: s-maxage=10"}, Found{}, 11 * s, Revalidate, Expired, nil},
		// Section 4.4: in need of a mandatory validation.
		{"invalidated by an unsafe method", Disconnected, normal, askedWith(), []string{ten}, Found{Verdict: MustValidate}, 0, Revalidate, MustValidateReason, nil},
		{"purged", Disconnected, normal, askedWith(), []string{ten}, Found{Verdict: Hard}, 0, Miss, Purged, nil},
		{"nothing stored goes to the origin", Disconnected, normal, askedWith(), nothing, Found{}, 0, Miss, URIMiss, nil},
		{"and unsafe methods", Disconnected, normal, askedWith(post), nothing, Found{}, 0, Pass, PassMethod, nil},
		{"Authorization and not shared with it", Disconnected, normal, askedWith(withAuthorization), []string{ten}, Found{}, 11 * s, Miss, PassAuthorization, []string{alone}},
		{"the route does not want it", Disconnected, wants(false, time.Hour), askedWith(), []string{ten}, Found{}, year, Revalidate, Expired, nil},
		{"nor anything without an origin", Disconnected, wants(true, 0), askedWith(), []string{ten}, Found{}, year, Revalidate, Expired, nil},

		// An operator speaks for the origin.
		{"frozen, fresh", Frozen, normal, askedWith(), []string{ten}, Found{}, 0, Hit, Fresh, nil},
		{"frozen, whatever its age, and nothing behind it", Frozen, normal, askedWith(), []string{ten}, Found{}, year, Stale, SiteFrozen, nil},
		{"frozen, not even while it is revalidated", Frozen, normal, askedWith(), []string{ten + ", stale-while-revalidate=20"}, Found{}, 11 * s, Stale, SiteFrozen, nil},
		{"frozen, no-cache", Frozen, normal, askedWith(), []string{ten + ", no-cache", tag}, Found{}, 0, Stale, SiteFrozen, nil},
		{"frozen, must-revalidate", Frozen, normal, askedWith(), []string{ten + ", must-revalidate"}, Found{}, year, Stale, SiteFrozen, nil},
		{"frozen, s-maxage", Frozen, normal, askedWith(), []string{"Cache-Control: s-maxage=10"}, Found{}, year, Stale, SiteFrozen, nil},
		{"frozen, whatever the route wants", Frozen, wants(false, 0), askedWith(), []string{ten}, Found{}, year, Stale, SiteFrozen, nil},
		{"frozen, made stale by a purge", Frozen, normal, askedWith(), []string{ten}, Found{Verdict: Soft}, 0, Stale, SiteFrozen, nil},
		{"frozen, invalidated by an unsafe method", Frozen, normal, askedWith(), []string{ten}, Found{Verdict: MustValidate}, 0, Stale, SiteFrozen, nil},
		{"frozen, purged", Frozen, normal, askedWith(), []string{ten}, Found{Verdict: Hard}, 0, Refuse, SiteFrozen, nil},
		{"frozen, HEAD of what was purged", Frozen, normal, askedWith(head), []string{ten}, Found{Verdict: Hard}, 0, Refuse, SiteFrozen, nil},
		{"frozen, Authorization and shared", Frozen, normal, askedWith(withAuthorization), []string{ten + ", public"}, Found{}, year, Stale, SiteFrozen, nil},
		{"frozen, Authorization and not shared with it", Frozen, normal, askedWith(withAuthorization), []string{ten}, Found{}, 0, Refuse, SiteFrozen, nil},
		{"frozen, nothing stored", Frozen, normal, askedWith(), nothing, Found{}, 0, Refuse, SiteFrozen, nil},
		{"frozen, an unsafe method", Frozen, normal, askedWith(post), nothing, Found{}, 0, Refuse, SiteFrozen, nil},
		{"frozen, only-if-cached", Frozen, normal, askedWith(onlyIfCached), []string{ten}, Found{}, year, Stale, SiteFrozen, nil},
		{"frozen, only-if-cached and nothing stored", Frozen, normal, askedWith(onlyIfCached), nothing, Found{}, 0, Refuse, OnlyIfCached, nil},
	} {
		if c.lines != nil {
			c.found.Meta = storedAs(t, c.policy, c.lines...)
		}
		now := after(c.now)
		d := Withhold(Decide(c.query, c.policy, c.found, now), c.query, c.policy, c.found, c.reach, now)
		if d.Outcome != c.want || d.Reason != c.reason || !slices.Equal(flags(d), c.flags) {
			t.Errorf("%s: %q after %v: %v %s %v, want %v %s %v", c.sentence, c.lines, c.now, d.Outcome, d.Reason, flags(d), c.want, c.reason, c.flags)
		}
	}
}

func TestWithholdTellsAgeAndTTL(t *testing.T) {
	for _, c := range []struct {
		verdict  Verdict
		now      time.Duration
		age, ttl time.Duration
	}{
		{Valid, 70 * time.Second, 70 * time.Second, -60 * time.Second},
		{Soft, 4 * time.Second, 4 * time.Second, 0}, // fresh by its lifetime, but a purge has spoken
		{Soft, 70 * time.Second, 70 * time.Second, -60 * time.Second},
	} {
		q, p := askedWith(), routePolicy()
		f := Found{Meta: storedAs(t, p, "Cache-Control: max-age=10"), Verdict: c.verdict}
		now := after(c.now)
		d := Withhold(Decide(q, p, f, now), q, p, f, Frozen, now)
		if d.Age != c.age || d.TTL != c.ttl {
			t.Errorf("%s after %v: age %v, ttl %v; want %v and %v", c.verdict, c.now, d.Age, d.TTL, c.age, c.ttl)
		}
	}
}
