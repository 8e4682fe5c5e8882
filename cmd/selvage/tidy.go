package main

import (
	"context"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// Go collects what is dead when as much again has been allocated as is alive, and gives it back slowly. A node that has shaken ten
// thousand hands, and then waits, would keep what that left behind for as long as it waits. So in a calm moment, when enough
// has gathered to be worth it, it is given back at once.
const (
	tidyEvery = 500 * time.Millisecond
	calm      = 1 << 20  // bytes allocated in that time
	worthIt   = 16 << 20 // bytes; and a quarter of what is alive
)

// ballastFor returns how much the collector is to believe alive beside what is: of a node with little in its cache that is so little
// that it would collect every few hundred handshakes, which is a twentieth of their cost. It stays within the room that the
// memory tier will take once it is full, and that of a memory limit is not for promises.
func ballastFor(f *File, limited bool) int64 {
	if limited {
		return 0
	}
	return min(f.Memory/4, 48<<20)
}

// heapState is what the runtime says of its memory, in bytes.
type heapState struct {
	allocated uint64 // since the start
	taken     uint64 // by what is alive, dead and not yet collected, or free and not given back
	live      uint64 // found by the last collection
}

var heapSamples = []string{
	"/gc/heap/allocs:bytes", "/memory/classes/heap/objects:bytes", "/memory/classes/heap/free:bytes", "/gc/heap/live:bytes",
}

// heap asks the runtime.
func heap() heapState {
	all := make([]metrics.Sample, len(heapSamples))
	for i, name := range heapSamples {
		all[i].Name = name
	}
	metrics.Read(all)
	return heapState{
		allocated: all[0].Value.Uint64(), taken: all[1].Value.Uint64() + all[2].Value.Uint64(), live: all[3].Value.Uint64(),
	}
}

// isUntidy reports whether memory is to be given back, going by the state before.
func (s heapState) isUntidy(before heapState) bool {
	waste := int64(s.taken) - int64(s.live)
	return s.allocated-before.allocated < calm && waste >= worthIt && waste >= int64(s.live/4)
}

// tidy gives memory back in calm moments until ctx ends, and holds as much ballast: memory that nobody touches, and that therefore
// takes none.
func tidy(ctx context.Context, ballast int64) error {
	held := make([]byte, ballast)
	defer runtime.KeepAlive(held)
	turn := time.NewTicker(tidyEvery)
	defer turn.Stop()
	for before := heap(); ; {
		select {
		case <-ctx.Done():
			return nil
		case <-turn.C:
		}
		now := heap()
		if now.isUntidy(before) {
			debug.FreeOSMemory()
			now = heap()
		}
		before = now
	}
}
