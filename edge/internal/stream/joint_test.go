package stream

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"selvage/origin"
)

// TestCopiesBothWays: what goes in comes out, little or much, and is counted.
func TestCopiesBothWays(t *testing.T) {
	for _, size := range []int{0, 1, bufSize - 1, bufSize, bufSize + 1, 5*spliceSize + 7, 16 << 20} {
		r := serveFor(t, upstreams(t, echo), asItIs)
		sent := make([]byte, size)
		rand.NewChaCha8([32]byte{byte(size)}).Read(sent)
		c := dial(t, r.address)
		var writing sync.WaitGroup
		writing.Go(func() {
			c.Write(sent)
			c.CloseWrite()
		})
		got, err := io.ReadAll(c)
		writing.Wait()
		if err != nil || !bytes.Equal(got, sent) {
			t.Errorf("%d bytes: %d came back (%v), want the same", size, len(got), err)
		}
		a := r.wantError(t, "")
		if a.Received != int64(size) || a.Sent != int64(size) {
			t.Errorf("%d bytes: the account has %d received and %d sent", size, a.Received, a.Sent)
		}
		if n := r.traffic.Sent.Load(); n != int64(size) {
			t.Errorf("%d bytes: %d were counted", size, n)
		}
	}
}

// TestHalfClose: a side that has ended still gets what the other says, whichever ends first.
func TestHalfClose(t *testing.T) {
	t.Run("client first", func(t *testing.T) {
		r := serveFor(t, upstreams(t, func(c *net.TCPConn) {
			all, _ := io.ReadAll(c)
			c.Write(append([]byte("got "), all...))
		}), asItIs)
		c := dial(t, r.address)
		mustWrite(t, c, "question")
		c.CloseWrite()
		wantRead(t, c, "got question")
		if _, err := c.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("after the answer: %v, want its end", err)
		}
		r.wantError(t, "")
	})
	t.Run("upstream first", func(t *testing.T) {
		heard := make(chan string)
		r := serveFor(t, upstreams(t, func(c *net.TCPConn) {
			c.Write([]byte("hello"))
			c.CloseWrite()
			all, _ := io.ReadAll(c)
			heard <- string(all)
		}), asItIs)
		c := dial(t, r.address)
		if got, err := io.ReadAll(c); string(got) != "hello" || err != nil {
			t.Fatalf("read %q and %v", got, err)
		}
		mustWrite(t, c, "still here")
		c.CloseWrite()
		if got := <-heard; got != "still here" {
			t.Errorf("the upstream heard %q, want %q", got, "still here")
		}
		r.wantError(t, "")
	})
}

// TestResetIsNoEnd: of a reset that a write was told of, a read sees no more than an end.
func TestResetIsNoEnd(t *testing.T) {
	for _, reset := range []bool{true, false} {
		l := listen(t)
		far := dial(t, l.Addr().String())
		near, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer near.Close()
		if reset {
			far.SetLinger(0)
			far.Close()
		} else {
			far.CloseWrite()
		}
		for err == nil && reset {
			_, err = near.Write([]byte("x"))
		}
		e := newEnd(near)
		if _, err := e.take(); err != io.EOF {
			t.Fatalf("reset %v: read %v, want what looks like an end", reset, err)
		}
		if err := e.ended(); (err != nil) != reset {
			t.Errorf("reset %v: the end is judged %v", reset, err)
		}
	}
}

// TestResetsShow: who breaks a connection breaks it for the other side, be it at rest or in the middle of much.
func TestResetsShow(t *testing.T) {
	for _, much := range []bool{false, true} {
		r := serveFor(t, upstreams(t, func(c *net.TCPConn) {
			c.Write([]byte("part"))
			if much {
				c.Write(make([]byte, 3*spliceSize))
			}
			c.Read(make([]byte, 4))
			c.SetLinger(0)
		}), asItIs)
		c := dial(t, r.address)
		mustWrite(t, c, "more")
		if _, err := io.ReadAll(c); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("the upstream resets (much: %v): the client sees %v, want a reset", much, err)
		}
		r.wantError(t, reasonReset)
	}
	ended := make(chan error)
	r := serveFor(t, upstreams(t, func(c *net.TCPConn) {
		_, err := io.ReadAll(c)
		ended <- err
	}), asItIs)
	c := dial(t, r.address)
	mustWrite(t, c, "part")
	c.SetLinger(0)
	c.Close()
	if err := <-ended; !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the client resets: the upstream sees %v, want a reset", err)
	}
	r.wantError(t, reasonReset)
}

// joined joins two pipes, and returns their other ends and the joint's.
func joined(idle time.Duration) (client, upstream net.Conn, over chan error) {
	client, near := net.Pipe()
	far, upstream := net.Pipe()
	over = make(chan error, 1)
	go func() {
		over <- (&joint{client: newEnd(near), upstream: newEnd(far), idle: idle, traffic: new(Traffic)}).run(nil)
	}()
	return client, upstream, over
}

