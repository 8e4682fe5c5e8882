package main

import (
	"errors"
	"io"
	"net/http"

	"selvage/purge"
)

// originEndpoints adds those for upstreams.
func (a *admin) originEndpoints(mux *http.ServeMux) {
	mux.HandleFunc("GET /v1/origins", forAdmin(a.serveOrigins))
	mux.HandleFunc("PATCH /v1/origins", wantJSON(forAdmin(a.serveOriginChange)))
	mux.HandleFunc("PUT /v1/origins/{origin}", wantJSON(forAdmin(a.serveUpstreamSet)))
}

func (a *admin) serveOrigins(w http.ResponseWriter, _ *http.Request, _ *purge.Caller) {
	a.answerJSON(w, http.StatusOK, a.origins())
}

// serveOriginChange changes an upstream, and answers with what all are doing then.
func (a *admin) serveOriginChange(w http.ResponseWriter, r *http.Request, _ *purge.Caller) {
	var c originChange
	err := decodeChange(w, r, &c)
	if err == nil {
		err = a.changeOrigin(c)
	}
	if err != nil {
		decline(w, http.StatusBadRequest, err.Error())
		return
	}
	a.answerJSON(w, http.StatusOK, a.origins())
}

// serveUpstreamSet replaces the upstreams of an origin, and answers with what all are doing then.
func (a *admin) serveUpstreamSet(w http.ResponseWriter, r *http.Request, _ *purge.Caller) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxFileBytes))
	if err != nil {
		decline(w, http.StatusBadRequest, err.Error())
		return
	}
	set, problems := readUpstreamSet(body)
	if len(problems) == 0 {
		err = a.replaceUpstreams(r.PathValue("origin"), set)
	}
	_, unknown := errors.AsType[unknownOrigin](err)
	switch {
	case errors.As(err, &problems), len(problems) > 0:
		declineAll(w, problems)
	case unknown:
		decline(w, http.StatusNotFound, err.Error())
	case err != nil:
		decline(w, http.StatusBadRequest, err.Error())
	default:
		a.answerJSON(w, http.StatusOK, a.origins())
	}
}

// declineAll tells everything that is wrong with a part of the configuration.
func declineAll(w http.ResponseWriter, problems Diagnostics) {
	p := purge.Problem{Status: http.StatusUnprocessableEntity}
	for _, d := range problems {
		fault := purge.Fault{At: d.Path, Problem: d.Problem}
		if d.Hint != "" {
			fault.Problem += "; " + d.Hint
		}
		p.Errors = append(p.Errors, fault)
	}
	p.Write(w)
}
