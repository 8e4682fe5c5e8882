package lane

import (
	"bytes"
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quic-go/quic-go"
)

// TestGrudges: they are about an address, or a network of IPv6, end, and are not many.
func TestGrudges(t *testing.T) {
	const now = time.Minute
	var g grudges
	g.bear(netip.MustParseAddr("192.0.2.1"), now)
	g.bear(netip.MustParseAddr("2001:db8::1"), now)
	for _, row := range []struct {
		peer string
		at   time.Duration
		want bool
	}{
		{"192.0.2.1", now, true},
		{"192.0.2.1", now + grudgeTime, false},
		{"192.0.2.2", now, false},
		{"2001:db8::ffff:2", now, true},
		{"2001:db8:0:1::1", now, false},
	} {
		if got := g.against(netip.MustParseAddr(row.peer), row.at); got != row.want {
			t.Errorf("%s at %v: %v, want %v", row.peer, row.at, got, row.want)
		}
	}
	for i := range 3 * maxGrudges {
		g.bear(netip.MustParseAddr(fmt.Sprintf("10.0.%d.%d", i/256, i%256)), now)
	}
	if n := len(g.until); n > maxGrudges {
		t.Errorf("%d are held, want %d at most", n, maxGrudges)
	}
}

// TestHTTP3FloodAgain: who has flooded gets no new connection for a while; others do.
func TestHTTP3FloodAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newRig(t, echo, nil).startHTTP3(serverTLS())
		socket := n.socket()
		dial := func() (*quic.Conn, error) { return socket.Dial(t.Context(), packetServer, clientConfig("h3"), nil) }
		conn, err := dial()
		if err != nil {
			t.Fatal(err)
		}
		c := &h3client{t: t, conn: conn}
		for err == nil {
			_, err = c.controlStream().Write(bytes.Repeat([]byte("\x21\x00"), 20000))
		}
		if _, err := dial(); err == nil {
			t.Error("who has flooded is let in again at once")
		}
		if got := newH3(n).ask(h2Fields()...); got != "200" {
			t.Errorf("another address: %s, want 200", got)
		}
		advance(grudgeTime)
		if _, err := dial(); err != nil {
			t.Errorf("after %v: %v", grudgeTime, err)
		}
	})
}
