package cache

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// Every response of these tests is received at receipt, on both clocks.
var receipt = Moment{Mono: Instant(1000 * time.Second), Wall: time.Date(2026, 1, 2, 12, 0, 10, 0, time.UTC)}

const receiptDate = "Fri, 02 Jan 2026 12:00:10 GMT"

// routePolicy is a route's policy without windows for stale use, changed by the given functions.
func routePolicy(change ...func(*Policy)) *Policy {
	p := &Policy{Config: DefaultConfig()}
	p.Stale = StaleConfig{}
	for _, f := range change {
		f(p)
	}
	p.tagFields = canonicalNames(p.Tags)
	return p
}

// askedWith is a GET whose control directives are all absent, changed by the given functions.
func askedWith(change ...func(*Query)) *Query {
	q := &Query{Method: http.MethodGet, Host: "example.com", Path: "/", Fields: HeaderFields{}}
	q.Control = RequestControl{MaxAge: -1, MinFresh: -1, MaxStale: -1}
	for _, f := range change {
		f(q)
	}
	return q
}

func withAuthorization(q *Query) { q.Present |= HasAuthorization }

// answered is an origin's response with the given field lines, received at receipt without delay. Date is that moment
// unless the lines say otherwise; a line "Date:" leaves it out.
func answered(status int, lines ...string) *Response {
	r := &Response{Status: status, Header: http.Header{}, Length: 5, Requested: receipt, Received: receipt}
	r.Header.Set("Date", receiptDate)
	seen := map[string]bool{}
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ":")
		name, value = http.CanonicalHeaderKey(name), strings.TrimSpace(value)
		if name == "Date" && !seen[name] {
			delete(r.Header, name)
		}
		seen[name] = true
		if name != "Date" || value != "" {
			r.Header[name] = append(r.Header[name], value)
		}
	}
	return r
}

// storedAs admits a response and fails the test if it is not stored.
func storedAs(t testing.TB, p *Policy, lines ...string) *Meta {
	t.Helper()
	a := Admit(askedWith(), p, answered(200, lines...))
	if !a.Store {
		t.Fatalf("Admit(200 %q) = %s, want it stored", lines, a.Reason)
	}
	return a.Meta
}

// after returns the instant d after receipt.
func after(d time.Duration) Instant { return receipt.Mono.Add(d) }
