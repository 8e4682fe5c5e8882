package edge

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"

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

// fail answers with an error of our own. kind is the Proxy-Status error type, "" for none.
func (x *exchange) fail(status int, kind, why string) {
	x.res.Error = cmp.Or(kind, why)
	h := x.w.Header()
	h.Set("Cache-Control", "no-store")
	if kind != "" {
		h.Set("Proxy-Status", string(appendProxyStatus(nil, &x.res, x.identity.name)))
	}
	switch status {
	case http.StatusServiceUnavailable:
		h.Set("Retry-After", "5")
	case http.StatusMethodNotAllowed, http.StatusNotImplemented:
		h.Set("Allow", standardMethods)
	case http.StatusBadRequest, http.StatusRequestTimeout, http.StatusRequestEntityTooLarge:
		if x.r.ProtoMajor == 1 { // the message was not sound, or the rest of its body will not be read
			h.Set("Connection", "close")
		}
	}
	x.give(answer{
		status: status, contentType: "text/plain; charset=utf-8",
		body: fmt.Sprintf("%d %s\n%s\n", status, http.StatusText(status), why),
	})
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
	n, err := a.write(x.w, x.r.Method, changes)
	x.res.Bytes += int64(n)
	if err != nil {
		x.cut("client: " + err.Error())
	}
}
