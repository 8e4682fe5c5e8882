package edge

import (
	"net/http"
	"runtime"
	"sync"
	"time"

	"selvage/cache"
	"selvage/edge/internal/lane"
)

// piece is the most that is written at once.
const piece = 1 << 20

// head sends the final status and header section.
func (x *exchange) head(status int) {
	x.sending(status)
	x.advertise()
	h := x.w.Header()
	if _, ok := h["Content-Type"]; !ok {
		h["Content-Type"] = nil // no guessing
	}
	x.w.WriteHeader(status)
}

// headOf sends the final status and header section of an answer from what is stored of m: of the whole, or of the 304 that stands
// for it. The lane's own ResponseWriter takes the lines as they stand; nothing but interim heads, which have left, were in its map.
func (x *exchange) headOf(m *cache.Meta, c *cache.Choice, status int) {
	reply, ok := x.w.(*lane.Reply)
	if !ok || status >= len(statusLines) {
		x.copyAll(m, c, status)
		x.head(status)
		return
	}
	now := x.sending(status)
	reply.Gather(x.appendHead(reply.Buffer(), m, c, m.Age(now)), status, lengthOf(c))
}

// yield lets those read their answers first whose origins have answered, too. All then write together, and the wake-ups of the
// clients' side, each of which costs as much as a write, are few. Passing from a goroutine to another would have had that effect,
// but at its own price.
func yield() { runtime.Gosched() }

// sending notes that the final head is on its way, and says when.
func (x *exchange) sending(status int) cache.Instant {
	if x.firstHand {
		yield()
	}
	now := x.clock.Now().Mono
	x.sent, x.res.Status, x.res.First = true, status, now.Sub(x.start)
	return now
}

// write sends bytes of the body. That the client takes them in time is for the connection to see, and for the stream.
func (x *exchange) write(p []byte) bool { return x.wrote(x.w.Write(p)) }

// writeRest is write where nothing will have to be waited for any more.
func (x *exchange) writeRest(p []byte) bool { return x.wrote(x.conn.WriteRest(x.w, p)) }

func (x *exchange) wrote(sent int, err error) bool {
	x.res.Bytes += int64(sent)
	if err != nil {
		x.cut("client: " + err.Error())
	}
	return err == nil
}

// waits returns when changed is closed. False: the client has left meanwhile.
func (x *exchange) waits(changed <-chan struct{}) bool {
	select {
	case <-changed:
		return true
	case <-x.r.Context().Done():
		if !x.sent {
			x.res.Status = statusClientGone
		}
		x.cut("client: left in mid-answer")
		return false
	}
}

// cut notes that the client will not get the whole answer; finish ends it visibly.
func (x *exchange) cut(why string) {
	x.res.Aborted = true
	x.res.Error = why
}

// flushDelay is how long bytes wait in the server's buffer for more to come.
const flushDelay = 2 * time.Millisecond

// idleFlush flushes from a timer what has been written, unless the writer has come back meanwhile: an answer that comes
// whole costs no flush, and one that pauses is not held back. The lock is the ResponseWriter's, for as long as it stands.
type idleFlush struct {
	mu    sync.Mutex
	x     *exchange
	timer *time.Timer
	over  bool
}

// flushWhenIdle begins with the head, which has been written.
func (x *exchange) flushWhenIdle() *idleFlush {
	f := &idleFlush{x: x}
	f.timer = time.AfterFunc(flushDelay, f.flush)
	return f
}

func (f *idleFlush) flush() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.over {
		f.x.flush()
	}
}

// write sends bytes; more says that others are to come.
func (f *idleFlush) write(p []byte, more bool) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if more {
		f.timer.Reset(flushDelay)
		return f.x.write(p)
	}
	f.timer.Stop()
	return f.x.writeRest(p)
}

// stop ends it; from then on the writer is alone.
func (f *idleFlush) stop() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.over = true
	f.timer.Stop()
}

func (x *exchange) flush() { http.NewResponseController(x.w).Flush() }

// buffers are for streaming bodies that are not stored.
var buffers = newBufferPool(32 << 10)

func hasBody(method string, status int) bool {
	return method != http.MethodHead && lane.BodyAllowed(status)
}
