package lane

import (
	"net/http"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

// account is what a client has sent below HTTP, and what that was good for. There it may send much that asks for nothing and
// costs it next to nothing: PING, PATH_CHALLENGE, MAX_DATA, empty STREAM frames, frames of unknown types, all of which quic-go
// takes, and shows to nobody. But it counts what comes. So every now and then what has come is held against what it was
// good for, and the rest is paid for, from a credit of its own: a request is good for much, and must not pay for its reset.
type account struct {
	bytes credit
	worth atomic.Int64 // of the requests, content and answers so far: what could come for them
	owed  int64        // what has come beyond that; owned by watch
}

// Packets that acknowledge an answer are some percent of its bytes, and content that is lost on its way comes twice.
const (
	packetPrice  = 128 // besides its bytes
	contentWorth = 2   // a byte
	requestWorth = 4 << 10
)

// worthOf is how much may come for a request without its content.
func worthOf(r *http.Request) int64 {
	size := len(r.RequestURI)
	for name, values := range r.Header {
		for _, value := range values {
			size += len(name) + len(value)
		}
	}
	return requestWorth + contentWorth*int64(size)
}

// forgive has the client not pay for content that was on its way when the handler had enough of it.
func (c *http3Conn) forgive(b *http3Body) {
	if !b.ended {
		c.worth.Add(contentWorth * quicStreamBuffer)
	}
}

// charge has the client pay for what it has begun and not ended.
func (c *http3Conn) charge(price int64) {
	if !c.spend(price) {
		c.flood()
	}
}

// flood cuts a client that asks for more than it takes, or for nothing.
func (c *http3Conn) flood() {
	c.mu.Lock()
	first := !c.closed
	c.closed = true
	c.mu.Unlock()
	if first {
		s := c.link.srv
		s.count("http3-flood")
		s.grudges.bear(c.link.info.Peer, s.now())
		_ = c.quic.CloseWithError(quic.ApplicationErrorCode(http3.ErrCodeExcessiveLoad), "") // it has no other error
	}
}

// audit has the client pay for what has come since the last time and was good for nothing.
func (c *http3Conn) audit() {
	c.mu.Lock()
	conn := c.quic
	c.mu.Unlock()
	if conn == nil {
		return // it shakes hands, which has bounds of its own
	}
	seen := conn.ConnectionStats()
	owed := int64(seen.BytesReceived+packetPrice*seen.PacketsReceived) - c.worth.Load()
	price := owed - c.owed
	c.owed = owed
	if price < 0 {
		c.bytes.earn(-price)
	} else if !c.bytes.spend(price) {
		c.flood()
	}
}

// auditEvery bounds how long a flood may last.
const auditEvery = 250 * time.Millisecond

// watch audits the connections of the socket until it is closed.
func (f *quicFront) watch() {
	tick := time.NewTicker(auditEvery)
	defer tick.Stop()
	for {
		select {
		case <-f.closed:
			return
		case <-tick.C:
		}
		for _, c := range f.srv.links.http3() {
			if c.front == f {
				c.audit()
			}
		}
	}
}
