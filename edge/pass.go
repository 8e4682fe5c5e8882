package edge

import (
	"context"
	"io"
	"net/http"
	"strconv"
	"strings"

	"selvage/cache"
	"selvage/edge/internal/lane"
	"selvage/encode"
	"selvage/origin"
)

// wording says how the origin is asked when a request passes.
type wording uint8

const (
	asAsked wording = iota // in the client's words
	forAll                 // for what the cache would have asked for, which may be for all clients,
	forOne                 // or is for this one alone
)

// pass sends the request to the origin and streams the answer; nothing is stored.
func (x *exchange) pass(how wording) {
	if x.leftAlone() {
		return
	}
	ctx, cancel := context.WithCancel(x.r.Context())
	defer cancel()
	resp, err := x.forward(ctx, how)
	if err != nil {
		x.passFailed(err)
		return
	}
	defer resp.Body.Close()
	h := x.w.Header()
	for name, values := range inboundHeader(resp.Header) {
		h[name] = values
	}
	for _, name := range references {
		if loc := h.Get(name); loc != "" {
			h.Set(name, x.location(loc))
		}
	}
	if tie := origin.Tie(resp); tie != "" {
		h.Add("Set-Cookie", x.securely(tie))
	}
	if tag := h.Get("Etag"); tag != "" && resp.StatusCode == http.StatusNotModified {
		h.Set("Etag", cache.ConfirmedTag(&x.q, tag, false))
	}
	x.invalidate(resp.StatusCode, h)
	if resp.StatusCode == http.StatusSwitchingProtocols {
		x.tunnel(resp)
		return
	}
	x.firstHand = true
	x.addOwn(&answerLines{header: h}, resp.Proto)
	x.stream(h, resp)
}

// leftAlone begins a pass, unless nobody is to ask the origin: since it was decided, or for a range of what another has asked
// for, the site may have been frozen.
func (x *exchange) leftAlone() bool {
	x.res.HasTTL, x.lent = false, true
	if x.reach() != cache.Frozen {
		return false
	}
	x.decided(cache.Decision{Outcome: cache.Refuse, Reason: cache.SiteFrozen})
	x.failUnasked()
	return true
}

// passFound is for a request that the cache would answer, had it anything.
func (x *exchange) passFound(d cache.Decision) {
	switch {
	case d.Reason == cache.PassHead:
		x.passHead(d.Alone)
	case d.Alone:
		x.pass(forOne)
	default:
		x.pass(forAll)
	}
}

// passHead answers HEAD with the fields that GET would be answered with (RFC 9110, section 9.3.2): the origin is asked in the
// same words, for the head alone, and what it says is judged as if it were to be stored.
func (x *exchange) passHead(alone bool) {
	if x.leftAlone() {
		return
	}
	informed := &interim{x: x}
	defer informed.stop()
	r := &http.Request{
		Method: http.MethodHead, URL: x.target(x.q.RawQuery, x.q.HasQuery), Host: x.originHost(), Header: x.fillHeader(alone, false),
		RemoteAddr: x.client.address(),
	}
	requested := x.clock.Now()
	resp, took, err := x.ask(r.WithContext(origin.WithWitness(x.r.Context(), informed)), x.route.pool, x.q.Site)
	x.heard(resp, took)
	if err != nil {
		x.passFailed(err)
		return
	}
	defer resp.Body.Close()
	informed.stop()
	x.firstHand = true
	o, a := x.store.Outline(&x.q, x.route.policy, &cache.Response{
		Proto: resp.Proto, Status: resp.StatusCode, Header: resp.Header, Length: resp.ContentLength,
		Requested: requested, Received: x.clock.Now(),
	})
	switch {
	case resp.StatusCode == http.StatusNotModified, resp.StatusCode == http.StatusPartialContent:
		x.failOrigin(cache.ErrProtocol)
	case o != nil:
		x.respond(o)
	default:
		x.respondOnce(cache.Answer{Response: resp, Admission: a})
	}
}

// securely keeps a cookie of ours to https where the client uses it.
func (x *exchange) securely(cookie string) string {
	if x.client.Proto == "https" {
		return cookie + "; Secure"
	}
	return cookie
}

// passRange asks the origin for ranges that are too far ahead of the fill, or of what will not be stored.
func (x *exchange) passRange() {
	clear(x.w.Header())
	x.res.Outcome, x.res.Reason, x.res.Collapse, x.res.Stored = cache.Pass, cache.PassRange, false, false
	x.pass(forAll)
}

