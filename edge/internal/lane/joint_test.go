package lane

import (
	"bufio"
	"crypto/tls"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
)

// TestRestIsOneWrite: what net/http holds of an answer leaves together with the rest of it, and all of it leaves.
func TestRestIsOneWrite(t *testing.T) {
	for name, config := range map[string]*tls.Config{"plain": nil, "TLS": serverTLS(), "plain, by net/http": nil, "TLS, by net/http": serverTLS()} {
		for _, size := range []int{0, 1, 3000, 4096, 10000, 15000, 200000} {
			body, change := strings.Repeat("x", size), func(*Config) {}
			if strings.Contains(name, "net/http") {
				change = byNetHTTP
			}
			r := newRig(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Length", strconv.Itoa(size))
				if n, err := ConnFrom(r.Context()).WriteRest(w, []byte(body)); n != size || err != nil {
					t.Errorf("%s: WriteRest of %d bytes = %d, %v", name, size, n, err)
				}
			}, change).start(config)
			client, server := memPipe(1 << 20)
			counter := &writeCounter{server, make(chan int, 1000)}
			r.l.hand(counter)
			var c net.Conn = client
			if config != nil {
				c = clientTLS(client, "http/1.1")
			}
			in := bufio.NewReader(c)
			for range 2 { // the first over TLS comes with what ends the handshake
				for len(counter.writes) > 0 {
					<-counter.writes
				}
				send(t, c, "GET /a HTTP/1.1\r\nHost: a\r\n\r\n")
				if _, got := readAnswer(t, in); got != body {
					t.Errorf("%s: %d bytes of %d", name, len(got), size)
				}
			}
			together := 15000 // a connection in memory has no writev
			if config == nil {
				together = 4096
			}
			if n := len(counter.writes); n != 1 && size <= together {
				t.Errorf("%s: %d writes for an answer of %d bytes, want 1", name, n, size)
			}
			_ = client.Close()
		}
	}
}

// TestRestOfAnAnswerNobodyTakes: a write that fails is told of, though it was put off.
func TestRestOfAnAnswerNobodyTakes(t *testing.T) {
	failed := make(chan error, 1)
	r := newRig(t, func(w http.ResponseWriter, r *http.Request) {
		<-r.Context().Done() // the client has left
		w.Header().Set("Content-Length", "5")
		_, err := ConnFrom(r.Context()).WriteRest(w, []byte("hello"))
		failed <- err
	}, nil).start(nil)
	c := r.l.dial()
	send(t, c, "GET /a HTTP/1.1\r\nHost: a\r\n\r\n")
	_ = c.Close()
	if err := <-failed; err == nil {
		t.Error("WriteRest to a client that has left: no error")
	}
}
