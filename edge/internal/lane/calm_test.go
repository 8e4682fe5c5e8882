package lane

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// head sends a head of h2Fields with another method.
func (c *h2client) head(stream uint32, method string, end bool) error {
	fields := h2Fields()
	fields[1] = method
	c.block.Reset()
	for i := 0; i < len(fields); i += 2 {
		c.check(c.enc.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]}))
	}
	return c.fr.WriteHeaders(http2.HeadersFrameParam{
		StreamID: stream, BlockFragment: c.block.Bytes(), EndStream: end, EndHeaders: true})
}

// TestHTTP2Floods: T21. What costs a client next to nothing is bounded, and the client told so.
func TestHTTP2Floods(t *testing.T) {
	id := func(i int) uint32 { return uint32(2*i + 1) }
	upload := func(c *h2client, i int) error {
		if i > 0 {
			return nil
		}
		return c.head(1, "POST", false)
	}
	for _, row := range []struct {
		name string
		send func(c *h2client, i int) error
	}{
		{"rapid reset", func(c *h2client, i int) error {
			return errors.Join(c.head(id(i), "GET", true), c.fr.WriteRSTStream(id(i), http2.ErrCodeCancel))
		}},
		{"streams that we are made to reset", func(c *h2client, i int) error {
			return errors.Join(c.head(id(i), "GET", true), c.fr.WriteRawFrame(http2.FrameWindowUpdate, 0, id(i), make([]byte, 4)))
		}},
		{"pings", func(c *h2client, _ int) error { return c.fr.WritePing(false, [8]byte{}) }},
		{"settings", func(c *h2client, _ int) error { return c.fr.WriteSettings() }},
		{"priorities", func(c *h2client, i int) error { return c.fr.WritePriority(id(i), http2.PriorityParam{}) }},
		{"windows", func(c *h2client, _ int) error { return c.fr.WriteWindowUpdate(0, 1) }},
		{"unknown frames", func(c *h2client, _ int) error { return c.fr.WriteRawFrame(0xbe, 0, 0, nil) }},
		{"empty continuations", func(c *h2client, i int) error {
			if i == 0 {
				return c.fr.WriteRawFrame(http2.FrameHeaders, 0, 1, nil)
			}
			return c.fr.WriteRawFrame(http2.FrameContinuation, 0, 1, nil)
		}},
		{"empty content", func(c *h2client, i int) error {
			return errors.Join(upload(c, i), c.fr.WriteData(1, false, nil))
		}},
		{"padding", func(c *h2client, i int) error {
			return errors.Join(upload(c, i), c.fr.WriteDataPadded(1, false, nil, make([]byte, 9)))
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, untilLeft, nil).start(serverTLS())
				c := newH2(t, r.l)
				c.fr.AllowIllegalWrites = true
				sent := make(chan int)
				go func() {
					i := 0
					for i < 20_000 && row.send(c, i) == nil {
						i++
					}
					sent <- i
				}()
				code := http2.ErrCodeNo
				for {
					f, err := c.fr.ReadFrame()
					if err != nil {
						break
					}
					if f, ok := f.(*http2.GoAwayFrame); ok {
						code = f.ErrCode
					}
				}
				_ = c.c.Close() // for a sender that waits
				// Without a word where one could not be said: another frame was half written.
				if code != http2.ErrCodeEnhanceYourCalm && code != http2.ErrCodeNo {
					t.Errorf("the connection ended with %v, want ENHANCE_YOUR_CALM", code)
				}
				if n := r.Stats().Refused["http2-flood"]; n == 0 {
					t.Error("it was not cut for its flood")
				}
				if n := <-sent; n == 20_000 {
					t.Error("the server took all of it")
				}
			})
		})
	}
}

// untilLeft answers when nobody waits any more.
func untilLeft(_ http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body) // the client may be gone
	<-r.Context().Done()
}

// TestHTTP2Calm: clients that acknowledge what they get in small portions, reset what they no longer want, and stay for
// long, are none of the above.
func TestHTTP2Calm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const length = 64 << 20
		r := newRig(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Method == "GET" {
				untilLeft(w, r)
				return
			}
			piece := make([]byte, 64<<10)
			for range length / len(piece) {
				if _, err := w.Write(piece); err != nil {
					return
				}
			}
		}, nil).start(serverTLS())
		c := newH2(t, r.l)
		for i := range uint32(300) { // resets, four a second
			c.ask(2*i+1, true, h2Fields()...)
			c.check(c.fr.WriteRSTStream(2*i+1, http2.ErrCodeCancel))
			<-time.After(250 * time.Millisecond)
		}
		c.check(c.head(1001, "POST", true))
		got, owed := 0, uint32(0)
		c.until(func(f http2.Frame) bool {
			data, ok := f.(*http2.DataFrame)
			if !ok {
				return false
			}
			owed += uint32(len(data.Data()))
			if data.StreamID == 1001 {
				got += len(data.Data())
			}
			for ; owed >= 4<<10; owed -= 4 << 10 {
				c.check(c.fr.WriteWindowUpdate(0, 4<<10))
				c.check(c.fr.WriteWindowUpdate(1001, 4<<10))
			}
			return data.StreamEnded() && data.StreamID == 1001
		})
		if got != length {
			t.Errorf("%d bytes came, want %d", got, length)
		}
	})
}

// TestFramesFollowsAnySplit: the price does not depend on how the bytes come.
func TestFramesFollowsAnySplit(t *testing.T) {
	var wire bytes.Buffer
	fr := http2.NewFramer(&wire, nil)
	for i := range uint32(100) {
		if err := errors.Join(fr.WriteData(2*i+1, true, make([]byte, i)), fr.WritePing(false, [8]byte{}),
			fr.WriteRSTStream(2*i+1, http2.ErrCodeCancel)); err != nil {
			t.Fatal(err)
		}
	}
	for seed := range uint64(100) {
		rnd := rand.New(rand.NewPCG(seed, 0))
		var f frames
		price := int64(0)
		for b := wire.Bytes(); len(b) > 0; {
			n := min(1+rnd.IntN(30), len(b))
			price += f.follow(b[:n], priceIn)
			b = b[n:]
		}
		if want := int64(100 * (framePrice + resetPrice)); price != want || !f.between() || f.stream != 199 {
			t.Fatalf("seed %d: price %d, between %t, stream %d, want %d, true, 199", seed, price, f.between(), f.stream, want)
		}
	}
}
