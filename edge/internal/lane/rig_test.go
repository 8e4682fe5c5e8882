package lane

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// memConn is one end of a connection in memory that behaves as TCP does: buffered, with half-close and deadlines. net.Pipe
// has neither buffer nor half-close.
type memConn struct {
	in, out     *half
	read, write deadline
	discards    bool // Close drops what has not been read; guarded by out.mu
}

// half is one direction.
type half struct {
	mu      sync.Mutex
	buf     []byte
	eof     bool // the writer has ended
	gone    bool // the reader has closed
	changed chan struct{}
	size    int
}

type deadline struct {
	mu      sync.Mutex
	at      time.Time
	changed chan struct{}
}

func memPipe(size int) (a, b *memConn) {
	newHalf := func() *half { return &half{changed: make(chan struct{}), size: size} }
	x, y := newHalf(), newHalf()
	end := func(in, out *half) *memConn {
		return &memConn{in: in, out: out,
			read: deadline{changed: make(chan struct{})}, write: deadline{changed: make(chan struct{})}}
	}
	return end(x, y), end(y, x)
}

func (h *half) notifyLocked() {
	close(h.changed)
	h.changed = make(chan struct{})
}

func (d *deadline) set(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.at = t
	close(d.changed)
	d.changed = make(chan struct{})
}

// wait returns when h changed or the deadline did, or with its error.
func (d *deadline) wait(h <-chan struct{}) error {
	d.mu.Lock()
	at, changed := d.at, d.changed
	d.mu.Unlock()
	var expired <-chan time.Time
	if !at.IsZero() {
		if !time.Now().Before(at) {
			return os.ErrDeadlineExceeded
		}
		timer := time.NewTimer(time.Until(at))
		defer timer.Stop()
		expired = timer.C
	}
	select {
	case <-h:
	case <-changed:
	case <-expired:
	}
	return nil
}

func (c *memConn) Read(p []byte) (int, error) {
	for {
		h := c.in
		expired := c.read.wait(closedChan) // as sockets do, before a look at what there is
		h.mu.Lock()
		switch {
		case h.gone:
			h.mu.Unlock()
			return 0, net.ErrClosed
		case expired != nil:
			h.mu.Unlock()
			return 0, expired
		case len(h.buf) > 0:
			n := copy(p, h.buf)
			h.buf = h.buf[n:]
			h.notifyLocked()
			h.mu.Unlock()
			return n, nil
		case h.eof:
			h.mu.Unlock()
			return 0, io.EOF
		}
		changed := h.changed
		h.mu.Unlock()
		if err := c.read.wait(changed); err != nil {
			return 0, err
		}
	}
}

var closedChan = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

func (c *memConn) Write(p []byte) (written int, err error) {
	for {
		h := c.out
		h.mu.Lock()
		switch room := h.size - len(h.buf); {
		case h.eof:
			h.mu.Unlock()
			return written, net.ErrClosed
		case h.gone:
			h.mu.Unlock()
			return written, errors.New("broken pipe")
		case room > 0:
			n := min(room, len(p)-written)
			h.buf = append(h.buf, p[written:written+n]...)
			written += n
			h.notifyLocked()
		}
		changed := h.changed
		h.mu.Unlock()
		if written == len(p) {
			return written, nil
		}
		if err := c.write.wait(changed); err != nil {
			return written, err
		}
	}
}

func (c *memConn) CloseWrite() error {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	c.out.eof = true
	c.out.notifyLocked()
	return nil
}

func (c *memConn) Close() error {
	_ = c.CloseWrite()
	c.out.mu.Lock()
	if c.discards {
		c.out.buf = nil
	}
	c.out.mu.Unlock()
	c.in.mu.Lock()
	defer c.in.mu.Unlock()
	c.in.gone = true
	c.in.notifyLocked()
	return nil
}

func (c *memConn) SetLinger(seconds int) error {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	c.discards = seconds == 0
	return nil
}

func (c *memConn) SetReadDeadline(t time.Time) error  { c.read.set(t); return nil }
func (c *memConn) SetWriteDeadline(t time.Time) error { c.write.set(t); return nil }
func (c *memConn) SetDeadline(t time.Time) error      { c.read.set(t); c.write.set(t); return nil }
func (c *memConn) LocalAddr() net.Addr                { return memAddr }
func (c *memConn) RemoteAddr() net.Addr               { return memAddr }

var memAddr = &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 80}

// memListener accepts what is dialled. fail, when set, is asked first.
type memListener struct {
	*door
	size int
	fail func() error
}

func newMemListener() *memListener { return &memListener{door: newDoor(), size: 64 << 10} }

func (l *memListener) Accept() (net.Conn, error) {
	if l.fail != nil {
		if err := l.fail(); err != nil {
			return nil, err
		}
	}
	return l.door.Accept()
}

