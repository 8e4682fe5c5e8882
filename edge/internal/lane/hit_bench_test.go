package lane

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
)

// browserGet is a request as browsers send it.
var browserGet = "GET /assets/app/main.4f2c19.js?v=20260901 HTTP/1.1\r\n" +
	"Host: www.example.com\r\n" +
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/139.0.0.0 Safari/537.36\r\n" +
	"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8\r\n" +
	"Accept-Encoding: gzip, deflate, br, zstd\r\n" +
	"Accept-Language: en-GB,en;q=0.9,de;q=0.8\r\n" +
	"Referer: https://www.example.com/products/looms/\r\n" +
	"Sec-Fetch-Dest: script\r\nSec-Fetch-Mode: no-cors\r\nSec-Fetch-Site: same-origin\r\n" +
	"Cookie: consent=all; theme=dark; visit=8f14e45fceea167a\r\n" +
	"Connection: keep-alive\r\n\r\n"

// constant answers every request with a body of the given size.
func constant(size int) Answerer {
	head := fmt.Sprintf("HTTP/1.1 200 OK\r\nDate: Tue, 01 Sep 2026 00:00:00 GMT\r\nContent-Type: text/plain\r\n"+
		"Cache-Control: public, max-age=3600\r\nEtag: \"0123456789\"\r\nAge: 10\r\nContent-Length: %d\r\n\r\n", size)
	body := []byte(strings.Repeat("x", size))
	return func(r *Request, w *Writer) Verdict {
		w.Gather(append(w.Buffer(), head...))
		if r.Method == http.MethodGet {
			_, _ = w.Write(body)
		}
		return Answered
	}
}

// tcpServer serves on loopback until the end of the test.
func tcpServer(t testing.TB, handler http.HandlerFunc, answer Answerer, config *tls.Config) (address string, s *Server) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	limits := testLimits
	limits.Conns = 1000
	s = NewServer(Config{Limits: limits, Timeouts: testTimeouts, Answer: answer}, handler)
	served := make(chan error, 1)
	go func() { served <- s.Serve(Listener{Listener: l, TLS: config}) }()
	t.Cleanup(func() {
		if err := s.Shutdown(context.Background()); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return l.Addr().String(), s
}

func dialTCP(t testing.TB, address string, config *tls.Config) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	if config != nil {
		c = clientTLS(c, "http/1.1")
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// What a hit costs from socket to socket, the client included.
func BenchmarkHit(b *testing.B) {
	for _, config := range []*tls.Config{nil, serverTLS()} {
		for _, size := range []int{1 << 10, 16 << 10, 1 << 20} {
			b.Run(fmt.Sprintf("tls=%v/%dKiB", config != nil, size>>10), func(b *testing.B) {
				address, _ := tcpServer(b, echo, constant(size), config)
				c := dialTCP(b, address, config)
				get, buf := []byte(browserGet), make([]byte, 64<<10)
				answer := 0
				exchange := func() {
					if _, err := c.Write(get); err != nil {
						b.Fatal(err)
					}
					for left := answer; left > 0; {
						n, err := c.Read(buf)
						if left -= n; err != nil {
							b.Fatal(err)
						}
					}
				}
				answer = len("HTTP/1.1 200 OK\r\nDate: Tue, 01 Sep 2026 00:00:00 GMT\r\nContent-Type: text/plain\r\n"+
					"Cache-Control: public, max-age=3600\r\nEtag: \"0123456789\"\r\nAge: 10\r\n") +
					len(fmt.Sprintf("Content-Length: %d\r\n\r\n", size)) + size
				exchange()
				b.ReportAllocs()
				for b.Loop() {
					exchange()
				}
			})
		}
	}
}

// What the strict check of a head costs.
func BenchmarkHead(b *testing.B) {
	raw := []byte(browserGet)
	h := newHead(testLimits)
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		h.reset(testLimits)
		if whole, f := h.scan(raw); !whole || f != nil {
			b.Fatal(whole, f)
		}
	}
}
