package cache

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestFollowersShareOneFetchFromTheFirstByte(t *testing.T) {
	inBubble(t, noPurges{}, 1<<20, func(t *testing.T, b *bench) {
		b.origin = func(ctx context.Context, _ int64, _ *Meta) (*http.Response, error) {
			time.Sleep(500 * time.Millisecond)
			return reply(200, &trickle{ctx: ctx, steps: []string{"one ", "two ", "three"}, every: time.Second}, 13, "Cache-Control: max-age=60"), nil
		}
		var clients sync.WaitGroup
		for i := range 50 {
			clients.Go(func() {
				time.Sleep(time.Duration(i) * 50 * time.Millisecond) // before the head, and in the middle of the body
				q := b.query("/a")
				o, d := b.look(q)
				a := Answer{Object: o}
				if d.Outcome != Hit {
					a = b.fill(q, nil, false)
				}
				if body, err := b.body(a); body != "one two three" || err != nil {
					t.Errorf("client %d: %q, %v", i, body, err)
				}
			})
		}
		clients.Wait()
		if n := b.asked.Load(); n != 1 {
			t.Errorf("the origin was asked %d times, want 1", n)
		}
	})
}

func TestFailureInMidBodyReachesAllReadersAndStoresNothing(t *testing.T) {
	inBubble(t, noPurges{}, 1<<20, func(t *testing.T, b *bench) {
		reset := errors.New("connection reset")
		b.origin = func(ctx context.Context, n int64, _ *Meta) (*http.Response, error) {
			if n > 1 {
				return replyText("whole", "Cache-Control: max-age=60"), nil
			}
			return reply(200, &trickle{ctx: ctx, steps: []string{"half"}, every: time.Second, end: reset}, -1, "Cache-Control: max-age=60"), nil
		}
		var clients sync.WaitGroup
		for range 5 {
			clients.Go(func() {
				if body, err := b.body(b.fill(b.query("/a"), nil, false)); body != "half" || err != reset {
					t.Errorf("%q, %v, want half and %v", body, err, reset)
				}
			})
		}
		clients.Wait()
		synctest.Wait()
		if body, how := b.get("/a"); body != "whole" || how != "miss" {
			t.Errorf("afterwards: %q by %s, want whole by miss", body, how)
		}
	})
}

func TestTruncatedBodyIsNotWhole(t *testing.T) {
	inBubble(t, noPurges{}, 1<<20, func(t *testing.T, b *bench) {
		b.origin = func(context.Context, int64, *Meta) (*http.Response, error) {
			return reply(200, strings.NewReader("short"), 10, "Cache-Control: max-age=60"), nil
		}
		if _, err := b.body(b.fill(b.query("/a"), nil, false)); err != io.ErrUnexpectedEOF {
			t.Errorf("err = %v, want %v", err, io.ErrUnexpectedEOF)
		}
		synctest.Wait()
		if n := b.Objects(); n != 0 {
			t.Errorf("%d objects stored, want 0", n)
		}
	})
}

func TestLeaderMayLeaveWithoutFailingTheOthers(t *testing.T) {
	inBubble(t, noPurges{}, 1<<20, func(t *testing.T, b *bench) {
		b.origin = func(ctx context.Context, _ int64, _ *Meta) (*http.Response, error) {
			return reply(200, &trickle{ctx: ctx, steps: []string{"a", "b"}, every: time.Second}, -1, "Cache-Control: max-age=60"), nil
		}
		a := b.fill(b.query("/a"), nil, false)
		a.Object.Own.Body.Release() // gone before the first byte
		time.Sleep(3 * time.Second)
		if body, how := b.get("/a"); body != "ab" || how != "hit" {
			t.Errorf("%q by %s, want ab by hit: the store still wanted it", body, how)
		}
	})
}

func TestVariantsAreClaimedInParallelOnceVaryIsKnown(t *testing.T) {
	inBubble(t, noPurges{}, 8<<20, func(t *testing.T, b *bench) {
		b.origin = func(_ context.Context, n int64, _ *Meta) (*http.Response, error) {
			time.Sleep(time.Second)
			return replyText(strconv.FormatInt(n, 10), "Cache-Control: max-age=60", "Vary: X-Kind"), nil
		}
		a := b.fill(b.query("/a", "X-Kind", "1"), nil, false)
		b.body(a)
		begin := time.Now()
		var clients sync.WaitGroup
		for i := range 10 {
			clients.Go(func() {
				b.body(b.fill(b.query("/a", "X-Kind", fmt.Sprint("k", i)), nil, false))
			})
		}
		clients.Wait()
		if took := time.Since(begin); took > 1100*time.Millisecond {
			t.Errorf("ten variants took %v, want about 1 s", took)
		}
	})
}