func (x *exchange) forward(ctx context.Context, how wording) (*http.Response, error) {
	r := &http.Request{
		Method: x.r.Method, URL: x.target(x.rawQuery, strings.Contains(x.r.RequestURI, "?")), Host: x.originHost(), Header: x.outbound(),
		ContentLength: x.r.ContentLength, Trailer: x.r.Trailer, RemoteAddr: x.client.address(),
	}
	if how != asAsked {
		r.URL = x.target(x.q.RawQuery, x.q.HasQuery)
		x.limitChoice(r.Header, how == forOne)
	}
	forOrigin(r.Header)
	if x.body != nil {
		r.Body = x.body
	}
	if x.q.Present.Has(cache.HasUpgrade) {
		r.Header["Connection"], r.Header["Upgrade"] = []string{"Upgrade"}, []string{"websocket"}
	}
	informed := &interim{x: x}
	defer informed.stop()
	resp, took, err := x.ask(r.WithContext(origin.WithWitness(ctx, informed)), x.route.pool, x.q.Site)
	x.heard(resp, took)
	return resp, err
}

// passFailed answers when no head came: for what was wrong with the request's body first, else for the origin.
func (x *exchange) passFailed(err error) {
	if x.body != nil {
		if status, why := x.body.fault(); status != 0 {
			x.fail(status, "", why)
			return
		}
	}
	if x.r.Context().Err() != nil {
		x.res.Status = statusClientGone
		x.cut("client: left before the origin answered")
		return
	}
	x.failOrigin(err)
}

// statusClientGone is what logs commonly say of a client that nobody could answer. It is never sent.
const statusClientGone = 499

// invalidate tells the journal what a successful unsafe method has changed (RFC 9111, section 4.4), before the client
// hears of it.
func (x *exchange) invalidate(status int, h http.Header) {
	r, sent := &cache.Response{Status: status, Header: h}, x.q
	sent.RawQuery, sent.HasQuery = x.rawQuery, strings.Contains(x.r.RequestURI, "?")
	urls := cache.Invalidated(&sent, r, func(path, query string, hasQuery bool) []string {
		return x.site.purgeURLs(x.q.Host, path, query, hasQuery)
	})
	x.journal.Invalidate(urls, cache.InvalidatedGroups(&x.q, r, x.route.policy))
}

// stream sends an origin's answer to the client as it comes.
func (x *exchange) stream(h http.Header, resp *http.Response) {
	if coding := x.recode(h, resp); coding != encode.Identity {
		x.streamCoded(resp, coding)
		return
	}
	x.res.Coding = h.Get("Content-Encoding")
	if resp.ContentLength >= 0 && lane.BodyAllowed(resp.StatusCode) {
		h.Set("Content-Length", strconv.FormatInt(resp.ContentLength, 10))
	}
	for name := range inboundTrailers(resp) {
		h.Add("Trailer", name)
	}
	x.head(resp.StatusCode)
	if !hasBody(x.r.Method, resp.StatusCode) {
		return
	}
	copied := false
	if resp.ContentLength < 0 || isEventStream(resp.Header) {
		copied = x.copyEagerly(resp.Body)
	} else {
		copied = x.copyKnown(resp.Body, resp.ContentLength)
	}
	if copied {
		for name, values := range inboundTrailers(resp) {
			h[http.TrailerPrefix+name] = values
		}
	}
}

// copyEagerly moves a body whose end nobody knows, and flushes whatever comes at once; the head before that.
func (x *exchange) copyEagerly(from io.Reader) bool {
	x.flush()
	buf := buffers.get()
	defer buffers.put(buf)
	for {
		n, err := from.Read(*buf)
		if n > 0 {
			if !x.write((*buf)[:n]) {
				return false
			}
			x.flush()
		}
		if err != nil {
			return x.ended(err)
		}
	}
}

// copyKnown moves a body of known length. What the origin has sent, the head included, reaches the client while the origin
// pauses; a body that comes whole is not flushed by itself.
func (x *exchange) copyKnown(from io.Reader, left int64) bool {
	buf := buffers.get()
	defer buffers.put(buf)
	idle := x.flushWhenIdle()
	defer idle.stop()
	for {
		n, err := from.Read(*buf)
		left -= int64(n)
		if n > 0 && !idle.write((*buf)[:n], left > 0) {
			return false
		}
		if err != nil {
			return x.ended(err)
		}
	}
}

// ended judges the error that an origin's body ended with.
func (x *exchange) ended(err error) bool {
	if err == io.EOF {
		return true
	}
	_, kind, _ := judge(err)
	x.cut("origin: " + kind)
	return false
}

func isEventStream(h http.Header) bool {
	t, _, _ := strings.Cut(h.Get("Content-Type"), ";")
	return strings.EqualFold(strings.TrimSpace(t), "text/event-stream")
}
