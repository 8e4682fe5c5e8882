package cache

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"selvage/cache/internal/disk"
)

// newDiskBench is a bench with a disk tier in dir, which end stops as a clean shutdown does.
func newDiskBench(t testing.TB, dir string, memory int64) (b *bench, end func()) {
	t.Helper()
	return diskBench(t, StoreConfig{MaxBytes: memory, Disk: DiskConfig{Path: dir, Size: 64 << 20}}, noPurges{})
}

func diskBench(t testing.TB, sc StoreConfig, purges Purges) (b *bench, end func()) {
	t.Helper()
	s, err := NewStore(sc, SystemClock(), purges)
	if err != nil {
		t.Fatal(err)
	}
	c := DefaultConfig()
	c.MaxObject = s.MaxObject()
	b = &bench{Store: s, t: t, policy: c.Compile()}
	ctx, stop := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- s.Run(ctx) }()
	b.stopDisk = sync.OnceFunc(func() {
		stop()
		if err := <-ran; err != nil {
			t.Error(err)
		}
	})
	return b, func() {
		s.Close()
		b.stopDisk()
	}
}

func (b *bench) loaded() { <-b.disk.tier.Loaded() }

func TestStoredResponsesSurviveARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		answers := func(_ context.Context, n int64, _ *Meta) (*http.Response, error) {
			return replyText(strings.Repeat(fmt.Sprint("answer ", n, " "), 1000), "Cache-Control: max-age=600", "Vary: X-Kind", "Etag: \"1\""), nil
		}
		b, end := newDiskBench(t, dir, 4<<20)
		b.loaded()
		b.origin = answers
		first, _ := b.get("/a", "X-Kind", "one")
		second, _ := b.get("/a", "X-Kind", "two")
		end()
		time.Sleep(100 * time.Second)

		b, end = newDiskBench(t, dir, 4<<20)
		defer end()
		b.loaded()
		b.origin = answers
		for kind, want := range map[string]string{"one": first, "two": second} {
			q := b.query("/a", "X-Kind", kind)
			o, d := b.look(q)
			if d.Outcome != Hit || d.Age < 100*time.Second {
				t.Fatalf("%s: %s of age %v, want a hit of 100 s", kind, d.Outcome, d.Age)
			}
			if body, err := b.body(Answer{Object: o}); body != want || err != nil {
				t.Errorf("%s: %d bytes, %v: not what was stored", kind, len(body), err)
			}
			o.Done()
		}
		if b.asked.Load() != 0 {
			t.Errorf("the origin was asked %d times", b.asked.Load())
		}
	})
}

func TestFreshenedResponseSurvivesARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		b, end := newDiskBench(t, dir, 4<<20)
		b.loaded()
		b.origin = func(_ context.Context, n int64, _ *Meta) (*http.Response, error) {
			if n == 1 {
				return replyText("hello", "Cache-Control: max-age=10", `Etag: "1"`), nil
			}
			return reply(304, http.NoBody, 0, "Cache-Control: max-age=600", `Etag: "1"`), nil
		}
		b.get("/a")
		time.Sleep(20 * time.Second)
		b.get("/a")
		end()
		b, end = newDiskBench(t, dir, 4<<20)
		defer end()
		b.loaded()
		if body, how := b.get("/a"); body != "hello" || how != "hit" {
			t.Errorf("%q by %s, want hello by hit", body, how)
		}
	})
}

func TestLargeBodyGoesToTheDiskAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, end := newDiskBench(t, t.TempDir(), 4<<20) // fills of 512 KiB whole, 40 KiB to stay
		defer end()
		b.loaded()
		for path, size := range map[string]int{"/held": 200 << 10, "/streamed": 3 << 20} {
			text := strings.Repeat("0123456789abcdef", size/16)
			b.origin = func(context.Context, int64, *Meta) (*http.Response, error) {
				return reply(200, strings.NewReader(text), -1, "Cache-Control: max-age=600"), nil
			}
			if body, _ := b.get(path); body != text {
				t.Errorf("%s: %d bytes the first time, want %d", path, len(body), size)
			}
			time.Sleep(time.Second)
			if n := b.Objects(); n != 0 {
				t.Errorf("%s: %d objects in memory, want none", path, n)
			}
			if body, how := b.get(path); body != text || how != "hit" {
				t.Errorf("%s: %d bytes by %s the second time, want %d by hit", path, len(body), how, size)
			}
		}
	})
}

