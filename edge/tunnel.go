package edge

import (
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// wantsTunnel reports whether the request asks for the one upgrade that is taken up. h2c, which clients offer with any
// request, would open a tunnel past every check.
func (x *exchange) wantsTunnel() bool {
	return x.r.ProtoMajor == 1 && x.r.Method == http.MethodGet && len(x.r.Header["Upgrade"]) == 1 &&
		strings.EqualFold(x.r.Header.Get("Upgrade"), "websocket")
}

// tunnel joins client and origin after a 101 (RFC 9110, section 7.8), until either side ends or nothing has moved for the
// stream timeout.
func (x *exchange) tunnel(resp *http.Response) {
	origin, ok := resp.Body.(io.ReadWriteCloser)
	if !ok {
		x.fail(http.StatusBadGateway, "http_upgrade_failed", "the origin's connection cannot be joined")
		return
	}
	client, buffered, err := x.out.Hijack()
	if err != nil {
		x.fail(http.StatusBadGateway, "http_upgrade_failed", "this connection cannot be upgraded")
		return
	}
	defer client.Close()
	x.sent, x.res.Status = true, http.StatusSwitchingProtocols
	h := x.w.Header()
	h.Set("Connection", "Upgrade")
	h.Set("Upgrade", resp.Header.Get("Upgrade"))
	x.addOwn(h, resp.Proto)
	head := &http.Response{StatusCode: http.StatusSwitchingProtocols, ProtoMajor: 1, ProtoMinor: 1, Header: h}
	if head.Write(buffered) != nil || buffered.Flush() != nil {
		return
	}
	t := &tunnel{client: client, origin: origin, idle: x.conf.timeouts.Stream}
	x.res.Bytes = t.run(buffered)
}

// tunnel is two copies and one idle limit.
type tunnel struct {
	client net.Conn
	origin io.ReadWriteCloser
	idle   time.Duration
	timer  *time.Timer
}

// run copies both ways until both have ended, and returns the bytes sent to the client.
func (t *tunnel) run(fromClient io.Reader) (sent int64) {
	t.timer = time.AfterFunc(t.idle, t.end)
	defer t.timer.Stop()
	var up sync.WaitGroup
	up.Go(func() {
		t.copy(t.origin, fromClient)
		t.end()
	})
	sent = t.copy(t.client, t.origin)
	t.end()
	up.Wait()
	return sent
}

func (t *tunnel) end() {
	t.client.Close()
	t.origin.Close()
}

func (t *tunnel) copy(to io.Writer, from io.Reader) (n int64) {
	buf := buffers.get()
	defer buffers.put(buf)
	for {
		k, err := from.Read(*buf)
		if k > 0 {
			t.timer.Reset(t.idle)
			if _, err := to.Write((*buf)[:k]); err != nil {
				return n
			}
			n += int64(k)
		}
		if err != nil {
			return n
		}
	}
}
