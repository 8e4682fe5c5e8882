package main

import (
	"net/http"

	"selvage/purge"
)

// originEndpoints adds those for upstreams.
func (a *admin) originEndpoints(mux *http.ServeMux) {
	mux.HandleFunc("GET /v1/origins", forAdmin(a.serveOrigins))
	mux.HandleFunc("PATCH /v1/origins", wantJSON(forAdmin(a.serveOriginChange)))
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
