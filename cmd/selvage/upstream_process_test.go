package main

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// upstreamVariable makes a process of this test binary an upstream that listens at the address in it; certificateVariable
// has it speak TLS, with the certificate and key of that name less their endings.
const (
	upstreamVariable    = "SELVAGE_TEST_UPSTREAM"
	certificateVariable = "SELVAGE_TEST_UPSTREAM_CERTIFICATE"
)

// upstreamProcess is an upstream in a process of its own, so that it can be killed and stopped.
type upstreamProcess struct {
	t                 *testing.T
	ip, port          string
	name              string // in the zone, "" without
	zone              *zone
	folder, certified string // of certificates, and which it shows; "" without TLS
	cmd               *exec.Cmd
	orders            io.WriteCloser
}

// newUpstream finds a free port.
func newUpstream(t *testing.T) *upstreamProcess {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	u := &upstreamProcess{t: t}
	u.ip, u.port, _ = net.SplitHostPort(l.Addr().String())
	return u
}

// startUpstream starts one on a free port.
func startUpstream(t *testing.T) *upstreamProcess {
	t.Helper()
	u := newUpstream(t)
	u.start()
	t.Cleanup(u.kill)
	return u
}

func (u *upstreamProcess) address() string { return net.JoinHostPort(u.ip, u.port) }

// url is how the node knows it.
func (u *upstreamProcess) url() string {
	scheme := "http"
	if u.certified != "" {
		scheme = "https"
	}
	return scheme + "://" + net.JoinHostPort(cmp.Or(u.name, u.ip), u.port)
}

// start starts the process, and returns once it listens.
func (u *upstreamProcess) start() {
	u.t.Helper()
	u.cmd = exec.Command(os.Args[0], "-test.run=^TestActAsUpstream$")
	u.cmd.Env = append(os.Environ(), upstreamVariable+"="+u.address())
	if u.certified != "" {
		u.cmd.Env = append(u.cmd.Env, certificateVariable+"="+filepath.Join(u.folder, u.certified))
	}
	var err error
	if u.orders, err = u.cmd.StdinPipe(); err != nil {
		u.t.Fatal(err)
	}
	said, err := u.cmd.StdoutPipe()
	if err != nil {
		u.t.Fatal(err)
	}
	if err := u.cmd.Start(); err != nil {
		u.t.Fatal(err)
	}
	if line, err := bufio.NewReader(said).ReadString('\n'); line != "listening\n" {
		u.t.Fatalf("the upstream says %q: %v", line, err)
	}
}

func (u *upstreamProcess) kill() {
	u.cmd.Process.Kill()
	u.cmd.Wait()
}

func (u *upstreamProcess) signal(s os.Signal) {
	if err := u.cmd.Process.Signal(s); err != nil {
		u.t.Error(err)
	}
}

// order tells the process what to do with requests from now on.
func (u *upstreamProcess) order(what string) {
	if _, err := io.WriteString(u.orders, what+"\n"); err != nil {
		u.t.Error(err)
	}
}

// TestActAsUpstream is the upstream's process. It is well for whoever checks, whatever it does with other requests.
func TestActAsUpstream(t *testing.T) {
	address := os.Getenv(upstreamVariable)
	if address == "" {
		t.Skip("it is what TestUpstreamFailures starts")
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	var does atomic.Value
	does.Store("well")
	http.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) {})
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { obeyOrder(w, r, does.Load().(string)) })
	if name := os.Getenv(certificateVariable); name != "" {
		go http.ServeTLS(l, nil, name+".pem", name+".key")
	} else {
		go http.Serve(l, nil)
	}
	fmt.Println("listening")
	for orders := bufio.NewScanner(os.Stdin); orders.Scan(); {
		does.Store(orders.Text())
	}
}

// slowness is longer than the node waits for an answer.
const slowness = 2 * time.Second

func obeyOrder(w http.ResponseWriter, r *http.Request, order string) {
	switch order {
	case "500", "503":
		http.Error(w, "sorry", map[string]int{"500": 500, "503": 503}[order])
		return
	case "slow":
		<-time.After(slowness)
	case "reset", "close":
		c, _, err := w.(http.Hijacker).Hijack()
		if err == nil && order == "reset" {
			c.(*net.TCPConn).SetLinger(0)
		}
		c.Close()
		return
	}
	if strings.HasPrefix(r.URL.Path, "/kept/") {
		w.Header().Set("Cache-Control", "max-age=3600")
	}
	w.Header().Set("ETag", strconv.Quote(r.URL.Path))
	http.ServeContent(w, r, "page.txt", time.Time{}, strings.NewReader(bodyOf(r.URL.Path)))
}

// bodyOf is what an upstream that is well answers. Some pages are large enough to be cut.
func bodyOf(path string) string {
	times := 100
	if strings.HasSuffix(path, "0") {
		times = 100_000
	}
	return strings.Repeat(path+"\n", times)
}

// hurts are what happens to upstreams, and how it ends.
var hurts = []struct {
	name       string
	kind       upstreamKind
	hurt, heal func(u *upstreamProcess)
}{
	{"killed", plain, (*upstreamProcess).kill, (*upstreamProcess).start},
	{"stopped", plain, func(u *upstreamProcess) { u.signal(syscall.SIGSTOP) }, func(u *upstreamProcess) { u.signal(syscall.SIGCONT) }},
	{"resetting", plain, ordered("reset"), ordered("well")},
	{"closing", plain, ordered("close"), ordered("well")},
	{"slow", plain, ordered("slow"), ordered("well")},
	{"with a burst of 500", plain, ordered("500"), ordered("well")},
	{"with a burst of 503", plain, ordered("503"), ordered("well")},
	{"with an expired certificate", certified, certifiedAs("expired"), certifiedAs("valid")},
	{"whose name leads astray", named, func(u *upstreamProcess) { u.zone.lead(u.name, "127.0.0.9") }, func(u *upstreamProcess) { u.zone.lead(u.name, u.ip) }},
	{"that comes back at another address", named, (*upstreamProcess).kill, (*upstreamProcess).move},
}

func ordered(what string) func(*upstreamProcess) {
	return func(u *upstreamProcess) { u.order(what) }
}

// certifiedAs has the upstream restarted with another certificate, as servers are.
func certifiedAs(which string) func(*upstreamProcess) {
	return func(u *upstreamProcess) {
		u.kill()
		u.certified = which
		u.start()
	}
}

// move starts an upstream that was killed at another address, and has its name follow. The last byte goes to and fro.
func (u *upstreamProcess) move() {
	u.ip = map[string]string{"127.0.0.1": "127.0.0.2", "127.0.0.2": "127.0.0.1"}[u.ip]
	u.start()
	u.zone.lead(u.name, u.ip)
}
