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
		if !b.budget.TryAcquire(b.max) {
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
		complete bool  // once the fill says what it came to
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
				if complete := a.Object != nil && a.Object.Own.Body.Complete(); complete != c.complete {
					t.Errorf("complete with the answer: %v, want %v", complete, c.complete)
				}
				a.Release()
				synctest.Wait()
				if stored := b.Objects() == 1; stored != c.stored {
					t.Errorf("stored: %v, want %v", stored, c.stored)
				}
				if o, _ := b.Lookup(b.query("/a"), 0, b.clock.Now().Mono); (o != nil) != c.stored {
					t.Errorf("found: %v, want %v", o != nil, c.stored)
				}
				if !b.budget.TryAcquire(b.max) {
					t.Error("not all of the room for fills was given back")
				}
			})
		})
	}
}

func TestFillsTogetherAreBounded(t *testing.T) {
	inBubble(t, noPurges{}, 1<<20, func(t *testing.T, b *bench) { // 128 KiB of fills
		b.origin = func(ctx context.Context, _ int64, _ *Meta) (*http.Response, error) {
			return reply(200, &trickle{ctx: ctx, steps: []string{"x"}, every: time.Hour}, 128<<10, "Cache-Control: max-age=60"), nil
		}
		b.fill(b.query("/a"), nil, false)
		synctest.Wait() // it has taken room for all of its body
		begin := time.Now()
		if a := b.fill(b.query("/b"), nil, false); a.Err != ErrBusy {
			t.Errorf("err = %v, want %v", a.Err, ErrBusy)
		}
		if took := time.Since(begin); took != budgetWait {
			t.Errorf("it waited %v, want %v", took, budgetWait)
		}
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
