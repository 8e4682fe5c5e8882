package lane

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

// TestHTTP3SlowRequests: T22. A request that has no end is refused; content that does not come is the handler's to wait for.
func TestHTTP3SlowRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newH3(newRig(t, echo, nil).startHTTP3(serverTLS()))
		start := time.Now()
		if got := c.status(c.send(headersFrame(h2Fields()...), false)); got != "408" || time.Since(start) < testTimeouts.Header {
			t.Errorf("%s after %v, want 408 after %v", got, time.Since(start), testTimeouts.Header)
		}
	})
}

// TestHTTP3HalfHeads: T22. A stream on which no request comes whole is reset when a head has had its time, however it dawdles.
// Others on the connection go on.
func TestHTTP3HalfHeads(t *testing.T) {
	head := headersFrame(h2Fields()...)
	for _, row := range []struct {
		name    string
		raw     []byte
		trickle bool
	}{
		{"one byte", head[:1], false},
		{"the frame's header", head[:2], false},
		{"half a head", head[:9], false},
		{"a byte now and then", head, true},
		{"unknown frames before it", []byte{0x21, 0x40, 0xff}, true},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, echo, nil)
			c := newH3(r.startHTTP3(serverTLS()))
			start := time.Now()
			s := c.send(row.raw[:1], false)
			var rest sync.WaitGroup
			defer rest.Wait()
			if row.trickle {
				rest.Go(func() { trickle(s, row.raw[1:]) })
			} else {
				_, _ = s.Write(row.raw[1:])
			}
			got := c.status(s)
			if took := time.Since(start).Round(time.Second); got != "reset" || took != testTimeouts.Header {
				t.Errorf("%s: %s after %v, want a reset after %v", row.name, got, took, testTimeouts.Header)
			}
			if got := c.ask(h2Fields()...); got != "200" {
				t.Errorf("%s: another stream: %s, want 200", row.name, got)
			}
			synctest.Wait() // the reset goes out before it is counted
			if n := r.Stats().Refused["http3-no-request"]; n != 1 {
				t.Errorf("%s: counted %d, want 1", row.name, n)
			}
		})
	}
}

// trickle writes a byte every four seconds until the stream is reset.
func trickle(s *quic.Stream, raw []byte) {
	for i := range raw {
		advanceOnly(4 * time.Second)
		if _, err := s.Write(raw[i : i+1]); err != nil {
			return
		}
	}
}

// TestHTTP3SlowHeadKeepsBody: the time of a head is not that of content.
func TestHTTP3SlowHeadKeepsBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newH3(newRig(t, echo, nil).startHTTP3(serverTLS()))
		s := c.send(headersFrame(":method", "POST", ":scheme", "https", ":authority", "a", ":path", "/"), false)
		advance(2 * testTimeouts.Header)
		_, _ = s.Write([]byte("\x00\x02ok"))
		_ = s.Close()
		if got := c.status(s); got != "200" {
			t.Errorf("content after twice the head's time: %s, want 200", got)
		}
	})
}

// TestHTTP3Flood: T21. Requests that are given up at once end the connection, and no other.
func TestHTTP3Flood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, nil)
		n := r.startHTTP3(serverTLS())
		bad, good := newH3(n), newH3(n)
		for range 2 * creditMost / resetPrice {
			s, err := bad.conn.OpenStreamSync(t.Context())
			if err != nil {
				break
			}
			_, _ = s.Write(headersFrame(h2Fields()...)) // it may be over
			advance(5 * time.Millisecond)               // it arrives: the client paces itself
			s.CancelWrite(quic.StreamErrorCode(http3.ErrCodeRequestCanceled))
			s.CancelRead(quic.StreamErrorCode(http3.ErrCodeRequestCanceled))
		}
		<-bad.conn.Context().Done()
		if got := endOf(context.Cause(bad.conn.Context())); got != "end 107" {
			t.Errorf("%s, want H3_EXCESSIVE_LOAD", got)
		}
		synctest.Wait() // the connection ends before that is counted
		if n := r.Stats().Refused["http3-flood"]; n != 1 {
			t.Errorf("counted %d, want 1", n)
		}
		if err := good.conn.Context().Err(); err != nil {
			t.Errorf("another connection: %v", err)
		}
	})
}

