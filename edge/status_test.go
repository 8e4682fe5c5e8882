package edge

import (
	"testing"
	"time"

	"github.com/dunglas/httpsfv"

	"selvage/cache"
)

func TestCacheStatus(t *testing.T) {
	for _, tt := range []struct {
		name string
		r    Result
		want string
	}{
		// RFC 9211, section 2.1: satisfied by the cache.
		{"hit", Result{Outcome: cache.Hit, Reason: cache.Fresh, HasTTL: true, TTL: 376 * time.Second}, "Selvage; hit; ttl=376"},
		{"stale without going forward is a hit; section 2.4: ttl may be negative", Result{Outcome: cache.Stale, Reason: cache.StaleWhileRevalidate, HasTTL: true, TTL: -1500 * time.Millisecond},
			"Selvage; hit; ttl=-2; detail=stale-while-revalidate"},
		{"stale, the origin unreachable", Result{Outcome: cache.Stale, Reason: cache.StaleUnreachable, Asked: true, HasTTL: true, TTL: -412 * time.Second},
			"Selvage; fwd=stale; ttl=-412; detail=stale-unreachable"},
		{"stale, the origin answered with an error", Result{Outcome: cache.Stale, Reason: cache.StaleIfError, Asked: true, Origin: 503, HasTTL: true, TTL: -time.Second},
			"Selvage; fwd=stale; fwd-status=503; ttl=-1; detail=stale-if-error"},
		// Section 2.2: why it went forward.
		{"uri-miss", Result{Outcome: cache.Miss, Reason: cache.URIMiss, Origin: 200, Stored: true, HasTTL: true, TTL: time.Minute},
			"Selvage; fwd=uri-miss; fwd-status=200; stored; ttl=60"},
		{"collapsed", Result{Outcome: cache.Miss, Reason: cache.URIMiss, Origin: 200, Stored: true, Collapse: true},
			"Selvage; fwd=uri-miss; fwd-status=200; stored; collapsed"},
		{"not stored", Result{Outcome: cache.Miss, Reason: cache.URIMiss, Origin: 200, NotStored: cache.NotStoredNoStore},
			"Selvage; fwd=uri-miss; fwd-status=200; detail=origin-no-store"},
		{"no answer", Result{Outcome: cache.Miss, Reason: cache.URIMiss}, "Selvage; fwd=uri-miss"},
		{"vary-miss", Result{Outcome: cache.Miss, Reason: cache.VaryMiss, Origin: 200}, "Selvage; fwd=vary-miss; fwd-status=200"},
		{"purged", Result{Outcome: cache.Miss, Reason: cache.Purged, Origin: 200}, "Selvage; fwd=miss; fwd-status=200; detail=purged"},
		{"stale without a validator", Result{Outcome: cache.Miss, Reason: cache.Expired, Origin: 200}, "Selvage; fwd=stale; fwd-status=200"},
		{"validated", Result{Outcome: cache.Revalidate, Reason: cache.Expired, Origin: 304, Stored: true}, "Selvage; fwd=stale; fwd-status=304; stored"},
		{"validated for no-cache", Result{Outcome: cache.Revalidate, Reason: cache.NoCacheStored, Origin: 304}, "Selvage; fwd=stale; fwd-status=304; detail=no-cache"},
		{"validated at the request's wish", Result{Outcome: cache.Revalidate, Reason: cache.RequestNoCache, Origin: 304},
			"Selvage; fwd=request; fwd-status=304; detail=request-no-cache"},
		{"fetched at the request's wish", Result{Outcome: cache.Miss, Reason: cache.RequestMaxAge, Origin: 200},
			"Selvage; fwd=request; fwd-status=200; detail=request-max-age"},
		{"pass: method", Result{Outcome: cache.Pass, Reason: cache.PassMethod, Origin: 201}, "Selvage; fwd=method; fwd-status=201"},
		{"pass: configured", Result{Outcome: cache.Pass, Reason: cache.PassRoute, Origin: 200}, "Selvage; fwd=bypass; fwd-status=200; detail=route"},
		{"pass: cookie", Result{Outcome: cache.Pass, Reason: cache.PassBypassCookie, Origin: 200}, "Selvage; fwd=bypass; fwd-status=200; detail=bypass-cookie"},
		{"pass: no-store", Result{Outcome: cache.Pass, Reason: cache.PassNoStore, Origin: 200}, "Selvage; fwd=request; fwd-status=200; detail=request-no-store"},
		{"pass: range", Result{Outcome: cache.Pass, Reason: cache.PassRange, Origin: 206}, "Selvage; fwd=partial; fwd-status=206; detail=range"},
		{"pass: HEAD", Result{Outcome: cache.Pass, Reason: cache.PassHead, Origin: 200}, "Selvage; fwd=uri-miss; fwd-status=200; detail=head"},
		// Neither a hit nor forwarded.
		{"refused", Result{Outcome: cache.Refuse, Reason: cache.OnlyIfCached}, "Selvage; detail=only-if-cached"},
	} {
		got := string(appendCacheStatus(nil, &tt.r, "Selvage"))
		if got != tt.want {
			t.Errorf("%s:\n got %s\nwant %s", tt.name, got, tt.want)
		}
		if _, err := httpsfv.UnmarshalList([]string{got}); err != nil {
			t.Errorf("%s: %s: %v", tt.name, got, err)
		}
	}
}

func TestProxyStatus(t *testing.T) {
	for _, tt := range []struct{ id, err, want string }{
		{"Selvage", "connection_timeout", "Selvage; error=connection_timeout"},
		{"Selvage", "", "Selvage"},
		{"edge 7", "a \"b\\\n\xff", `"edge 7"; error="a \"b\\??"`},
	} {
		got := string(appendProxyStatus(nil, &Result{Error: tt.err}, tt.id))
		if got != tt.want {
			t.Errorf("appendProxyStatus(%q, %q) = %s, want %s", tt.id, tt.err, got, tt.want)
		}
		if _, err := httpsfv.UnmarshalList([]string{got}); err != nil {
			t.Errorf("%s: %v", got, err)
		}
	}
}

func TestCacheStatusAllocatesNothing(t *testing.T) {
	buf := make([]byte, 0, 256)
	r := Result{Outcome: cache.Miss, Reason: cache.URIMiss, Origin: 200, NotStored: cache.NotStoredPrivate, Collapse: true, HasTTL: true}
	if n := testing.AllocsPerRun(100, func() { appendCacheStatus(buf, &r, "Selvage") }); n != 0 {
		t.Errorf("appendCacheStatus allocates %v times, want 0", n)
	}
}

func TestStructuredToken(t *testing.T) {
	for s, want := range map[string]bool{
		"Selvage": true, "*": true, "a:b/c": true, "a-1.x_y": true, "": false, "1a": false, "-a": false, "a b": false, "a\"": false, "aé": false,
	} {
		if got := isStructuredToken(s); got != want {
			t.Errorf("isStructuredToken(%q) = %v, want %v", s, got, want)
		}
	}
}
