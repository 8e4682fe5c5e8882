package edge

import (
	"github.com/prometheus/client_golang/prometheus"

	"selvage/purge"
)

// purgeCollector tells what the purge journal counts. Kinds and selectors are constants, so all series are there from the
// start.
type purgeCollector struct{ journal *purge.Journal }

var (
	purgesDesc = prometheus.NewDesc("selvage_purges_total",
		"Purges in force since the process began, one for each sort of selector they have.", []string{"kind", "selector"}, nil)
	purgeRowsDesc = prometheus.NewDesc("selvage_purge_rows",
		"Selectors that are remembered.", nil, nil)
	purgeGlobsDesc = prometheus.NewDesc("selvage_purge_globs",
		"Globs among them; beyond 1000 the oldest becomes a prefix.", nil, nil)
	purgeErrorsDesc = prometheus.NewDesc("selvage_purge_write_errors_total",
		"Writes of the purge journal that failed: purges of them were refused, invalidations are tried again.", nil, nil)
)

func (c purgeCollector) Describe(out chan<- *prometheus.Desc) {
	out <- purgesDesc
	out <- purgeRowsDesc
	out <- purgeGlobsDesc
	out <- purgeErrorsDesc
}

func (c purgeCollector) Collect(out chan<- prometheus.Metric) {
	s := c.journal.Stats()
	for _, n := range s.Counts {
		out <- prometheus.MustNewConstMetric(
			purgesDesc, prometheus.CounterValue, float64(n.Purges), n.Kind.String(), n.Selector)
	}
	out <- prometheus.MustNewConstMetric(purgeRowsDesc, prometheus.GaugeValue, float64(s.Rows))
	out <- prometheus.MustNewConstMetric(purgeGlobsDesc, prometheus.GaugeValue, float64(s.Globs))
	out <- prometheus.MustNewConstMetric(purgeErrorsDesc, prometheus.CounterValue, float64(s.WriteErrors))
}
