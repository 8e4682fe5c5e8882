package purge

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"selvage/cache"
)

// API is the way in for those who purge: over HTTP on the admin listener, and by PURGE on a site. Who somebody is, their door
// knows (see Guard); what they may is decided here.
type API struct {
	guard   *Guard
	journal *Journal
	stored  Stored
	sites   Sites
	log     *slog.Logger

	counts  pace
	listing sync.Mutex // held by one dry run

	ending  sync.RWMutex // held by purges for reading
	stopped bool         // guarded by ending
}

// Stored tells of the responses that are stored. *cache.Store is one.
type Stored interface {
	Each(ctx context.Context, yield func(*cache.Holding) bool) error
	Count(ctx context.Context, match func(*cache.Target) bool, within time.Duration) cache.Tally
}

// NewAPI returns the API of a node.
func NewAPI(g *Guard, j *Journal, stored Stored, sites Sites, log *slog.Logger) *API {
	return &API{guard: g, journal: j, stored: stored, sites: sites, log: log}
}

// Guard knows who may purge.
func (a *API) Guard() *Guard { return a.guard }

// Purge puts a purge in force, in the Caller's name, and returns its number. When it returns, the purge is durable. Errors
// are Problems.
func (a *API) Purge(who *Caller, e Entry) (uint64, error) {
	a.ending.RLock()
	defer a.ending.RUnlock()
	if a.stopped {
		return 0, &Problem{Status: http.StatusServiceUnavailable, Detail: "this process ends; nothing was purged", retry: time.Second}
	}
	e.By = who.Name
	number, err := a.journal.Add(e)
	if err != nil {
		a.log.Error("a purge was refused: it could not be written", "by", e.By, "error", err)
		return 0, &Problem{Status: http.StatusServiceUnavailable, Detail: "the purge journal cannot be written; nothing was purged"}
	}
	a.log.Info("purged", "number", number, "kind", e.Kind.String(), "by", e.By, "why", e.Why, "names", e.count())
	return number, nil
}

// Stop refuses the purges to come, and waits for those under way: from here on another process may fetch what they would have
// purged, and would not know of them.
func (a *API) Stop() {
	a.ending.Lock()
	defer a.ending.Unlock()
	a.stopped = true
}

// PurgeURL is a PURGE request for a URL of a site, spelt as PurgeURLs of Sites has told.
func (a *API) PurgeURL(who *Caller, site string, urls []string, soft bool) (*Answer, error) {
	if !who.maySelect("urls") || !who.mayTouch(site) {
		return nil, &Problem{Status: http.StatusForbidden, Detail: "this is not for " + who.Name + " to purge"}
	}
	if err := a.guard.charge(who, len(urls)); err != nil {
		return nil, NewProblem(err)
	}
	e := Entry{Kind: kindOf(soft), URLs: urls}
	number, err := a.Purge(who, e)
	if err != nil {
		return nil, err
	}
	return &Answer{Number: number, Kind: e.Kind.String(), Selection: e.selection()}, nil
}

func kindOf(soft bool) cache.Verdict {
	if soft {
		return cache.Soft
	}
	return cache.Hard
}

// ServePurge is POST /v1/purge.
func (a *API) ServePurge(w http.ResponseWriter, r *http.Request, who *Caller) {
	answer, err := a.purge(w, r, who)
	if err != nil {
		NewProblem(err).Write(w)
		return
	}
	writeJSON(w, answer)
}

func (a *API) purge(w http.ResponseWriter, r *http.Request, who *Caller) (*Answer, error) {
	dry, err := dryRun(r.URL)
	if err != nil {
		return nil, err
	}
	if err := a.guard.spent(who); err != nil {
		return nil, err
	}
	asked, err := readRequest(w, r)
	if err != nil {
		return nil, err
	}
	e, err := choose(asked, who, a.sites)
	if err != nil {
		return nil, err
	}
	if err := a.guard.charge(who, max(1, e.count())); err != nil {
		return nil, err
	}
	answer := &Answer{Kind: e.Kind.String(), Selection: e.selection(), DryRun: dry}
	if dry {
		_ = http.NewResponseController(w).SetReadDeadline(time.Time{}) // all is read, and it would end the context
		return answer, a.list(r.Context(), &e, answer)
	}
	answer.Matched = a.count(r.Context(), &e)
	answer.Number, err = a.Purge(who, e)
	return answer, err
}

