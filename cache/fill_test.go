package cache

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// script answers the nth request with the nth answer, the last one for good, each after a second.
func script(answers ...func() *http.Response) func(context.Context, int64, *Meta) (*http.Response, error) {
	return func(_ context.Context, n int64, _ *Meta) (*http.Response, error) {
		time.Sleep(time.Second)
		return answers[min(int(n), len(answers))-1](), nil
	}
}

func says(status int, text string, lines ...string) func() *http.Response {
	return func() *http.Response { return reply(status, strings.NewReader(text), int64(len(text)), lines...) }
}

// crowd asks for /a from n clients at once, and returns how many were told to look again.
func (b *bench) crowd(n int) (excluded int64) {
	var clients sync.WaitGroup
	var count atomic.Int64
	for range n {
		clients.Go(func() {
			q := b.query("/a")
			stale, d := b.look(q)
			a := b.fill(q, stale, d.Alone)
			if a.Excluded {
				count.Add(1)
				return
			}
			if _, err := b.body(a); err != nil {
				b.t.Error(err)
			}
		})
	}
	clients.Wait()
	return count.Load()
}

func TestAnswerThatRefusesSharingIsForOneAlone(t *testing.T) {
	fresh := says(200, "hello", "Cache-Control: max-age=10", `Etag: "1"`)
	for name, answer := range map[string]func() *http.Response{
		"304 private":       says(304, "", "Cache-Control: private, max-age=60", `Etag: "1"`),
		"304 no-store":      says(304, "", "Cache-Control: no-store, max-age=60", `Etag: "1"`),
		"304 Set-Cookie":    says(304, "", "Cache-Control: max-age=60", `Etag: "1"`, "Set-Cookie: id=1"),
		"200 private":       says(200, "x", "Cache-Control: private, max-age=60"),
		"503 private":       says(503, "x", "Cache-Control: private"),
		"503 no-store":      says(503, "x", "Cache-Control: no-store"),
		"503 Set-Cookie":    says(503, "x", "Set-Cookie: id=1"),
		"503 Vary *":        says(503, "x", "Vary: *"),
		"503 event stream":  says(503, "x", "Content-Type: text/event-stream"),
		"200 Set-Cookie":    says(200, "x", "Cache-Control: max-age=60", "Set-Cookie: id=1"),
		"200 without a use": says(200, "x"),
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, noPurges{}, 1<<20, func(t *testing.T, b *bench) {
				b.origin = script(fresh, answer)
				b.get("/a")
				time.Sleep(20 * time.Second)
				if excluded := b.crowd(5); excluded != 4 {
					t.Errorf("%d of 5 were told to look again, want 4", excluded)
				}
			})
		})
	}
}

func TestStaleResponseTurnedPrivateIsFetchedInParallel(t *testing.T) {
	inBubble(t, noPurges{}, 1<<20, func(t *testing.T, b *bench) {
		b.origin = script(
			says(200, "hello", "Cache-Control: max-age=10", `Etag: "1"`),
			says(200, "yours", "Cache-Control: private"))
		b.get("/a")
		time.Sleep(20 * time.Second)
		b.get("/a")
		if excluded := b.crowd(20); excluded != 0 {
			t.Errorf("%d of 20 waited for an answer that was for another alone", excluded)
		}
	})
}

func TestHardPurgedObjectIsNotValidated(t *testing.T) {
	var purges onePurge
	inBubble(t, &purges, 1<<20, func(t *testing.T, b *bench) {
		b.origin = func(_ context.Context, n int64, validate *Meta) (*http.Response, error) {
			if validate != nil {
				return reply(304, http.NoBody, 0, "Cache-Control: max-age=60", `Etag: "1"`), nil
			}
			return replyText(fmt.Sprint("version ", n), "Cache-Control: max-age=1", `Etag: "1"`), nil
		}
		b.get("/a")
		time.Sleep(2 * time.Second)
		q := b.query("/a")
		stale, _ := b.look(q)
		purges.at.Store(1) // between the look-up and the fetch
		b.body(b.Fill(&Fill{
			Query: q, Policy: b.policy, Stale: stale,
			Fetch: func(ctx context.Context, validate *Meta) (*http.Response, error) {
				return b.origin(ctx, b.asked.Add(1), validate)
			},
		}))
		if body, how := b.get("/a"); body == "version 1" {
			t.Errorf("after the purge: %q by %s: a 304 brought back what was purged", body, how)
		}
	})
}

