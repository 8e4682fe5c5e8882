package edge

import (
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// wantsTunnel reports whether the request asks for the one upgrade that is taken up, and Connection says that it asks us (RFC
// 9110, section 7.8). h2c, which clients offer with any request, would open a tunnel past every check. HTTP/1.0 has no upgrades.
func (x *exchange) wantsTunnel() bool {
	return x.r.Proto == "HTTP/1.1" && x.r.Method == http.MethodGet && len(x.r.Header["Upgrade"]) == 1 &&
		strings.EqualFold(x.r.Header.Get("Upgrade"), "websocket") && lists(x.r.Header["Connection"], "Upgrade")
}

// tunnel joins client and origin after a 101 (RFC 9110, section 7.8), until either side ends or nothing has moved for the
// stream timeout.
func (x *exchange) tunnel(resp *http.Response) {
	origin, ok := resp.Body.(io.ReadWriteCloser)
	if !ok {
		x.fail(http.StatusBadGateway, "http_upgrade_failed", "the origin's connection cannot be joined")
		return
	}
	client, buffered, err := http.NewResponseController(x.w).Hijack()
	if err != nil {
		x.fail(http.StatusBadGateway, "http_upgrade_failed", "this connection cannot be upgraded")
		return
	}
	defer client.Close()
	x.sent, x.res.Status = true, http.StatusSwitchingProtocols
	h := x.w.Header()
	h.Set("Connection", "Upgrade")
	h.Set("Upgrade", resp.Header.Get("Upgrade"))
	x.addOwn(&answerLines{header: h}, resp.Proto)
	head := &http.Response{StatusCode: http.StatusSwitchingProtocols, ProtoMajor: 1, ProtoMinor: 1, Header: h}
	if head.Write(buffered) != nil || buffered.Flush() != nil {
		return
	}
	t := &tunnel{client: client, origin: origin, idle: x.conf.timeouts.Stream}
	// What is buffered first, and then past net/http: its reader would cancel the request, and so the origin's side, at the
	// client's end.
	x.res.Bytes = t.run(io.MultiReader(io.LimitReader(buffered, int64(buffered.Reader.Buffered())), client))
}

// tunnelTail is how long the second direction of a tunnel may be silent once the first has ended.
const tunnelTail = 30 * time.Second

// tunnel is two copies and one idle limit.
type tunnel struct {
	client io.ReadWriteCloser
	origin io.ReadWriteCloser
	idle   time.Duration
	timer  *time.Timer
	half   atomic.Bool // one direction has ended
}

// run copies both ways until both have ended, and returns the bytes sent to the client. One end does not cut off what still
// comes the other way.
func (t *tunnel) run(fromClient io.Reader) (sent int64) {
	t.timer = time.AfterFunc(t.idle, t.end)
	defer t.timer.Stop()
	defer t.end()
	var up sync.WaitGroup
	up.Go(func() { t.move(t.origin, fromClient) })
	sent = t.move(t.client, t.origin)
	up.Wait()
	return sent
}

func (t *tunnel) end() {
	t.client.Close()
	t.origin.Close()
}

// move copies in one direction, and passes its end on. A direction that breaks takes the other with it.
func (t *tunnel) move(to io.WriteCloser, from io.Reader) int64 {
	n, err := t.copy(to, from)
	half, ok := to.(interface{ CloseWrite() error })
	if err != nil || !ok || half.CloseWrite() != nil {
		t.end()
		return n
	}
	t.half.Store(true)
	t.moved()
	return n
}

// moved begins the wait for the next bytes, either way.
func (t *tunnel) moved() {
	if t.half.Load() {
		t.timer.Reset(min(t.idle, tunnelTail))
	} else {
		t.timer.Reset(t.idle)
	}
}

func (t *tunnel) copy(to io.Writer, from io.Reader) (n int64, err error) {
	buf := buffers.get()
	defer buffers.put(buf)
	for {
		k, err := from.Read(*buf)
		if k > 0 {
			t.moved()
			if _, err := to.Write((*buf)[:k]); err != nil {
				return n, err
			}
			n += int64(k)
		}
		switch err {
		case nil:
		case io.EOF:
			return n, nil
		default:
			return n, err
		}
	}
}
