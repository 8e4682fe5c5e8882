//go:build !race

// The race detector makes stacks larger, and pools forget at random.

package lane

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"runtime"
	"syscall"
	"testing"
)

// TestIdleMemory: what a connection costs that waits for its second request. The clients are bare descriptors: only the
// server's side is counted. Sockets of the kernel, because those are waited for without a buffer.
func TestIdleMemory(t *testing.T) {
	for _, row := range []struct {
		name   string
		config *tls.Config
		most   uint64
	}{{"plain", nil, 8 << 10}, {"tls", serverTLS(), 15 << 10}} {
		t.Run(row.name, func(t *testing.T) {
			const n = 300
			address, s := tcpServer(t, echo, constant(1<<10), row.config)
			idleClient(t, address, row.config) // what is made once
			s.awaitIdle(1)
			before := inUse()
			for range n {
				idleClient(t, address, row.config)
			}
			s.awaitIdle(1 + n)
			each := (inUse() - before) / n
			t.Logf("%d bytes a connection", each)
			if each > row.most {
				t.Errorf("%d bytes a connection, want at most %d", each, row.most)
			}
		})
	}
}

// awaitIdle waits until so many connections are idle, which they are a moment after their clients have their answers.
func (s *Server) awaitIdle(n int) {
	for s.Stats().Idle < n {
		runtime.Gosched()
	}
}

// idleClient connects, has one answer, and leaves nothing but a descriptor.
func idleClient(t *testing.T, address string, config *tls.Config) {
	t.Helper()
	raw, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	c := raw
	if config != nil {
		c = clientTLS(raw, "http/1.1")
	}
	send(t, c, browserGet)
	readAnswer(t, bufio.NewReader(c))
	socket, err := raw.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	kept := -1
	if err := socket.Control(func(fd uintptr) { kept, err = syscall.Dup(int(fd)) }); err != nil || kept < 0 {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Close(kept) })
}

func inUse() uint64 {
	for range 3 { // pools are emptied by the second, stacks shrink by half each time
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}

// TestHitAllocations: an answer allocates nothing; over TLS, nothing but what crypto/tls does.
func TestHitAllocations(t *testing.T) {
	overEach(t, func(t *testing.T, config *tls.Config) {
		for _, size := range []int{1 << 10, 16 << 10} {
			address, _ := tcpServer(t, echo, constant(size), config)
			c := dialTCP(t, address, config)
			get, buf := []byte(browserGet), make([]byte, 64<<10)
			got := testing.AllocsPerRun(200, func() {
				_, _ = c.Write(get)
				for n := 0; n < size; {
					m, err := c.Read(buf)
					if n += m; err != nil {
						t.Fatal(err)
					}
				}
			})
			most := 0.0
			if config != nil {
				most = tlsAllocations(t, size)
			}
			if got > most {
				t.Errorf("%d bytes: %v allocations, want %v", size, got, most)
			}
		}
	})
}

// tlsAllocations is what a bare exchange over TLS allocates, on both sides.
func tlsAllocations(t *testing.T, size int) float64 {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		raw, err := l.Accept()
		if err != nil {
			return
		}
		c := tls.Server(raw, serverTLS())
		defer c.Close()
		in, out := make([]byte, 4<<10), make([]byte, size+300)
		for {
			if _, err := c.Read(in); err != nil {
				return
			}
			if _, err := c.Write(out); err != nil {
				return
			}
		}
	}()
	raw, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c := clientTLS(raw)
	get, buf := []byte(browserGet), make([]byte, 64<<10)
	n := testing.AllocsPerRun(200, func() {
		_, _ = c.Write(get)
		_, _ = io.ReadFull(c, buf[:size+300])
	})
	_ = c.Close()
	_ = l.Close()
	<-ended
	return n
}
