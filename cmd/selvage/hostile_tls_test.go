package main

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// TestHostileTLS sends clients that mean no good to the port of a program that speaks TLS, and one that does: it is served all
// the while, and the program's memory is bounded. THREATS T25 to T28. A few of them in `go test`; SELVAGE_SOAK=1 sends
// thousands.
func TestHostileTLS(t *testing.T) {
	binary := buildProgram(t)
	for name, test := range map[string]func(*testing.T, string){
		"half-open handshakes": testHalfOpen, "handshakes take turns": testTurns, "mangled handshakes": testMangled,
		"oversized records": testOversized,
	} {
		t.Run(name, func(t *testing.T) { test(t, binary) })
	}
}

// handshakePatience is how long the program waits for a handshake that does not go on.
const handshakePatience = longEnough - 10*time.Second

// startTLS starts the program with a certificate of its own and one page, and so many connections at most.
func startTLS(t *testing.T, binary string, conns int) *process {
	t.Helper()
	g := newProgram(t, binary, "http://127.0.0.1:1", t.TempDir(), "16MiB")
	text := fmt.Sprintf(`
version: 1
memory: 8MiB
listeners: [{address: "127.0.0.1:0", tls: {}}]
limits: {conns: %d}
timeouts: {handshake: %v}
log: {format: "off"}
tls: {state: %q}
admin: {socket: %q}
sites: [{hosts: [site.test], tls: {issuer: internal}, routes: [{respond: {body: hello}}]}]
`, conns, handshakePatience, g.cache, g.socket())
	writeFile(t, g.config(), []byte(text))
	return g.startReady(t)
}

// siteTLS is what a client of the site says.
func siteTLS() *tls.Config {
	return &tls.Config{ServerName: "site.test", InsecureSkipVerify: true} // whom it trusts is no matter here
}

// visitTLS has a good client come over a connection of its own, and returns how long that took.
func visitTLS(address string) (time.Duration, error) {
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: siteTLS(), DisableKeepAlives: true}, Timeout: longEnough}
	r, err := http.NewRequest("GET", "https://"+address+"/", nil)
	if err != nil {
		return 0, err
	}
	r.Host = "site.test"
	begin := time.Now()
	response, err := client.Do(r)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && string(body) != "hello" {
		err = fmt.Errorf("%s %q", response.Status, body)
	}
	return time.Since(begin), err
}

// visits has n good clients come one after the other, and returns the longest that one of a hundred took at least.
func visits(t *testing.T, address string, n int) (p99 time.Duration) {
	t.Helper()
	var took []time.Duration
	for range n {
		d, err := visitTLS(address)
		if err != nil {
			t.Fatalf("a good client: %v", err)
		}
		took = append(took, d)
	}
	slices.Sort(took)
	return took[(len(took)-1)*99/100]
}

// residentKB is the memory that a process has.
func residentKB(t *testing.T, p *process) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		t.Skipf("how much memory a process has is not told here: %v", err)
	}
	_, rest, _ := strings.Cut(string(text), "VmRSS:")
	n, _ := strconv.Atoi(strings.Fields(rest)[0])
	return n
}

// testHalfOpen: connections on which a handshake begins and does not go on.
func testHalfOpen(t *testing.T, binary string) {
	hostile, good := 300, 20
	if soaking() {
		hostile, good = 10_000, 300
		needDescriptors(t, uint64(hostile+1000))
	}
	p := startTLS(t, binary, 4*hostile)
	calm := visits(t, p.address, good)
	before := residentKB(t, p)
	hello := clientHello(t)
	for i := range hostile {
		c, err := net.Dial("tcp", p.address)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_, _ = c.Write(hello[:i%len(hello)]) // the server may be quicker to end it
	}
	p99, after := visits(t, p.address, good), residentKB(t, p)
	t.Logf("%d half-open: p99 of good clients %v, without %v; memory %d KiB, without %d", hostile, p99, calm, after, before)
	if each := (after - before) / hostile; each > 64 {
		t.Errorf("a half-open handshake takes %d KiB, want 64 at most", each)
	}
}

