package edge

import (
	"github.com/prometheus/client_golang/prometheus"

	"selvage/origin"
)

// upstreamCollector tells what the pools in force know of their upstreams, from one look at each for every scrape.
type upstreamCollector struct{ *Edge }

// watchedPool is a pool that can tell.
type watchedPool interface {
	Status() origin.Status
}

// upstreamMetric is one figure of an origin.UpstreamStatus.
type upstreamMetric struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(*origin.UpstreamStatus) float64
}

var upstreamMetrics = []upstreamMetric{
	upstreamGauge("up", "1 while it is asked, 0 while it is down, ejected or cut off.",
		func(s *origin.UpstreamStatus) float64 { return float64(bit(s.Weight > 0)) }),
	upstreamGauge("weight", "Its weight now: less than configured after it has come back, 0 while it is out.",
		func(s *origin.UpstreamStatus) float64 { return s.Weight }),
	upstreamGauge("in_flight", "Requests in flight.", func(s *origin.UpstreamStatus) float64 { return float64(s.InFlight) }),
	upstreamGauge("latency_seconds", "Time to the head of its answers, as of late.", func(s *origin.UpstreamStatus) float64 { return s.Latency }),
	upstreamCounter("answers_total", "Answers, failures included.", func(s *origin.UpstreamStatus) int64 { return s.Answers }),
	upstreamCounter("failures_total", "Answers that never came, broke off, or were a 500, 502, 503 or 504.",
		func(s *origin.UpstreamStatus) int64 { return s.Failures }),
	upstreamCounter("ejections_total", "Times it was ejected for its answers.", func(s *origin.UpstreamStatus) int64 { return s.Ejections }),
	upstreamCounter("returns_total", "Times it came back after being down or ejected.", func(s *origin.UpstreamStatus) int64 { return s.Returns }),
	upstreamCounter("checks_total", "Checks made.", func(s *origin.UpstreamStatus) int64 { return s.Checks }),
	upstreamCounter("failed_checks_total", "Checks that were not well.", func(s *origin.UpstreamStatus) int64 { return s.FailedChecks }),
}

var (
	outDesc     = originDesc("out", "1 while no upstream is left that can be expected to answer.")
	queuedDesc  = originDesc("queued", "Requests that wait for an upstream below its limits.")
	retriesDesc = originDesc("retries_total", "Requests sent once more.")
	refusedDesc = originDesc("retries_refused_total", "Retries that the budget had nothing left for.")
)

func originDesc(name, help string) *prometheus.Desc {
	return prometheus.NewDesc("selvage_origin_"+name, help, []string{"origin"}, nil)
}

func upstreamGauge(name, help string, value func(*origin.UpstreamStatus) float64) upstreamMetric {
	desc := prometheus.NewDesc("selvage_upstream_"+name, help, []string{"origin", "upstream"}, nil)
	return upstreamMetric{desc, prometheus.GaugeValue, value}
}

func upstreamCounter(name, help string, value func(*origin.UpstreamStatus) int64) upstreamMetric {
	m := upstreamGauge(name, help, func(s *origin.UpstreamStatus) float64 { return float64(value(s)) })
	m.kind = prometheus.CounterValue
	return m
}

func (c upstreamCollector) Describe(out chan<- *prometheus.Desc) {
	out <- outDesc
	out <- queuedDesc
	out <- retriesDesc
	out <- refusedDesc
	for _, m := range upstreamMetrics {
		out <- m.desc
	}
}

func (c upstreamCollector) Collect(out chan<- prometheus.Metric) {
	for name, p := range c.conf.Load().pools {
		if p, ok := p.(watchedPool); ok {
			collectPool(name, p, out)
		}
	}
}

func collectPool(name string, p watchedPool, out chan<- prometheus.Metric) {
	s := p.Status()
	out <- prometheus.MustNewConstMetric(outDesc, prometheus.GaugeValue, float64(bit(s.Out)), name)
	out <- prometheus.MustNewConstMetric(queuedDesc, prometheus.GaugeValue, float64(s.Queued), name)
	out <- prometheus.MustNewConstMetric(retriesDesc, prometheus.CounterValue, float64(s.Retries), name)
	out <- prometheus.MustNewConstMetric(refusedDesc, prometheus.CounterValue, float64(s.RetriesRefused), name)
	for _, u := range s.Upstreams {
		for _, m := range upstreamMetrics {
			out <- prometheus.MustNewConstMetric(m.desc, m.kind, m.value(&u), name, u.Upstream)
		}
	}
}