// TestHTTP3Floods: T21. What asks for nothing, and costs its sender next to nothing, ends the connection, and no other.
func TestHTTP3Floods(t *testing.T) {
	for name, flood := range map[string]func(*h3client) error{
		"streams reset before their head": func(c *h3client) error {
			s, err := c.conn.OpenStreamSync(c.t.Context())
			if err == nil {
				_, _ = s.Write([]byte{1}) // it may be over, here as below
				advance(time.Millisecond)
				s.CancelWrite(quic.StreamErrorCode(http3.ErrCodeRequestCanceled))
				s.CancelRead(quic.StreamErrorCode(http3.ErrCodeRequestCanceled))
			}
			return err
		},
		"heads that no decoder takes": func(c *h3client) error {
			s, err := c.conn.OpenStreamSync(c.t.Context())
			if err == nil {
				_, _ = s.Write([]byte("\x01\x04\x7f\x00\x80\x10")) // it needs 62 insertions in a table that we have not
				_ = s.Close()
				_, _ = io.ReadAll(s)
			}
			return err
		},
		"streams of unknown types": func(c *h3client) error {
			s, err := c.conn.OpenUniStreamSync(c.t.Context())
			if err == nil {
				_, _ = s.Write([]byte{0x21})
				_ = s.Close()
			}
			return err
		},
		"unknown frames": func(c *h3client) error {
			_, err := c.controlStream().Write(bytes.Repeat([]byte("\x21\x00"), 20000))
			return err
		},
		"priorities": func(c *h3client) error {
			_, err := c.controlStream().Write(bytes.Repeat([]byte("\x80\x0f\x07\x00\x04\x00u=1"), 5000))
			return err
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, echo, nil)
			n := r.startHTTP3(serverTLS())
			bad, good := newH3(n), newH3(n)
			var err error
			for i := 0; err == nil && i < 1000*1000; i++ {
				err = flood(bad)
			}
			<-bad.conn.Context().Done()
			if got := endOf(context.Cause(bad.conn.Context())); got != "end 107" {
				t.Errorf("%s: %s, want H3_EXCESSIVE_LOAD", name, got)
			}
			synctest.Wait()
			if n := r.Stats().Refused["http3-flood"]; n != 1 {
				t.Errorf("%s: counted %d, want 1", name, n)
			}
			if got := good.ask(h2Fields()...); got != "200" {
				t.Errorf("%s: another connection: %s, want 200", name, got)
			}
		})
	}
}

// TestHTTP3Busy: whoever asks, sends and takes much is no flood.
func TestHTTP3Busy(t *testing.T) {
	const much = 20 * creditMost
	for _, row := range []struct {
		name  string
		times int
		body  int64 // of the request
		serve http.HandlerFunc
	}{
		{"content", 1, much, echo},
		{"content that nobody reads", 100, quicStreamBuffer / 2, func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(413) }},
		{"an answer", 1, 0, func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write(make([]byte, much)) }},
		{"requests", 5000, 0, func(w http.ResponseWriter, r *http.Request) {}},
		{"events", 1, 0, func(w http.ResponseWriter, r *http.Request) {
			for range 10000 {
				_, _ = w.Write([]byte("data: 1\n\n"))
				_ = http.NewResponseController(w).Flush()
				advanceOnly(2 * time.Millisecond)
			}
		}},
	} {
		synctest.Test(t, func(t *testing.T) {
			rig := newRig(t, row.serve, nil)
			tr := rig.startHTTP3(serverTLS()).transport()
			for range row.times {
				r, err := http.NewRequest("POST", "https://test/", io.LimitReader(zeros{}, row.body))
				if err != nil {
					t.Fatal(err)
				}
				answer, err := tr.RoundTrip(r)
				if err != nil {
					t.Fatalf("%s: %v", row.name, err)
				}
				if _, err := io.Copy(io.Discard, answer.Body); err != nil {
					t.Fatalf("%s: %v", row.name, err)
				}
			}
			if n := rig.Stats().Refused["http3-flood"]; n != 0 {
				t.Errorf("%s: taken for a flood", row.name)
			}
		})
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }
