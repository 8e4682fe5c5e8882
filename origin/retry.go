package origin

import (
	"errors"
	"net/http"
	"slices"
	"time"
)

// RoundTrip sends r to the upstream that the policy picks. When no answer comes of it, or one that says that this upstream is
// at fault, r is sent to another, if it may be sent twice: because nothing of it was sent yet, or because its method is safe
// and it has no body. Where there is no other, an upstream that only broke off may be asked once more. Attempts, time and
// the budget bound that. Besides, http.Transport repeats a safe method on a kept connection that had died. The body of an answer
// goes on from another upstream where that can be done, too: resumable.
//
// r goes out as it is: its Host, its path (URL.RawPath where that encodes URL.Path), its fields and no others. RemoteAddr is
// the client's address, for the policies that go by it. The response tells by Upstream who answered. Its body and an error of
// RoundTrip are a *Failure, or the cause of r's own context, or the error of r's own body.
func (p *Pool) RoundTrip(r *http.Request) (*http.Response, error) {
	now := time.Now()
	p.budget.request(now)
	p.awaitServices(r.Context())
	a := attempts{r: r, left: p.retry.Attempts, until: now.Add(p.total)}
	a.tried = a.room[:0]
	x, err := p.acquire(&a)
	if x == nil {
		closeUnsent(r)
		return nil, orUnavailable(err)
	}
	x, response, err := p.persist(&a, x)
	if err != nil {
		if !x.isConnected() {
			closeUnsent(x.request)
		}
		return nil, err
	}
	x.tie = p.balance.tie.cookieFor(x.request, x.upstream)
	response.Body = p.resumable(&a, response)
	return response, nil
}

// persist makes the exchange x, and what follows from it. It returns the one that counts.
func (p *Pool) persist(a *attempts, x *exchange) (*exchange, *http.Response, error) {
	for {
		won, response, err := p.attempt(a, x)
		if x = p.next(a, won, response, err); x == nil {
			return won, response, err
		}
		if response != nil {
			response.Body.Close()
		}
	}
}

// attempts is what was tried for one request.
type attempts struct {
	r     *http.Request
	room  [usual]*upstream
	tried []*upstream
	left  int       // attempts, with the current one
	until time.Time // no attempt begins after that
	again bool      // an upstream was asked once more
}

// repeat says where a request may be sent once more.
type repeat int

const (
	nowhere repeat = iota
	elsewhere
	anywhere // at another upstream, or else at the same
)

// repeatable judges a request that came to an error at an upstream. A request that went out is repeated by its method alone:
// that it has an effect only once is not for us to guess (RFC 9110, section 9.2.2).
func repeatable(r *http.Request, f *Failure, sent bool) repeat {
	switch {
	case f.connecting:
		return elsewhere
	case hasBody(r): // part of it may have been read
		return nowhere
	case sent && !isSafe(r.Method):
		return nowhere
	case f.Repeated:
		return elsewhere
	case f.Type == typeTerminated, f.Type == typeResponseIncomplete: // a restart, perhaps
		return anywhere
	}
	return elsewhere
}

// isFree reports whether the upstream has not noticed the attempt, so that another costs nothing that had to be saved.
func (f *Failure) isFree() bool {
	switch f.Type {
	case typeRefused, typeUnroutable, typeDNSError, typeDNSTimeout:
		return f.connecting
	}
	return false
}

// next begins the exchange that is to follow x, nil for none.
func (p *Pool) next(a *attempts, x *exchange, response *http.Response, err error) *exchange {
	a.tried = append(a.tried, x.upstream)
	if err == nil {
		return p.afterStatus(a, x.upstream, response.StatusCode)
	}
	var f *Failure
	if !errors.As(err, &f) || x.caller.Err() != nil {
		return nil
	}
	where := repeatable(a.r, f, x.isSent())
	switch {
	case where == nowhere:
		return nil
	case f.isFree():
		next, _ := p.acquire(a)
		return next
	case !a.may():
		return nil
	}
	return p.afford(p.another(a, x.upstream, where))
}

// afterStatus looks for an upstream that may answer better. After one that is well it is not worth asking one that is not.
func (p *Pool) afterStatus(a *attempts, answered *upstream, status int) *exchange {
	if !slices.Contains(p.retry.Status, status) || !isSafe(a.r.Method) || hasBody(a.r) || !a.may() {
		return nil
	}
	next, _ := p.reserve(a, answered.isWell(time.Now()))
	return p.afford(next)
}

// may reports whether there is an attempt left, and time for it.
func (a *attempts) may() bool {
	a.left--
	return a.left > 0 && time.Now().Before(a.until)
}

// another begins an exchange at an upstream that was not tried and is no worse than the same, or at the same once more, or at one
// that is not well.
func (p *Pool) another(a *attempts, same *upstream, where repeat) *exchange {
	if next, _ := p.reserve(a, same.isWell(time.Now())); next != nil {
		return next
	}
	if where == anywhere && !a.again && p.takes(same) {
		a.again = true
		if next := p.begin(a, same, time.Now()); next != nil {
			return next
		}
	}
	next, _ := p.reserve(a, false)
	return next
}

// afford lets go of an exchange that the budget has nothing left for.
func (p *Pool) afford(x *exchange) *exchange {
	if x == nil || p.budget.retry(time.Now()) {
		return x
	}
	x.end()
	return nil
}