// A response that has grown too large for memory replaces the small one that memory has: or that would be found for ever, and
// be fetched again by every request.
func TestGrownBodyReplacesTheOneInMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, end := newDiskBench(t, t.TempDir(), 4<<20) // bodies of 40 KiB stay in memory
		defer end()
		b.loaded()
		large := strings.Repeat("0123456789abcdef", 12<<10)
		b.origin = func(_ context.Context, n int64, _ *Meta) (*http.Response, error) {
			if n == 1 {
				return replyText("small", "Cache-Control: max-age=10"), nil
			}
			return replyText(large, "Cache-Control: max-age=600"), nil
		}
		b.get("/a")
		time.Sleep(20 * time.Second)
		b.get("/a")
		if body, how := b.get("/a"); body != large || how != "hit" {
			t.Errorf("%d bytes by %s, want %d by hit", len(body), how, len(large))
		}
		if n := b.Objects(); n != 0 {
			t.Errorf("%d objects in memory, want none", n)
		}
	})
}

func TestRefusedReplacementLeavesTheDiskToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		b, end := newDiskBench(t, dir, 4<<20)
		b.loaded()
		b.origin = func(_ context.Context, n int64, _ *Meta) (*http.Response, error) {
			if n == 1 {
				return replyText("hello", "Cache-Control: max-age=10, stale-while-revalidate=1000"), nil
			}
			return replyText("private", "Cache-Control: private"), nil
		}
		b.get("/a")
		time.Sleep(20 * time.Second)
		o, _ := b.look(b.query("/a"))
		b.body(b.fill(b.query("/a"), o, false))
		end()
		b, end = newDiskBench(t, dir, 4<<20)
		defer end()
		b.loaded()
		if o, d := b.look(b.query("/a")); o != nil {
			t.Errorf("found again: %s", d.Outcome)
		}
	})
}

// What memory serves all the time is not looked up on the disk, and must be there after a restart all the same.
func TestWhatMemoryServesStaysOnTheDisk(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		b, end := newDiskBench(t, dir, 4<<20)
		b.loaded()
		b.origin = func(context.Context, int64, *Meta) (*http.Response, error) {
			return replyText(strings.Repeat("x", 30<<10), "Cache-Control: max-age=6000", "Vary: X-Kind"), nil
		}
		for n := range 4000 { // 120 MiB through 64
			b.get("/hot", "X-Kind", "one")
			b.get("/hot")
			b.get(fmt.Sprint("/flood/", n))
		}
		if b.disk.tier.Stat().Evicted == 0 {
			t.Fatal("nothing was evicted")
		}
		end()
		b, end = newDiskBench(t, dir, 4<<20)
		defer end()
		b.loaded()
		for _, kind := range []string{"one", ""} {
			q := b.query("/hot")
			if kind != "" {
				q = b.query("/hot", "X-Kind", kind)
			}
			if _, d := b.look(q); d.Outcome != Hit {
				t.Errorf("kind %q after a restart: %s, want a hit", kind, d.Outcome)
			}
		}
	})
}

// What does a hit on the disk cost from look-up to the last byte, of few objects, whose heads are remembered, and of many?
func BenchmarkDiskHit32K(b *testing.B)     { benchmarkDiskHit(b, 20) }
func BenchmarkDiskHitMany32K(b *testing.B) { benchmarkDiskHit(b, 1000) }

func benchmarkDiskHit(b *testing.B, paths int) {
	s, end := newDiskBench(b, b.TempDir(), 1<<20)
	defer end()
	s.loaded()
	s.fillPaths(paths)
	queries := make([]*Query, paths)
	for i := range queries {
		queries[i] = s.query(fmt.Sprint("/", i))
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		s.readHit(queries[i%paths], 32<<10)
	}
}