// testTurns: when half-open handshakes hold every place there is for them, a good client waits a moment.
func testTurns(t *testing.T, binary string) {
	const places = 20
	p := startTLS(t, binary, 2*places)
	for range places {
		c, err := net.Dial("tcp", p.address)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	took, err := visitTLS(p.address)
	if err != nil || took > handshakePatience/2 {
		t.Errorf("a good client: %v after %v", err, took)
	}
}

// needDescriptors skips a test for which this process, and those it starts, may not open enough.
func needDescriptors(t *testing.T, n uint64) {
	t.Helper()
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil || uint64(limit.Cur) < n {
		t.Skipf("%d descriptors are allowed here, and %d needed", limit.Cur, n)
	}
}

// clientHello is the first flight of a handshake.
func clientHello(t *testing.T) []byte {
	t.Helper()
	near, far := net.Pipe()
	defer far.Close()
	go func() {
		_ = tls.Client(near, siteTLS()).Handshake() // it gets no answer
		near.Close()
	}()
	hello := make([]byte, 4<<10)
	n, err := far.Read(hello)
	if err != nil {
		t.Fatal(err)
	}
	return hello[:n]
}

// testMangled: hellos with some bytes changed, and much that is none. All are answered by the end of the
// connection, within its time.
func testMangled(t *testing.T, binary string) {
	rounds := 300
	if soaking() {
		rounds = 20_000
	}
	p := startTLS(t, binary, 1000)
	hello := clientHello(t)
	before := residentKB(t, p)
	var asking sync.WaitGroup
	for worker := range 4 {
		dice := rand.New(rand.NewPCG(uint64(worker), 1))
		asking.Go(func() {
			for range rounds / 4 {
				if err := throwAt(p.address, mangle(dice, hello)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	asking.Wait()
	if _, err := visitTLS(p.address); err != nil {
		t.Errorf("a good client: %v", err)
	}
	if grown := residentKB(t, p) - before; grown > 64<<10 {
		t.Errorf("the program has grown by %d KiB", grown)
	}
}

// mangle changes a few bytes, and now and then the length.
func mangle(dice *rand.Rand, hello []byte) []byte {
	b := bytes.Clone(hello)
	for range 1 + dice.IntN(8) {
		b[dice.IntN(len(b))] = byte(dice.Uint32())
	}
	switch dice.IntN(4) {
	case 0:
		b = b[:dice.IntN(len(b))]
	case 1:
		b = append(b, make([]byte, dice.IntN(40<<10))...)
	}
	return b
}

// throwAt sends bytes and waits for the end. A server that has heard enough may reset.
func throwAt(address string, b []byte) error {
	c, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(longEnough))
	_, _ = c.Write(b) // the end may come first
	_ = c.(*net.TCPConn).CloseWrite()
	if _, err := io.Copy(io.Discard, c); err != nil && !errors.Is(err, syscall.ECONNRESET) {
		return fmt.Errorf("after %d bytes: %w", len(b), err)
	}
	return nil
}

// testOversized: a record larger than TLS allows ends the connection, in the handshake (RFC 8446, section 5.1) and behind it
// (section 5.2).
func testOversized(t *testing.T, binary string) {
	p := startTLS(t, binary, 100)
	for _, row := range []struct {
		what  string
		begin func(net.Conn) error
		kind  byte
	}{
		{"in place of a hello", func(net.Conn) error { return nil }, 22},
		{"behind the handshake", func(c net.Conn) error { return tls.Client(c, siteTLS()).Handshake() }, 23},
	} {
		c, err := net.Dial("tcp", p.address)
		if err != nil {
			t.Fatal(err)
		}
		_ = c.SetDeadline(time.Now().Add(longEnough))
		if err := row.begin(c); err != nil {
			t.Fatal(err)
		}
		const most = 16<<10 + 2048 // of a record under TLS 1.2
		_, _ = c.Write([]byte{row.kind, 3, 3, (most + 1) >> 8, (most + 1) & 0xff})
		if _, err := io.Copy(io.Discard, c); err != nil && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("%s: %v, want the end", row.what, err)
		}
		c.Close()
	}
	if _, err := visitTLS(p.address); err != nil {
		t.Errorf("a good client: %v", err)
	}
}
