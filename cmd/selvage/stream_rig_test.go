package main

import (
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/pires/go-proxyproto"
)

// streamNode is the built program with four streams: TCP on an address of its own, names on another, everything by TLS behind
// a balancer, and a name on the address of the sites.
type streamNode struct {
	*process
	g            *program
	echo, names  string // addresses
	told         string // of a stream behind a balancer that names the client
	sites        string
	secure       *httptest.Server // knows its clients by a PROXY header
	echoUpstream []string
}

// startStreams starts it in front of upstreams that echo.
func startStreams(t *testing.T, binary string, upstreams ...string) *streamNode {
	t.Helper()
	n := &streamNode{
		g: newProgram(t, binary, "http://127.0.0.1:1", t.TempDir(), "16MiB"), secure: startSecure(t), echoUpstream: upstreams,
	}
	n.write(t, "", upstreams...)
	n.process = n.g.startReady(t)
	serving, _ := n.await("serving")
	n.sites, n.echo, n.names, n.told = n.address, serving.Streams[0], serving.Streams[1], serving.Streams[2]
	return n
}

// write writes the file; more is further keys of the first stream.
func (n *streamNode) write(t *testing.T, more string, upstreams ...string) {
	t.Helper()
	text := fmt.Sprintf(`
version: 1
memory: 8MiB
listeners: [{address: "127.0.0.1:0", tls: {internal: true}, http3: false}]
tls: {state: %q}
timeouts: {drain: 1m}
admin: {socket: %q}
origins:
  echo:
    urls: ["tcp://%s"]
    outliers: {eject: 1m}
  secure: {urls: ["tcp://%s"], check: {kind: tcp, interval: 100ms}, proxy_protocol: v2}
streams:
  - {name: echo, address: "127.0.0.2:0", origin: echo, max_conns: 2000%s}
  - {name: names, address: "127.0.0.3:0", routes: [{hosts: [mail.example.com, "*.deep.example.com"], origin: secure}], timeouts: {hello: 2s}}
  - {name: told, address: "127.0.0.4:0", proxy_protocol: [127.0.0.1], origin: secure}
  - {name: shared, address: "127.0.0.1:0", routes: [{hosts: [vpn.example.com], origin: secure}]}
sites: [{hosts: [www.example.com], routes: [{respond: {body: the site}}]}]
`, n.g.cache, n.g.socket(), strings.Join(upstreams, `", "tcp://`), n.secure.Listener.Addr(), more)
	writeFile(t, n.g.config(), []byte(text))
}

func (n *streamNode) reload(t *testing.T) {
	t.Helper()
	answer, err := n.admin.Post("http://admin/v1/reload", "application/json", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if body, _ := io.ReadAll(answer.Body); answer.StatusCode != http.StatusOK {
		t.Fatalf("reload: %s %s", answer.Status, body)
	}
}

// startSecure starts an origin that speaks TLS behind a PROXY header, and tells who asks for what.
func startSecure(t *testing.T) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s for %s", r.TLS.ServerName, r.RemoteAddr)
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // it would tell of every check
	s.Listener = &proxyproto.Listener{
		Listener: s.Listener, ReadHeaderTimeout: longEnough,
		ConnPolicy: func(proxyproto.ConnPolicyOptions) (proxyproto.Policy, error) { return proxyproto.REQUIRE, nil },
	}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

// askSecure asks the origin for its page at an address of the node, and verifies its certificate. It returns what the page
// says, and what it should say.
func (n *streamNode) askSecure(address, name string) (got, want string, err error) {
	trusted := n.secure.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	below, err := net.Dial("tcp", address)
	if err != nil {
		return "", "", err
	}
	defer below.Close()
	below.SetDeadline(time.Now().Add(longEnough))
	client := below.LocalAddr().String()
	if address == n.told {
		client = "192.0.2.9:4660"
		io.WriteString(below, "PROXY TCP4 192.0.2.9 198.51.100.1 4660 993\r\n")
	}
	c := tls.Client(below, &tls.Config{RootCAs: trusted, ServerName: name})
	fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", name)
	all, err := io.ReadAll(c)
	_, body, _ := strings.Cut(string(all), "\r\n\r\n")
	return body, fmt.Sprintf("%s for %s", name, client), err
}

// startEcho starts an upstream that begins with its own name, and then sends back what comes.
func startEcho(t *testing.T, name string) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				io.WriteString(c, name)
				io.Copy(c, c)
			}()
		}
	}()
	t.Cleanup(func() { l.Close() })
	return l.Addr().String()
}

// dialStream connects, and wants the upstream's name.
func dialStream(t *testing.T, address, name string) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(longEnough))
	wantBytes(t, c, name)
	return c.(*net.TCPConn)
}

func wantBytes(t *testing.T, c net.Conn, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if n, err := io.ReadFull(c, got); err != nil || string(got) != want {
		t.Fatalf("read %q (%v), want %q", got[:n], err, want)
	}
}

func wantEcho(t *testing.T, c net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	wantBytes(t, c, text)
}
