package main

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// connect returns both ends of a connection over a network of its own.
func connect(t *testing.T) (near, far *memoryConn) {
	t.Helper()
	n := newMemoryNetwork()
	l, err := n.Listen("tcp", "main:80")
	if err != nil {
		t.Fatal(err)
	}
	c, err := n.Dial(t.Context(), "tcp", "main:80")
	if err != nil {
		t.Fatal(err)
	}
	accepted, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return c.(*memoryConn), accepted.(*memoryConn)
}

func TestNetworkHalfClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := connect(t)
		near.Write([]byte("question"))
		near.CloseWrite()
		if got, err := io.ReadAll(far); err != nil || string(got) != "question" {
			t.Errorf("far end read %q, %v; want the question and a clean end", got, err)
		}
		far.Write([]byte("answer"))
		far.Close()
		if got, err := io.ReadAll(near); err != nil || string(got) != "answer" {
			t.Errorf("near end read %q, %v; want the answer and a clean end", got, err)
		}
	})
}

func TestNetworkResetIsSeenAfterTheBytesUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := connect(t)
		far.Write([]byte("half"))
		far.reset()
		got, err := io.ReadAll(near)
		if string(got) != "half" || !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("read %q, %v; want half and a reset", got, err)
		}
		if _, err := near.Write([]byte("x")); !errors.Is(err, syscall.EPIPE) {
			t.Errorf("write after reset: %v, want a broken pipe", err)
		}
	})
}

func TestNetworkDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := connect(t)
		began := time.Now()
		near.SetReadDeadline(began.Add(3 * time.Second))
		if _, err := near.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(began) != 3*time.Second {
			t.Errorf("read: %v after %v, want the deadline after 3s", err, time.Since(began))
		}
		near.SetReadDeadline(time.Time{})
		go far.Write([]byte("x"))
		if _, err := near.Read(make([]byte, 1)); err != nil {
			t.Errorf("read with the deadline lifted: %v", err)
		}
		near.SetWriteDeadline(time.Now().Add(time.Second))
		n, err := near.Write(make([]byte, 2*flowBytes))
		if n != flowBytes || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("write to a full buffer = %d, %v; want %d and the deadline", n, err, flowBytes)
		}
	})
}

func TestNetworkDial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newMemoryNetwork()
		if _, err := n.Dial(t.Context(), "tcp", "main:80"); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("nobody listens: %v, want a refusal", err)
		}
		n.setDeaf("main:80", true)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if _, err := n.Dial(ctx, "tcp", "main:80"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a deaf address: %v, want the caller's deadline", err)
		}
		l, err := n.Listen("unix", "/run/origin.sock")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := n.Listen("unix", "/run/origin.sock"); !errors.Is(err, syscall.EADDRINUSE) {
			t.Errorf("second listener: %v, want address in use", err)
		}
		l.Close()
		if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("accept after close: %v", err)
		}
	})
}

// The standard library's server and client are the judges of whether the connections behave as a kernel's do.
func TestNetworkCarriesHTTP(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newMemoryNetwork()
		l, err := n.Listen("tcp", "main:80")
		if err != nil {
			t.Fatal(err)
		}
		body := pattern('a', 0, 1<<20)
		srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Write(body) })}
		served := make(chan error)
		go func() { served <- srv.Serve(l) }()
		transport := &http.Transport{DialContext: n.Dial}
		for range 3 {
			r, err := (&http.Client{Transport: transport}).Get("http://main/")
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(r.Body)
			r.Body.Close()
			if err != nil || len(got) != len(body) {
				t.Fatalf("got %d bytes, %v; want %d", len(got), err, len(body))
			}
		}
		transport.CloseIdleConnections()
		srv.Shutdown(t.Context())
		<-served
	})
}
