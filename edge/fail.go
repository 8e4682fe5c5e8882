package edge

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"selvage/cache"
	"selvage/origin"
)

// judge turns any error of a fill or pass into a status, a Proxy-Status error type, and whether the origin was unreachable.
func judge(err error) (status int, kind string, unreachable bool) {
	var f *origin.Failure
	switch {
	case errors.As(err, &f):
		return f.Status, f.Type, f.Unreachable
	case errors.Is(err, cache.ErrBusy):
		return http.StatusServiceUnavailable, "proxy_internal_response", false
	case errors.Is(err, cache.ErrProtocol):
		return http.StatusBadGateway, "http_protocol_error", false
	}
	return http.StatusBadGateway, "proxy_internal_error", true
}

// unreachable reports whether err means that the origin said nothing at all.
func unreachable(err error) bool {
	_, _, silent := judge(err)
	return silent
}

// refuse answers a request that goes no further. It returns false, so that steps of read can end with it.
func (x *exchange) refuse(status int, why string) bool {
	x.fail(status, "", why)
	return false
}

// failure is an error answer of our own.
type failure struct {
	status  int
	kind    string // Proxy-Status error type, "" for none
	why     string
	offline bool // nobody is left who could be asked
	// retryAfter is what a 503 says of the time; 0 is patience.
	retryAfter time.Duration
}

// patience is for what is over in a moment, or nobody knows when.
const patience = 5 * time.Second

// fail answers with an error that has nothing to do with the origin.
func (x *exchange) fail(status int, kind, why string) {
	x.giveFailure(failure{status: status, kind: kind, why: why})
}

// failOrigin answers for an origin that gave no usable answer. One that said nothing at all is offline, unless it is only that
// there was no room for the request.
func (x *exchange) failOrigin(err error) {
	status, kind, silent := judge(err)
	busy := status == http.StatusServiceUnavailable
	out := silent && x.route.pool.IsOut()
	if out {
		status = http.StatusServiceUnavailable
	}
	x.giveFailure(failure{status: status, kind: kind, why: "the origin gave no usable answer", offline: out || silent && !busy})
}

// failUnasked answers a request for which the origin is not to be asked: as it wants itself, or while the site is frozen.
func (x *exchange) failUnasked() {
	if x.res.Reason != cache.SiteFrozen {
		x.fail(http.StatusGatewayTimeout, "", "nothing stored, and the request asks for nothing else")
		return
	}
	x.giveFailure(failure{
		status: http.StatusServiceUnavailable, kind: "destination_unavailable", why: "the origin is left alone for now",
		offline: true, retryAfter: x.freezes.left(x.site.name, x.now.Mono),
	})
}

func (x *exchange) giveFailure(f failure) {
	x.res.Error = cmp.Or(f.kind, f.why)
	h := x.w.Header()
	h.Set("Cache-Control", "no-store")
	if f.kind != "" {
		h.Set("Proxy-Status", string(appendProxyStatus(nil, &x.res, x.identity.name)))
	}
	switch f.status {
	case http.StatusServiceUnavailable:
		wait := cmp.Or(f.retryAfter, patience)
		h.Set("Retry-After", strconv.FormatInt(int64((wait+time.Second-1)/time.Second), 10))
	case http.StatusMethodNotAllowed, http.StatusNotImplemented:
		h.Set("Allow", standardMethods)
	case http.StatusBadRequest, http.StatusRequestTimeout, http.StatusRequestEntityTooLarge:
		if x.r.ProtoMajor == 1 { // the message was not sound, or the rest of its body will not be read
			h.Set("Connection", "close")
		}
	}
	x.give(x.errorAnswer(f))
}

// errorAnswer is the site's page for a failure, else a line of text that says what is wrong.
func (x *exchange) errorAnswer(f failure) answer {
	if x.site != nil && x.r.Method != methodPurge { // who purges is no visitor
		if page := x.site.pages.find(f); page != nil {
			return answer{status: f.status, contentType: page.contentType, body: page.body}
		}
	}
	return answer{
		status: f.status, contentType: "text/plain; charset=utf-8",
		body: fmt.Sprintf("%d %s\n%s\n", f.status, http.StatusText(f.status), f.why),
	}
}

// give sends an answer made here.
func (x *exchange) give(a answer) {
	h := x.w.Header()
	if x.res.Looked {
		x.setCacheStatus(&answerLines{header: h})
	}
	var changes headerChanges
	if x.route != nil {
		changes = x.route.response
	}
	x.sending(a.status)
	x.advertise()
	n, err := a.write(x.w, x.r.Method, changes)
	x.res.Bytes += int64(n)
	if err != nil {
		x.cut("client: " + err.Error())
	}
}
