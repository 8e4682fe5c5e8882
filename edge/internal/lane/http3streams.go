package lane

import (
	"context"
	"sync"
	"time"

	"github.com/quic-go/quic-go"
)

// serveStreams takes the client's streams until the connection ends. quic-go would do so by itself, and wait for a request on
// each for as long as the connection lives. What it then does not do is to send GOAWAY (RFC 9114, section 5.2): its control
// stream is its own. So a server that drains answers what comes, and closes the connection when nothing is under way.
func (c *http3Conn) serveStreams(conn *quic.Conn) {
	raw, err := c.server.NewRawServerConn(conn)
	if err != nil {
		return // the connection has ended
	}
	var streams sync.WaitGroup
	defer streams.Wait()
	streams.Go(func() {
		for {
			s, err := conn.AcceptUniStream(context.Background())
			if err != nil {
				return // as above
			}
			c.charge(framePrice) // there is use for three
			streams.Go(func() { raw.HandleUnidirectionalStream(s) })
		}
	})
	for {
		s, err := conn.AcceptStream(context.Background())
		if err != nil {
			return // as above
		}
		c.expect(s)
		streams.Go(func() {
			raw.HandleRequestStream(s)
			c.settle(s.StreamID())
		})
	}
}

// expect gives the request that is to come on a stream Timeouts.Header to come whole. After that the stream is reset, with
// H3_REQUEST_INCOMPLETE (RFC 9114, section 8.1), and others go on: packets are lost, and streams then wait for no other.
func (c *http3Conn) expect(s *quic.Stream) {
	c.mu.Lock()
	c.heads[s.StreamID()] = struct{}{}
	c.mu.Unlock()
	if patience := c.link.srv.settings.Load().Header; patience > 0 {
		_ = s.SetReadDeadline(time.Now().Add(patience)) // it has no error
	}
}

// came notes that a request has come whole.
func (c *http3Conn) came(id quic.StreamID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.heads, id)
}

// settle has the client pay for a stream that has ended without a request: it came too slowly, or was none, or the client has
// taken it back.
func (c *http3Conn) settle(id quic.StreamID) {
	c.mu.Lock()
	_, never := c.heads[id]
	delete(c.heads, id)
	ended := c.closed || c.quic.Context().Err() != nil
	c.mu.Unlock()
	if never && !ended {
		c.link.srv.count("http3-no-request")
		c.charge(resetPrice)
	}
}
