package edge

import (
	"context"
	"maps"
	"net/http"
	"strings"
	"sync"
	"time"

	"selvage/cache"
	"selvage/origin"
)

// fill fetches for a miss or a revalidation, or shares another request's fetch, and answers from what came. False: the
// answer was for others; look again.
func (x *exchange) fill(stale *cache.Object, v cache.Verdict, d cache.Decision) bool {
	if d.Alone && d.Outcome == cache.Miss && x.q.Present.Has(cache.HasRange) {
		x.res.Outcome = cache.Pass // its whole would be fetched for this client alone
		x.pass(forOne)
		return true
	}
	if d.Outcome == cache.Miss {
		stale = nil
	}
	lent := x.lent
	a := x.store.Fill(x.newFill(stale, v, d, false))
	if a.Object != nil && a.Object.Own.Body.Complete() {
		x.lent = lent // nothing is left to be done for the fill
	}
	if a.Excluded {
		return false
	}
	defer a.Release()
	x.res.Asked, x.res.Origin = true, a.Status
	x.res.Collapse, x.res.Stored = !a.Led, a.Led && a.Admission.Store
	if a.Led && !a.Admission.Store {
		x.res.NotStored = a.Admission.Reason
	}
	switch t, bad := trouble(a); {
	case bad && x.mayRespondStale(stale, v, t):
		a.Release() // the error, which nobody will read
		x.respond(stale)
	case a.Err != nil:
		x.failOrigin(a.Err)
	case a.Object != nil:
		x.firstHand = a.Led
		x.respond(a.Object)
	default:
		x.firstHand = true
		x.respondOnce(a)
	}
	return true
}

// trouble says whether an answer is one that a stale response may stand in for (RFC 5861, section 4).
func trouble(a cache.Answer) (cache.Trouble, bool) {
	if a.Err != nil {
		if unreachable(a.Err) {
			return cache.Unreachable, true
		}
		return cache.ErrorStatus, true
	}
	return cache.ErrorStatus, cache.IsErrorStatus(a.Status)
}

// mayRespondStale reports whether the rules allow the stale object, and notes by which.
func (x *exchange) mayRespondStale(stale *cache.Object, v cache.Verdict, t cache.Trouble) bool {
	if stale == nil {
		return false
	}
	now := x.clock.Now().Mono
	reason, ok := cache.StaleAllowed(stale.Meta, v, t, now)
	if !ok {
		return false
	}
	x.res.Outcome, x.res.Reason, x.res.Stored, x.res.NotStored = cache.Stale, reason, false, ""
	x.res.HasTTL, x.res.TTL = true, stale.Meta.TTL(now)
	return true
}

// respondOnce answers the leader from a response that is not stored.
func (x *exchange) respondOnce(a cache.Answer) {
	// The fetch is not bound to the request, but this body has no other reader.
	defer context.AfterFunc(x.r.Context(), func() { a.Response.Body.Close() })()
	if a.Response.StatusCode == http.StatusOK && x.q.Present.Has(cache.HasRange) && x.r.Method == http.MethodGet {
		a.Response.Body.Close()
		x.res.Outcome = cache.Pass
		x.pass(forOne)
		return
	}
	m := a.Admission.Meta
	c := m.Once()
	if x.precluded(m, c, time.Time{}) {
		return
	}
	l := x.copyHead(m, &c, c.ETag)
	x.stream(l.header, a.Response)
}

// newFill describes the fetch for this request; in the background nobody hears of interim responses and results.
func (x *exchange) newFill(stale *cache.Object, v cache.Verdict, d cache.Decision, background bool) *cache.Fill {
	if v == cache.Hard {
		stale = nil
	}
	x.lent = true
	e := &struct { // one piece: they last as long as each other
		fill  cache.Fill
		query cache.Query
	}{query: x.q} // the fill outlives the request, and is a GET also for HEAD
	f, q := &e.fill, &e.query
	q.Method = http.MethodGet
	*f = cache.Fill{Query: q, Policy: x.route.policy, Begin: x.begin, Stale: stale, Alone: d.Alone, Unreachable: unreachable}
	head := x.fillHeader(d.Alone, background)
	route, query, client := x.route, x.target(x.q.RawQuery, x.q.HasQuery), x.client.address()
	f.Fetch = func(ctx context.Context, validate *cache.Meta) (*http.Response, error) {
		r := &http.Request{Method: http.MethodGet, URL: query, Host: x.originHost(), Header: withValidators(head, validate), RemoteAddr: client}
		if background {
			resp, _, err := x.ask(r.WithContext(ctx), route.pool, q.Site)
			return resp, err
		}
		forward := &interim{x: x}
		defer forward.stop()
		resp, took, err := x.ask(r.WithContext(origin.WithWitness(ctx, forward)), route.pool, q.Site)
		x.heard(resp, took)
		return resp, err
	}
	return f
}

