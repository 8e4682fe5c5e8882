package cache

import (
	"bytes"
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
	"testing/iotest"
	"testing/synctest"
	"time"
)

// noPurges is a journal in which nothing was ever purged.
type noPurges struct{}

func (noPurges) Applied() uint64                         { return 0 }
func (noPurges) Verdict(*Target, uint64, uint64) Verdict { return Valid }

// onePurge is a journal with a hard purge of everything, once at is not 0.
type onePurge struct{ at atomic.Uint64 }

func (p *onePurge) Applied() uint64 { return p.at.Load() }
func (p *onePurge) Verdict(_ *Target, after, upTo uint64) Verdict {
	if at := p.at.Load(); at > after && at <= upTo {
		return Hard
	}
	return Valid
}

// bench is a store, a policy, and an origin that answers what a test says.
type bench struct {
	*Store
	t      *testing.T
	policy *Policy
	asked  atomic.Int64
	origin func(ctx context.Context, n int64, validate *Meta) (*http.Response, error)
}

func newBench(t *testing.T, purges Purges, maxBytes int64) *bench {
	t.Helper()
	s, err := NewStore(StoreConfig{MaxBytes: maxBytes}, SystemClock(), purges)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	c := DefaultConfig()
	c.MaxObject = s.MaxObject()
	return &bench{Store: s, t: t, policy: c.Compile()}
}

func (b *bench) query(path string, fields ...string) *Query {
	h := http.Header{}
	q := NewQuery()
	q.Method, q.Host, q.Path, q.Site = "GET", "example.com", path, "example.com"
	for i := 0; i < len(fields); i += 2 {
		h.Add(fields[i], fields[i+1])
		q.ReduceField(fields[i], fields[i+1])
	}
	q.Fields = HeaderFields(h)
	q.MakeKey(b.policy, b.Seed())
	return &q
}

// look is rooms 3 and 4.
func (b *bench) look(q *Query) (*Object, Decision) {
	now := b.clock.Now().Mono
	o, f := b.Lookup(q, b.purges.Applied(), now)
	return o, Decide(q, b.policy, f, now)
}

func (b *bench) fill(q *Query, stale *Object, alone bool) Answer {
	return b.Fill(&Fill{
		Query: q, Policy: b.policy, Begin: b.purges.Applied(), Stale: stale, Alone: alone,
		Fetch: func(ctx context.Context, validate *Meta) (*http.Response, error) {
			return b.origin(ctx, b.asked.Add(1), validate)
		},
	})
}

// body reads an answer to its end, as a handler does.
func (b *bench) body(a Answer) (string, error) {
	if a.Response != nil {
		defer a.Response.Body.Close()
		all, err := io.ReadAll(a.Response.Body)
		return string(all), err
	}
	r := a.Object.Own.Body.NewReader(0)
	defer r.Close()
	if a.Led {
		a.Object.Own.Body.Release()
	}
	var all bytes.Buffer
	for {
		p, wait, err := r.Next(1 << 20)
		switch {
		case err == io.EOF:
			return all.String(), nil
		case err != nil:
			return all.String(), err
		case wait != nil:
			<-wait
		}
		all.Write(p)
	}
}

// get walks one request: look, decide, fill if need be, read.
func (b *bench) get(path string, fields ...string) (body, how string) {
	b.t.Helper()
	q := b.query(path, fields...)
	o, d := b.look(q)
	a := Answer{Object: o}
	how = d.Outcome.String()
	if d.Outcome != Hit {
		if a = b.fill(q, o, d.Alone); a.Err != nil {
			b.t.Fatalf("GET %s: %v", path, a.Err)
		}
	}
	body, err := b.body(a)
	if err != nil {
		b.t.Fatalf("GET %s: %v", path, err)
	}
	synctest.Wait()
	return body, how
}

