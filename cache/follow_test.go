package cache

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// noise returns a text that does not repeat.
func noise(length int) string {
	random := rand.NewChaCha8([32]byte{1})
	b := make([]byte, length)
	random.Read(b)
	return string(b)
}

// gated gives a body in pieces, each when it is told to.
type gated struct {
	ctx  context.Context
	rest string
	gate chan int // bytes to let through
	left int
}

func (g *gated) Read(p []byte) (int, error) {
	if g.rest == "" {
		return 0, io.EOF
	}
	if g.left == 0 {
		select {
		case g.left = <-g.gate:
		case <-g.ctx.Done():
			return 0, g.ctx.Err()
		}
	}
	n := copy(p[:min(len(p), g.left)], g.rest)
	g.rest, g.left = g.rest[n:], g.left-n
	return n, nil
}

// some reads from a reader until so many bytes have come or an error.
func some(r *Reader, count int) (string, error) {
	var all strings.Builder
	for all.Len() < count {
		p, wait, err := r.Next(int64(count - all.Len()))
		if err != nil {
			return all.String(), err
		}
		if wait != nil {
			<-wait
		}
		all.Write(p)
	}
	return all.String(), nil
}

// A body that memory will not hold whole is one for all who want it while it comes, early or late, quick or slow: what memory
// has let go is read on the disk.
func TestLargeFillIsFollowedOnTheDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, end := newDiskBench(t, t.TempDir(), 4<<20) // fills of 512 KiB
		defer end()
		b.loaded()
		text := noise(4<<20 + 1234)
		body := &gated{rest: text, gate: make(chan int)}
		b.origin = func(ctx context.Context, _ int64, _ *Meta) (*http.Response, error) {
			body.ctx = ctx
			return reply(200, body, -1, "Cache-Control: max-age=60"), nil
		}
		a := b.fill(b.query("/a"), nil, false)
		first := a.Object
		quick, slow := first.Own.Body.NewReader(0), first.Own.Body.NewReader(0)
		defer slow.Close()
		a.Release()
		body.gate <- 3 << 20
		if got, err := some(quick, 3<<20); got != text[:3<<20] || err != nil {
			t.Fatalf("the quick reader: %d bytes, %v", len(got), err)
		}
		quick.Close()
		time.Sleep(time.Second)
		o, d := b.look(b.query("/a"))
		if o != first || d.Outcome != Hit {
			t.Fatalf("a late request: %s of %p, want a hit of what is filling", d.Outcome, o)
		}
		if got, err := some(slow, 1<<20); got != text[:1<<20] || err != nil {
			t.Fatalf("the slow reader: %d bytes, %v", len(got), err)
		}
		if held := first.Own.Body.held(); held > 1<<20 {
			t.Errorf("%d bytes are held in memory", held)
		}
		late := o.Own.Body.NewReader(0)
		defer late.Close()
		body.gate <- len(text)
		if got, err := some(late, len(text)); got != text || err != nil {
			t.Errorf("the late reader: %d bytes, %v", len(got), err)
		}
		if got, err := some(slow, len(text)); got != text[1<<20:] || err != io.EOF {
			t.Errorf("the slow reader: %d bytes more, %v", len(got), err)
		}
		synctest.Wait()
		if got, how := b.get("/a"); got != text || how != "hit" || b.asked.Load() != 1 {
			t.Errorf("afterwards: %d bytes by %s, the origin was asked %d times", len(got), how, b.asked.Load())
		}
	})
}

// A client that leaves does not end a fill that the disk wants.
func TestLargeFillNobodyReadsGoesToTheDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, end := newDiskBench(t, t.TempDir(), 4<<20)
		defer end()
		b.loaded()
		text := noise(4 << 20)
		b.origin = func(context.Context, int64, *Meta) (*http.Response, error) {
			return reply(200, strings.NewReader(text), -1, "Cache-Control: max-age=60"), nil
		}
		a := b.fill(b.query("/a"), nil, false)
		a.Release()
		b.fills.Wait()
		if got, how := b.get("/a"); got != text || how != "hit" {
			t.Errorf("%d bytes by %s, want all by a hit", len(got), how)
		}
	})
}

