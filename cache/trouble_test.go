package cache

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"
)

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
