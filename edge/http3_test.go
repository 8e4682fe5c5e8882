package edge

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/quic-go/quic-go/http3"

	"selvage/cache"
	"selvage/purge"
)

// certified are Certificates with one that nobody trusts.
func certified(t *testing.T) Certificates {
	t.Helper()
	s := httptest.NewUnstartedServer(nil)
	s.StartTLS()
	defer s.Close()
	return oneCertificate{s.TLS.Certificates}
}

type oneCertificate struct{ all []tls.Certificate }

func (c oneCertificate) TLS(string) (*tls.Config, error) {
	return &tls.Config{Certificates: c.all, NextProtos: []string{"h2", "http/1.1"}}, nil
}

func (oneCertificate) Misdirected(*tls.ConnectionState, string, bool) bool { return false }

func (oneCertificate) Challenge(context.Context, string, string) (string, bool) { return "", false }

// plainOrigin answers everything with the same page, for a minute.
type plainOrigin struct{ variedOrigin }

func (plainOrigin) RoundTrip(*http.Request) (*http.Response, error) {
	return response(200, strings.NewReader("hello"), 5, "Cache-Control: max-age=60"), nil
}

// http3Edge serves one site on the loopback until it is stopped or the test ends, and logs to a file.
func http3Edge(t *testing.T, l ListenerConfig, change func(*Options)) (e *Edge, log string, stop func()) {
	t.Helper()
	journal, clock := purge.NewJournal(), cache.SystemClock()
	store, err := cache.NewStore(cache.StoreConfig{MaxBytes: 1 << 20}, clock, journal)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	o := Options{
		Config: DefaultConfig(), Pools: map[string]Pool{"main": plainOrigin{}}, Store: store, Journal: journal, Clock: clock,
		Logger: slog.New(slog.DiscardHandler), Certificates: certified(t), ListenPacket: net.ListenPacket,
	}
	log = filepath.Join(t.TempDir(), "access.log")
	o.Config.Log = LogConfig{Format: "json", File: log}
	o.Config.Listeners = []ListenerConfig{l}
	o.Config.Limits.Body = 1000
	o.Config.Sites = []SiteConfig{{Hosts: []string{"example.com"}, Origin: "main"}}
	if change != nil {
		change(&o)
	}
	if e, err = New(o); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- e.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return e, log, stop
}

// TestHTTP3 asks by each version in turn: the answers are the same and say where HTTP/3 is, and so do log and metrics.
func TestHTTP3(t *testing.T) {
	e, log, stop := http3Edge(t, ListenerConfig{Address: "127.0.0.1:0", TLS: &TLSConfig{}}, nil)
	config := &tls.Config{InsecureSkipVerify: true}
	second := &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true}
	third := &http3.Transport{TLSClientConfig: config}
	defer second.CloseIdleConnections()
	defer third.Close()
	address := e.Addrs()[0].String()
	_, port, _ := net.SplitHostPort(address)
	for _, row := range []struct {
		client       http.RoundTripper
		method, body string
		status       int
		proto, state string
		altSvc       string
	}{
		{second, "GET", "", 200, "HTTP/2.0", "Selvage; fwd=uri-miss; fwd-status=200; stored", `h3=":` + port + `"; ma=86400`},
		{third, "GET", "", 200, "HTTP/3.0", "Selvage; hit", ""},
		{second, "GET", "", 200, "HTTP/2.0", "Selvage; hit", `h3=":` + port + `"; ma=86400`},
		{third, "HEAD", "", 200, "HTTP/3.0", "Selvage; hit", ""},
		{third, "POST", strings.Repeat("x", 1001), 413, "HTTP/3.0", "", ""},
		{third, "TRACE", "", 405, "HTTP/3.0", "", ""},
	} {
		r, err := http.NewRequest(row.method, "https://"+address+"/1", strings.NewReader(row.body))
		if err != nil {
			t.Fatal(err)
		}
		r.Host = "example.com"
		answer, err := row.client.RoundTrip(r)
		if err != nil {
			t.Fatalf("%s by %s: %v", row.method, row.proto, err)
		}
		_, err = io.Copy(io.Discard, answer.Body)
		answer.Body.Close()
		state, _, _ := strings.Cut(answer.Header.Get("Cache-Status"), "; ttl")
		if err != nil || answer.StatusCode != row.status || answer.Proto != row.proto || state != row.state || answer.Header.Get("Alt-Svc") != row.altSvc {
			t.Errorf("%s by %s: %s, %v, %v", row.method, row.proto, answer.Status, err, answer.Header)
		}
	}
	stop() // and everything is counted and logged
	page := httptest.NewRecorder()
	e.Metrics().ServeHTTP(page, httptest.NewRequest("GET", "/", nil))
	if want := `selvage_requests_total{cache="hit",code="200",proto="HTTP/3.0",reason="fresh",site="example.com"} 2`; !strings.Contains(page.Body.String(), want) {
		t.Errorf("metrics without %s", want)
	}
	text, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	for proto, want := range map[string]int{"HTTP/2.0": 2, "HTTP/3.0": 4} {
		if n := strings.Count(string(text), `"proto":"`+proto+`"`); n != want {
			t.Errorf("%d log lines of %s, want %d:\n%s", n, proto, want, text)
		}
	}
}

// TestWithoutHTTP3: where it is switched off, cannot be, or has no port, everything works over TCP and nobody is told of it; a
// port that cannot be had is told in the log.
func TestWithoutHTTP3(t *testing.T) {
	off := false
	for _, row := range []struct {
		what     string
		listener ListenerConfig
		listen   func(network, address string) (net.PacketConn, error)
		told     bool
	}{
		{"switched off", ListenerConfig{TLS: &TLSConfig{}, HTTP3: &off}, net.ListenPacket, false},
		{"without TLS", ListenerConfig{}, net.ListenPacket, false},
		{"nobody to open a port", ListenerConfig{TLS: &TLSConfig{}}, nil, false},
		{"no port", ListenerConfig{TLS: &TLSConfig{}}, func(string, string) (net.PacketConn, error) { return nil, errors.New("taken") }, true},
	} {
		var told bytes.Buffer
		row.listener.Address = "127.0.0.1:0"
		e, _, _ := http3Edge(t, row.listener, func(o *Options) {
			o.ListenPacket, o.Logger = row.listen, slog.New(slog.NewTextHandler(&told, &slog.HandlerOptions{Level: slog.LevelWarn}))
		})
		scheme := "http"
		if row.listener.TLS != nil {
			scheme = "https"
		}
		client := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}
		r, _ := http.NewRequest("GET", scheme+"://"+e.Addrs()[0].String()+"/1", nil)
		r.Host = "example.com"
		answer, err := client.RoundTrip(r)
		if err != nil {
			t.Fatalf("%s: %v", row.what, err)
		}
		answer.Body.Close()
		if answer.StatusCode != 200 || answer.Header.Get("Alt-Svc") != "" {
			t.Errorf("%s: %s, Alt-Svc %q", row.what, answer.Status, answer.Header.Get("Alt-Svc"))
		}
		if got := strings.Count(told.String(), "no HTTP/3 here"); (got == 1) != row.told || got > 1 {
			t.Errorf("%s: the log says so %d times: %s", row.what, got, &told)
		}
	}
}