func TestUnaskedNotModifiedIsAFaultWithoutValidatorsToo(t *testing.T) {
	inBubble(t, noPurges{}, 1<<20, func(t *testing.T, b *bench) {
		b.origin = script(
			says(200, "hello", "Cache-Control: max-age=10"),
			says(304, "", "Cache-Control: max-age=60"))
		b.get("/a")
		time.Sleep(20 * time.Second)
		q := b.query("/a")
		stale, _ := b.look(q)
		if a := b.fill(q, stale, false); !errors.Is(a.Err, ErrProtocol) || a.Status != 304 {
			t.Errorf("status %d, err = %v, want 304 and %v", a.Status, a.Err, ErrProtocol)
		}
	})
}

func TestValidatingAnObjectThatStillFillsStoresNothingBroken(t *testing.T) {
	reset := errors.New("connection reset")
	for _, end := range []error{nil, reset} {
		inBubble(t, noPurges{}, 1<<20, func(t *testing.T, b *bench) {
			b.origin = func(ctx context.Context, n int64, validate *Meta) (*http.Response, error) {
				if validate != nil {
					return reply(304, http.NoBody, 0, `Etag: "1"`), nil
				}
				return reply(200, &trickle{ctx: ctx, steps: []string{"a", "b", "c"}, every: time.Second, end: end}, -1,
					"Cache-Control: no-cache", `Etag: "1"`), nil
			}
			first := b.fill(b.query("/a"), nil, false)
			time.Sleep(time.Second)
			q := b.query("/a")
			o, d := b.look(q)
			if o != first.Object || d.Outcome != Revalidate {
				t.Fatalf("in mid-body: %v, want to validate what fills", d.Outcome)
			}
			second := b.fill(q, o, d.Alone)
			for _, a := range []Answer{second, first} {
				if body, err := b.body(a); body != "abc" || err != end {
					t.Errorf("%q, %v, want abc, %v", body, err, end)
				}
			}
			time.Sleep(time.Second)
			if o, _ := b.look(b.query("/a")); o != nil && !o.Own.Body.Complete() {
				t.Error("a broken body is stored")
			}
			if n, _ := b.look(b.query("/a")); (n != nil) != (end == nil) {
				t.Errorf("stored: %v, want %v", n != nil, end == nil)
			}
		})
	}
}

// The leader of a validation holds no place among the readers of a body that another fill has made.
func TestLeaderOfAValidationLeavesTheReadersAlone(t *testing.T) {
	inBubble(t, noPurges{}, 1<<20, func(t *testing.T, b *bench) {
		b.origin = func(ctx context.Context, n int64, validate *Meta) (*http.Response, error) {
			if validate != nil {
				return reply(304, http.NoBody, 0, `Etag: "1"`), nil
			}
			return reply(200, &trickle{ctx: ctx, steps: []string{"a"}, every: time.Second}, -1, "Cache-Control: no-cache", `Etag: "1"`), nil
		}
		first := b.fill(b.query("/a"), nil, false)
		q := b.query("/a")
		o, d := b.look(q)
		second := b.fill(q, o, d.Alone)
		second.Release()
		if n := first.Object.Own.Body.readers; n != 1 {
			t.Errorf("%d readers counted, want the one who leads the fill", n)
		}
		first.Release()
	})
}

