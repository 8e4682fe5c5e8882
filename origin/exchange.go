package origin

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"sync"
	"time"
)

// exchange is one request on its way to one upstream, and its answer until the body ends.
//
// At any moment it waits for one thing: for the request to be taken, for the head, for the next byte of the body. Every wait
// has a limit. When one passes, or the connection breaks a rule, the exchange fails: it is cancelled with the Failure as the
// cause, its link is closed, or http.Transport drops the connection (or resets the stream) and tries nothing more.
type exchange struct {
	request  *http.Request
	outgoing http.Request // as it goes to the upstream; whoever sends it writes it
	target   url.URL      // of outgoing
	method   string
	upgrade  bool // the request asks for another protocol, so 101 may come
	upstream *upstream
	tie      string      // Set-Cookie that ties the client to the upstream, "" for none
	endProbe func(error) // tells the upstream's circuit breaker; nil without one
	began    time.Time
	until    time.Time     // the head has to be there, unless there is a body to send; zero is no limit
	took     time.Duration // to the head; set before the answer is delivered
	caller   context.Context
	ctx      context.Context // see context
	answer   body            // what the caller reads
	linked   linkBody        // below answer, on a link
	measured measured        // below that, where the head is plain
	response http.Response   // with such a head

	mu        sync.Mutex
	why       error         // it is over; nil until then
	cut       func()        // ends what is under way when the exchange is cancelled; nil for nothing
	gap       time.Duration // of the answer's body; 0 is none
	timer     *time.Timer   // nil until the first wait
	waiting   wait
	connected bool  // a connection took the request over
	multiplex bool  // it speaks HTTP/2
	sent      bool  // bytes of the request went out
	kept      bool  // the connection was used before
	repeats   int   // how often http.Transport has sent the request once more
	answered  bool  // bytes of an answer came
	headed    bool  // the final head came
	interim   int   // 1xx responses so far
	invented  bool  // a Cache-Control in the head is http.Transport's
	judged    bool  // the upstream has heard what the exchange says of it
	over      bool  // the upstream's load is without it
	upload    error // from reading the request's own body

	connection []string // of the final head; see responseHead
	hinted     []string // of those before it
}

// wait is what an exchange waits for.
type wait int

const (
	forNothing wait = iota
	forUpload       // the upstream takes bytes of the request
	forHead
	forBody
)

// newExchange begins an exchange with an upstream whose load has room made for it.
func newExchange(r *http.Request, u *upstream) *exchange {
	return &exchange{
		request: r, method: r.Method, upgrade: r.Header.Get("Upgrade") != "", upstream: u, began: time.Now(),
		caller: r.Context(), gap: gapOf(r.Context(), u.timeouts.Gap),
	}
}

// traced returns the exchange's context, with which http.Transport tells where the exchange is, over HTTP/1 and HTTP/2 alike.
func (x *exchange) traced() context.Context {
	return httptrace.WithClientTrace(x.context(), &httptrace.ClientTrace{
		GotConn:              x.gotConn,
		WroteHeaders:         x.wroteHeaders,
		WroteRequest:         x.wroteRequest,
		GotFirstResponseByte: x.gotByte,
		Got1xxResponse:       x.gotInterim,
	})
}

// gotConn begins the exchange on a connection, before a byte is written. It comes once more when http.Transport tries again
// on another connection because a kept one had died.
func (x *exchange) gotConn(info httptrace.GotConnInfo) {
	c, plain := info.Conn.(*conn)
	x.board(c, plain, info.Reused)
	x.await(forUpload)
}

// board takes the exchange onto a connection, ours or (then c is nil) one of HTTP/2.
func (x *exchange) board(c *conn, plain, kept bool) {
	x.mu.Lock()
	refused := x.sent && !x.mayRepeatLocked(plain)
	if x.sent && !refused {
		x.repeats++
	}
	x.connected, x.multiplex, x.kept = true, !plain, kept
	inTurn := plain && x.repeats == maxRepeats
	x.mu.Unlock()
	if inTurn { // http.Transport would go through all that were kept
		x.upstream.transports.Load().plain.CloseIdleConnections()
	}
	if refused { // for an exchange that has failed, neither its HTTP/2 nor our conn sends anything
		x.fail(fault(typeTerminated, "connection closed before an answer, and the request may not be sent again"))
	}
	if plain {
		c.begin(x)
	}
}

