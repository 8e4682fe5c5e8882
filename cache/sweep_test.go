package cache

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// sweeping runs the sweeper inside the bubble until the returned function is called.
func (b *bench) sweeping(purged <-chan struct{}) (end func()) {
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- b.Sweep(ctx, purged) }()
	return func() {
		stop()
		if err := <-ended; err != nil {
			b.t.Error(err)
		}
	}
}

func TestASweepFreesMemory(t *testing.T) {
	var purges onePurge
	inBubble(t, &purges, 64<<20, func(t *testing.T, b *bench) {
		b.origin = func(context.Context, int64, *Meta) (*http.Response, error) {
			return replyText(strings.Repeat("x", 1000), "Cache-Control: max-age=600"), nil
		}
		for i := range 3000 {
			b.get(fmt.Sprint("/", i))
		}
		purged := make(chan struct{}, 1)
		defer b.sweeping(purged)()
		purges.at.Store(1)
		purged <- struct{}{}
		b.get("/new")
		time.Sleep(sweepDelay - 1)
		synctest.Wait()
		if got := b.Objects(); got != 3001 {
			t.Errorf("%d objects before the sweep, want 3001", got)
		}
		time.Sleep(1 + 5*sweepPause)
		synctest.Wait()
		if got := b.Objects(); got != 1 || b.Bytes() > 4000 || b.Stats().SweptMemory.Load() != 3000 {
			t.Errorf("%d objects of %d bytes after the sweep, %d swept", got, b.Bytes(), b.Stats().SweptMemory.Load())
		}
		if _, how := b.get("/new"); how != "hit" {
			t.Errorf("what came after the purge: %s, want a hit", how)
		}
	})
}

// A sweep is paced, and rests as long as it took.
func TestSweepsRest(t *testing.T) {
	var purges everyPurge
	inBubble(t, &purges, 64<<20, func(t *testing.T, b *bench) {
		b.origin = func(context.Context, int64, *Meta) (*http.Response, error) {
			return replyText("x", "Cache-Control: max-age=600"), nil
		}
		purged := make(chan struct{})
		defer b.sweeping(purged)()
		begun := time.Now()
		for range 3 {
			purged <- struct{}{} // taken once the sweep before has ended
		}
		if took := time.Since(begun); took != 2*sweepDelay {
			t.Errorf("two sweeps of nothing took %v, want two rests", took)
		}
	})
}

func TestASweepFreesTheDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var purges onePurge
		b, end := diskBench(t, StoreConfig{MaxBytes: 16 << 20, Disk: DiskConfig{Path: t.TempDir(), Size: 64 << 20}}, &purges)
		defer end()
		b.loaded()
		b.origin = func(context.Context, int64, *Meta) (*http.Response, error) {
			return replyText(strings.Repeat("x", 50<<10), "Cache-Control: max-age=600"), nil
		}
		for i := range 600 {
			b.get(fmt.Sprint("/", i))
		}
		if err := b.disk.tier.Sync(t.Context()); err != nil {
			t.Fatal(err)
		}
		before := b.Disk().Stat()
		if before.Records != 600 {
			t.Fatalf("%d records, want 600", before.Records)
		}
		purged := make(chan struct{}, 1)
		defer b.sweeping(purged)()
		purges.at.Store(1)
		purged <- struct{}{}
		b.get("/new")
		time.Sleep(time.Minute)
		synctest.Wait()
		after := b.Disk().Stat()
		if after.Records != 1 || b.Stats().SweptDisk.Load() != 600 {
			t.Errorf("%d records after the sweep, %d swept", after.Records, b.Stats().SweptDisk.Load())
		}
		if after.Used > before.Used/4 {
			t.Errorf("%d bytes of the disk are used, of %d before", after.Used, before.Used)
		}
	})
}

// What a purge has overtaken is not kept for nobody.
func TestAFillThatAPurgeHasOvertakenIsNotKept(t *testing.T) {
	var purges onePurge
	inBubble(t, &purges, 1<<20, func(t *testing.T, b *bench) {
		b.origin = func(ctx context.Context, _ int64, _ *Meta) (*http.Response, error) {
			body := &trickle{ctx: ctx, steps: []string{"ab", "cd"}, every: time.Second}
			return reply(200, body, 4, "Cache-Control: max-age=600"), nil
		}
		a := b.fill(b.query("/a"), nil, false)
		purges.at.Store(1)
		if got, err := b.body(a); got != "abcd" || err != nil {
			t.Errorf("whoever waited got %q, %v", got, err)
		}
		synctest.Wait()
		if got := b.Objects(); got != 0 {
			t.Errorf("%d objects are stored, want none", got)
		}
	})
}
