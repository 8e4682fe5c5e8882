package encode

import (
	"io"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// What others do on the same processors is not the encoder's work.
func TestTheMeterCountsAnEncodersOwnTime(t *testing.T) {
	if raceDetector {
		t.Skip("takes seconds")
	}
	src := prose(4 << 20)
	work := func() time.Duration {
		m := new(Meter)
		w := m.NewWriter(io.Discard, Gzip, Fast, -1)
		_, _ = w.Write(src)
		_ = w.Close()
		for _, f := range m.Stats().Flows {
			if f.Bodies > 0 {
				return f.CPU
			}
		}
		return 0
	}
	alone := work()
	var over atomic.Bool
	var others sync.WaitGroup
	for range 8 * runtime.GOMAXPROCS(0) {
		others.Go(func() {
			for !over.Load() {
			}
		})
	}
	among := work()
	over.Store(true)
	others.Wait()
	if alone <= 0 || among > 3*alone {
		t.Errorf("%v, and %v among many", alone, among)
	}
}
