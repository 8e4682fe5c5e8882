package lane

import (
	"context"
	"io"
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// unread is a connection whose first bytes can be put back.
type unread struct {
	net.Conn
	first []byte
}

func (u *unread) Read(p []byte) (int, error) {
	if len(u.first) == 0 {
		return u.Conn.Read(p)
	}
	n := copy(p, u.first)
	u.first = u.first[n:]
	return n, nil
}

func (u *unread) SetLinger(seconds int) error { return u.Conn.(*memConn).SetLinger(seconds) }

// unreadListener accepts such connections.
type unreadListener struct{ *memListener }

func (l unreadListener) Accept() (net.Conn, error) {
	c, err := l.memListener.Accept()
	if err != nil {
		return nil, err
	}
	return &unread{Conn: c}, nil
}

// divertX takes away connections that begin with an x, and echoes them.
func divertX(c net.Conn) func() {
	first := make([]byte, 1)
	if _, err := io.ReadFull(c, first); err != nil {
		return nil
	}
	if first[0] != 'x' {
		c.(*unread).first = first
		return nil
	}
	return func() { io.Copy(c, c) }
}

// startDiverting serves TLS, and what begins with an x otherwise.
func (r *rig) startDiverting() *rig {
	served := make(chan error, 1)
	go func() { served <- r.Serve(Listener{Listener: unreadListener{r.l}, TLS: serverTLS(), Divert: divertX}) }()
	r.t.Cleanup(func() {
		if err := <-served; err != nil {
			r.t.Errorf("Serve: %v", err)
		}
	})
	return r
}

// TestDivert: what is taken away is served by who takes it, all else as ever. A drain waits for both.
func TestDivert(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, echo, nil).startDiverting()
		taken := r.l.dial()
		send(t, taken, "x123")
		got := make([]byte, 3)
		if _, err := io.ReadFull(taken, got); err != nil || string(got) != "123" {
			t.Fatalf("read %q, %v", got, err)
		}
		if s := r.Stats(); s.Tunnels != 1 || s.Handshaking != 0 {
			t.Errorf("%d tunnels and %d handshakes, want 1 and none", s.Tunnels, s.Handshaking)
		}
		if got := exchange(t, clientTLS(r.l.dial(), "http/1.1"), "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", false); !slices.Equal(got, []int{200}) {
			t.Errorf("a client of the sites: %v, want 200", got)
		}
		<-time.After(time.Hour) // no deadline of a handshake is left
		drained := make(chan error, 1)
		go func() { drained <- r.Shutdown(t.Context()) }()
		synctest.Wait()
		send(t, taken, "456")
		if _, err := io.ReadFull(taken, got); err != nil || string(got) != "456" {
			t.Errorf("while the server drains: %q, %v", got, err)
		}
		select {
		case err := <-drained:
			t.Errorf("drained (%v) with a connection open", err)
		default:
		}
		_ = taken.Close()
		if err := <-drained; err != nil {
			t.Error(err)
		}
	})
}

// TestDivertIsPartOfTheHandshake: who says nothing is cut in the time of a handshake, and a drain that has no more time cuts
// what was taken away, visibly.
func TestDivertIsPartOfTheHandshake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, echo, nil).startDiverting()
		silent := r.l.dial()
		if _, took := endAfter(silent); took != testTimeouts.Handshake {
			t.Errorf("a silent client was cut after %v, want %v", took, testTimeouts.Handshake)
		}
		_ = silent.Close()
		taken := r.l.dial()
		defer taken.Close()
		send(t, taken, "x123")
		synctest.Wait()
		soon, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := r.Shutdown(soon); err != context.DeadlineExceeded {
			t.Errorf("Shutdown: %v, want the end of its time", err)
		}
		if got, _ := io.ReadAll(taken); len(got) > 0 { // a reset discards what is on its way
			t.Errorf("the client that was cut reads %q, want a reset", got)
		}
	})
}
