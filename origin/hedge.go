package origin

import (
	"errors"
	"net/http"
	"time"
)

// errLost ends an exchange whose race another has won.
var errLost = errors.New("another upstream answered first")

// raced is what came of an exchange in a race.
type raced struct {
	x        *exchange
	response *http.Response
	err      error
}

// isGood reports whether nobody needs to wait for a better answer.
func (o raced) isGood() bool { return o.err == nil && !isErrorStatus(o.response.StatusCode) }

// attempt makes the exchange x, or races it against another one when its answer takes long. It returns the one that counts.
func (p *Pool) attempt(a *attempts, x *exchange) (*exchange, *http.Response, error) {
	if p.retry.Hedge == 0 || a.r.Method != http.MethodGet || hasBody(a.r) {
		response, err := x.upstream.roundTrip(x)
		return x, response, err
	}
	outcomes := make(chan raced, 2)
	race(x, outcomes)
	late := time.NewTimer(p.retry.Hedge)
	defer late.Stop()
	select {
	case o := <-outcomes:
		return o.x, o.response, o.err
	case <-late.C:
	}
	second := p.hedge(a, x)
	if second == nil {
		o := <-outcomes
		return o.x, o.response, o.err
	}
	race(second, outcomes)
	o := winner(outcomes, x, second)
	return o.x, o.response, o.err
}

// hedge begins the second exchange of a race; nil when there is no upstream for it, or no budget.
func (p *Pool) hedge(a *attempts, x *exchange) *exchange {
	a.tried = append(a.tried, x.upstream)
	if !a.may() {
		return nil
	}
	second, _ := p.reserve(a, true)
	return p.afford(second)
}

// race makes an exchange in a goroutine of its own. Whoever starts it takes its outcome.
func race(x *exchange, outcomes chan<- raced) {
	go func() {
		response, err := x.upstream.roundTrip(x)
		outcomes <- raced{x, response, err}
	}()
}

// winner waits for the first good answer of two, or the last, and ends the other exchange.
func winner(outcomes <-chan raced, one, two *exchange) raced {
	first := <-outcomes
	if first.isGood() {
		loser := one
		if first.x == one {
			loser = two
		}
		loser.cancel(errLost) // which ends it at once
	}
	last := <-outcomes
	if !first.isGood() && (last.err == nil || first.err != nil) {
		first, last = last, first
	}
	last.drop()
	return first
}

// drop lets go of an answer that nobody wants.
func (o raced) drop() {
	if o.response != nil {
		o.response.Body.Close()
	}
}