// reply makes a response of field lines and a body.
func reply(status int, body io.Reader, length int64, lines ...string) *http.Response {
	h := http.Header{}
	for _, l := range lines {
		name, value, _ := strings.Cut(l, ": ")
		h.Add(name, value)
	}
	return &http.Response{StatusCode: status, Header: h, ContentLength: length, Body: io.NopCloser(body)}
}

func replyText(text string, lines ...string) *http.Response {
	return reply(200, strings.NewReader(text), int64(len(text)), lines...)
}

// trickle gives a body in steps, one every interval, and then an error or the end.
type trickle struct {
	ctx   context.Context
	steps []string
	every time.Duration
	end   error
}

func (r *trickle) Read(p []byte) (int, error) {
	if len(r.steps) == 0 {
		if r.end != nil {
			return 0, r.end
		}
		return 0, io.EOF
	}
	select {
	case <-time.After(r.every):
	case <-r.ctx.Done():
		return 0, r.ctx.Err()
	}
	n := copy(p, r.steps[0])
	if r.steps[0] = r.steps[0][n:]; r.steps[0] == "" {
		r.steps = r.steps[1:]
	}
	return n, nil
}

func inBubble(t *testing.T, purges Purges, maxBytes int64, f func(t *testing.T, b *bench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(t, newBench(t, purges, maxBytes)) })
}

