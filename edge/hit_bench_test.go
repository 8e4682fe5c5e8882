package edge

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"selvage/cache"
	"selvage/edge/internal/lane"
	"selvage/purge"
)

// quietWriter is a ResponseWriter that costs nothing.
type quietWriter struct{ header http.Header }

func (w *quietWriter) Header() http.Header         { return w.header }
func (w *quietWriter) WriteHeader(int)             {}
func (w *quietWriter) Write(p []byte) (int, error) { return len(p), nil }
func (w *quietWriter) Flush()                      {}

// What of a hit is ours: net/http's part comes on top. These are the hits that the lane leaves to net/http.
func BenchmarkHandlerHit1KB(b *testing.B) { benchmarkHandler(b) }

func BenchmarkHandlerHitRange(b *testing.B) { benchmarkHandler(b, "Range", "bytes=100-199") }

func BenchmarkHandlerHitNotModified(b *testing.B) { benchmarkHandler(b, "If-None-Match", `"1024-0"`) }

// benchmarkHandler asks for one stored object over and over, with the fields given as names and values.
func benchmarkHandler(b *testing.B, fields ...string) {
	journal, clock := purge.NewJournal(), cache.SystemClock()
	store, err := cache.NewStore(cache.StoreConfig{MaxBytes: 1 << 20}, clock, journal)
	if err != nil {
		b.Fatal(err)
	}
	defer store.Close()
	s := &stage{answer: func(*http.Request) (*http.Response, error) {
		resp := response(200, io.NopCloser(strings.NewReader(strings.Repeat("x", 1024))), 1024,
			"Cache-Control: public, max-age=3600", "Content-Type: application/octet-stream", `Etag: "1024-0"`,
			"Last-Modified: Tue, 01 Sep 2026 00:00:00 GMT")
		resp.Proto = "HTTP/1.1"
		return resp, nil
	}}
	conf := DefaultConfig()
	conf.Log.Format = "off"
	conf.Sites = []SiteConfig{{Hosts: []string{"example.com"}, Default: true, Origin: "main"}}
	e, err := New(Options{
		Config: conf, Pools: map[string]Pool{"main": s}, Store: store, Journal: journal, Clock: clock,
		Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		b.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodGet, "/b/1024/0", nil)
	r.Host = "127.0.0.1:8080"
	info := &lane.Info{}
	w := &quietWriter{header: http.Header{}}
	e.walk(w, r, info)
	for i := 0; i < len(fields); i += 2 {
		r.Header.Set(fields[i], fields[i+1])
	}
	b.ReportAllocs()
	for b.Loop() {
		clear(w.header)
		e.walk(w, r, info)
	}
}
