package edge

import (
	"context"
	"flag"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
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

var update = flag.Bool("update", false, "rewrite the expected output of testdata/golden")

// What is scraped is read by dashboards and alerts: names, labels and buckets are promises, and golden/metrics.txt has them.
func TestMetricsGolden(t *testing.T) {
	m := newMetrics("dev")
	for i, took := range []time.Duration{-1, 0, 100 * time.Microsecond, 100*time.Microsecond + 1, 1500 * time.Microsecond, time.Second, 5 * time.Minute} {
		for _, site := range []string{"", "shop"} {
			m.Record(&Result{
				Site: site, Looked: site != "", Outcome: cache.Outcome(i % 2), Reason: cache.Fresh, Proto: "HTTP/2.0", Status: 200 + i%2*104,
				Bytes: int64(i) * 1000, Total: took, Aborted: i == 3,
			})
		}
	}
	m.Record(&Result{Proto: "HTTP/1.0", Status: 99, Bytes: -1})
	m.Record(&Result{Proto: "", Status: 600})
	m.RecordOrigin("shop", 200, 3*time.Millisecond)
	m.RefusedHead("bare-lf")
	got := ourFamilies(scrape(t, m))
	const name = "testdata/golden/metrics.txt"
	if *update {
		if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("/metrics (-want +got):\n%s", diff)
	}
}

// ourFamilies leaves out what depends on the machine and the toolchain.
func ourFamilies(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if strings.Contains(line, "selvage_") && !strings.Contains(line, "build_info") {
			b.WriteString(line)
		}
	}
	return b.String()
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

// hitResult is what most Results are like.
func hitResult() *Result {
	return &Result{
		Begin: time.Date(2026, 2, 3, 4, 5, 6, 789e6, time.UTC), Client: addr("192.0.2.1"), Proto: "HTTP/1.1", Secure: true,
		Method: "GET", Host: "www.example.com", Target: "/static/css/site.min.css?v=20260203", Referer: "https://www.example.com/",
		Agent: "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
		Site:  "www.example.com", Route: "/static/*", Looked: true, Outcome: cache.Hit, Reason: cache.Fresh, HasTTL: true, TTL: time.Hour,
		Status: 200, Bytes: 1024, First: 9 * time.Microsecond, Total: 11 * time.Microsecond,
	}
}

// Many at once, and a scrape in between: nothing is lost, and nothing counted twice.
func TestMetricsAtOnce(t *testing.T) {
	m := newMetrics("dev")
	var recording sync.WaitGroup
	for range 8 {
		recording.Go(func() {
			for i := range 1000 {
				m.Record(&Result{Site: "shop", Proto: "HTTP/1.1", Status: 200 + i%50, Bytes: 2, Total: time.Second / 4})
			}
		})
	}
	scrape(t, m)
	recording.Wait()
	text := scrape(t, m)
	for _, want := range []string{
		`selvage_requests_total{cache="none",code="249",proto="HTTP/1.1",reason="",site="shop"} 160`,
		`selvage_request_duration_seconds_count{cache="none",site="shop"} 8000`,
		`selvage_request_duration_seconds_sum{cache="none",site="shop"} 2000`,
		`selvage_response_bytes_total{cache="none",site="shop"} 16000`,
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("/metrics lacks %s", want)
		}
	}
}

func TestMetricsRecordAllocatesNothing(t *testing.T) {
	m, hit, full := newMetrics("dev"), hitResult(), exampleResult()
	if n := testing.AllocsPerRun(100, func() { m.Record(hit); m.Record(full) }); n != 0 {
		t.Errorf("Record allocates %v times, want 0", n)
	}
}

func BenchmarkMetricsRecord(b *testing.B) {
	m, r := newMetrics("dev"), hitResult()
	m.Record(exampleResult())
	b.ReportAllocs()
	for b.Loop() {
		m.Record(r)
	}
}

func BenchmarkMetricsRecordParallel(b *testing.B) {
	m := newMetrics("dev")
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for r := hitResult(); pb.Next(); {
			m.Record(r)
		}
	})
}

// A scrape of many sites: what it costs, and how long it holds one of the parts.
func BenchmarkMetricsScrape(b *testing.B) {
	m := newMetrics("dev")
	for site := range 1000 {
		for i := range 10 {
			m.Record(&Result{Site: "site" + strconv.Itoa(site), Proto: "HTTP/1.1", Status: 200 + i})
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := m.registry.Gather(); err != nil {
			b.Fatal(err)
		}
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