// ask asks an origin, and counts that.
func (e *Edge) ask(r *http.Request, pool Pool, site string) (*http.Response, time.Duration, error) {
	begin, status := e.clock.Now().Mono, 0
	resp, err := pool.RoundTrip(r)
	if err == nil {
		status = resp.StatusCode
		e.allowSilence(resp)
	}
	took := e.clock.Now().Mono.Sub(begin)
	e.metrics.RecordOrigin(site, status, took)
	return resp, took, err
}

// allowSilence lifts the limit between two bytes for what is silent by nature: an event stream has its own limit, and a
// tunnel keeps its own.
func (e *Edge) allowSilence(resp *http.Response) {
	switch {
	case resp.StatusCode == http.StatusSwitchingProtocols:
		origin.SetGap(resp, 0)
	case isEventStream(resp.Header):
		origin.SetGap(resp, e.conf.Load().timeouts.Stream)
	}
}

// heard notes for the log what the origin said, and how long that took.
func (x *exchange) heard(resp *http.Response, took time.Duration) {
	x.res.Forward, x.res.Asked = took, true
	if resp != nil {
		x.res.Origin, x.res.Upstream = resp.StatusCode, origin.Upstream(resp)
	}
}

// fillHeader builds the header of a fill's request: what the client sent, without what is about its own copy. An answer that is
// for one client alone, as far as we know, is best coded by the origin. What the client asks of caches is for all on the way
// (RFC 9111, section 5.2), but not where the route would have it ignored, nor of a fetch that the client does not wait for.
func (x *exchange) fillHeader(alone, background bool) http.Header {
	h := x.outbound()
	for _, name := range []string{"Range", "If-Range", "If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since",
		"Expect", "Upgrade", "Te"} {
		delete(h, name)
	}
	if background || x.route.policy.ClientDirectives != "honour" {
		delete(h, "Cache-Control")
		delete(h, "Pragma")
	}
	// About content that is not there, and an origin may answer an odd one with an error that it lets be stored.
	maps.DeleteFunc(h, func(name string, _ []string) bool { return strings.HasPrefix(name, "Content-") })
	x.limitChoice(h, alone)
	return h
}

// limitChoice leaves of the fields by which an origin may choose an answer what the cache shows it.
func (x *exchange) limitChoice(h http.Header, alone bool) {
	if x.route.policy.RequestCookies == "strip" {
		delete(h, "Cookie")
	}
	delete(h, "Available-Dictionary")
	delete(h, "Dictionary-Id")
	delete(h, "Accept-Encoding")
	if codings := x.q.Coding.AcceptEncoding(); x.route.policy.Codings != nil && !alone {
		h.Set("Accept-Encoding", "identity") // all codings are made here: see cache.Object.Choose
	} else if codings != "" {
		h.Set("Accept-Encoding", codings)
	}
}

// withValidators is h for a request that validates m, if there is one. h stays as it is: another attempt may begin with it.
func withValidators(h http.Header, m *cache.Meta) http.Header {
	if m == nil {
		return h
	}
	h = h.Clone()
	if m.ETag != "" {
		h.Set("If-None-Match", m.ETag)
	}
	if lm := m.Head.Get("Last-Modified"); lm != "" {
		h.Set("If-Modified-Since", lm)
	}
	return h
}

// interim forwards 1xx responses to the client while the final one is awaited.
type interim struct {
	x    *exchange
	mu   sync.Mutex
	done bool // the final head may be written from now on
}

// Got1xx is called for each of them, by whoever reads the origin's answer.
func (i *interim) Got1xx(code int, header http.Header) {
	i.mu.Lock()
	defer i.mu.Unlock()
	// 100 is between the origin and us; HTTP/1.0 knows no interim responses (RFC 9110, section 15.2).
	if i.done || code == http.StatusContinue || !i.x.r.ProtoAtLeast(1, 1) {
		return
	}
	h := i.x.w.Header()
	for name, values := range inboundHeader(header) {
		h[name] = values
	}
	i.x.w.WriteHeader(code)
	clear(h)
}

func (i *interim) stop() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.done = true
}