func TestOlderFillDoesNotReplaceANewerOne(t *testing.T) {
	for name, vary := range map[string][2]string{
		"same":             {"X-None", "X-None"},
		"Vary has changed": {"X-Old", "X-New"},
	} {
		t.Run(name, func(t *testing.T) {
			var purges onePurge
			inBubble(t, &purges, 1<<20, func(t *testing.T, b *bench) {
				b.origin = func(ctx context.Context, n int64, _ *Meta) (*http.Response, error) {
					if n == 1 {
						return reply(200, &trickle{ctx: ctx, steps: []string{"old"}, every: time.Minute}, 3,
							"Cache-Control: max-age=600", "Vary: "+vary[0]), nil
					}
					return replyText("new", "Cache-Control: max-age=600", "Vary: "+vary[1]), nil
				}
				old := b.fill(b.query("/a"), nil, false)
				purges.at.Store(1)
				b.get("/a")
				if body, _ := b.body(old); body != "old" {
					t.Errorf("who waited for the old one got %q", body)
				}
				time.Sleep(time.Second)
				if body, how := b.get("/a"); body != "new" || how != "hit" {
					t.Errorf("%q by %s, want new by hit: what came late must not displace it", body, how)
				}
				if n := b.asked.Load(); n != 2 {
					t.Errorf("the origin was asked %d times, want 2", n)
				}
			})
		})
	}
}

func TestBodyOfUnknownLengthUpToTheLimitIsStored(t *testing.T) {
	for _, c := range []struct {
		limit, size int64
		stored      bool
	}{
		{1000, 500, true},
		{1000, 1000, true},
		{1000, 1001, false},
		{100 << 10, 60 << 10, true},
		{100 << 10, 100 << 10, true},
		{100 << 10, 100<<10 + 1, false},
		{128 << 10, 128 << 10, true},
		{128 << 10, 128<<10 + 1, false},
		{128 << 10, 1 << 20, false},
	} {
		t.Run(fmt.Sprintf("%d of %d", c.size, c.limit), func(t *testing.T) {
			inBubble(t, noPurges{}, 1<<20, func(t *testing.T, b *bench) {
				b.policy.MaxObject = c.limit
				text := strings.Repeat("x", int(c.size))
				b.origin = func(context.Context, int64, *Meta) (*http.Response, error) {
					return reply(200, strings.NewReader(text), -1, "Cache-Control: max-age=60"), nil
				}
				body, _ := b.get("/a")
				if body != text {
					t.Errorf("%d bytes, want %d", len(body), len(text))
				}
				_, d := b.look(b.query("/a"))
				if stored := d.Outcome == Hit; stored != c.stored || d.Alone == c.stored {
					t.Errorf("stored: %v, marked: %v, want stored: %v, marked: %v", stored, d.Alone, c.stored, !c.stored)
				}
				if !b.entries.TryAcquire(b.max) || !b.budget.TryAcquire(b.max) {
					t.Error("the budget was not given back")
				}
			})
		})
	}
}

// What is held is what counts, not what was announced: one large and slow fill must not keep the others out.
func TestRoomIsTakenAsABodyArrives(t *testing.T) {
	inBubble(t, noPurges{}, 64<<20, func(t *testing.T, b *bench) { // 8 MiB of fills
		b.origin = func(ctx context.Context, n int64, _ *Meta) (*http.Response, error) {
			if n == 1 {
				return reply(200, &trickle{ctx: ctx, steps: []string{"x"}, every: time.Hour}, 8<<20, "Cache-Control: max-age=60"), nil
			}
			return replyText("small", "Cache-Control: max-age=60"), nil
		}
		slow := b.fill(b.query("/slow"), nil, false)
		begin := time.Now()
		if body, _ := b.get("/small"); body != "small" || time.Since(begin) > 0 {
			t.Errorf("%q after %v, want it at once", body, time.Since(begin))
		}
		slow.Release()
	})
}

// A body that is too large to keep goes at its reader's pace. One who takes nothing must not keep the others' fills out; and
// what he has read is not held any longer.
func TestStreamLeavesRoomForFills(t *testing.T) {
	inBubble(t, noPurges{}, 256<<20, func(t *testing.T, b *bench) { // 32 MiB of fills
		const large = 64 << 20
		b.origin = func(_ context.Context, n int64, _ *Meta) (*http.Response, error) {
			if n == 1 {
				return reply(200, io.LimitReader(zeros{}, large), -1, "Cache-Control: max-age=60"), nil
			}
			return replyText("small", "Cache-Control: max-age=60"), nil
		}
		a := b.fill(b.query("/large"), nil, false)
		defer a.Release()
		var r Reader
		a.Object.Own.Body.Open(&r, 0)
		defer r.Close()
		synctest.Wait() // the origin has sent what may be sent
		begin := time.Now()
		if body, _ := b.get("/small"); body != "small" || time.Since(begin) > 0 {
			t.Errorf("%q after %v, want it at once", body, time.Since(begin))
		}
		for read := 0; read < large/2; {
			p, wait, err := r.Next(1 << 20)
			if err != nil {
				t.Fatal(err)
			}
			if read += len(p); wait != nil {
				<-wait
			}
		}
		synctest.Wait()
		if !b.streams.TryAcquire(b.max - 2*streamWindow - largestChunk) {
			t.Error("room of what has been read is not given back")
		}
	})
}

