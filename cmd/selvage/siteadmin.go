package main

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"selvage/edge"
	"selvage/purge"
)

// siteStatus is what an operator may know of a site.
type siteStatus struct {
	Site   string       `json:"site"`
	Frozen *edge.Freeze `json:"frozen,omitempty"`
}

// freezeRequest is the body of PUT /v1/sites/{site}/freeze.
type freezeRequest struct {
	For string `json:"for"` // as in the file: 30m, 2h
	Why string `json:"why"`
}

// siteEndpoints adds those for sites.
func (a *admin) siteEndpoints(mux *http.ServeMux) {
	mux.HandleFunc("GET /v1/sites", forAdmin(a.serveSites))
	mux.HandleFunc("GET /v1/sites/{site}/freeze", forAdmin(a.withSite(a.serveFreeze)))
	mux.HandleFunc("PUT /v1/sites/{site}/freeze", wantJSON(forAdmin(a.withSite(a.putFreeze))))
	mux.HandleFunc("DELETE /v1/sites/{site}/freeze", forAdmin(a.withSite(a.deleteFreeze)))
}

func (a *admin) serveSites(w http.ResponseWriter, _ *http.Request, _ *purge.Caller) {
	all := []siteStatus{}
	for _, name := range a.sites().SiteNames() {
		all = append(all, a.site(name))
	}
	a.answerJSON(w, http.StatusOK, all)
}

func (a *admin) site(name string) siteStatus {
	s := siteStatus{Site: name}
	if freeze, frozen := a.sites().Frozen(name); frozen {
		s.Frozen = &freeze
	}
	return s
}

// withSite answers for sites that there are not.
func (a *admin) withSite(next func(w http.ResponseWriter, r *http.Request, site string)) callerHandler {
	return func(w http.ResponseWriter, r *http.Request, _ *purge.Caller) {
		site := r.PathValue("site")
		if !a.sites().HasSite(site) {
			decline(w, http.StatusNotFound, fmt.Sprintf("there is no site %q", site))
			return
		}
		next(w, r, site)
	}
}

func (a *admin) serveFreeze(w http.ResponseWriter, _ *http.Request, site string) {
	a.answerJSON(w, http.StatusOK, a.site(site))
}

func (a *admin) putFreeze(w http.ResponseWriter, r *http.Request, site string) {
	var wanted freezeRequest
	err := decodeChange(w, r, &wanted)
	var span time.Duration
	if err == nil {
		span, err = parseDuration(wanted.For)
	}
	if err == nil {
		_, err = a.sites().Freeze(site, span, wanted.Why)
	}
	if err != nil {
		decline(w, http.StatusBadRequest, err.Error())
		return
	}
	a.answerJSON(w, http.StatusOK, a.site(site))
}

func (a *admin) deleteFreeze(w http.ResponseWriter, _ *http.Request, site string) {
	a.sites().Thaw(site)
	a.answerJSON(w, http.StatusOK, a.site(site))
}

// nodeAPI describes the endpoints of origins and sites; that of purges is package purge's.
//
//go:embed openapi-node.yaml
var nodeAPI []byte

func serveNodeAPI(w http.ResponseWriter, _ *http.Request, _ *purge.Caller) {
	w.Header().Set("Content-Type", "application/yaml")
	_, _ = w.Write(nodeAPI) // who does not take it has left
}

// maxChange is far above any change that an operator makes at run time.
const maxChange = 64 << 10

// decodeChange reads the body of a request that changes something. An unknown key is refused: it may be the misspelt one.
func decodeChange(w http.ResponseWriter, r *http.Request, into any) error {
	in := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxChange))
	in.DisallowUnknownFields()
	return in.Decode(into)
}
