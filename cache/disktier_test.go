package cache

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"selvage/cache/internal/disk"
)

// newDiskBench is a bench with a disk tier in dir, which end stops as a clean shutdown does.
func newDiskBench(t testing.TB, dir string, memory int64) (b *bench, end func()) {
	t.Helper()
	return newDiskBenchWith(t, dir, memory, noPurges{})
}

func newDiskBenchWith(t testing.TB, dir string, memory int64, purges Purges) (b *bench, end func()) {
	t.Helper()
	s, err := NewStore(StoreConfig{MaxBytes: memory, Disk: DiskConfig{Path: dir, Size: 64 << 20}}, SystemClock(), purges)
	if err != nil {
		t.Fatal(err)
	}
	c := DefaultConfig()
	c.MaxObject = s.MaxObject()
	b = &bench{Store: s, t: t, policy: c.Compile()}
	ctx, stop := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- s.Run(ctx) }()
	return b, func() {
		t.Helper()
		s.Close()
		stop()
		if err := <-ran; err != nil {
			t.Error(err)
		}
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

func BenchmarkDiskHit32K(b *testing.B) {
	s, end := newDiskBench(b, b.TempDir(), 1<<20)
	defer end()
	s.loaded()
	text := strings.Repeat("x", 32<<10)
	s.origin = func(context.Context, int64, *Meta) (*http.Response, error) {
		return replyText(text, "Cache-Control: max-age=6000", `Etag: "1"`, "Content-Type: text/html", "Last-Modified: Tue, 01 Sep 2026 00:00:00 GMT"), nil
	}
	const n = 200
	for i := range n {
		s.body(s.fill(s.query(fmt.Sprint("/", i)), nil, false))
	}
	s.fills.Wait()
	s.disk.tier.Sync(context.Background())
	queries := make([]*Query, n)
	for i := range queries {
		queries[i] = s.query(fmt.Sprint("/", i))
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		o, _ := s.look(queries[i%n])
		if o == nil {
			b.Fatal("miss")
		}
		var r Reader
		o.Own.Body.Open(&r, 0)
		if p, _, err := r.Next(1 << 20); len(p) != len(text) || err != nil {
			b.Fatal(len(p), err)
		}
		r.Close()
		o.Done()
	}
}

// TestAnOldBodyIsNeverReadFromANewRecord: several requests may read one Object, each at its own time, and by then its name may
// have another body on the disk.
func TestAnOldBodyIsNeverReadFromANewRecord(t *testing.T) {
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
		synctest.Wait()
		o := b.disk.find(q)
		for range 2 {
			if got, err := read(o); got != first || err != nil {
				t.Fatalf("%d bytes, %v, want the first body", len(got), err)
			}
		}
		if second, err := b.body(b.fill(q, o, false)); second == first || err != nil {
			t.Fatalf("fill: %d bytes, %v, want the second body", len(second), err)
		}
		synctest.Wait()
		if got, err := read(o); got != "" || !errors.Is(err, disk.ErrGone) {
			t.Errorf("the first object has %.12q, %v, want no bytes and that they are gone", got, err)
		}
	})
}