// maxRepeats is for a request whose stream is reset, or never seen before its connection ends.
const maxRepeats = 2

// mayRepeatLocked judges what http.Transport is about to do by itself. A proxy must not repeat a request with an unsafe method (RFC
// 9110, section 9.2.2), but that does when an HTTP/1 request has an Idempotency-Key, and when an HTTP/2 stream was reset with
// PROTOCOL_ERROR: then without end, on one new connection after the other. There is a reason only where the connection may have
// been on its way out.
func (x *exchange) mayRepeatLocked(plain bool) bool {
	return isSafe(x.method) && (plain || x.kept && x.repeats < maxRepeats)
}

// takeOver is the gotConn of what needs no connection.
func (x *exchange) takeOver() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.connected = true
}

// wroteHeaders comes when an HTTP/2 head is on the wire, but an HTTP/1 head still in a buffer: there conn.Write calls wrote.
func (x *exchange) wroteHeaders() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.sent = x.sent || x.multiplex
}

func (x *exchange) wroteRequest(info httptrace.WroteRequestInfo) {
	if info.Err == nil {
		x.await(forHead)
	}
}

func (x *exchange) wrote() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.sent = true
}

func (x *exchange) gotByte() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.answered = true
}

// gotInterim tells of an interim response. It bounds their number over HTTP/2, as the follower does over HTTP/1: http.Transport takes
// any once somebody is told of them.
func (x *exchange) gotInterim(code int, header textproto.MIMEHeader) error {
	x.mu.Lock()
	x.interim++
	tooMany := x.interim > maxInterim
	x.mu.Unlock()
	if tooMany {
		x.fail(tooManyInterim())
		return nil
	}
	x.tellInterim(code, http.Header(header))
	return nil
}

// tellInterim tells the caller of an interim response with the fields that the upstream sent, less what is nobody's business. Of
// several any may have named a field.
func (x *exchange) tellInterim(code int, header http.Header) {
	w := WitnessFrom(x.caller)
	if w == nil {
		return
	}
	x.mu.Lock()
	restoreConnection(header, x.hinted)
	x.mu.Unlock()
	x.conceal(header)
	w.Got1xx(code, header)
}

// gotFields notes over HTTP/1 what net/http changes in a head. Where it has no Cache-Control but Pragma: no-cache, which means
// nothing in a response (RFC 9111, section 5.4), one is put in that clients and caches would believe. And where Connection says
// close it is taken out whole, with the names of the fields that must not go on (RFC 9110, section 7.6.1).
func (x *exchange) gotFields(f *follower) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.invented, x.connection, x.hinted = !f.last.control, f.last.connection, f.hinted
}

// restore makes the fields of the final head those that the upstream sent.
func (x *exchange) restore(h http.Header) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.invented {
		delete(h, "Cache-Control")
	}
	restoreConnection(h, x.connection)
}

func restoreConnection(h http.Header, lines []string) {
	if len(lines) > 0 && h["Connection"] == nil {
		h["Connection"] = lines
	}
}

// gotHead ends the waits of the writing side for good: an upload may go on, but from now on the answer decides. False: the
// exchange had failed before, which http.Transport may not have noticed: when an answer comes at the same moment, it gives either.
func (x *exchange) gotHead() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.isOverLocked(forHead) {
		x.restLocked()
	}
	x.headed = true
	return !isFailure(x.why)
}

func (x *exchange) isConnected() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.connected
}

func (x *exchange) isSent() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.sent
}

// spoil notes that the request's own body cannot be read: not the origin's failure.
func (x *exchange) spoil(err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.upload = err
}

