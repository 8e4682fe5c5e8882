package edge

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"selvage/edge/internal/stream"
)

// streamMetrics counts what goes through streams. It outlives reloads: connections do.
type streamMetrics struct {
	errors *prometheus.CounterVec // stream, reason

	mu  sync.Mutex
	all map[streamLabels]*stream.Traffic // guarded by mu
}

// streamLabels are the configuration's.
type streamLabels struct{ stream, origin string }

func newStreamMetrics() *streamMetrics {
	return &streamMetrics{
		errors: counters("stream_errors_total", "Connections of streams that were refused or cut.", "stream", "reason"),
		all:    map[streamLabels]*stream.Traffic{},
	}
}

// traffic returns what is counted for an origin of a stream.
func (m *streamMetrics) traffic(label, origin string) *stream.Traffic {
	m.mu.Lock()
	defer m.mu.Unlock()
	l := streamLabels{label, origin}
	if m.all[l] == nil {
		m.all[l] = new(stream.Traffic)
	}
	return m.all[l]
}

var (
	streamTotalDesc = prometheus.NewDesc("selvage_stream_connections_total", "Connections of streams, those included for which no upstream was found.",
		[]string{"stream", "origin"}, nil)
	streamOpenDesc = prometheus.NewDesc("selvage_stream_open", "Connections of streams that are open.",
		[]string{"stream", "origin"}, nil)
	streamBytesDesc = prometheus.NewDesc("selvage_stream_bytes_total", "Bytes received from clients of streams, and sent to them.",
		[]string{"stream", "origin", "direction"}, nil)
)

// Describe implements prometheus.Collector.
func (m *streamMetrics) Describe(out chan<- *prometheus.Desc) {
	out <- streamTotalDesc
	out <- streamOpenDesc
	out <- streamBytesDesc
	m.errors.Describe(out)
}

// Collect implements prometheus.Collector.
func (m *streamMetrics) Collect(out chan<- prometheus.Metric) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for l, t := range m.all {
		tell := func(desc *prometheus.Desc, kind prometheus.ValueType, value int64, more ...string) {
			out <- prometheus.MustNewConstMetric(desc, kind, float64(value), append([]string{l.stream, l.origin}, more...)...)
		}
		tell(streamTotalDesc, prometheus.CounterValue, t.Total.Load())
		tell(streamOpenDesc, prometheus.GaugeValue, t.Open.Load())
		tell(streamBytesDesc, prometheus.CounterValue, t.Received.Load(), "received")
		tell(streamBytesDesc, prometheus.CounterValue, t.Sent.Load(), "sent")
	}
	m.errors.Collect(out)
}
