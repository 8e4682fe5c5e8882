package lane

import (
	"bufio"
	"crypto/tls"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// FuzzAnswers: whatever comes, in whatever pieces, a server whose Answerer gives some of the answers and one without give
// the same bytes; in memory, and on sockets of the kernel, of which more may have been read than was asked for.
func FuzzAnswers(f *testing.F) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		var raw strings.Builder
		for range 1 + rnd.IntN(5) {
			randomExchange(rnd, &raw)
		}
		f.Add([]byte(raw.String()), uint16(rnd.IntN(2000)))
	}
	for _, row := range allHeadRows() {
		if len(row.raw) < 300 {
			f.Add([]byte(get+row.raw+get), uint16(1000))
		}
	}
	plain, some := startProbe(f, nil, nil), startProbe(f, probeSome, nil)
	f.Fuzz(func(t *testing.T, raw []byte, piece uint16) {
		if len(raw) > 64<<10 {
			return
		}
		want := probeConn(t, plain, raw, piece, inMemory)
		for name, connect := range connects {
			if got := probeConn(t, some, raw, piece, connect); got != want {
				t.Errorf("%s: the lane and net/http give\n%.3000q\nnet/http alone\n%.3000q", name, got, want)
			}
		}
	})
}

// TestAnswersOverTLS: the same for valid requests over TLS, where records are what comes in pieces.
func TestAnswersOverTLS(t *testing.T) {
	plain, some := startProbe(t, nil, nil), startProbe(t, probeSome, serverTLS())
	for seed := range uint64(40) {
		rnd := rand.New(rand.NewPCG(seed, 3))
		var raw strings.Builder
		for range 1 + rnd.IntN(8) {
			randomExchange(rnd, &raw)
		}
		piece := uint16(rnd.IntN(30000))
		want := probeConn(t, plain, []byte(raw.String()), piece, inMemory)
		for name, connect := range connects {
			got := probeConn(t, some, []byte(raw.String()), piece, func(t testing.TB) (client, server stream) {
				client, server = connect(t)
				return clientTLS(client, "http/1.1"), server
			})
			if got != want {
				t.Errorf("seed %d, %s: %d bytes of answers, without the lane %d", seed, name, len(got), len(want))
			}
		}
	}
}

// randomExchange writes a request that the lane may answer, or any valid one.
func randomExchange(rnd *rand.Rand, out *strings.Builder) {
	if rnd.IntN(3) == 0 {
		randomRequest(rnd, out)
		return
	}
	out.WriteString([]string{"GET", "HEAD"}[rnd.IntN(2)] + " /" + repeat("x", rnd.IntN(5)))
	out.WriteString([]string{"", "large", "?a=b"}[rnd.IntN(3)] + " HTTP/1.1\r\nHost: a\r\n")
	out.WriteString([]string{"", "X-1: 1\r\nx-1:2 \r\n", "Cookie: c\r\nConnection: keep-alive\r\n"}[rnd.IntN(3)] + "\r\n")
}

// startProbe starts a server for connections that are handed in.
func startProbe(t testing.TB, answer Answerer, config *tls.Config) *rig {
	r := newRig(t, probeHandler, func(c *Config) {
		c.Answer, c.Refused = answer, nil
		c.Timeouts = Timeouts{} // nothing is to depend on time
	})
	r.lookAgain = time.Millisecond
	return r.start(config)
}

// probeConn sends raw in pieces, ends its side, and returns all that comes back but the time of day.
func probeConn(t *testing.T, r *rig, raw []byte, piece uint16, connect func(testing.TB) (client, server stream)) string {
	client, server := connect(t)
	defer client.Close()
	if !r.l.hand(server) {
		t.Fatal("not accepted")
	}
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		for rest := raw; len(rest) > 0; {
			n := min(int(piece)+1, len(rest))
			if _, err := client.Write(rest[:n]); err != nil {
				break
			}
			rest = rest[n:]
		}
		_ = client.CloseWrite() // the server may have closed
	}()
	answers, err := io.ReadAll(client)
	if err != nil && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("reading answers: %v", err)
	}
	<-sent
	return timeOfDay.ReplaceAllString(string(answers), "Date: now")
}

var timeOfDay = regexp.MustCompile(`Date: \w{3}, [^\r]*GMT`)

var connects = map[string]func(testing.TB) (client, server stream){"memory": inMemory, "socket": overSocket, "ahead": readAhead}

// aheadConn has always read more than it gives.
type aheadConn struct {
	*net.UnixConn
	in *bufio.Reader
}

func (c *aheadConn) Read(p []byte) (int, error) { return c.in.Read(p[:min(len(p), 3)]) }
func (c *aheadConn) Buffered() int              { return c.in.Buffered() }

func readAhead(t testing.TB) (client, server stream) {
	client, server = overSocket(t)
	return client, &aheadConn{server.(*net.UnixConn), bufio.NewReader(server)}
}

func inMemory(testing.TB) (client, server stream) {
	a, b := memPipe(64 << 10)
	return a, b
}

func overSocket(t testing.TB) (client, server stream) {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	var ends [2]stream
	for i, fd := range fds {
		file := os.NewFile(uintptr(fd), "")
		c, err := net.FileConn(file)
		if err != nil {
			t.Fatal(err)
		}
		_ = file.Close() // FileConn has its own
		ends[i] = c.(*net.UnixConn)
	}
	return ends[0], ends[1]
}
