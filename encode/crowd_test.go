package encode

import (
	"math"
	"runtime"
	"runtime/metrics"
	"testing"
)

func TestWaits(t *testing.T) {
	for _, tt := range []struct {
		name      string
		buckets   []float64
		counts    []uint64
		all, late uint64
	}{
		{"nothing yet", []float64{math.Inf(-1), math.Inf(1)}, []uint64{0}, 0, 0},
		{"some of each", []float64{0, 1e-6, 1e-3, 1e-2, math.Inf(1)}, []uint64{5, 4, 3, 2}, 14, 5},
	} {
		all, late := waits(&metrics.Float64Histogram{Buckets: tt.buckets, Counts: tt.counts})
		if all != tt.all || late != tt.late {
			t.Errorf("%s: waits = %d, %d, want %d, %d", tt.name, all, late, tt.all, tt.late)
		}
	}
}

// The metric is the runtime's, and would be missed silently.
func TestTheRuntimeTellsOfWaits(t *testing.T) {
	sample := []metrics.Sample{{Name: waitsMetric}}
	metrics.Read(sample)
	if sample[0].Value.Kind() != metrics.KindFloat64Histogram {
		t.Fatalf("%s is not known", waitsMetric)
	}
	all := uint64(0)
	for range 100_000 { // the runtime looks at one wait in eight
		if all, _ = waits(sample[0].Value.Float64Histogram()); all > 0 {
			break
		}
		runtime.Gosched()
		metrics.Read(sample)
	}
	if all == 0 {
		t.Error("no goroutine has ever waited")
	}
	crowded := Crowded()
	crowded() // since the process began
	if crowded() {
		t.Log("this machine is crowded")
	}
}
