package edge

import (
	"net/http"
	"runtime"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// metrics counts what Results tell. It has a registry of its own, which other rooms may add their collectors to.
//
// Every label has a bounded number of values: sites are the configuration's, verdicts and reasons are constants, and what
// the wire could make up (versions, statuses) is folded to what exists.
type metrics struct {
	registry *prometheus.Registry

	answered       *tally
	aborted        *prometheus.CounterVec   // site
	originRequests *prometheus.CounterVec   // site, code
	originDuration *prometheus.HistogramVec // site
	refusedHeads   *prometheus.CounterVec   // reason
	logLinesLost   prometheus.Counter
	streams        *streamMetrics
}

// durationBuckets reach from a hit in memory to an origin that is given up.
var durationBuckets = [...]float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}

func newMetrics(version string) *metrics {
	m := &metrics{
		registry:       prometheus.NewRegistry(),
		answered:       newTally(),
		aborted:        counters("responses_aborted_total", "Answers that the client did not get whole.", "site"),
		originRequests: counters("origin_requests_total", "Requests sent to origins; code is error when no head came back.", "site", "code"),
		originDuration: histograms("origin_duration_seconds", "Time from asking an origin to the head of its answer, or to its failure.", "site"),
		refusedHeads:   counters("refused_heads_total", "Requests refused for their head, before a site was chosen.", "reason"),
		streams:        newStreamMetrics(),
		logLinesLost: prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: "selvage", Name: "log_lines_lost_total", Help: "Access log lines that were not written.",
		}),
	}
	m.registry.MustRegister(m.answered, m.aborted, m.originRequests, m.originDuration,
		m.refusedHeads, m.logLinesLost, m.streams, buildInfo(version),
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func counters(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "selvage", Name: name, Help: help}, labels)
}

func histograms(name, help string, labels ...string) *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(
		prometheus.HistogramOpts{Namespace: "selvage", Name: name, Help: help, Buckets: durationBuckets[:]}, labels)
}

func buildInfo(version string) prometheus.Collector {
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Namespace: "selvage", Name: "build_info", Help: "1, labelled with what this program is.",
		ConstLabels: prometheus.Labels{"version": version, "go": runtime.Version()},
	})
	info.Set(1)
	return info
}

// Register adds another room's collector.
func (m *metrics) Register(c prometheus.Collector) error { return m.registry.Register(c) }

// Handler answers scrapes.
func (m *metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{Registry: m.registry})
}

// Record counts an answered request.
func (m *metrics) Record(r *Result) {
	m.answered.add(r)
	if r.Aborted {
		m.aborted.WithLabelValues(r.Site).Inc()
	}
}

// RecordOrigin counts one exchange with an origin; status is 0 when no head came back. It is told by who made the exchange:
// of the Results that a shared fill answers, each shows the same one, and a background fill has none.
func (m *metrics) RecordOrigin(site string, status int, took time.Duration) {
	code := "error"
	if status != 0 {
		code = codeLabel(status)
	}
	m.originRequests.WithLabelValues(site, code).Inc()
	m.originDuration.WithLabelValues(site).Observe(took.Seconds())
}

// RefusedHead counts a head that was refused before a site was chosen. reason is one of a fixed set.
func (m *metrics) RefusedHead(reason string) { m.refusedHeads.WithLabelValues(reason).Inc() }

// LogLinesLost counts access log lines that were not written.
func (m *metrics) LogLinesLost(lines int) { m.logLinesLost.Add(float64(lines)) }

// codes holds the statuses that exist (RFC 9110, section 15) as labels.
var codes = func() (out [600]string) {
	for status := 100; status < len(out); status++ {
		out[status] = strconv.Itoa(status)
	}
	return out
}()

// codeLabel folds statuses that do not exist, which an origin may send all the same.
func codeLabel(status int) string {
	if !statusExists(status) {
		return "other"
	}
	return codes[status]
}

func statusExists(status int) bool { return 100 <= status && status < len(codes) }