// zeros never end.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestBodyWithoutRoomIsStreamedAndNotMarked(t *testing.T) {
	inBubble(t, noPurges{}, 1<<20, func(t *testing.T, b *bench) { // 128 KiB of fills
		big := strings.Repeat("0123456789abcdef", 4<<10) // 64 KiB
		b.origin = func(_ context.Context, _ int64, _ *Meta) (*http.Response, error) {
			return reply(200, strings.NewReader(big), -1, "Cache-Control: max-age=60"), nil
		}
		if !b.budget.TryAcquire(100 << 10) {
			t.Fatal("no room")
		}
		if body, _ := b.get("/a"); body != big {
			t.Errorf("%d bytes, want %d", len(body), len(big))
		}
		if _, d := b.look(b.query("/a")); d.Outcome != Miss || d.Alone {
			t.Errorf("afterwards: %v, alone %v: it was room that lacked, the response may be stored", d.Reason, d.Alone)
		}
		b.budget.Release(100 << 10)
		b.get("/a")
		if _, how := b.get("/a"); how != "hit" {
			t.Errorf("with room: %s, want hit", how)
		}
	})
}

func TestReaderAheadOfAStreamDoesNotHoldItUp(t *testing.T) {
	inBubble(t, noPurges{}, 1<<20, func(t *testing.T, b *bench) {
		body := newBody(-1)
		body.stream(8)
		readers := []*Reader{body.NewReader(0)}
		body.Release()
		go func() {
			for range 10 {
				if !body.room(nil) {
					break
				}
				body.append([]byte("abcd"))
			}
			body.finish(nil)
		}()
		time.Sleep(time.Second) // the window is full
		readers = append(readers, body.NewReader(20))
		var all sync.WaitGroup
		for _, r := range readers {
			all.Go(func() {
				defer r.Close()
				for {
					_, wait, err := r.Next(100)
					if err != nil {
						return
					}
					if wait != nil {
						<-wait
					}
				}
			})
		}
		all.Wait()
		if n := body.Arrived(); n != 40 {
			t.Errorf("%d bytes came, want all 40", n)
		}
	})
}

func TestOneBackgroundAttemptInEachPeriodOfBackoff(t *testing.T) {
	for _, window := range []string{"", ", stale-while-revalidate=600"} {
		inBubble(t, noPurges{}, 1<<20, func(t *testing.T, b *bench) {
			b.origin = func(_ context.Context, n int64, _ *Meta) (*http.Response, error) {
				if n == 1 {
					return replyText("hello", "Cache-Control: max-age=1"+window, `Etag: "1"`), nil
				}
				return nil, errors.New("down")
			}
			b.get("/a")
			time.Sleep(2 * time.Second)
			q := b.query("/a")
			stale, _ := b.look(q)
			fill := &Fill{Query: q, Policy: b.policy, Stale: stale, Fetch: func(ctx context.Context, m *Meta) (*http.Response, error) {
				return b.origin(ctx, b.asked.Add(1), m)
			}}
			b.Fill(fill)
			for range 6000 { // a minute at a hundred requests a second
				_, d := b.look(q)
				if d.Outcome != Stale {
					t.Fatalf("%v after a failure, want stale", d.Outcome)
				}
				if d.Background {
					b.Refresh(fill)
				}
				time.Sleep(10 * time.Millisecond)
			}
			// After 2, then 4, 8 and 16 seconds more.
			if n := b.asked.Load() - 2; n != 4 {
				t.Errorf("%q: %d attempts in the first minute, want 4", window, n)
			}
		})
	}
}

// softPurge is a journal with a soft purge of everything.
type softPurge struct{ noPurges }