func TestFollowerOfAnotherVariantIsExcluded(t *testing.T) {
	inBubble(t, noPurges{}, 1<<20, func(t *testing.T, b *bench) {
		b.origin = func(context.Context, int64, *Meta) (*http.Response, error) {
			time.Sleep(time.Second)
			return replyText("x", "Cache-Control: max-age=60", "Vary: X-Kind"), nil
		}
		var clients sync.WaitGroup
		var excluded atomic.Int64
		for i := range 4 {
			clients.Go(func() {
				a := b.fill(b.query("/a", "X-Kind", strconv.Itoa(i)), nil, false)
				if a.Excluded {
					excluded.Add(1)
				} else {
					b.body(a)
				}
			})
		}
		clients.Wait()
		if excluded.Load() != 3 {
			t.Errorf("%d of 4 were told to look again, want 3", excluded.Load())
		}
	})
}

func TestRefusedResponseIsForTheLeaderAndMarksTheKey(t *testing.T) {
	inBubble(t, noPurges{}, 1<<20, func(t *testing.T, b *bench) {
		b.origin = func(_ context.Context, n int64, _ *Meta) (*http.Response, error) {
			if n == 3 {
				return replyText("shared", "Cache-Control: max-age=60"), nil
			}
			return replyText("private", "Cache-Control: private"), nil
		}
		b.get("/a")
		if _, d := b.look(b.query("/a")); d.Reason != PassHitForMiss || !d.Alone {
			t.Errorf("after a private answer: %s, alone %v, want %s, alone", d.Reason, d.Alone, PassHitForMiss)
		}
		b.get("/a")
		b.get("/a") // the first storable answer ends it
		if _, how := b.get("/a"); how != "hit" {
			t.Errorf("after a storable answer: %s, want hit", how)
		}
		time.Sleep(11 * time.Second)
		if _, d := b.look(b.query("/b")); d.Alone {
			t.Error("the marker outlived its time")
		}
	})
}

// A newer answer that may not be stored ends the use of what it was to replace, also where the origin cannot be reached
// afterwards; and requests for the key then do not wait for one another.
func TestMarkedKeyIsValidatedInParallel(t *testing.T) {
	inBubble(t, noPurges{}, 1<<20, func(t *testing.T, b *bench) {
		b.origin = func(_ context.Context, n int64, _ *Meta) (*http.Response, error) {
			if n <= 2 {
				return replyText("old", "Cache-Control: max-age=1", `Etag: "1"`, "Vary: X-Kind"), nil
			}
			return replyText("new", "Cache-Control: no-store"), nil
		}
		b.get("/a", "X-Kind", "1")
		b.get("/a", "X-Kind", "2")
		time.Sleep(2 * time.Second)
		b.get("/a", "X-Kind", "1")
		if _, d := b.look(b.query("/a", "X-Kind", "2")); d.Outcome != Revalidate || !d.Alone {
			t.Errorf("the other variant: %s, alone %v, want revalidate, alone", d.Outcome, d.Alone)
		}
	})
}

func TestServerErrorIsSharedAndNotStored(t *testing.T) {
	inBubble(t, noPurges{}, 1<<20, func(t *testing.T, b *bench) {
		b.origin = func(context.Context, int64, *Meta) (*http.Response, error) {
			time.Sleep(time.Second)
			return reply(503, strings.NewReader("sorry"), 5), nil
		}
		var clients sync.WaitGroup
		for range 10 {
			clients.Go(func() {
				a := b.fill(b.query("/a"), nil, false)
				if body, err := b.body(a); body != "sorry" || a.Status != 503 || err != nil {
					t.Errorf("%d %q %v, want 503 sorry", a.Status, body, err)
				}
			})
		}
		clients.Wait()
		synctest.Wait()
		if b.asked.Load() != 1 || b.Objects() != 0 {
			t.Errorf("asked %d times and stored %d, want 1 and 0", b.asked.Load(), b.Objects())
		}
	})
}

func TestRefreshIsOneFetchPerKey(t *testing.T) {
	inBubble(t, noPurges{}, 1<<20, func(t *testing.T, b *bench) {
		b.origin = func(context.Context, int64, *Meta) (*http.Response, error) {
			time.Sleep(time.Second)
			return replyText("x", "Cache-Control: max-age=60"), nil
		}
		for range 100 {
			b.Refresh(&Fill{Query: b.query("/a"), Policy: b.policy, Fetch: func(ctx context.Context, m *Meta) (*http.Response, error) {
				return b.origin(ctx, b.asked.Add(1), m)
			}})
		}
		time.Sleep(2 * time.Second)
		if n := b.asked.Load(); n != 1 {
			t.Errorf("%d fetches, want 1", n)
		}
	})
}