// TestIdle: a joint ends when nothing has moved for a time, either way; one way is enough to keep it.
func TestIdle(t *testing.T) {
	const idle = 10 * time.Second
	for _, tt := range []struct {
		what     string
		from, to int // which of client and upstream; -1 is nobody
	}{
		{"nothing", -1, -1}, {"the client", 0, 1}, {"the upstream", 1, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			began := time.Now()
			client, upstream, over := joined(idle)
			want := idle
			if tt.from >= 0 {
				ends := [2]net.Conn{client, upstream}
				for range 5 { // each a moment before it would be too late
					<-time.After(idle - time.Second)
					mustWrite(t, ends[tt.from], "x")
					wantRead(t, ends[tt.to], "x")
				}
				want += 5 * (idle - time.Second)
			}
			if err := <-over; cutReason(err) != reasonIdle {
				t.Errorf("%s speaks: ended by %v, want idleness", tt.what, err)
			}
			if took := time.Since(began); took != want {
				t.Errorf("%s speaks: ended after %v, want %v", tt.what, took, want)
			}
		})
	}
}

// TestStuck: a side that takes nothing is idle too, though the other would go on.
func TestStuck(t *testing.T) {
	const idle = 10 * time.Second
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		client, _, over := joined(idle)
		go client.Write(make([]byte, 100))
		if err := <-over; cutReason(err) != reasonIdle {
			t.Errorf("ended by %v, want idleness", err)
		}
		if took := time.Since(began); took != idle {
			t.Errorf("ended after %v, want %v", took, idle)
		}
	})
}

// TestStuckInTheKernel: likewise when the kernel copies.
func TestStuckInTheKernel(t *testing.T) {
	r := serveFor(t, upstreams(t, func(c *net.TCPConn) { c.ReadFrom(neverEnding{}) }), func(c *Config) { c.Idle = 2 * time.Second })
	dial(t, r.address)
	if a := r.wantError(t, reasonIdle); a.Sent <= 2*bufSize {
		t.Errorf("%d bytes sent, want more", a.Sent)
	}
}

// TestLullInTheKernel: there the deadline of a lull must not be taken for idleness.
func TestLullInTheKernel(t *testing.T) {
	goOn := make(chan struct{})
	r := serveFor(t, upstreams(t, func(c *net.TCPConn) {
		c.Write(make([]byte, 2*bufSize)) // begins a transfer
		<-goOn
		c.Write([]byte("x"))
	}), asItIs)
	c := dial(t, r.address)
	wantRead(t, c, string(make([]byte, 2*bufSize)))
	<-time.After(lull + lull/5) // in real time: no bubble has a kernel
	close(goOn)
	wantRead(t, c, "x")
	c.CloseWrite()
	r.wantError(t, "")
}

type neverEnding struct{}

func (neverEnding) Read(p []byte) (int, error) { return len(p), nil }

// TestWaitsWithoutBuffer: promised by the package's doc, and what thousands of idle connections live on.
func TestWaitsWithoutBuffer(t *testing.T) {
	l := listen(t)
	c := dial(t, l.Addr().String())
	accepted, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer accepted.Close()
	e := newEnd(accepted)
	e.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if _, err := e.take(); cutReason(err) != reasonIdle || e.buf != nil {
		t.Errorf("take = %v with a buffer of %v, want a timeout and no buffer", err, e.buf)
	}
	e.SetReadDeadline(time.Time{})
	mustWrite(t, c, "x")
	if p, err := e.take(); string(p) != "x" || err != nil {
		t.Errorf("take = %q, %v", p, err)
	}
	e.give()
}

// BenchmarkTransfer is how fast much goes through, with the kernel's help.
func BenchmarkTransfer(b *testing.B) {
	const size = 64 << 20
	r := serveFor(b, upstreams(b, func(c *net.TCPConn) { io.CopyN(c, neverEnding{}, size) }), asItIs)
	b.SetBytes(size)
	for b.Loop() {
		c := dial(b, r.address)
		if n, err := io.Copy(io.Discard, c); n != size || err != nil {
			b.Fatalf("%d bytes, %v", n, err)
		}
		c.Close()
		<-r.accounts
	}
}

// BenchmarkMessage is what a small message there and back costs.
func BenchmarkMessage(b *testing.B) {
	r := serveFor(b, upstreams(b, echo), asItIs)
	c := dial(b, r.address)
	p := make([]byte, 100)
	b.ReportAllocs()
	for b.Loop() {
		c.Write(p)
		if _, err := io.ReadFull(c, p); err != nil {
			b.Fatal(err)
		}
	}
}

var _ Pool = (*origin.Pool)(nil)