// await starts a wait in place of the one before.
func (x *exchange) await(what wait) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.isOverLocked(what) {
		return
	}
	x.waiting = what
	limit := [...]time.Duration{forUpload: x.upstream.timeouts.Gap, forHead: x.upstream.timeouts.FirstByte, forBody: x.gap}[what]
	if what == forHead && !x.until.IsZero() && !hasBody(x.request) {
		limit = max(1, min(limit, time.Until(x.until)))
	}
	switch {
	case limit <= 0: // lifted
		x.restLocked()
	case x.timer == nil:
		x.timer = time.AfterFunc(limit, x.expire)
	default:
		x.timer.Reset(limit)
	}
}

// rest ends a wait: nothing is expected of the upstream for now.
func (x *exchange) rest(what wait) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.isOverLocked(what) {
		x.restLocked()
	}
}

// isOverLocked: once the head is there, the writing side, which may still be at work, has no say in the timer.
func (x *exchange) isOverLocked(what wait) bool { return x.headed && what != forBody }

func (x *exchange) restLocked() {
	x.waiting = forNothing
	if x.timer != nil {
		x.timer.Stop()
	}
}

// expire is the timer's, which may have fired just as the wait ended: what is waited for is judged in the step that fails, so that
// an answer is either in time or not.
func (x *exchange) expire() {
	x.mu.Lock()
	cut := noCut
	if f := overdue(x.waiting); f != nil {
		cut = x.cancelLocked(x.completeLocked(f))
	}
	x.mu.Unlock()
	cut()
}

// overdue is the failure of a wait that took too long; nil for none.
func overdue(w wait) *Failure {
	switch w {
	case forUpload:
		return fault(typeWriteTimeout, "the upstream takes no more of the request")
	case forHead:
		return fault(typeResponseTimeout, "no response head in time")
	case forBody:
		return fault(typeReadTimeout, "the body stopped coming")
	default:
		return nil
	}
}

// verdict is what an exchange says of its upstream.
type verdict int

const (
	unknown verdict = iota // it ended for reasons that are not the upstream's
	good
	bad    // what it said is an error, or ended early
	silent // it said nothing
)

// judge tells the upstream, once.
func (x *exchange) judge(v verdict, why string) {
	x.mu.Lock()
	judged := x.judged
	x.judged = true
	x.mu.Unlock()
	if !judged {
		x.upstream.hear(v, why, x.began, x.took, x.endProbe)
	}
}

// judgeError tells the upstream what an error of the exchange says of it. Being out of descriptors or ports is our own fault.
func (x *exchange) judgeError(err error) {
	var f *Failure
	switch {
	case !errors.As(err, &f) || f.Type == typeConnectionLimit:
	case f.Unreachable:
		x.judge(silent, f.Type)
	default:
		x.judge(bad, f.Type)
	}
}

// complete fills in what a Failure of this exchange has in common with its others.
func (x *exchange) complete(f *Failure) *Failure {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.completeLocked(f)
}

func (x *exchange) completeLocked(f *Failure) *Failure {
	f.Upstream, f.Unreachable, f.Repeated = x.upstream.name, !x.answered, x.repeats > 0
	return f
}

// reason turns an error of http.Transport into what the caller gets: the cause of its own context or an error of its own
// body as they are, else a Failure.
func (x *exchange) reason(err error) error {
	var f *Failure
	cause := x.cause()
	if errors.As(cause, &f) {
		return f
	}
	if x.caller.Err() != nil {
		return context.Cause(x.caller)
	}
	if cause == errLost {
		return errLost
	}
	x.mu.Lock()
	upload, connected, cut := x.upload, x.connected, x.headed || x.answered && isClosed(err)
	x.mu.Unlock()
	switch {
	case upload != nil:
		return upload
	case errors.As(err, &f):
		return f
	case !connected: // http.Transport would not even try: the request is at fault
		return err
	case cut: // in HTTP/2, by a reset stream
		return x.complete(fail(typeResponseIncomplete, err))
	case isClosed(err):
		return x.complete(fail(typeTerminated, err))
	default:
		return x.complete(fail(typeProtocol, err))
	}
}

func isSafe(method string) bool {
	return method == http.MethodGet || method == http.MethodHead || method == http.MethodOptions
}