func (l *memListener) dial() *memConn {
	client, server := memPipe(l.size)
	if !l.hand(server) {
		_ = server.Close()
	}
	return client
}

func (l *memListener) dialContext(context.Context, string, string) (net.Conn, error) {
	return l.dial(), nil
}

// rig is a Server on a listener in memory.
type rig struct {
	*Server
	t        testing.TB
	l        *memListener
	packets  net.PacketConn // for HTTP/3; nil is without
	refusals chan Refusal
}

var testLimits = Limits{RequestLine: 1 << 10, Head: 8 << 10, Fields: 20, Conns: 100}

var testTimeouts = Timeouts{
	Handshake: 5 * time.Second, Header: 10 * time.Second, Idle: time.Minute, Write: 20 * time.Second,
}

func newRig(t testing.TB, handler http.HandlerFunc, change func(*Config)) *rig {
	t.Helper()
	r := &rig{t: t, l: newMemListener(), refusals: make(chan Refusal, 100)}
	cfg := Config{
		Limits: testLimits, Timeouts: testTimeouts, Refused: func(f Refusal) { r.refusals <- f },
		Answer: func(*Request, *Writer) Verdict { return Handle },
	}
	if change != nil {
		change(&cfg)
	}
	r.Server = NewServer(cfg, handler)
	return r
}

// byNetHTTP has net/http serve what the lane could.
func byNetHTTP(c *Config) { c.Answer = func(*Request, *Writer) Verdict { return Decline } }

// start serves until the end of the test.
func (r *rig) start(config *tls.Config) *rig {
	served := make(chan error, 1)
	go func() { served <- r.Serve(Listener{Listener: r.l, TLS: config, Packets: r.packets}) }()
	r.t.Cleanup(func() {
		if err := r.Shutdown(context.Background()); err != nil {
			r.t.Errorf("Shutdown: %v", err)
		}
		if err := <-served; err != nil {
			r.t.Errorf("Serve: %v", err)
		}
	})
	return r
}

// echo answers with what it was asked.
func echo(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if errors.Is(err, ErrMalformedBody) {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Date", "now")
	_, _ = fmt.Fprintf(w, "%s %s %s %q %v", r.Method, r.RequestURI, r.Host, body, r.Trailer)
}

// exchange sends raw, byte by byte if told to, and returns the statuses of the answers until the connection ends.
func exchange(t testing.TB, c net.Conn, raw string, bytewise bool) (statuses []int) {
	t.Helper()
	defer c.Close()
	go func() {
		step := len(raw)
		if bytewise {
			step = 1
		}
		for i := 0; i < len(raw); i += step {
			if _, err := io.WriteString(c, raw[i:min(len(raw), i+step)]); err != nil {
				return
			}
		}
	}()
	return readStatuses(t, bufio.NewReader(c))
}

func readStatuses(t testing.TB, in *bufio.Reader) (statuses []int) {
	t.Helper()
	for {
		answer, err := http.ReadResponse(in, nil)
		if err != nil {
			if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) && !isReset(err) {
				t.Errorf("answer: %v", err)
			}
			return statuses
		}
		if _, err := io.Copy(io.Discard, answer.Body); err != nil {
			t.Errorf("answer's body: %v", err)
		}
		statuses = append(statuses, answer.StatusCode)
	}
}

func isReset(err error) bool { return strings.Contains(err.Error(), "reset by peer") }

// readAnswer reads one whole answer.
func readAnswer(t testing.TB, in *bufio.Reader) (*http.Response, string) {
	t.Helper()
	answer, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatalf("answer: %v", err)
	}
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatalf("answer's body: %v", err)
	}
	return answer, string(body)
}

func send(t testing.TB, c net.Conn, s string) {
	t.Helper()
	if _, err := io.WriteString(c, s); err != nil {
		t.Fatalf("send: %v", err)
	}
}

// wantEnd checks that nothing but the end of the connection comes.
func wantEnd(t testing.TB, in io.Reader) {
	t.Helper()
	if b, err := io.ReadAll(in); len(b) > 0 || err != nil {
		t.Errorf("read %q, %v; want the end", b, err)
	}
}

// serverTLS has a certificate for "test".
var serverTLS = sync.OnceValue(func() *tls.Config {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"test"},
		NotAfter: time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
})

func clientTLS(c net.Conn, protos ...string) *tls.Conn { return tls.Client(c, clientConfig(protos...)) }

func clientConfig(protos ...string) *tls.Config {
	return &tls.Config{InsecureSkipVerify: true, ServerName: "test", NextProtos: protos}
}

func repeat(s string, n int) string { return string(bytes.Repeat([]byte(s), n)) }

// advanceOnly lets the time of a bubble pass; for goroutines beside the test.
func advanceOnly(d time.Duration) { <-time.After(d) }

// advance lets the time of a bubble pass.
func advance(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}