// Several requests may read one Object, each at its own time, and by then its name may have another body on the disk, and its own
// may be gone.
func TestAnOldBodyIsNeverReadFromANewRecord(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, end := newDiskBench(t, t.TempDir(), 4<<20)
		defer end()
		b.loaded()
		b.origin = func(_ context.Context, n int64, _ *Meta) (*http.Response, error) {
			return replyText(strings.Repeat(fmt.Sprint("body ", n, " "), 40_000), "Cache-Control: max-age=600"), nil
		}
		q := b.query("/a")
		read := func(o *Object) (string, error) { return b.body(Answer{Object: o}) }
		first, _ := b.get("/a")
		o := b.disk.find(q)
		for range 2 {
			if got, err := read(o); got != first || err != nil {
				t.Fatalf("%d bytes, %v, want the first body", len(got), err)
			}
		}
		replace := func() {
			if second, err := b.body(b.fill(q, o, false)); second == first || err != nil {
				t.Fatalf("fill: %d bytes, %v, want another body", len(second), err)
			}
			synctest.Wait()
		}
		replace()
		if got, err := read(o); got != first || err != nil {
			t.Errorf("replaced, the first object has %.12q, %v, want its own body", got, err)
		}
		for n := 0; b.disk.tier.Stat().Evicted < 5; n++ {
			b.get(fmt.Sprint("/flood/", n))
		}
		replace()
		if got, err := read(o); got != "" || !errors.Is(err, disk.ErrGone) {
			t.Errorf("evicted, the first object has %.12q, %v, want no bytes and that they are gone", got, err)
		}
	})
}

// A hit on the disk makes nothing for the garbage collector while the head is remembered, and little when it is not.
func TestDiskHitAllocates(t *testing.T) {
	pool := sync.Pool{New: func() any { return new(int) }}
	putAndGet := func() {
		for range 100 {
			pool.Put(pool.Get())
		}
	}
	if testing.AllocsPerRun(10, putAndGet) > 0 {
		t.Skip("pools do not keep what they are given: the race detector is on")
	}
	for _, c := range []struct {
		name       string
		paths      int
		most       float64
		remembered bool
	}{{"remembered", 1, 0, true}, {"not remembered", 4, 3, false}} {
		t.Run(c.name, func(t *testing.T) {
			b, end := newDiskBench(t, t.TempDir(), 1<<20) // 10 KiB stay in memory, of bodies
			defer end()
			b.loaded()
			b.fillPaths(c.paths)
			queries := make([]*Query, c.paths)
			for i := range queries {
				queries[i] = b.query(fmt.Sprint("/", i))
			}
			n := 0
			got := testing.AllocsPerRun(200, func() {
				if !c.remembered {
					*b.disk.heads.set(b.location(queries[n%c.paths])) = headSet{}
				}
				b.readHit(queries[n%c.paths], 32<<10)
				n++
			})
			if got > c.most {
				t.Errorf("%v allocations, want at most %v", got, c.most)
			}
		})
	}
}

// fillPaths puts so many bodies of 32 KiB on the disk.
func (b *bench) fillPaths(n int) {
	text := strings.Repeat("x", 32<<10)
	b.origin = func(context.Context, int64, *Meta) (*http.Response, error) {
		return replyText(text, "Cache-Control: max-age=6000", `Etag: "1"`, "Content-Type: text/html", "Last-Modified: Tue, 01 Sep 2026 00:00:00 GMT"), nil
	}
	for i := range n {
		b.body(b.fill(b.query(fmt.Sprint("/", i)), nil, false))
	}
	b.fills.Wait()
	b.disk.tier.Sync(context.Background())
}

func (b *bench) location(q *Query) disk.Location {
	ref, _ := b.disk.tier.Lookup(nameOf(q.Hash, q.Key, ""))
	return ref.Location()
}

// readHit looks an object up and reads its body, of one block, as a request does.
func (b *bench) readHit(q *Query, length int) {
	o, d := b.look(q)
	if d.Outcome != Hit {
		b.t.Fatalf("%s: %s, want a hit", q.Path, d.Outcome)
	}
	var r Reader
	o.Own.Body.Open(&r, 0)
	if p, _, err := r.Next(1 << 20); len(p) != length || err != nil {
		b.t.Fatalf("%s: %d bytes, %v, want %d", q.Path, len(p), err, length)
	}
	r.Close()
	o.Done()
}
