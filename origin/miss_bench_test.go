package origin

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
)

// What does a pool cost beside the http.Transport that it stands on?
func BenchmarkRoundTrip1KB(b *testing.B) {
	body := make([]byte, 1024)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		w.Write(body)
	}))
	defer server.Close()
	c := testConfig()
	c.URLs, c.Retry = []string{server.URL}, DefaultConfig().Retry
	p := newPool(b, c, nil)
	defer p.Close()
	plain := &http.Transport{DisableCompression: true}
	defer plain.CloseIdleConnections()
	for _, row := range []struct {
		name string
		http.RoundTripper
	}{{"pool", p}, {"transport", plain}} {
		b.Run(fmt.Sprint(row.name), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r, _ := http.NewRequest("GET", server.URL+"/a", nil)
				response, err := row.RoundTrip(r)
				if err != nil {
					b.Fatal(err)
				}
				io.Copy(io.Discard, response.Body)
				response.Body.Close()
			}
		})
	}
}