func TestStoredResponseIsReused(t *testing.T) {
	inBubble(t, noPurges{}, 1<<20, func(t *testing.T, b *bench) {
		b.origin = func(context.Context, int64, *Meta) (*http.Response, error) {
			return replyText("hello", "Cache-Control: max-age=60"), nil
		}
		for i, want := range []string{"miss", "hit", "hit"} {
			if body, how := b.get("/a"); body != "hello" || how != want {
				t.Errorf("request %d: %q by %s, want %q by %s", i, body, how, "hello", want)
			}
		}
		time.Sleep(61 * time.Second)
		if _, how := b.get("/a"); how != "revalidate" {
			t.Errorf("after its lifetime: %s, want revalidate", how)
		}
		if n := b.asked.Load(); n != 2 {
			t.Errorf("the origin was asked %d times, want 2", n)
		}
	})
}

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
	inBubble(t, noPurges{}, 1<<20, func(t *testing.T, b *bench) {
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
func TestRefusedReplacementEndsTheOldResponse(t *testing.T) {
	for _, c := range []struct {
		name   string
		answer func() *http.Response
	}{
		{"no-store", func() *http.Response { return replyText("new", "Cache-Control: no-store") }},
		{"private", func() *http.Response { return replyText("new", "Cache-Control: private, max-age=60") }},
		{"gone, without a word on freshness", func() *http.Response { return reply(404, strings.NewReader("new"), 3) }},
		{"a body that turns out too large", func() *http.Response {
			return reply(200, strings.NewReader(strings.Repeat("x", 1<<20)), -1, "Cache-Control: max-age=60")
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, noPurges{}, 1<<20, func(t *testing.T, b *bench) {
				b.origin = func(_ context.Context, n int64, _ *Meta) (*http.Response, error) {
					if n == 1 {
						return replyText("old", "Cache-Control: max-age=1, stale-while-revalidate=60", `Etag: "1"`), nil
					}
					return c.answer(), nil
				}
				b.get("/a")
				time.Sleep(2 * time.Second)
				o, d := b.look(b.query("/a"))
				if d.Outcome != Stale {
					t.Fatalf("before: %s, want stale", d.Outcome)
				}
				b.body(b.fill(b.query("/a"), o, false))
				synctest.Wait()
				if o, d := b.look(b.query("/a")); o != nil || d.Outcome != Miss || !d.Alone {
					t.Errorf("after: %s, alone %v, want a miss, alone", d.Outcome, d.Alone)
				}
			})
		})
	}
}

func TestServerErrorLeavesTheOldResponse(t *testing.T) {
	inBubble(t, noPurges{}, 1<<20, func(t *testing.T, b *bench) {
		b.origin = func(_ context.Context, n int64, _ *Meta) (*http.Response, error) {
			if n == 1 {
				return replyText("old", "Cache-Control: max-age=1, stale-if-error=60", `Etag: "1"`), nil
			}
			return reply(503, strings.NewReader("no"), 2, "Cache-Control: no-store"), nil
		}
		b.get("/a")
		time.Sleep(2 * time.Second)
		o, _ := b.look(b.query("/a"))
		b.body(b.fill(b.query("/a"), o, false))
		if again, _ := b.look(b.query("/a")); again != o {
			t.Error("a 503 has removed what it cannot replace")
		}
	})
}

// The other variants of a key whose answers refuse storing are validated in parallel while they are stale.
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

func TestNotModifiedFreshensOverTheSameBody(t *testing.T) {
	inBubble(t, noPurges{}, 1<<20, func(t *testing.T, b *bench) {
		b.origin = func(_ context.Context, n int64, validate *Meta) (*http.Response, error) {
			if n == 1 {
				return replyText("hello", "Cache-Control: max-age=1", `Etag: "1"`), nil
			}
			if validate == nil || validate.ETag != `"1"` {
				t.Errorf("request %d was not conditional", n)
			}
			return reply(304, http.NoBody, 0, "Cache-Control: max-age=60", `Etag: "1"`, "X-New: yes"), nil
		}
		b.get("/a")
		time.Sleep(2 * time.Second)
		if body, how := b.get("/a"); body != "hello" || how != "revalidate" {
			t.Errorf("%q by %s, want hello by revalidate", body, how)
		}
		o, d := b.look(b.query("/a"))
		if d.Outcome != Hit || o.Meta.Head.Get("X-New") != "yes" {
			t.Errorf("afterwards: %s, X-New %q, want hit and the 304's fields", d.Outcome, o.Meta.Head.Get("X-New"))
		}
	})
}

func TestPurgeDuringFillIsNotOutlived(t *testing.T) {
	var purges onePurge
	inBubble(t, &purges, 1<<20, func(t *testing.T, b *bench) {
		b.origin = func(ctx context.Context, n int64, _ *Meta) (*http.Response, error) {
			text := fmt.Sprint("version ", n)
			return reply(200, &trickle{ctx: ctx, steps: []string{text}, every: time.Second}, int64(len(text)), "Cache-Control: max-age=60"), nil
		}
		old := b.fill(b.query("/a"), nil, false)
		purges.at.Store(1)
		if o, d := b.look(b.query("/a")); d.Outcome == Hit {
			t.Errorf("a fill from before the purge was joined: %v", o.Meta.Epoch)
		}
		if body, _ := b.body(old); body != "version 1" {
			t.Errorf("who waited before the purge got %q", body)
		}
		synctest.Wait() // it is stored now, with its old epoch
		if body, how := b.get("/a"); body != "version 2" {
			t.Errorf("after the purge: %q by %s, want version 2", body, how)
		}
		if _, how := b.get("/a"); how != "hit" {
			t.Errorf("the new version: %s, want hit", how)
		}
	})
}

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
				b.room()
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
		b.origin = func(ctx context.Context, _ int64, _ *Meta) (*http.Response, error) {
			context.AfterFunc(ctx, func() { ended = true })
			return reply(200, endless{}, -1, "Cache-Control: max-age=60"), nil
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

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

func TestFillsTogetherAreBounded(t *testing.T) {
	inBubble(t, noPurges{}, 1<<20, func(t *testing.T, b *bench) { // 128 KiB of fills
		b.origin = func(ctx context.Context, _ int64, _ *Meta) (*http.Response, error) {
			return reply(200, &trickle{ctx: ctx, steps: []string{"x"}, every: time.Hour}, 100<<10, "Cache-Control: max-age=60"), nil
		}
		b.fill(b.query("/a"), nil, false)
		begin := time.Now()
		if a := b.fill(b.query("/b"), nil, false); a.Err != ErrBusy {
			t.Errorf("err = %v, want %v", a.Err, ErrBusy)
		}
		if took := time.Since(begin); took != budgetWait {
			t.Errorf("it waited %v, want %v", took, budgetWait)
		}
	})
}

func TestFailedFetchBacksOff(t *testing.T) {
	inBubble(t, noPurges{}, 1<<20, func(t *testing.T, b *bench) {
		down := errors.New("down")
		b.origin = func(_ context.Context, n int64, _ *Meta) (*http.Response, error) {
			if n == 1 {
				return replyText("hello", "Cache-Control: max-age=1", `Etag: "1"`), nil
			}
			return nil, down
		}
		b.get("/a")
		time.Sleep(2 * time.Second)
		o, _ := b.look(b.query("/a"))
		for _, hold := range []time.Duration{2, 4, 8, 16, 30, 30} {
			if a := b.fill(b.query("/a"), o, false); a.Err != down {
				t.Fatalf("err = %v", a.Err)
			}
			time.Sleep(hold*time.Second - time.Millisecond)
			if _, d := b.look(b.query("/a")); d.Reason != StaleBackoff || d.Background {
				t.Errorf("within %d s: %s, background %v, want %s and no attempt", hold, d.Reason, d.Background, StaleBackoff)
			}
			time.Sleep(time.Millisecond)
			if _, d := b.look(b.query("/a")); d.Reason != StaleBackoff || !d.Background {
				t.Errorf("after %d s: %s, background %v, want %s and an attempt", hold, d.Reason, d.Background, StaleBackoff)
			}
			if _, d := b.look(b.query("/a")); d.Background {
				t.Error("the same attempt was given to two requests")
			}
		}
		time.Sleep(2 * time.Minute)
		if _, d := b.look(b.query("/a")); d.Outcome != Revalidate {
			t.Errorf("long after: %s, want revalidate", d.Outcome)
		}
	})
}

// Moments after a failed fetch the stale response is as much allowed as it was at once: an origin that answers with errors
// is reachable (RFC 9111, section 4.2.4).
func TestBackoffRemembersTheTrouble(t *testing.T) {
	garbage := errors.New("garbage")
	for _, c := range []struct {
		name   string
		answer func() (*http.Response, error)
		ifErr  string
		want   Reason
	}{
		{"an error answer", func() (*http.Response, error) { return reply(503, strings.NewReader("no"), 2), nil }, "", Expired},
		{"an error answer, forgiven", func() (*http.Response, error) { return reply(503, strings.NewReader("no"), 2), nil }, ", stale-if-error=60", StaleBackoff},
		{"an error that RFC 5861 does not name", func() (*http.Response, error) { return reply(501, strings.NewReader("no"), 2), nil }, ", stale-if-error=60", Expired},
		{"an answer that is none", func() (*http.Response, error) { return nil, garbage }, "", Expired},
		{"an answer that breaks off", func() (*http.Response, error) {
			return reply(200, io.MultiReader(strings.NewReader("x"), iotest.ErrReader(garbage)), 9, "Cache-Control: max-age=60"), nil
		}, "", Expired},
		{"no answer", func() (*http.Response, error) { return nil, errors.New("down") }, "", StaleBackoff},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, noPurges{}, 1<<20, func(t *testing.T, b *bench) {
				b.policy.Stale.Unreachable = time.Hour
				fetched := false
				f := &Fill{Query: b.query("/a"), Policy: b.policy, Unreachable: func(err error) bool { return err != garbage }}
				f.Fetch = func(context.Context, *Meta) (*http.Response, error) {
					if !fetched {
						fetched = true
						return replyText("old", "Cache-Control: max-age=1"+c.ifErr, `Etag: "1"`), nil
					}
					return c.answer()
				}
				b.body(b.Fill(f))
				synctest.Wait()
				time.Sleep(2 * time.Second)
				f.Stale, _ = b.look(f.Query)
				if a := b.Fill(f); a.Err == nil {
					b.body(a)
				}
				synctest.Wait()
				if _, d := b.look(f.Query); d.Reason != c.want {
					t.Errorf("moments later: %s (%s), want %s", d.Reason, d.Outcome, c.want)
				}
			})
		})
	}
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

