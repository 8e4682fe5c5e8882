package lane

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// endAfter reads to the end of the connection and returns what came and how long that took.
func endAfter(c io.Reader) (string, time.Duration) {
	start := time.Now()
	b, _ := io.ReadAll(c) // a reset is an end too
	return string(b), time.Since(start)
}

// TestWaits: how long a connection may wait, and what it is told.
func TestWaits(t *testing.T) {
	const get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
	for _, row := range []struct {
		rule   string
		raw    string
		status string
		waits  time.Duration
	}{
		{"silent from the first", "", "", testTimeouts.Header},
		{"silent within the first line", "G", "408", testTimeouts.Header},
		{"silent within the head", "GET / HTTP/1.1\r\nHost: a\r\n", "408", testTimeouts.Header},
		{"silent after a request", get, "200", testTimeouts.Idle},
		{"silent within the second head", get + "GET", "408", testTimeouts.Header},
	} {
		synctest.Test(t, func(t *testing.T) {
			c := newRig(t, echo, nil).start(nil).l.dial()
			defer c.Close()
			send(t, c, row.raw)
			got, waited := endAfter(c)
			if !bytes.Contains([]byte(got), []byte(row.status)) || row.status == "" && got != "" {
				t.Errorf("%s: answer %q, want %s", row.rule, got, row.status)
			}
			if waited != row.waits {
				t.Errorf("%s: ended after %v, want %v", row.rule, waited, row.waits)
			}
		})
	}
}

// TestSlowHead: the deadline of a head runs from its first byte, whatever trickles in.
func TestSlowHead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, echo, nil).start(nil)
		c := r.l.dial()
		defer c.Close()
		in := bufio.NewReader(c)
		send(t, c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		readAnswer(t, in)
		advance(testTimeouts.Idle - time.Second)
		var trickle sync.WaitGroup
		trickle.Go(func() {
			for {
				if _, err := io.WriteString(c, "G"); err != nil {
					return
				}
				advanceOnly(time.Second)
			}
		})
		got, waited := endAfter(in)
		if waited != testTimeouts.Header || !bytes.Contains([]byte(got), []byte("408")) {
			t.Errorf("ended after %v with %q, want 408 after %v", waited, got, testTimeouts.Header)
		}
		if f := <-r.refusals; f.Status != 408 || f.Reason != "head-timeout" {
			t.Errorf("refusal %+v", f)
		}
		_ = c.Close()
		trickle.Wait()
	})
}

// TestSlowBody: in a body the read deadline is the handler's.
func TestSlowBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		errs := make(chan error, 1)
		c := newRig(t, func(w http.ResponseWriter, r *http.Request) {
			rc := http.NewResponseController(w)
			if err := rc.SetReadDeadline(time.Now().Add(time.Hour)); err != nil {
				t.Errorf("SetReadDeadline: %v", err)
			}
			_, err := io.Copy(io.Discard, r.Body)
			errs <- err
		}, nil).start(nil).l.dial()
		defer c.Close()
		send(t, c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n")
		advance(50 * time.Minute)
		send(t, c, "a")
		start := time.Now()
		if err := <-errs; !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != 10*time.Minute {
			t.Errorf("error %v after %v, want a deadline after 10m", err, time.Since(start))
		}
	})
}

// TestSlowHandler: none of the waits concern a request that is being answered.
func TestSlowHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newRig(t, func(w http.ResponseWriter, r *http.Request) {
			advanceOnly(24 * time.Hour)
			if r.Context().Err() != nil {
				t.Error("context cancelled")
			}
			echo(w, r)
		}, nil).start(nil).l.dial()
		defer c.Close()
		in := bufio.NewReader(c)
		for range 2 {
			send(t, c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
			readAnswer(t, in)
		}
	})
}

// writeLarge writes 1 MiB, and tells the error and how long it took.
func writeLarge(done chan<- error, patience time.Duration) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if patience > 0 {
			_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(patience))
		}
		_, err := w.Write(make([]byte, 1<<20))
		done <- err
	}
}

// TestSlowReader: a client that takes a byte now and then is served to the end, however long it takes. T22.
func TestSlowReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		done := make(chan error, 1)
		c := newRig(t, writeLarge(done, 0), nil).start(nil).l.dial()
		defer c.Close()
		send(t, c, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
		buf, got := make([]byte, 8<<10), 0
		for {
			advance(testTimeouts.Write - time.Second)
			n, err := c.Read(buf)
			if got += n; err != nil {
				break
			}
		}
		if err := <-done; err != nil || got < 1<<20 {
			t.Errorf("%d bytes, %v; want all", got, err)
		}
	})
}

// aboutPatience: a stuck client is cut when the patience ends, at most a tick later.
func aboutPatience(waited, patience time.Duration) bool {
	return waited >= patience && waited <= patience*5/4
}

// TestStuckReader: one that takes nothing is cut when the patience ends: the server's, or what the handler set.
func TestStuckReader(t *testing.T) {
	for _, patience := range []time.Duration{0, time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			done := make(chan error, 1)
			c := newRig(t, writeLarge(done, patience), byNetHTTP).start(nil).l.dial()
			defer c.Close()
			send(t, c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
			want := max(patience, 0)
			if want == 0 {
				want = testTimeouts.Write
			}
			start := time.Now()
			if err := <-done; !errors.Is(err, os.ErrDeadlineExceeded) || !aboutPatience(time.Since(start), want) {
				t.Errorf("error %v after %v, want a deadline after %v", err, time.Since(start), want)
			}
			synctest.Wait()
			if left, _ := io.ReadAll(c); len(left) > 0 {
				t.Errorf("%d bytes are still kept for it", len(left))
			}
		})
	}
}

// TestLinkDeadlines: what is set from above is patience, and a time that has passed ends a write under way.
func TestLinkDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, echo, nil)
		ours, theirs := memPipe(10)
		l := &link{Conn: theirs, srv: r.Server}
		for range 3 { // with a deadline that was armed long ago
			if _, err := l.Write([]byte("ab")); err != nil {
				t.Fatal(err)
			}
			advance(testTimeouts.Write - time.Millisecond)
		}
		start := time.Now()
		n, err := l.Write(make([]byte, 10))
		if n != 4 || !errors.Is(err, os.ErrDeadlineExceeded) || !aboutPatience(time.Since(start), testTimeouts.Write) {
			t.Errorf("Write = %d, %v after %v, want 4 and a deadline after %v", n, err, time.Since(start), testTimeouts.Write)
		}
		time.AfterFunc(time.Second, func() { _ = l.SetWriteDeadline(time.Unix(1, 0)) })
		start = time.Now()
		if _, err := l.Write([]byte("c")); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != time.Second {
			t.Errorf("Write = %v after %v, want a deadline after 1s", err, time.Since(start))
		}
		if err := l.SetWriteDeadline(time.Time{}); err != nil {
			t.Fatal(err)
		}
		_, _ = ours.Read(make([]byte, 10))
		if _, err := l.Write([]byte("d")); err != nil {
			t.Errorf("Write after the deadline was lifted: %v", err)
		}
	})
}
