package cache

import (
	"context"
	"fmt"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"weak"
)

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
		held := int64(0)
		b.table.each(func(o *Object) { held += o.weight() })
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

// TestPiecesOfAnObject: the collector looks at each piece of memory that is alive, and each is likely to be far from the last. An
// Object with its facts and its body's account, its names, its head, its body's bytes, and its entry in the table are five.
func TestPiecesOfAnObject(t *testing.T) {
	inBubble(t, noPurges{}, 64<<20, func(t *testing.T, b *bench) {
		const n = 2000
		b.origin = func(context.Context, int64, *Meta) (*http.Response, error) {
			return reply(200, strings.NewReader(strings.Repeat("x", 1000)), 1000, "Cache-Control: max-age=60"), nil
		}
		for i := range 100 { // what there is once for all
			b.get(fmt.Sprintf("/first/%d", i))
		}
		before := piecesAlive()
		for i := range n {
			b.get(fmt.Sprintf("/%d", i))
		}
		pieces := float64(piecesAlive()-before) / n
		if t.Logf("%.2f pieces for an object", pieces); pieces < 3 || pieces > 7 { // maps grow, and share what they grow by
			t.Errorf("%.2f pieces of memory for each stored object, want 5 or 6", pieces)
		}
	})
}

func piecesAlive() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapObjects)
}

// TestAReplacedObjectIsLetGo: what takes its place, under the same name or beside others, does not keep it in memory.
func TestAReplacedObjectIsLetGo(t *testing.T) {
	inBubble(t, noPurges{}, 1<<20, func(t *testing.T, b *bench) {
		var old []weak.Pointer[Object]
		b.origin = func(_ context.Context, n int64, _ *Meta) (*http.Response, error) {
			return reply(200, strings.NewReader("body"), -1, "Cache-Control: max-age=1"), nil
		}
		for range 3 {
			b.get("/a")
			time.Sleep(2 * time.Second)
			o, _ := b.look(b.query("/a"))
			old = append(old, weak.Make(o))
		}
		runtime.GC()
		if old[0].Value() != nil || old[1].Value() != nil || old[2].Value() == nil {
			t.Errorf("alive: %v, %v, %v; want only the last", old[0].Value() != nil, old[1].Value() != nil, old[2].Value() != nil)
		}
	})
}
