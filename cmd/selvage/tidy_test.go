package main

import (
	"context"
	"runtime"
	"runtime/debug"
	"testing"
	"testing/synctest"
	"time"
)

// TestUntidy: memory is given back in a calm moment, when enough has gathered.
func TestUntidy(t *testing.T) {
	const MiB = 1 << 20
	for _, row := range []struct {
		name string
		now  heapState
		want bool
	}{
		{"calm, and as much is dead as is alive", heapState{allocated: 100 * MiB, taken: 80 * MiB, live: 40 * MiB}, true},
		{"work is going on", heapState{allocated: 110 * MiB, taken: 80 * MiB, live: 40 * MiB}, false},
		{"too little has gathered", heapState{allocated: 100 * MiB, taken: 15 * MiB, live: 5 * MiB}, false},
		{"too little beside what is alive", heapState{allocated: 100 * MiB, taken: 1100 * MiB, live: 1000 * MiB}, false},
		{"more is alive than is taken, for a moment", heapState{allocated: 100 * MiB, taken: 40 * MiB, live: 60 * MiB}, false},
	} {
		if got := row.now.isUntidy(heapState{allocated: 100 * MiB}); got != row.want {
			t.Errorf("%s: %v, want %v", row.name, got, row.want)
		}
	}
}

// TestTidy: what is dead does not stay. The bubble's clock waits while memory is given back.
func TestTidy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		runtime.GC()
		defer debug.SetGCPercent(debug.SetGCPercent(-1)) // nobody else collects meanwhile
		dead := make([][]byte, 64)
		for i := range dead {
			dead[i] = make([]byte, 1<<20)
		}
		before := heap()
		clear(dead)
		ctx, end := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- tidy(ctx, 0) }()
		time.Sleep(4 * tidyEvery)
		if now := heap(); now.taken+32<<20 > before.taken {
			t.Errorf("%+v, and at first %+v", now, before)
		}
		end()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// TestBallastFor: it is within what the memory tier may take, and there is none under a memory limit.
func TestBallastFor(t *testing.T) {
	const MiB = 1 << 20
	for _, row := range []struct {
		memory  int64
		limited bool
		want    int64
	}{{256 * MiB, false, 48 * MiB}, {4 * MiB, false, MiB}, {0, false, 0}, {256 * MiB, true, 0}} {
		if got := ballastFor(&File{Memory: row.memory}, row.limited); got != row.want {
			t.Errorf("of %d, limited %v: %d, want %d", row.memory, row.limited, got, row.want)
		}
	}
}

// TestBallast: with it the collector runs less often.
func TestBallast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		collections := func() (n uint32) {
			runtime.GC()
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			for range 40 << 4 {
				garbage = make([]byte, 64<<10) // 40 MiB in all
			}
			runtime.ReadMemStats(&after)
			return after.NumGC - before.NumGC
		}
		without := collections()
		ctx, end := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- tidy(ctx, 48<<20) }()
		synctest.Wait()
		if with := collections(); with > without/2 || without == 0 {
			t.Errorf("%d collections with ballast, %d without", with, without)
		}
		end()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

var garbage []byte // what is dead at once, for the compiler not to know
