package edge

import (
	"context"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"

	"selvage/cache"
)

// pass sends the request to the origin and streams the answer; nothing is stored. With normalised, the target is the one
// that the cache would have asked for.
func (x *exchange) pass(normalised bool) {
	x.res.HasTTL = false
	ctx, cancel := context.WithCancel(x.r.Context())
	defer cancel()
	resp, err := x.forward(ctx, normalised)
	if err != nil {
		x.passFailed(err)
		return
	}
	defer resp.Body.Close()
	h := x.w.Header()
	for name, values := range inboundHeader(resp.Header) {
		h[name] = values
	}
	if loc := h.Get("Location"); loc != "" {
		h.Set("Location", rewriteLocation(loc, x.route.pool, x.originHost(), x.client.Proto, x.client.Host))
	}
	x.invalidate(resp.StatusCode, h)
	if resp.StatusCode == http.StatusSwitchingProtocols {
		x.tunnel(resp)
		return
	}
	x.firstHand = true
	x.addOwn(h)
	x.stream(h, resp)
}

// passRange asks the origin for the ranges that are too far ahead of the fill.
func (x *exchange) passRange() {
	clear(x.w.Header())
	x.res.Outcome, x.res.Collapse, x.res.Stored = cache.Pass, false, false
	x.pass(true)
}

func (x *exchange) forward(ctx context.Context, normalised bool) (*http.Response, error) {
	target := x.target(x.rawQuery, strings.Contains(x.r.RequestURI, "?"))
	if normalised {
		target = x.target(x.q.RawQuery, x.q.HasQuery)
	}
	r := &http.Request{
		Method: x.r.Method, URL: target, Host: x.originHost(), Header: x.outbound(),
		ContentLength: x.r.ContentLength, Trailer: x.r.Trailer,
	}
	if x.body != nil {
		r.Body = x.body
	}
	if x.q.Present.Has(cache.HasUpgrade) {
		r.Header["Connection"], r.Header["Upgrade"] = []string{"Upgrade"}, []string{"websocket"}
	}
	informed := &interim{x: x}
	defer informed.stop()
	resp, took, err := x.ask(r.WithContext(informed.trace(ctx)), x.route.pool, x.q.Site)
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
		x.sent = true
		x.cut("client: left before the origin answered")
		return
	}
	status, kind, _ := judge(err)
	x.fail(status, kind, "the origin gave no usable answer")
}

// invalidate tells the journal what a successful unsafe method has changed (RFC 9111, section 4.4), before the client
// hears of it.
func (x *exchange) invalidate(status int, h http.Header) {
	r := &cache.Response{Status: status, Header: h}
	if urls := cache.Invalidated(&x.q, r, x.route.policy); len(urls) > 0 {
		x.journal.Invalidate(urls...)
	}
}

// stream sends an origin's answer to the client as it comes.
func (x *exchange) stream(h http.Header, resp *http.Response) {
	if resp.ContentLength >= 0 && bodyAllowed(resp.StatusCode) {
		h.Set("Content-Length", strconv.FormatInt(resp.ContentLength, 10))
	}
	for name := range resp.Trailer {
		h.Add("Trailer", name)
	}
	x.head(resp.StatusCode)
	if !hasBody(x.r.Method, resp.StatusCode) {
		return
	}
	eager := resp.ContentLength < 0 || isEventStream(resp.Header)
	if eager {
		x.flush() // the head, before the first event
	}
	if x.copyBody(resp.Body, eager) {
		for name, values := range resp.Trailer {
			h[http.TrailerPrefix+name] = values
		}
	}
}

// copyBody moves a body through a pooled buffer; eager flushes whatever came at once.
func (x *exchange) copyBody(from io.Reader, eager bool) bool {
	buf := buffers.get()
	defer buffers.put(buf)
	for {
		n, err := from.Read(*buf)
		if n > 0 && !x.write((*buf)[:n]) {
			return false
		}
		switch {
		case err == io.EOF:
			return true
		case err != nil:
			_, kind, _ := judge(err)
			x.cut("origin: " + kind)
			return false
		case eager && n > 0:
			x.flush()
		}
	}
}

func isEventStream(h http.Header) bool {
	t, _, _ := mime.ParseMediaType(h.Get("Content-Type"))
	return t == "text/event-stream"
}
