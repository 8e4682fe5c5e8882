package lane

import (
	"context"
	"net/http"
	"runtime/debug"
	"time"
)

// A conn serves the requests itself that want nothing but an answer: those that the Answerer does not answer are for the
// handler, which gets what it would get from net/http. Only that for every request net/http has a goroutine read from the
// connection while the handler runs, to see the client leave: two system calls, two deadlines and four changes of goroutine.
// Here one begins to read when the handler has taken watchAfter.

// watchAfter is how long a handler may take before somebody looks whether the client is still there.
const watchAfter = 50 * time.Millisecond

// serve has the handler answer the request at the head of the stash.
func (c *conn) serve() error {
	ctx, cancel := context.WithCancel(c.base())
	defer cancel()
	r, err := c.request(ctx)
	if err != nil {
		return err
	}
	c.yield()
	c.link.requests.Add(1)
	c.served = true
	w := newReply(c, r.Method)
	c.watchClient(cancel)
	err = c.handle(w, r)
	c.endWatch()
	if err == nil {
		err = w.finish()
	}
	c.last = w.closes
	return err
}

// base returns what the contexts of the connection's requests begin with.
func (c *conn) base() context.Context {
	if c.context == nil {
		c.context = context.WithValue(context.Background(), infoKey{}, &c.link.info)
		c.remote = c.link.info.Remote.String()
	}
	return c.context
}

// request takes the request from the stash.
func (c *conn) request(ctx context.Context) (*http.Request, error) {
	w := c.work
	r, err := w.head.message(string(w.in.bytes()[:w.head.next]))
	if err != nil {
		return nil, err // there is none: net/http takes whatever has passed the check
	}
	w.in.r += w.head.next
	r.RemoteAddr, r.TLS = c.remote, c.link.info.TLS
	return r.WithContext(ctx), nil
}

// handle runs the handler. If that panics the answer is not whole.
func (c *conn) handle(w http.ResponseWriter, r *http.Request) (err error) {
	defer func() {
		p := recover()
		if p == nil {
			return
		}
		if p != http.ErrAbortHandler {
			c.link.srv.cfg.Logger.Error("panic", "remote", c.remote, "error", p, "stack", string(debug.Stack()))
		}
		err = http.ErrAbortHandler
	}()
	c.link.srv.handler.ServeHTTP(w, r)
	return nil
}

// vigil is a look at the client of a handler that takes its time. One serves all requests of a connection, one after the other.
type vigil struct {
	timer *time.Timer        // nil before the first request
	left  context.CancelFunc // of the request
	over  chan struct{}      // the connection is not read any more
}

// watchClient calls left if the client leaves while the handler takes its time, until endWatch.
func (c *conn) watchClient(left context.CancelFunc) {
	v := &c.vigil
	if v.left = left; v.timer != nil {
		v.timer.Reset(watchAfter)
		return
	}
	v.over = make(chan struct{}, 1)
	v.timer = time.AfterFunc(watchAfter, func() {
		_ = c.watch() // it is over, whatever ended it
		v.left()
		v.over <- struct{}{}
	})
}

// endWatch ends that; nothing else may be read before.
func (c *conn) endWatch() {
	if !c.vigil.timer.Stop() {
		_ = c.SetReadDeadline(time.Unix(1, 0)) // an error is that of a closed connection, which ends the watch as well
		<-c.vigil.over
		_ = c.SetReadDeadline(time.Time{})
	}
	c.vigil.left = nil // and with it the request
}