func TestUnaskedAnswersAreFaults(t *testing.T) {
	for _, status := range []int{206, 304} {
		inBubble(t, noPurges{}, 1<<20, func(t *testing.T, b *bench) {
			b.origin = func(context.Context, int64, *Meta) (*http.Response, error) {
				return reply(status, http.NoBody, 0, "Cache-Control: max-age=60"), nil
			}
			if a := b.fill(b.query("/a"), nil, false); !errors.Is(a.Err, ErrProtocol) {
				t.Errorf("%d: err = %v, want %v", status, a.Err, ErrProtocol)
			}
		})
	}
}

func TestAtMost64VariantsOfAKey(t *testing.T) {
	inBubble(t, noPurges{}, 16<<20, func(t *testing.T, b *bench) {
		b.origin = func(context.Context, int64, *Meta) (*http.Response, error) {
			return replyText("x", "Cache-Control: max-age=60", "Vary: X-Kind"), nil
		}
		for i := range 200 {
			b.get("/a", "X-Kind", strconv.Itoa(i))
		}
		if n := b.Objects(); n != maxVariants {
			t.Errorf("%d variants stored, want %d", n, maxVariants)
		}
		if _, how := b.get("/a", "X-Kind", "199"); how != "hit" {
			t.Errorf("the newest variant: %s, want hit", how)
		}
	})
}

