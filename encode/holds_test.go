package encode

import (
	"io"
	"runtime"
	"testing"
)

// A Fast encoder is one of as many as there are responses that stream.
func TestFastEncodersHoldLittle(t *testing.T) {
	if raceDetector {
		t.Skip("one goroutine, and large bodies")
	}
	const most = 1536 << 10
	src := prose(3 << 19)
	for _, c := range made {
		held := holds(c, src)
		t.Logf("%v holds %d KiB", c, held>>10)
		if held > most {
			t.Errorf("%v holds %d KiB, want at most %d", c, held>>10, most>>10)
		}
	}
}

// holds returns how much memory an encoder takes in mid-body.
func holds(c Coding, src []byte) int64 {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.GC() // what is in a pool survives the first
	runtime.ReadMemStats(&before)
	var some [4]*Writer
	for i := range some {
		some[i] = NewWriter(io.Discard, c, Fast, -1)
		_, _ = some[i].Write(src)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	for _, w := range some {
		w.Abort()
	}
	return (int64(after.HeapAlloc) - int64(before.HeapAlloc)) / int64(len(some))
}
