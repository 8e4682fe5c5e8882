package edge

import (
	"net/http"
	"net/url"
	"sync"

	"selvage/cache"
	"selvage/edge/internal/lane"
)

// lookups bounds how often a request looks again because the fill it waited for was not for it.
const lookups = 3

// exchange is one request on its walk through the rooms.
type exchange struct {
	transaction
	w http.ResponseWriter
	r *http.Request

	// What read found.
	start    cache.Instant
	now      cache.Moment // of the last look-up
	fields   sentFields   // behind q.Fields
	rawQuery string       // canonical, before the route's policy dropped anything
	body     *requestBody

	looked [lookups]*cache.Object // what look-ups gave; let go of at the end

	sent bool // the final head is on its way
	lent bool // a fill or an exchange with an origin may hold it when the request has ended
}

// exchanges holds those that nobody holds any more: hits and refusals, as a rule.
var exchanges = sync.Pool{New: func() any { return new(exchange) }}

// ServeHTTP walks a request from read to finish. The rooms before it, accept and the strict check, are the lane's.
func (e *Edge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e.walk(w, r, lane.ConnFrom(r.Context()))
}

func (e *Edge) walk(w http.ResponseWriter, r *http.Request, conn *lane.Info) {
	x := exchanges.Get().(*exchange)
	x.Edge, x.conf, x.w, x.r, x.conn = e, e.conf.Load(), w, r, conn
	x.now, x.begin = e.clock.Now(), e.journal.Applied()
	x.start = x.now.Mono
	defer x.finish()
	if x.read() {
		x.serve()
	}
}

// serve looks up, decides and acts.
func (x *exchange) serve() {
	if cache.Eligible(&x.q, x.route.policy) != "" { // there is nothing to look up
		if x.decide(cache.Found{}).Outcome == cache.Refuse {
			x.failUnasked()
			return
		}
		x.pass(asAsked)
		return
	}
	for i := range lookups {
		o, found := x.store.Lookup(&x.q, x.begin, x.now.Mono)
		x.looked[i] = o
		d := x.decide(found)
		switch d.Outcome {
		case cache.Hit:
			x.res.Collapse = !o.Own.Body.Complete()
			x.respond(o)
			return
		case cache.Stale:
			if d.Background {
				x.store.Refresh(x.newFill(o, found.Verdict, d, true))
			}
			x.respond(o)
			return
		case cache.Refuse:
			x.failUnasked()
			return
		case cache.Pass:
			x.passFound(d)
			return
		}
		if x.fill(o, found.Verdict, d) {
			return
		}
		x.now = x.clock.Now()
	}
	x.decided(cache.Decision{Outcome: cache.Pass, Reason: cache.PassExcluded})
	x.pass(forAll)
}

// decide judges what was found. A hit asks nobody, so it does not matter to it who can be asked.
func (x *exchange) decide(f cache.Found) cache.Decision {
	policy := x.route.policy
	d := cache.Decide(&x.q, policy, f, x.now.Mono)
	if d.Outcome != cache.Hit {
		d = cache.Withhold(d, &x.q, policy, f, x.reach(), x.now.Mono)
	}
	x.decided(d)
	return d
}

func (x *exchange) decided(d cache.Decision) {
	x.res.Looked = true
	x.res.Outcome, x.res.Reason = d.Outcome, d.Reason
	x.res.HasTTL, x.res.TTL = d.Outcome == cache.Hit || d.Outcome == cache.Stale, d.TTL
}

// finish gives the one account of what happened.
func (x *exchange) finish() {
	for _, o := range x.looked {
		o.Done()
	}
	x.res.Total = x.clock.Now().Mono.Sub(x.start)
	x.log.Record(&x.res)
	x.metrics.Record(&x.res)
	if x.res.Aborted {
		x.abort()
	}
	if !x.lent {
		*x = exchange{}
		exchanges.Put(x)
	}
}

// abort ends an answer so that the client cannot take it for whole: a missing last chunk, a stream reset, or a reset
// connection where only its end says where the body ends.
func (x *exchange) abort() {
	if x.sent {
		x.flush() // what has come so far
	}
	if x.r.ProtoMajor == 1 && x.r.ProtoMinor == 0 {
		x.conn.Reset()
	}
	panic(http.ErrAbortHandler)
}

// outbound returns the fields that go to the origin, by the route's changes.
func (x *exchange) outbound() http.Header {
	h := outboundHeader(x.r.Header, x.client, x.r.Proto, x.identity)
	if _, ok := h["User-Agent"]; !ok {
		h["User-Agent"] = nil // none of our own
	}
	x.route.request.apply(h)
	return h
}

// target returns the URL to ask the origin for: the canonical path with the given query.
func (x *exchange) target(query string, hasQuery bool) *url.URL {
	path, err := url.PathUnescape(x.q.Path)
	if err != nil { // canonical paths decode
		path = x.q.Path
	}
	return &url.URL{Scheme: "http", Host: x.q.Host, Path: path, RawPath: x.q.Path, RawQuery: query, ForceQuery: hasQuery && query == ""}
}
