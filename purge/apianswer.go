package purge

import (
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"strconv"
	"time"
)

// Answer is what came of a purge, or would come of it.
type Answer struct {
	Number uint64 `json:"number,omitempty"` // of the purge; none of a dry run
	DryRun bool   `json:"dry_run,omitempty"`
	Kind   string `json:"kind"` // hard or soft
	Selection
	// Matched is what was found to be selected; absent when the node has counted often enough of late.
	Matched *Matched `json:"matched,omitempty"`
	// Responses are some of those that a dry run has matched.
	Responses []Match `json:"responses,omitempty"`
}

// Matched is how many stored responses were selected. Every variant of a URL is one.
type Matched struct {
	Responses int64 `json:"responses"`
	Bytes     int64 `json:"bytes"` // of their bodies
	// Exact is false where there was no time to look at everything: then it is an estimate.
	Exact bool `json:"exact"`
}

// Match is a stored response that a dry run has found.
type Match struct {
	URL   string   `json:"url"`
	Site  string   `json:"site"`
	Bytes int64    `json:"bytes"`
	Tags  []string `json:"tags,omitempty"`
}

// Told is a purge as the history tells it.
type Told struct {
	Number uint64    `json:"number"`
	Time   time.Time `json:"time"`
	By     string    `json:"by"`
	Why    string    `json:"why,omitempty"`
	Kind   string    `json:"kind"`
	Selection
}

// Page is a part of the history, the newest first.
type Page struct {
	Purges []Told `json:"purges"`
	// Before is what to ask for next; none at the end.
	Before uint64 `json:"before,omitempty"`
}

func (r *Record) tell() Told {
	return Told{Number: r.Number, Time: r.Time.UTC(), By: r.By, Why: r.Why, Kind: r.Kind.String(), Selection: r.selection()}
}

func (e *Entry) selection() Selection {
	return Selection{
		URLs: e.URLs, Prefixes: e.Prefixes, Globs: e.Globs, Tags: e.Tags, Hosts: e.Hosts, Sites: e.Sites, All: e.All,
		SiteTags: e.SiteTags,
	}
}

// Problem is why something was not done (RFC 9457).
type Problem struct {
	Title  string  `json:"title"` // the words of the status
	Status int     `json:"status"`
	Detail string  `json:"detail,omitempty"`
	Errors []Fault `json:"errors,omitempty"`

	retry time.Duration
}

// Fault is one thing that is wrong with a request.
type Fault struct {
	At      string `json:"at"` // such as urls[3]
	Problem string `json:"problem"`
}

func (p *Problem) Error() string {
	text := p.Detail
	for _, f := range p.Errors {
		text += "\n" + f.At + ": " + f.Problem
	}
	return text
}

// NewProblem returns the Problem that an error stands for. What is none of those who ask is not told.
func NewProblem(err error) *Problem {
	var p *Problem
	var many *TooManyError
	switch {
	case errors.As(err, &p):
		return p
	case errors.As(err, &many):
		return &Problem{Status: http.StatusTooManyRequests, Detail: many.Error(), retry: many.Retry}
	case errors.Is(err, ErrNoToken), errors.Is(err, ErrToken):
		return &Problem{Status: http.StatusUnauthorized, Detail: err.Error()}
	}
	return &Problem{Status: http.StatusInternalServerError}
}

// Header sets the fields that go with the status.
func (p *Problem) Header(h http.Header) {
	switch p.Status {
	case http.StatusUnauthorized:
		h.Set("WWW-Authenticate", `Bearer realm="selvage"`)
	case http.StatusTooManyRequests:
		h.Set("Retry-After", strconv.Itoa(max(1, int(math.Ceil(p.retry.Seconds())))))
	case http.StatusServiceUnavailable:
		h.Set("Retry-After", "5")
	}
}

// Write answers with the Problem.
func (p *Problem) Write(w http.ResponseWriter) {
	out := *p
	out.Title = http.StatusText(p.Status)
	p.Header(w.Header())
	w.Header().Set("Content-Type", "application/problem+json")
	send(w, p.Status, out)
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	send(w, http.StatusOK, v)
}

// send writes an answer. Who does not take it has left.
func send(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	_ = e.Encode(v)
}
