package edge

import (
	"github.com/prometheus/client_golang/prometheus"

	"selvage/cache"
)

// diskCollector tells what the disk tier counts, from one look at it for every scrape.
type diskCollector struct{ disk *cache.Disk }

// diskMetric is one figure of a DiskStat.
type diskMetric struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(*cache.DiskStat) int64
}

var diskMetrics = []diskMetric{
	diskGauge("records", "Records that can be found.", func(s *cache.DiskStat) int64 { return s.Records }),
	diskGauge("bytes", "What the folder holds.", func(s *cache.DiskStat) int64 { return s.Used }),
	diskGauge("live_bytes", "What of it belongs to records.", func(s *cache.DiskStat) int64 { return s.Live }),
	diskGauge("index_bytes", "What of it is index.", func(s *cache.DiskStat) int64 { return s.Index }),
	diskGauge("limit_bytes", "What the folder may hold.", func(s *cache.DiskStat) int64 { return s.Limit }),
	diskGauge("segments", "Segment files.", func(s *cache.DiskStat) int64 { return int64(s.Segments) }),
	diskGauge("queued_bytes", "Bytes on their way to the disk.", func(s *cache.DiskStat) int64 { return s.Queued }),
	diskGauge("loaded", "1 once the records found at start are known.", func(s *cache.DiskStat) int64 { return bit(s.Loaded) }),
	diskGauge("writable", "0 in a pause after an error of the disk.", func(s *cache.DiskStat) int64 { return bit(s.Writable) }),
	diskCounter("reads_total", "Records opened.", func(s *cache.DiskStat) int64 { return s.Reads }),
	diskCounter("dropped_writes_total", "Records not kept: queue full, disk unavailable, or overtaken.",
		func(s *cache.DiskStat) int64 { return s.Dropped }),
	diskCounter("evicted_segments_total", "Segments dropped for room.", func(s *cache.DiskStat) int64 { return s.Evicted }),
	diskCounter("rescued_records_total", "Records moved out of a segment before it was dropped.",
		func(s *cache.DiskStat) int64 { return s.Rescued }),
	diskCounter("compacted_segments_total", "Segments rewritten because little of them was live.",
		func(s *cache.DiskStat) int64 { return s.Compacted }),
	diskCounter("corrupt_blocks_total", "Blocks that failed their checksum; none of their bytes was served.",
		func(s *cache.DiskStat) int64 { return s.CorruptBlocks }),
	diskCounter("errors_total", "Errors of the disk.", func(s *cache.DiskStat) int64 { return s.Errors }),
	diskCounter("sync_failures_total", "Segments dropped because a sync failed.", func(s *cache.DiskStat) int64 { return s.SyncFailures }),
}

func diskGauge(name, help string, value func(*cache.DiskStat) int64) diskMetric {
	return diskMetric{prometheus.NewDesc("selvage_disk_"+name, help, nil, nil), prometheus.GaugeValue, value}
}

func diskCounter(name, help string, value func(*cache.DiskStat) int64) diskMetric {
	return diskMetric{prometheus.NewDesc("selvage_disk_"+name, help, nil, nil), prometheus.CounterValue, value}
}

func bit(set bool) int64 {
	if set {
		return 1
	}
	return 0
}

func (c diskCollector) Describe(out chan<- *prometheus.Desc) {
	for _, m := range diskMetrics {
		out <- m.desc
	}
}

func (c diskCollector) Collect(out chan<- prometheus.Metric) {
	s := c.disk.Stat()
	for _, m := range diskMetrics {
		out <- prometheus.MustNewConstMetric(m.desc, m.kind, float64(m.value(&s)))
	}
}