func (softPurge) Verdict(*Target, uint64, uint64) Verdict { return Soft }

func TestSoftPurgedObjectBacksOffToo(t *testing.T) {
	inBubble(t, noPurges{}, 1<<20, func(t *testing.T, b *bench) {
		b.origin = func(_ context.Context, n int64, _ *Meta) (*http.Response, error) {
			if n == 1 {
				return replyText("hello", "Cache-Control: max-age=600", `Etag: "1"`), nil
			}
			return nil, errors.New("down")
		}
		b.get("/a")
		b.purges = softPurge{}
		q := b.query("/a")
		now := b.clock.Now().Mono
		o, f := b.Lookup(q, 1, now)
		if d := Decide(q, b.policy, f, now); d.Outcome != Revalidate {
			t.Fatalf("soft purged: %v, want revalidate", d.Outcome)
		}
		b.fill(q, o, false)
		_, f = b.Lookup(q, 1, now)
		if d := Decide(q, b.policy, f, now); d.Reason != StaleBackoff {
			t.Errorf("right after a failure: %s, want %s", d.Reason, StaleBackoff)
		}
	})
}

// An error that may be stored does not displace what stands in for it: once that may no longer, it does.
func TestAnErrorDoesNotDisplaceWhatStandsInForIt(t *testing.T) {
	inBubble(t, noPurges{}, 1<<20, func(t *testing.T, b *bench) {
		b.origin = func(_ context.Context, n int64, _ *Meta) (*http.Response, error) {
			if n == 1 {
				return replyText("good", "Cache-Control: max-age=10, stale-if-error=60"), nil
			}
			return reply(503, strings.NewReader("bad"), 3, "Cache-Control: max-age=10"), nil
		}
		b.get("/a")
		for _, c := range []struct {
			after  time.Duration
			stored bool
		}{{20 * time.Second, false}, {100 * time.Second, true}} {
			time.Sleep(c.after)
			stale, _ := b.look(b.query("/a"))
			a := b.fill(b.query("/a"), stale, false)
			if body, err := b.body(a); body != "bad" || err != nil || a.Status != 503 || a.Admission.Store != c.stored {
				t.Errorf("after %v: %d %q, %v, stored %v, want a 503 and %v", c.after, a.Status, body, err, a.Admission.Store, c.stored)
			}
			if now, _ := b.look(b.query("/a")); (now == stale) == c.stored {
				t.Errorf("after %v: displaced %v, want %v", c.after, now != stale, c.stored)
			}
		}
	})
}

// In a full tier a newcomer stays for how often it is asked for, and that must count for variants as well.
func TestVariantsThatAreAskedForOftenStay(t *testing.T) {
	for _, vary := range []string{"", "Vary: X-Kind"} {
		inBubble(t, noPurges{}, 1<<20, func(t *testing.T, b *bench) {
			text := strings.Repeat("x", 10<<10)
			b.origin = func(context.Context, int64, *Meta) (*http.Response, error) {
				r := replyText(text, "Cache-Control: max-age=600")
				if vary != "" {
					r.Header.Set("Vary", "X-Kind")
				}
				return r, nil
			}
			for range 10 {
				for i := range 100 {
					b.get(fmt.Sprint("/", i), "X-Kind", "a")
				}
			}
			hits := 0
			for range 1000 {
				if _, how := b.get("/new", "X-Kind", "a"); how == "hit" {
					hits++
				}
			}
			if hits < 500 {
				t.Errorf("with %q: %d hits of 1000 requests in a row, want most", vary, hits)
			}
		})
	}
}

func TestCloseEndsAStreamThatNobodyReadsOn(t *testing.T) {
	inBubble(t, noPurges{}, 1<<20, func(t *testing.T, b *bench) {
		b.origin = func(context.Context, int64, *Meta) (*http.Response, error) {
			return reply(200, endless{}, -1, "Cache-Control: max-age=60"), nil
		}
		a := b.fill(b.query("/a"), nil, false)
		b.Close() // its reader has not begun: the window is full
		if _, err := b.body(a); err != ErrAbandoned {
			t.Errorf("err = %v, want %v", err, ErrAbandoned)
		}
	})
}
