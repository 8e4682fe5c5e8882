package edge

import (
	"bufio"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"

	"selvage/cache"
	"selvage/purge"
)

// What a miss costs between the client's socket and the origin's RoundTrip: each request is for another page of 1 KiB, which is
// stored in memory. The client's part is within it, but allocates nothing.
func BenchmarkMiss1KB(b *testing.B) {
	c := dialMisses(b)
	in := bufio.NewReader(c)
	request := make([]byte, 0, 200)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		request = fmt.Appendf(request[:0], "GET /%d HTTP/1.1\r\nHost: example.com\r\nUser-Agent: curl/8\r\nAccept: */*\r\n\r\n", i)
		if _, err := c.Write(request); err != nil {
			b.Fatal(err)
		}
		if err := skipAnswer(in, 1024); err != nil {
			b.Fatal(err)
		}
	}
}

// dialMisses connects to an Edge with an origin that has everything.
func dialMisses(b *testing.B) net.Conn {
	journal, clock := purge.NewJournal(), cache.SystemClock()
	store, err := cache.NewStore(cache.StoreConfig{MaxBytes: 32 << 20}, clock, journal)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(store.Close)
	page := strings.Repeat("x", 1024)
	origin := &everything{answer: func() *http.Response {
		resp := response(200, strings.NewReader(page), 1024,
			"Cache-Control: public, max-age=3600", "Content-Type: application/octet-stream", `Etag: "1024-0"`,
			"Last-Modified: Tue, 01 Sep 2026 00:00:00 GMT", "Date: Tue, 01 Sep 2026 00:00:00 GMT", "Server: origin")
		resp.Proto = "HTTP/1.1"
		return resp
	}}
	conf := DefaultConfig()
	conf.Log.Format = "off"
	conf.Listeners = []ListenerConfig{{Address: "127.0.0.1:0"}}
	conf.Sites = []SiteConfig{{Hosts: []string{"example.com"}, Origin: "main"}}
	e := serving(b, Options{
		Config: conf, Pools: map[string]Pool{"main": origin}, Store: store, Journal: journal, Clock: clock,
		Logger: slog.New(slog.DiscardHandler),
	})
	c, err := dial(e, false)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = c.Close() })
	return c
}

// everything is an origin that remembers nothing of what it is asked.
type everything struct {
	stage
	answer func() *http.Response
}

func (o *everything) RoundTrip(*http.Request) (*http.Response, error) { return o.answer(), nil }

// skipAnswer reads an answer with a body of length bytes.
func skipAnswer(in *bufio.Reader, length int) error {
	for {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return err
		}
		if len(line) == len("\r\n") {
			_, err := in.Discard(length)
			return err
		}
	}
}
