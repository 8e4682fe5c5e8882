package origin

import (
	"io"
	"net"
	"path/filepath"
	"syscall"
	"testing"
)

// TestQuestionThatWaits: one of which the socket takes nothing at once has been sent like any other when it is through.
func TestQuestionThatWaits(t *testing.T) {
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	raw, err := net.Dial("unix", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	upstreamEnd, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	x := &exchange{method: "GET", upstream: new(upstream), caller: t.Context()}
	c := newConn(raw, nil, "test")
	c.served = true
	c.begin(x)
	if err := c.socket.Write(untilFull); err != nil {
		t.Fatal(err)
	}
	waits, drained := make(chan bool), make(chan error)
	c.onChange = func(fd uintptr) bool {
		done := c.changed(fd)
		if done {
			close(waits)
		}
		return done
	}
	go func() {
		<-waits
		_, err := io.Copy(io.Discard, upstreamEnd)
		drained <- err
	}()
	if err := c.ask([]byte("GET / HTTP/1.1\r\n\r\n")); err != nil || c.asking.sent > 0 || !x.isSent() {
		t.Errorf("%v, %d bytes at once, sent %v; want none at once, and sent", err, c.asking.sent, x.isSent())
	}
	_ = raw.Close()
	if err := <-drained; err != nil {
		t.Error(err)
	}
	_ = upstreamEnd.Close()
}

// untilFull fills a socket's buffer.
func untilFull(fd uintptr) bool {
	for {
		if _, err := syscall.Write(int(fd), make([]byte, 4<<10)); err != nil {
			return true
		}
	}
}
