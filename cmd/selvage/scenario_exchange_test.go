package main

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

// outcome is what a client has got of an answer, so far or in the end.
type outcome struct {
	what    string // "GET /a", for failures
	status  int    // 0: no head yet
	header  http.Header
	body    []byte
	trailer http.Header
	interim []interim

	// Since the request began; -1 is not yet.
	headAt, firstAt, endAt time.Duration

	done   bool
	err    error // how it ended, unless it ended well
	closed bool  // the node closed the connection

	dictionary []byte // that the client has
}

// interim is an informational response.
type interim struct {
	status int
	header http.Header
}

// exchange is a request under way and its outcome.
type exchange struct {
	ask     *scriptedAsk
	began   time.Time
	done    chan struct{} // closed at the end
	release chan struct{} // closed when a client that holds may read on
	goAhead chan struct{} // closed when a body that waits for 100 (Continue) may follow

	mu  sync.Mutex
	out outcome // guarded by mu
}

func newExchange(a *scriptedAsk) *exchange {
	return &exchange{
		ask: a, began: time.Now(),
		done: make(chan struct{}), release: make(chan struct{}), goAhead: make(chan struct{}),
		out: outcome{what: a.what, headAt: -1, firstAt: -1, endAt: -1},
	}
}

// snapshot returns what there is now.
func (x *exchange) snapshot() *outcome {
	x.mu.Lock()
	defer x.mu.Unlock()
	out := x.out
	return &out
}

func (x *exchange) gotInterim(status int, header http.Header) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.out.interim = append(x.out.interim, interim{status, header})
	if status == http.StatusContinue {
		x.proceed()
	}
}

// proceed lets the request's body go. The caller holds the mutex.
func (x *exchange) proceed() {
	select {
	case <-x.goAhead:
	default:
		close(x.goAhead)
	}
}

func (x *exchange) gotHead(r *http.Response) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.out.status, x.out.header, x.out.headAt = r.StatusCode, r.Header, time.Since(x.began)
	x.proceed()
}

// end notes how it ended.
func (x *exchange) end(r *http.Response, err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.out.done, x.out.err, x.out.endAt = true, err, time.Since(x.began)
	if r != nil {
		x.out.trailer = r.Trailer
	}
	x.proceed()
	close(x.done)
}

// readBody reads an answer's body at the pace its client was told.
func (x *exchange) readBody(body io.Reader) error {
	buf := make([]byte, 32<<10)
	for sinceRest := 0; ; {
		room := buf
		if x.ask.read > 0 {
			room = buf[:min(len(buf), x.ask.read-sinceRest)]
		}
		n, err := body.Read(room)
		x.gotBody(room[:n])
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if sinceRest += n; x.ask.read > 0 && sinceRest == x.ask.read {
			sinceRest = 0
			x.rest()
		}
	}
}

func (x *exchange) gotBody(p []byte) {
	if len(p) == 0 {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.out.firstAt < 0 {
		x.out.firstAt = time.Since(x.began)
	}
	x.out.body = append(x.out.body, p...)
}

// rest pauses between two portions: for a while, or until it is released.
func (x *exchange) rest() {
	var timer <-chan time.Time
	if x.ask.every > 0 {
		timer = time.After(x.ask.every)
	}
	select {
	case <-timer:
	case <-x.release:
	}
}

// values returns a field's values as one.
func (o *outcome) values(name string) (string, bool) {
	v := o.header.Values(name)
	return strings.Join(v, ", "), len(v) > 0
}

func (o *outcome) trailers(name string) (string, bool) {
	v := o.trailer.Values(name)
	return strings.Join(v, ", "), len(v) > 0
}

func (o *outcome) wantStatus(want int) error {
	switch {
	case o.status == 0 && o.err != nil:
		return fmt.Errorf("no answer (%v), want %d", o.err, want)
	case o.status == 0:
		return fmt.Errorf("no answer yet, want %d", want)
	case o.status != want:
		return fmt.Errorf("status = %d, want %d", o.status, want)
	}
	return nil
}

func (o *outcome) wantAborted() error {
	switch {
	case !o.done:
		return fmt.Errorf("has not ended, want it aborted")
	case o.status == 0:
		return fmt.Errorf("no answer (%v), want one that is aborted", o.err)
	case o.err == nil:
		return fmt.Errorf("ended well after %d bytes, want it aborted", len(o.body))
	}
	return nil
}

func (o *outcome) wantNoAnswer() error {
	switch {
	case !o.done:
		return fmt.Errorf("has not ended, want it closed without an answer")
	case o.status != 0:
		return fmt.Errorf("status = %d, want no answer", o.status)
	}
	return nil
}

func (o *outcome) wantClosed(want bool) error {
	if o.closed != want {
		return fmt.Errorf("connection closed = %v, want %v", o.closed, want)
	}
	return nil
}

func (o *outcome) wantWaiting() error {
	if o.status != 0 || o.done {
		return fmt.Errorf("status = %d, error %v; want it waiting for a head", o.status, o.err)
	}
	return nil
}

func (o *outcome) wantUnfinished() error {
	if o.status == 0 || o.done {
		return fmt.Errorf("status = %d, ended %v; want a head and an unfinished body", o.status, o.done)
	}
	return nil
}

// excused reports whether one of the expectations speaks of an answer that does not end well.
func excused(expect []expectation) bool {
	for _, e := range expect {
		if e.text == "aborted" || e.text == "no answer" {
			return true
		}
	}
	return false
}
