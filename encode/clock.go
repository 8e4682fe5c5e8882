package encode

import (
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// stopwatch takes the processor time of the goroutine that starts and stops it, whose thread is its own meanwhile: by the clock on
// the wall an encoder on a busy machine takes as long as all who want a processor beside it.
type stopwatch time.Duration

func startWatch() stopwatch {
	runtime.LockOSThread()
	return stopwatch(threadTime())
}

func (s stopwatch) stop() time.Duration {
	defer runtime.UnlockOSThread()
	return threadTime() - time.Duration(s)
}

func threadTime() time.Duration {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t) // every system that we run on has that clock
	return time.Duration(t.Nano())
}
