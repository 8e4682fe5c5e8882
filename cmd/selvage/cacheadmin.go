package main

import (
	"encoding/json"
	"net/http"
	"time"

	"selvage/cache"
	"selvage/purge"
)

// scrubLine is a line of the answer to POST /v1/cache/scrub: how far it has come, and at last the report or an error.
type scrubLine struct {
	Done   int64           `json:"done,omitempty"`
	Total  int64           `json:"total,omitempty"`
	Report *cache.Scrubbed `json:"report,omitempty"`
	Error  string          `json:"error,omitempty"`
}

// removal is the answer to DELETE /v1/cache.
type removal struct {
	URL     string `json:"url"`
	Removed int    `json:"removed"`
}

// cacheEndpoints adds those for the disk tier.
func (a *admin) cacheEndpoints(mux *http.ServeMux) {
	mux.HandleFunc("GET /v1/cache", forAdmin(a.withDisk(a.serveList)))
	mux.HandleFunc("GET /v1/cache/stat", forAdmin(a.withDisk(a.serveStat)))
	mux.HandleFunc("POST /v1/cache/scrub", wantJSON(forAdmin(a.withDisk(a.serveScrub))))
	mux.HandleFunc("DELETE /v1/cache", forAdmin(a.withDisk(a.serveRemove)))
}

// withDisk answers for a node without a disk tier.
func (a *admin) withDisk(next callerHandler) callerHandler {
	return func(w http.ResponseWriter, r *http.Request, who *purge.Caller) {
		if a.disk == nil {
			decline(w, http.StatusNotFound, "this node has no disk tier")
			return
		}
		patiently(next)(w, r, who)
	}
}

// patiently gives a handler the time it needs: the listener's deadlines are for answers that are made in a moment, and its
// read deadline would end the request's context.
func patiently(next callerHandler) callerHandler {
	return func(w http.ResponseWriter, r *http.Request, who *purge.Caller) {
		control := http.NewResponseController(w)
		_ = control.SetReadDeadline(time.Time{}) // only a recorder in a test has none
		_ = control.SetWriteDeadline(time.Time{})
		next(w, r, who)
	}
}

// serveList answers with a line of JSON for every stored response. A list that breaks off has no end in HTTP either.
func (a *admin) serveList(w http.ResponseWriter, r *http.Request, _ *purge.Caller) {
	out := newLines(w)
	err := a.disk.List(r.Context(), func(s cache.StoredResponse) bool { return out.put(s) == nil })
	if err != nil {
		a.log.Debug("a list of the cache broke off", "error", err)
		panic(http.ErrAbortHandler)
	}
}

func (a *admin) serveStat(w http.ResponseWriter, _ *http.Request, _ *purge.Caller) {
	a.answerJSON(w, http.StatusOK, a.disk.Stat())
}

func (a *admin) serveScrub(w http.ResponseWriter, r *http.Request, _ *purge.Caller) {
	out := newLines(w)
	report, err := a.disk.Scrub(r.Context(), func(done, total int64) {
		if out.due() {
			_ = out.put(scrubLine{Done: done, Total: total}) // who has left ends the scrub by the context
		}
	})
	last := scrubLine{Report: &report}
	if err != nil {
		last = scrubLine{Error: err.Error()}
	}
	if err := out.put(last); err != nil {
		a.log.Debug("the report of a scrub was not taken", "error", err)
	}
}

// serveRemove purges a URL, so that no fill under way and no promotion brings back what it takes away, and then takes it
// away.
func (a *admin) serveRemove(w http.ResponseWriter, r *http.Request, who *purge.Caller) {
	url, err := cache.ParsePurgeURL(r.URL.Query().Get("url"))
	if err != nil {
		decline(w, http.StatusBadRequest, err.Error())
		return
	}
	if _, err := a.purges.Purge(who, purge.Entry{Kind: cache.Hard, URLs: []string{url}}); err != nil {
		purge.NewProblem(err).Write(w)
		return
	}
	n, err := a.disk.Remove(r.Context(), url)
	if err != nil {
		decline(w, http.StatusInternalServerError, err.Error())
		return
	}
	a.answerJSON(w, http.StatusOK, removal{url, n})
}

// lines writes lines of JSON as an answer, and sends them every moment.
type lines struct {
	w       http.ResponseWriter
	encoder *json.Encoder
	sent    time.Time
}

// lineEvery is how long a line waits for others to be sent with.
const lineEvery = 200 * time.Millisecond

func newLines(w http.ResponseWriter) *lines {
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.Header().Set("Cache-Control", "no-store")
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return &lines{w: w, encoder: e}
}

// due reports whether a line put now would be sent at once.
func (l *lines) due() bool { return time.Since(l.sent) >= lineEvery }

func (l *lines) put(v any) error {
	if err := l.encoder.Encode(v); err != nil || !l.due() {
		return err
	}
	l.sent = time.Now()
	return http.NewResponseController(l.w).Flush()
}
