package cache

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestBodyTooLargeBecomesAStream(t *testing.T) {
	inBubble(t, noPurges{}, 1<<20, func(t *testing.T, b *bench) { // largest object 128 KiB
		big := strings.Repeat("0123456789abcdef", 64<<10) // 1 MiB, of unknown length
		b.origin = func(context.Context, int64, *Meta) (*http.Response, error) {
			return reply(200, strings.NewReader(big), -1, "Cache-Control: max-age=60"), nil
		}
		a := b.fill(b.query("/a"), nil, false)
		body, err := b.body(a)
		if body != big || err != nil {
			t.Errorf("%d bytes, %v, want all %d", len(body), err, len(big))
		}
		synctest.Wait()
		if b.Objects() != 0 {
			t.Error("it was stored")
		}
		if _, d := b.look(b.query("/a")); d.Reason != PassHitForMiss {
			t.Errorf("afterwards: %s, want %s", d.Reason, PassHitForMiss)
		}
		if !b.entries.TryAcquire(b.max) || !b.budget.TryAcquire(b.max) {
			t.Error("the budget was not given back")
		}
	})
}

func TestStreamWaitsForItsFastestReaderAndLeavesTheSlowBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBody(-1)
		b.stream(8)
		fast, slow := b.NewReader(0), b.NewReader(0)
		b.Release()
		added := atomic.Int64{}
		go func() {
			for range 10 {
				b.room(nil)
				b.append([]byte("abcd"))
				added.Add(4)
			}
			b.finish(nil)
		}()
		synctest.Wait()
		if n := added.Load(); n != 8 {
			t.Fatalf("%d bytes held with nobody reading, want the window of 8", n)
		}
		var got int
		for {
			p, wait, err := fast.Next(100)
			if err == io.EOF {
				break
			}
			if wait != nil {
				<-wait
			}
			got += len(p)
		}
		if got != 40 {
			t.Errorf("the fast reader got %d bytes, want 40", got)
		}
		if _, _, err := slow.Next(100); err != ErrFellBehind {
			t.Errorf("the slow reader: %v, want %v", err, ErrFellBehind)
		}
	})
}

func TestStreamNobodyReadsIsAbandoned(t *testing.T) {
	inBubble(t, noPurges{}, 1<<20, func(t *testing.T, b *bench) {
		ended := false
		b.origin = func(context.Context, int64, *Meta) (*http.Response, error) {
			resp := reply(200, nil, -1, "Cache-Control: max-age=60")
			resp.Body = endless{func() { ended = true }}
			return resp, nil
		}
		a := b.fill(b.query("/a"), nil, false)
		synctest.Wait()
		a.Object.Own.Body.Release()
		synctest.Wait()
		if !ended {
			t.Error("the fetch goes on with nobody reading")
		}
	})
}

// endless is a body without an end.
type endless struct{ onClose func() }

func (endless) Read(p []byte) (int, error) { return len(p), nil }

func (e endless) Close() error {
	e.onClose()
	return nil
}

// here is a body of which it is known that all of it is here.
type here struct{ io.ReadCloser }

func (here) Arrived() bool { return true }

func TestBodyThatCameWithItsHeadIsStoredWithIt(t *testing.T) {
	for name, c := range map[string]struct {
		length   int64 // as announced
		largest  int64 // that the route keeps
		complete bool  // when the fill says what it came to; else it may be, or is a moment later
		stored   bool  // once all is over
	}{
		"whole":                {5, 100, true, true},
		"of unknown length":    {-1, 100, false, true},
		"longer than it says":  {4, 100, false, false},
		"shorter than it says": {6, 100, false, false},
		"larger than is kept":  {5, 4, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, noPurges{}, 1<<20, func(t *testing.T, b *bench) {
				b.policy.MaxObject = c.largest
				b.origin = func(context.Context, int64, *Meta) (*http.Response, error) {
					resp := reply(200, strings.NewReader("hello"), c.length, "Cache-Control: max-age=60")
					resp.Body = here{resp.Body}
					return resp, nil
				}
				a := b.fill(b.query("/a"), nil, false)
				if complete := a.Object != nil && a.Object.Own.Body.Complete(); c.complete && !complete {
					t.Error("not complete with the answer")
				}
				a.Release()
				synctest.Wait()
				if stored := b.Objects() == 1; stored != c.stored {
					t.Errorf("stored: %v, want %v", stored, c.stored)
				}
				if o, _ := b.Lookup(b.query("/a"), 0, b.clock.Now().Mono); (o != nil) != c.stored {
					t.Errorf("found: %v, want %v", o != nil, c.stored)
				}
				if !b.entries.TryAcquire(b.max) || !b.budget.TryAcquire(b.max) {
					t.Error("not all of the room for fills was given back")
				}
			})
		})
	}
}

