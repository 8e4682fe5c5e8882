package origin

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"testing"
)

// TestFirstReasonStays: whatever cancels an exchange first is why it is over, and cuts what is bound, once.
func TestFirstReasonStays(t *testing.T) {
	gone := errors.New("gone")
	failure := fault(typeProtocol, "broken")
	for _, row := range []struct {
		name  string
		steps func(x *exchange, leave context.CancelCauseFunc)
		want  error
		cuts  int
	}{
		{"nothing yet", func(*exchange, context.CancelCauseFunc) {}, nil, 0},
		{"a failure", func(x *exchange, _ context.CancelCauseFunc) { x.fail(failure) }, failure, 1},
		{"a failure, then the loss of a race", func(x *exchange, _ context.CancelCauseFunc) { x.fail(failure); x.cancel(errLost) }, failure, 1},
		{"its end, then a failure", func(x *exchange, _ context.CancelCauseFunc) { x.cancel(context.Canceled); x.fail(failure) }, context.Canceled, 1},
		{"the caller leaves", func(_ *exchange, leave context.CancelCauseFunc) { leave(gone) }, gone, 0}, // who binds a link looks itself
		{"the caller leaves, then a failure", func(x *exchange, leave context.CancelCauseFunc) { leave(gone); x.fail(failure) }, gone, 1},
		{"a failure, then the caller leaves", func(x *exchange, leave context.CancelCauseFunc) { x.fail(failure); leave(gone) }, failure, 1},
	} {
		t.Run(row.name, func(t *testing.T) {
			ctx, leave := context.WithCancelCause(t.Context())
			x := newExchange(newRequest(t, "GET", "/", nil).WithContext(ctx), testUpstream(t))
			cuts := 0
			x.bind(func() { cuts++ })
			row.steps(x, leave)
			if got := x.cause(); got != row.want || cuts != row.cuts {
				t.Errorf("cause = %v after %d cuts, want %v after %d", got, cuts, row.want, row.cuts)
			}
			if got, want := x.gotHead(), row.want != failure; got != want {
				t.Errorf("gotHead = %v, want %v", got, want)
			}
		})
	}
}

// TestBoundTooLate: what is bound to an exchange that is over is cut at once, and what was let go of never is.
func TestBoundTooLate(t *testing.T) {
	x := newExchange(newRequest(t, "GET", "/", nil), testUpstream(t))
	x.bind(func() { t.Error("cut after unbind") })
	if !x.unbind() {
		t.Error("unbind = false before the exchange is over")
	}
	x.cancel(errLost)
	cuts := 0
	x.bind(func() { cuts++ })
	if x.cancel(errLost); cuts != 1 {
		t.Errorf("%d cuts of what was bound too late, want 1", cuts)
	}
	if x.unbind() {
		t.Error("unbind = true after the exchange was over")
	}
}

// TestContextOfAnExchange ends with it, for the same reason.
func TestContextOfAnExchange(t *testing.T) {
	x := newExchange(newRequest(t, "GET", "/", nil), testUpstream(t))
	ctx := x.context()
	if ctx.Err() != nil {
		t.Fatalf("%v at once", ctx.Err())
	}
	x.cancel(errLost)
	if context.Cause(ctx) != errLost {
		t.Errorf("cause = %v, want %v", context.Cause(ctx), errLost)
	}
}

// watched is a context that counts what is registered with it.
type watched struct {
	context.Context
	bound atomic.Int64
}

func (w *watched) AfterFunc(f func()) func() bool {
	w.bound.Add(1)
	stop := context.AfterFunc(w.Context, f)
	return func() bool {
		stopped := stop()
		if stopped {
			w.bound.Add(-1)
		}
		return stopped
	}
}

// Value hides what this is, or package context would register with what is inside.
func (w *watched) Value(any) any { return nil }

// TestNothingStaysBound: whatever becomes of exchanges on links, the caller's context, which may last as long as the process, has
// nothing registered when they are over.
func TestNothingStaysBound(t *testing.T) {
	const ok200 = "HTTP/1.1 200 OK\r\nContent-Length: 200\r\n\r\nok"
	drain := func(r io.ReadCloser) { io.Copy(io.Discard, r) }
	for _, row := range []struct {
		name   string
		read   func(io.ReadCloser)
		failed bool
		script func(*peer)
	}{
		{"read to the end", drain, false, serve(ok2)},
		{"without a body", drain, false, serve("HTTP/1.1 204 No Content\r\n\r\n")},
		{"closed before the end", func(r io.ReadCloser) { r.Close() }, false, serve(ok200)},
		{"cut short", drain, false, func(p *peer) { p.request(); p.write(ok200) }},
		{"no answer at all", nil, true, serve("nonsense\r\n\r\n")},
	} {
		t.Run(row.name, func(t *testing.T) {
			onSocket(t, testConfig(), func(p *Pool, _ *atomic.Int64) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				w := &watched{Context: ctx}
				for range 2 { // on a new connection, and on a kept one if there is one
					response, err := p.RoundTrip(newRequest(t, "GET", "/", nil).WithContext(w))
					if (err != nil) != row.failed {
						t.Fatalf("error = %v", err)
					}
					if err == nil {
						row.read(response.Body)
					}
				}
				if n := w.bound.Load(); n != 0 {
					t.Errorf("%d functions are registered with the caller's context, want none", n)
				}
			}, row.script)
		})
	}
}

// TestLateTimer: a timer that fires while what was waited for comes does not end the exchange, also when it is heard later.
func TestLateTimer(t *testing.T) {
	for _, row := range []struct {
		name  string
		comes func(*exchange)
		what  wait
	}{
		{"bytes of the request", func(x *exchange) { x.rest(forUpload) }, forUpload},
		{"the head", func(x *exchange) { x.gotHead() }, forHead},
		{"bytes of the body", func(x *exchange) { x.rest(forBody) }, forBody},
	} {
		x := newExchange(newRequest(t, "GET", "/", nil), testUpstream(t))
		x.await(row.what)
		row.comes(x)
		if x.expire(); x.cause() != nil {
			t.Errorf("%s: %v", row.name, x.cause())
		}
		x.await(forBody)
		if x.expire(); x.cause() == nil {
			t.Errorf("%s: and then nothing ends it", row.name)
		}
		x.end()
	}
}

// TestInTimeOrNot: of a head and the end of its time that come in the same moment one is first. An answer that is delivered is not
// cut for having been late.
func TestInTimeOrNot(t *testing.T) {
	u := testUpstream(t)
	for range 20_000 {
		x := newExchange(newRequest(t, "GET", "/", nil), u)
		x.await(forHead)
		var timer sync.WaitGroup
		fires := make(chan struct{})
		timer.Go(func() { close(fires); x.expire() })
		<-fires
		inTime := x.gotHead()
		if timer.Wait(); inTime != (x.cause() == nil) {
			t.Fatalf("in time: %v, and yet %v", inTime, x.cause())
		}
	}
}
