package edge

import (
	"github.com/prometheus/client_golang/prometheus"

	"selvage/cache"
)

// watchStore adds what the cache counts.
func (m *metrics) watchStore(s *cache.Store) {
	stats := s.Stats()
	gauge := func(name, help string, value func() int64) {
		m.registry.MustRegister(prometheus.NewGaugeFunc(
			prometheus.GaugeOpts{Namespace: "selvage", Subsystem: "cache", Name: name, Help: help},
			func() float64 { return float64(value()) }))
	}
	counter := func(name, help string, value func() int64) {
		m.registry.MustRegister(prometheus.NewCounterFunc(
			prometheus.CounterOpts{Namespace: "selvage", Subsystem: "cache", Name: name, Help: help},
			func() float64 { return float64(value()) }))
	}
	gauge("objects", "Objects in memory.", s.Objects)
	gauge("bytes", "What the objects in memory cost.", s.Bytes)
	gauge("fills", "Bodies being fetched.", stats.Filling.Load)
	gauge("refreshing", "Fetches under way in the background.", stats.Refreshing.Load)
	counter("fills_led_total", "Fetches made, in the background too.", stats.Led.Load)
	counter("fills_coalesced_total", "Requests that shared another's fetch.", stats.Coalesced.Load)
	counter("refreshes_total", "Fetches made in the background.", stats.Refreshed.Load)
	counter("fills_failed_total", "Fetches without a usable answer.", stats.Failed.Load)
	counter("swept_total", "Objects that purges have removed, and whose memory is free now.", stats.SweptMemory.Load)
	counter("swept_records_total", "Records that purges have removed from the disk.", stats.SweptDisk.Load)
	if made := s.Encoding(); made.Meter != nil {
		m.registry.MustRegister(encodeCollector{made})
	}
	if d := s.Disk(); d != nil {
		m.registry.MustRegister(diskCollector{d})
	}
	if configured, _ := s.DiskState(); configured {
		m.watchDisk(s)
	}
}

// watchDisk tells whoever has configured a disk that it is not used: nothing in the answers would.
func (m *metrics) watchDisk(s *cache.Store) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Namespace: "selvage", Subsystem: "disk", Name: "usable",
		Help: "1 while the disk tier takes what it is given, 0 while it is left alone because of errors.",
	}, func() float64 {
		if _, usable := s.DiskState(); usable {
			return 1
		}
		return 0
	}))
}
