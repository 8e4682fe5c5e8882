package encode

import (
	"runtime/metrics"
	"time"
)

// waitsMetric is how long goroutines waited for a processor before they ran.
const waitsMetric = "/sched/latencies:seconds"

// Crowded returns a function that says whether, since it was last asked, goroutines have had to wait for a processor: whether
// more than one in a hundred waited for over a millisecond.
func Crowded() func() bool {
	sample := []metrics.Sample{{Name: waitsMetric}}
	var all, late uint64
	return func() bool {
		metrics.Read(sample)
		if sample[0].Value.Kind() != metrics.KindFloat64Histogram {
			return false
		}
		allBefore, lateBefore := all, late
		all, late = waits(sample[0].Value.Float64Histogram())
		return (late-lateBefore)*100 > all-allBefore
	}
}

// waits counts all waits in a histogram, and those of a millisecond or more.
func waits(h *metrics.Float64Histogram) (all, late uint64) {
	for i, n := range h.Counts {
		all += n
		if h.Buckets[i] >= time.Millisecond.Seconds() {
			late += n
		}
	}
	return all, late
}
