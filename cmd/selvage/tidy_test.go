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
		go func() { ended <- tidy(ctx) }()
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
