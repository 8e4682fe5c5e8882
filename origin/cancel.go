package origin

import (
	"context"
	"errors"
)

// An exchange is cancelled for one reason, the first there is: a failure, a lost race, the end of the caller's context, or its
// own end. What is under way for it is then cut. It is no context by itself, since most of them need none: on a kept link
// nobody waits for one.

// cancel ends what is under way, unless the exchange is over already.
func (x *exchange) cancel(why error) {
	x.mu.Lock()
	cut := x.cancelLocked(why)
	x.mu.Unlock()
	cut()
}

// cancelLocked returns what has to be called without the lock.
func (x *exchange) cancelLocked(why error) (cut func()) {
	if x.why == nil {
		x.why = why
		if x.caller.Err() != nil {
			x.why = context.Cause(x.caller) // which came first
		}
	}
	cut, x.cut = x.cut, nil
	if cut == nil {
		return noCut
	}
	return cut
}

func noCut() {}

// cause returns why the exchange is over, nil while it is not.
func (x *exchange) cause() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.why == nil && x.caller.Err() != nil {
		return context.Cause(x.caller)
	}
	return x.why
}

// bind has cut called once the exchange is cancelled; at once if it has been. It takes the place of what was bound before. Whoever
// cancels waits for it: to close a socket is to wait for who is busy with it, who must not be the one that cancels (see changed).
func (x *exchange) bind(cut func()) {
	x.mu.Lock()
	over := x.why != nil
	if x.cut = cut; over {
		x.cut = nil
	}
	x.mu.Unlock()
	if over {
		cut()
	}
}

// unbind lets go of what was bound. False: it was cut, or is about to be.
func (x *exchange) unbind() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.cut = nil
	return x.why == nil
}

// context returns a context that ends with the exchange, with the same cause, for those who know nothing of exchanges. It may not
// be asked for where something is bound.
func (x *exchange) context() context.Context {
	if x.ctx == nil {
		ctx, cancel := context.WithCancelCause(x.caller)
		x.ctx = ctx
		x.bind(func() { cancel(x.cause()) })
	}
	return x.ctx
}

// fail ends the exchange. The first failure stays.
func (x *exchange) fail(f *Failure) { x.cancel(x.complete(f)) }

// isFailure reports whether an exchange that is over for this reason has failed.
func isFailure(why error) bool {
	_, is := errors.AsType[*Failure](why)
	return is
}

// end releases what the exchange holds; its answer is over or not wanted any more.
func (x *exchange) end() {
	x.gotHead()
	x.rest(forBody)
	x.cancel(context.Canceled)
	x.judge(unknown, "")
	x.mu.Lock()
	over := x.over
	x.over = true
	x.mu.Unlock()
	if !over {
		x.upstream.leave()
	}
}
