package edge

import (
	"context"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"selvage/cache"
	"selvage/purge"
)

// scrape returns the samples of our own names, one a line, as a scrape sees them.
func scrape(t *testing.T, m *metrics) string {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if w.Code != 200 {
		t.Fatalf("GET /metrics: status = %d, want 200: %s", w.Code, w.Body)
	}
	return w.Body.String()
}

func TestMetrics(t *testing.T) {
	m := newMetrics("v1.2.3")
	r := exampleResult()
	m.Record(r)
	m.Record(r)
	m.Record(&Result{Proto: "HTTP/9", Status: 421, Reason: cache.Fresh, Total: time.Second}) // no site was chosen
	m.Record(&Result{Site: "shop", Looked: true, Outcome: cache.Hit, Reason: cache.Fresh, Proto: "HTTP/2.0", Status: 999, Bytes: 7})
	m.RecordOrigin("shop", 200, 3*time.Millisecond)
	m.RecordOrigin("shop", 0, time.Second)
	m.RefusedHead("bare-lf")
	m.LogLinesLost(5)
	lane := prometheus.NewCounter(prometheus.CounterOpts{Name: "selvage_lane_hits_total", Help: "Test."})
	if err := m.Register(lane); err != nil {
		t.Fatal(err)
	}
	if err := m.Register(lane); err == nil {
		t.Error("a collector was registered twice")
	}

	text := scrape(t, m)
	for _, want := range []string{
		`selvage_requests_total{cache="miss",code="200",proto="HTTP/1.1",reason="uri-miss",site="shop"} 2`,
		`selvage_requests_total{cache="none",code="421",proto="other",reason="",site=""} 1`,
		`selvage_requests_total{cache="hit",code="other",proto="HTTP/2.0",reason="fresh",site="shop"} 1`,
		`selvage_request_duration_seconds_count{cache="miss",site="shop"} 2`,
		`selvage_request_duration_seconds_sum{cache="miss",site="shop"} 6`,
		`selvage_request_duration_seconds_bucket{cache="none",site="",le="1"} 1`,
		`selvage_request_duration_seconds_bucket{cache="none",site="",le="0.5"} 0`,
		`selvage_response_bytes_total{cache="miss",site="shop"} 2468`,
		`selvage_response_bytes_total{cache="hit",site="shop"} 7`,
		`selvage_responses_aborted_total{site="shop"} 2`,
		`selvage_origin_requests_total{code="200",site="shop"} 1`,
		`selvage_origin_requests_total{code="error",site="shop"} 1`,
		`selvage_origin_duration_seconds_count{site="shop"} 2`,
		`selvage_refused_heads_total{reason="bare-lf"} 1`,
		`selvage_log_lines_lost_total 5`,
		`selvage_lane_hits_total 0`,
		`version="v1.2.3"} 1`,
		`go_goroutines `,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("/metrics lacks %s", want)
		}
	}
	// THREATS T37: nothing that a client sent.
	for _, secret := range []string{r.Target, r.Host, r.Referer, r.Agent, r.Client.String()} {
		if strings.Contains(text, secret) {
			t.Errorf("/metrics holds %q", secret)
		}
	}
}

func TestDiskMetrics(t *testing.T) {
	m := newMetrics("dev")
	store, err := cache.NewStore(cache.StoreConfig{
		MaxBytes: 1 << 20, Disk: cache.DiskConfig{Path: filepath.Join(t.TempDir(), "disk"), Size: 16 << 20},
	}, cache.SystemClock(), purge.NewJournal())
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- store.Run(ctx) }()
	defer func() {
		store.Close()
		stop()
		if err := <-ran; err != nil {
			t.Error(err)
		}
	}()
	m.watchStore(store)
	text := scrape(t, m)
	for _, want := range []string{
		"selvage_disk_records 0", "selvage_disk_limit_bytes 1.6777216e+07", "selvage_disk_writable 1", "selvage_disk_queued_bytes 0",
		"# TYPE selvage_disk_bytes gauge", "# TYPE selvage_disk_corrupt_blocks_total counter", "selvage_disk_corrupt_blocks_total 0",
		"selvage_disk_dropped_writes_total 0",
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("/metrics lacks %s", want)
		}
	}
}

func BenchmarkMetricsRecord(b *testing.B) {
	m, r := newMetrics("dev"), exampleResult()
	b.ReportAllocs()
	for b.Loop() {
		m.Record(r)
	}
}

func TestPurgesAreCounted(t *testing.T) {
	m, journal := newMetrics("v1"), purge.NewJournal()
	m.registry.MustRegister(purgeCollector{journal})
	for range 2 {
		if _, err := journal.Add(purge.Entry{Kind: cache.Hard, Tags: []string{"a", "b"}, Globs: []string{"*.css"}}); err != nil {
			t.Fatal(err)
		}
	}
	text := scrape(t, m)
	for _, want := range []string{
		`selvage_purges_total{kind="hard",selector="tag"} 2`,
		`selvage_purges_total{kind="hard",selector="glob"} 2`,
		`selvage_purges_total{kind="soft",selector="all"} 0`,
		`selvage_purge_rows 3`,
		`selvage_purge_globs 1`,
		`selvage_purge_write_errors_total 0`,
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("a scrape has no %s", want)
		}
	}
}