// A small object that finds no room among the bodies that are filling goes by the disk, too.
func TestCrowdedFillGoesByTheDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, end := newDiskBench(t, t.TempDir(), 4<<20)
		defer end()
		b.loaded()
		text := noise(300 << 10)
		b.origin = func(context.Context, int64, *Meta) (*http.Response, error) {
			return reply(200, strings.NewReader(text), int64(len(text)), "Cache-Control: max-age=60"), nil
		}
		others := b.max - b.entry()
		if !b.budget.TryAcquire(others) {
			t.Fatal("no room to take")
		}
		defer b.budget.Release(others)
		a := b.fill(b.query("/a"), nil, false)
		r := a.Object.Own.Body.NewReader(0)
		defer r.Close()
		a.Release()
		b.fills.Wait()
		if got, err := some(r, len(text)+1); got != text || err != io.EOF {
			t.Errorf("who came first and read last: %d bytes, %v", len(got), err)
		}
		if got, how := b.get("/a"); got != text || how != "hit" {
			t.Errorf("afterwards: %d bytes by %s", len(got), how)
		}
	})
}

// Without the disk, who is left behind is told so, and nobody joins any more.
func TestFollowedFillWithoutItsDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, end := newDiskBench(t, t.TempDir(), 4<<20)
		defer end()
		b.loaded()
		text := noise(6 << 20)
		body := &gated{rest: text, gate: make(chan int)}
		b.origin = func(ctx context.Context, _ int64, _ *Meta) (*http.Response, error) {
			body.ctx = ctx
			return reply(200, body, -1, "Cache-Control: max-age=60"), nil
		}
		a := b.fill(b.query("/a"), nil, false)
		quick, slow := a.Object.Own.Body.NewReader(0), a.Object.Own.Body.NewReader(0)
		defer slow.Close()
		a.Release()
		body.gate <- 2 << 20
		some(quick, 2<<20)
		time.Sleep(time.Second)
		b.stopDisk()
		body.gate <- len(text)
		if got, err := some(quick, len(text)); got != text[2<<20:] || err != io.EOF {
			t.Errorf("the quick reader: %d bytes more, %v, want all", len(got), err)
		}
		quick.Close()
		if got, err := some(slow, len(text)); !errors.Is(err, ErrFellBehind) || !strings.HasPrefix(text, got) {
			t.Errorf("the slow reader: %d bytes, %v, want a true part and %v", len(got), err, ErrFellBehind)
		}
		if o, d := b.look(b.query("/a")); o != nil {
			t.Errorf("afterwards: %s", d.Outcome)
		}
	})
}

// A body that turns out too large for the disk ends there, and the next one is not tried.
func TestFillThatOutgrowsTheDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, end := newDiskBench(t, t.TempDir(), 4<<20) // bodies of 8 MiB on the disk
		defer end()
		b.loaded()
		text := noise(9 << 20)
		b.origin = func(context.Context, int64, *Meta) (*http.Response, error) {
			return reply(200, strings.NewReader(text), -1, "Cache-Control: max-age=60"), nil
		}
		if got, err := b.body(b.fill(b.query("/a"), nil, false)); !strings.HasPrefix(text, got) || len(got) < len(text) && !errors.Is(err, ErrFellBehind) {
			t.Errorf("%d bytes, %v, want all, or a cut that can be seen", len(got), err)
		}
		b.fills.Wait()
		if o, d := b.look(b.query("/a")); o != nil || d.Reason != PassHitForMiss {
			t.Errorf("afterwards: %s, want %s", d.Reason, PassHitForMiss)
		}
	})
}