// What has taken all the room keeps others from growing beyond their first chunk, and so from being stored, but not from asking.
func TestFillsTogetherAreBounded(t *testing.T) {
	inBubble(t, noPurges{}, 1<<20, func(t *testing.T, b *bench) { // 128 KiB of fills beside their first chunks
		b.origin = func(ctx context.Context, _ int64, _ *Meta) (*http.Response, error) {
			return reply(200, &trickle{ctx: ctx, steps: []string{"x"}, every: time.Hour}, 128<<10, "Cache-Control: max-age=60"), nil
		}
		b.fill(b.query("/a"), nil, false)
		synctest.Wait()
		if !b.budget.TryAcquire(firstChunk) { // it has taken room for all of its body
			t.Fatal("no room beside the first fill")
		}
		for size, stored := range map[int]bool{firstChunk: true, firstChunk + 1: false} {
			text := strings.Repeat("x", size)
			b.origin = func(context.Context, int64, *Meta) (*http.Response, error) {
				return reply(200, strings.NewReader(text), int64(size), "Cache-Control: max-age=60"), nil
			}
			path := fmt.Sprint("/", size)
			if body, _ := b.get(path); body != text {
				t.Errorf("%d bytes, want %d", len(body), size)
			}
			if _, d := b.look(b.query(path)); d.Outcome == Hit != stored {
				t.Errorf("of %d bytes: %s, want stored: %v", size, d.Reason, stored)
			}
		}
	})
}

// Bodies that pass at the pace of clients who read nothing have taken all the room that there is for such: whoever asks for
// something else gets it at once, and it is stored.
func TestSlowReadersKeepNobodyFromAsking(t *testing.T) {
	inBubble(t, noPurges{}, 1<<20, func(t *testing.T, b *bench) {
		b.origin = func(context.Context, int64, *Meta) (*http.Response, error) {
			return reply(200, zeros{}, -1, "Cache-Control: max-age=60"), nil
		}
		for i := range 100 {
			if a := b.fill(b.query(fmt.Sprint("/slow/", i)), nil, false); a.Err != nil {
				t.Fatalf("slow reader %d: %v", i, a.Err)
			}
			synctest.Wait()
		}
		b.origin = func(context.Context, int64, *Meta) (*http.Response, error) {
			return reply(200, strings.NewReader("hello"), 5, "Cache-Control: max-age=60"), nil
		}
		begin := time.Now()
		if body, _ := b.get("/a"); body != "hello" || time.Since(begin) != 0 {
			t.Errorf("got %q after %v, want it at once", body, time.Since(begin))
		}
		if _, how := b.get("/a"); how != "hit" {
			t.Errorf("then %s, want a hit", how)
		}
		b.cancel()
	})
}

// A fetch whose client has gone goes on, so it is their number that has to be bounded, before there is any answer.
func TestFetchesAreBoundedBeforeTheirAnswer(t *testing.T) {
	inBubble(t, noPurges{}, 1<<20, func(t *testing.T, b *bench) {
		b.origin = func(ctx context.Context, _ int64, _ *Meta) (*http.Response, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		var busy atomic.Int64
		for i := range 100 {
			go func() {
				if b.fill(b.query(fmt.Sprint("/", i)), nil, false).Err == ErrBusy {
					busy.Add(1)
				}
			}()
		}
		time.Sleep(budgetWait + time.Second)
		if n := b.asked.Load(); n != b.max/firstChunk {
			t.Errorf("%d fetches at once, want %d", n, b.max/firstChunk)
		}
		if n := busy.Load(); n != 100-b.max/firstChunk {
			t.Errorf("%d requests were told to come back, want %d", n, 100-b.max/firstChunk)
		}
		b.cancel()
	})
}