func TestMemoryTierStaysWithinItsLimit(t *testing.T) {
	inBubble(t, noPurges{}, 1<<20, func(t *testing.T, b *bench) {
		text := strings.Repeat("x", 10<<10)
		b.origin = func(context.Context, int64, *Meta) (*http.Response, error) {
			return replyText(text, "Cache-Control: max-age=60"), nil
		}
		for i := range 500 {
			b.get(fmt.Sprint("/", i))
		}
		b.ram.Wait()
		held := int64(0)
		b.table.each(func(o *Object) { held += o.cost })
		if held > 1<<20 || held < 1<<19 {
			t.Errorf("%d bytes in the table, want most of and at most %d", held, 1<<20)
		}
		if n := b.Objects() * int64(len(text)); n > 1<<20 {
			t.Errorf("%d objects counted", b.Objects())
		}
	})
}

// jumpyClock is a machine's clock whose wall time somebody sets.
type jumpyClock struct {
	Clock
	off atomic.Int64
}

func (c *jumpyClock) Now() Moment {
	m := c.Clock.Now()
	m.Wall = m.Wall.Add(time.Duration(c.off.Load()))
	return m
}

func TestJumpsOfTheWallClockNeitherExpireNorRevive(t *testing.T) {
	for _, jump := range []time.Duration{time.Hour, -time.Hour, 365 * 24 * time.Hour, -365 * 24 * time.Hour} {
		inBubble(t, noPurges{}, 1<<20, func(t *testing.T, b *bench) {
			clock := &jumpyClock{Clock: b.clock}
			b.clock = clock
			b.origin = func(context.Context, int64, *Meta) (*http.Response, error) {
				return replyText("x", "Cache-Control: max-age=60"), nil
			}
			b.get("/a")
			clock.off.Store(int64(jump))
			time.Sleep(59 * time.Second)
			if o, d := b.look(b.query("/a")); d.Outcome != Hit || o.Meta.Age(clock.Now().Mono) != 59*time.Second {
				t.Errorf("jump of %v: %s, want a hit of age 59 s", jump, d.Outcome)
			}
			time.Sleep(2 * time.Second)
			if _, d := b.look(b.query("/a")); d.Outcome != Revalidate {
				t.Errorf("jump of %v: %s after its lifetime, want revalidate", jump, d.Outcome)
			}
		})
	}
}
