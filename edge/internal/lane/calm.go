package lane

import (
	"encoding/binary"
	"errors"
	"sync"
	"time"
)

// errFlood ends an HTTP/2 connection that has been told to go away.
var errFlood = errors.New("lane: too many frames that ask for nothing")

// calmConn is an HTTP/2 connection as net/http reads it: TLS that is watched for floods.
//
// Frames that move no content, and streams that are reset, cost a client next to nothing and a server much (RFC 9113, section
// 10.5; CVE-2023-44487, CVE-2025-8671); net/http bounds few of them. So they cost credit here. Time brings
// credit back, and so do bytes that are sent, since whoever receives much has much to acknowledge. A client without credit
// is told to calm down, and cut.
//
// It has no ConnectionState: to net/http it speaks HTTP/2 without TLS, which is how net/http takes an HTTP/2 connection of
// somebody else's type. serveHTTP2 tells the handler of TLS.
type calmConn struct {
	stream
	link *link
	in   frames // owned by Read

	writing sync.Mutex
	out     frames // guarded by writing

	credit
}

// credit is what a client may cost that asks for nothing.
type credit struct {
	mu     sync.Mutex
	left   int64     // guarded by mu; in bytes sent
	filled time.Time // guarded by mu: when time last brought some
}

// A browser that leaves a page resets a hundred streams at once, and one that downloads acknowledges every 4 KiB or more.
const (
	creditMost   = 2000 * framePrice
	creditPerSec = 100 * framePrice
	framePrice   = 1 << 10
	resetPrice   = 4 * framePrice // a handler had begun
)

func newCalmConn(on stream, l *link) *calmConn {
	return &calmConn{
		stream: on, link: l, in: frames{left: len("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")}, credit: newCredit(),
	}
}

func newCredit() credit { return credit{left: creditMost, filled: time.Now()} }

func (c *calmConn) Read(p []byte) (int, error) {
	n, err := c.stream.Read(p)
	if !c.spend(c.in.follow(p[:n], priceIn)) {
		c.link.srv.count("http2-flood")
		c.goAway()
		return 0, errFlood
	}
	return n, err
}

func (c *calmConn) Write(p []byte) (int, error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	n, err := c.stream.Write(p)
	c.earn(int64(n) - c.out.follow(p[:n], priceOut))
	return n, err
}

// earn adds what bytes sent have brought, less what they cost.
func (c *credit) earn(n int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.left = min(c.left+n, creditMost)
}

// spend reports whether there was credit.
func (c *credit) spend(price int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.left -= price
	if c.left < 0 {
		now := time.Now()
		c.left += int64(min(now.Sub(c.filled), time.Hour).Seconds() * creditPerSec)
		c.left, c.filled = min(c.left, creditMost), now
	}
	return c.left >= 0
}

// goAway says why the connection ends, if no other frame is half written.
func (c *calmConn) goAway() {
	_ = c.link.SetWriteDeadline(time.Now().Add(lingerTime)) // an error shows in the Write
	c.writing.Lock()
	defer c.writing.Unlock()
	if !c.out.between() {
		return
	}
	const enhanceYourCalm = 11
	frame := append(make([]byte, 0, 17), 0, 0, 8, frameGoAway, 0, 0, 0, 0, 0)
	frame = binary.BigEndian.AppendUint32(frame, c.in.stream)
	frame = binary.BigEndian.AppendUint32(frame, enhanceYourCalm)
	if _, err := c.stream.Write(frame); err == nil {
		linger(c.stream, c.CloseWrite)
	}
}

// Frame types and flags (RFC 9113, section 6).
const (
	frameData    = 0
	frameHeaders = 1
	frameReset   = 3
	frameGoAway  = 7

	flagEndStream = 1
	flagPadded    = 8
)

// priceIn is what a client's frame costs: nothing if it brings a request or content.
func priceIn(kind, flags byte, length int) int64 {
	switch {
	case kind == frameHeaders, kind == frameData && (length > 0 && flags&flagPadded == 0 || flags&flagEndStream != 0):
		return 0
	case kind == frameReset:
		return resetPrice
	}
	return framePrice
}

// priceOut is what a frame of ours costs the client: to have made us give up a stream, as most often it has.
func priceOut(kind, _ byte, _ int) int64 {
	if kind == frameReset {
		return resetPrice
	}
	return 0
}

// frames follows HTTP/2 framing (RFC 9113, section 4.1) and looks at no payload.
type frames struct {
	head   [9]byte
	seen   int    // bytes of head
	left   int    // of the payload
	stream uint32 // the highest that a frame has named
}

// follow adds up the prices of the frames whose heads end in b.
func (f *frames) follow(b []byte, priceOf func(kind, flags byte, length int) int64) (price int64) {
	for len(b) > 0 {
		if f.left > 0 {
			n := min(f.left, len(b))
			f.left -= n
			b = b[n:]
			continue
		}
		n := copy(f.head[f.seen:], b)
		b = b[n:]
		if f.seen += n; f.seen < len(f.head) {
			break
		}
		f.seen = 0
		f.left = int(f.head[0])<<16 | int(f.head[1])<<8 | int(f.head[2])
		f.stream = max(f.stream, binary.BigEndian.Uint32(f.head[5:])&^(1<<31))
		price += priceOf(f.head[3], f.head[4], f.left)
	}
	return price
}

// between reports whether no frame is half through.
func (f *frames) between() bool { return f.seen == 0 && f.left == 0 }