func dryRun(u *url.URL) (bool, error) {
	q, err := query(u, "dry_run")
	if err != nil {
		return false, err
	}
	switch q.Get("dry_run") {
	case "", "false":
		return false, nil
	case "true":
		return true, nil
	}
	return false, &Problem{Status: http.StatusBadRequest, Detail: "dry_run is true or false"}
}

// query returns the parameters, which have to be some of those named: one that is misspelt would be done without.
func query(u *url.URL, names ...string) (url.Values, error) {
	q, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return nil, &Problem{Status: http.StatusBadRequest, Detail: "the query makes no sense"}
	}
	known := 0
	for _, name := range names {
		if len(q[name]) > 1 {
			return nil, &Problem{Status: http.StatusBadRequest, Detail: name + " is given twice"}
		}
		known += len(q[name])
	}
	if known < len(q) {
		return nil, &Problem{Status: http.StatusBadRequest, Detail: fmt.Sprintf("the query has more than %q", names)}
	}
	return q, nil
}

func readRequest(w http.ResponseWriter, r *http.Request) (*Request, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBodyBytes))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		detail := fmt.Sprintf("a request has at most %d bytes", maxBodyBytes)
		return nil, &Problem{Status: http.StatusRequestEntityTooLarge, Detail: detail}
	case err != nil:
		return nil, &Problem{Status: http.StatusBadRequest, Detail: "the body broke off"}
	}
	asked, err := decodeRequest(body)
	if err != nil {
		return nil, &Problem{Status: http.StatusBadRequest, Detail: err.Error()}
	}
	return asked, nil
}

// History of the API: how many purges a page has.
const defaultPage, maxPage = 50, 500

// ServeHistory is GET /v1/purges.
func (a *API) ServeHistory(w http.ResponseWriter, r *http.Request, who *Caller) {
	before, limit, err := pageWanted(r.URL)
	if err != nil {
		NewProblem(err).Write(w)
		return
	}
	writeJSON(w, a.page(before, limit, who))
}

func pageWanted(u *url.URL) (before uint64, limit int, err error) {
	q, err := query(u, "before", "limit")
	if err != nil {
		return 0, 0, err
	}
	limit = defaultPage
	if text := q.Get("limit"); text != "" {
		if limit, err = strconv.Atoi(text); err != nil || limit < 1 || limit > maxPage {
			return 0, 0, &Problem{Status: http.StatusBadRequest, Detail: fmt.Sprintf("limit is a number from 1 to %d", maxPage)}
		}
	}
	if text := q.Get("before"); text != "" {
		if before, err = strconv.ParseUint(text, 10, 64); err != nil {
			return 0, 0, &Problem{Status: http.StatusBadRequest, Detail: "before is the number of a purge"}
		}
	}
	return before, limit, nil
}

// page tells purges from the newest on. A confined Caller is told its own alone: what others purge says what others have.
func (a *API) page(before uint64, limit int, who *Caller) Page {
	p := Page{Purges: []Told{}}
	for {
		records := a.journal.History(before, limit)
		for i := range records {
			before = records[i].Number
			if !who.mayRead(&records[i]) {
				continue
			}
			if p.Purges = append(p.Purges, records[i].tell()); len(p.Purges) == limit {
				p.Before = before
				return p
			}
		}
		if len(records) < limit {
			return p
		}
	}
}

func (c *Caller) mayRead(r *Record) bool { return !c.confined() || r.By == c.Name }

// ServeRecord is GET /v1/purges/{number}.
func (a *API) ServeRecord(w http.ResponseWriter, r *http.Request, who *Caller) {
	number, err := strconv.ParseUint(r.PathValue("number"), 10, 64)
	record, found := a.journal.Find(number)
	if err != nil || !found || !who.mayRead(&record) {
		(&Problem{Status: http.StatusNotFound, Detail: "no such purge in the history"}).Write(w)
		return
	}
	writeJSON(w, record.tell())
}

//go:embed openapi.yaml
var openAPI []byte

// ServeOpenAPI is GET /v1/openapi.yaml.
func (a *API) ServeOpenAPI(w http.ResponseWriter, _ *http.Request, _ *Caller) {
	w.Header().Set("Content-Type", "application/yaml") // RFC 9512
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(openAPI)
}
