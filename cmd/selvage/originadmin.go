package main

import (
	"encoding/json"
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

// maxChange is far above any change of an upstream.
const maxChange = 64 << 10

// serveOriginChange changes an upstream, and answers with what all are doing then.
func (a *admin) serveOriginChange(w http.ResponseWriter, r *http.Request, _ *purge.Caller) {
	var c originChange
	in := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxChange))
	in.DisallowUnknownFields()
	err := in.Decode(&c)
	if err == nil {
		err = a.changeOrigin(c)
	}
	if err != nil {
		decline(w, http.StatusBadRequest, err.Error())
		return
	}
	a.answerJSON(w, http.StatusOK, a.origins())
}
