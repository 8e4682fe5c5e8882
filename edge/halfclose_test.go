package edge

import (
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// The half-close of a tunnel is the kernel's, so these sockets are real.

// TestTunnelEndsOneWayAtATime: a side that has said everything still hears what the other has to say.
func TestTunnelEndsOneWayAtATime(t *testing.T) {
	far := strings.Repeat("far", 1<<20)
	for name, first := range map[string]int{"client first": 0, "origin first": 1} {
		t.Run(name, func(t *testing.T) {
			var near, ends [2]*net.TCPConn // of client and origin
			for i := range near {
				near[i], ends[i] = socketPair(t)
			}
			done := make(chan int64)
			go func() {
				done <- (&tunnel{client: near[0], origin: near[1], idle: time.Minute}).run(near[0])
			}()
			one, other := ends[first], ends[1-first]
			io.WriteString(one, "near")
			one.CloseWrite()
			if got, err := io.ReadAll(other); string(got) != "near" || err != nil {
				t.Errorf("heard %q, %v", got, err)
			}
			go func() {
				io.WriteString(other, far)
				other.CloseWrite()
			}()
			if got, err := io.ReadAll(one); string(got) != far || err != nil {
				t.Errorf("heard %d bytes, %v; want %d", len(got), err, len(far))
			}
			if sent := <-done; sent != []int64{int64(len(far)), 4}[first] {
				t.Errorf("%d bytes counted towards the client", sent)
			}
		})
	}
}

// TestTunnelBreaks: a side that is reset ends the tunnel both ways.
func TestTunnelBreaks(t *testing.T) {
	client, clientEnd := socketPair(t)
	origin, originEnd := socketPair(t)
	done := make(chan int64)
	go func() { done <- (&tunnel{client: client, origin: origin, idle: time.Minute}).run(client) }()
	originEnd.SetLinger(0)
	originEnd.Close()
	if got, err := io.ReadAll(clientEnd); len(got) > 0 || err != nil {
		t.Errorf("heard %q, %v; want the end", got, err)
	}
	<-done
}

func socketPair(t *testing.T) (near, far *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	other, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { other.Close() })
	return c.(*net.TCPConn), other.(*net.TCPConn)
}
