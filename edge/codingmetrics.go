package edge

import (
	"github.com/prometheus/client_golang/prometheus"

	"selvage/cache"
)

// encodeCollector tells what the making of codings takes, and what comes of it.
type encodeCollector struct{ cache.Encoding }

var (
	encodeBodies   = encodeDesc("bodies_total", "Bodies encoded: fast while a client waited, best for keeps.", "coding", "level")
	encodeIn       = encodeDesc("in_bytes_total", "Bytes that went into encoders.", "coding", "level")
	encodeOut      = encodeDesc("out_bytes_total", "Bytes that came out of them.", "coding", "level")
	encodeSeconds  = encodeDesc("seconds_total", "Processor time that encoders took.", "coding", "level")
	encodeUseless  = encodeDesc("useless_total", "Bodies that were not smaller encoded.")
	encodePlain    = encodeDesc("left_plain_total", "Bodies that went out plain, because too many were being encoded.")
	encodeQueue    = encodeDesc("queue", "Bodies that wait to be encoded for keeps.")
	encodeRefused  = encodeDesc("refused_total", "Bodies that found the queue full.")
	encodePanicked = encodeDesc("panicked_total", "Bodies that an encoder failed at.")
)

func encodeDesc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("selvage_encode_"+name, help, labels, nil)
}

// Describe implements prometheus.Collector.
func (c encodeCollector) Describe(out chan<- *prometheus.Desc) { prometheus.DescribeByCollect(c, out) }

// Collect implements prometheus.Collector.
func (c encodeCollector) Collect(out chan<- prometheus.Metric) {
	counter := func(d *prometheus.Desc, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, value, labels...)
	}
	made := c.Meter.Stats()
	for _, f := range made.Flows {
		labels := []string{f.Coding.String(), f.Level.String()}
		counter(encodeBodies, float64(f.Bodies), labels...)
		counter(encodeIn, float64(f.In), labels...)
		counter(encodeOut, float64(f.Out), labels...)
		counter(encodeSeconds, f.CPU.Seconds(), labels...)
	}
	counter(encodeUseless, float64(made.Useless))
	counter(encodePlain, float64(made.LeftPlain))
	if c.Workshop == nil {
		return
	}
	work := c.Workshop.Stats()
	out <- prometheus.MustNewConstMetric(encodeQueue, prometheus.GaugeValue, float64(work.Queue))
	counter(encodeRefused, float64(work.Refused))
	counter(encodePanicked, float64(work.Panicked))
}
