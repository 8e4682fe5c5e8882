package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// upstreamVariable makes a process of this test binary an upstream that listens at the address in it.
const upstreamVariable = "SELVAGE_TEST_UPSTREAM"

// upstreamProcess is an upstream in a process of its own, so that it can be killed and stopped.
type upstreamProcess struct {
	t       *testing.T
	address string
	cmd     *exec.Cmd
	orders  io.WriteCloser
}

func startUpstream(t *testing.T) *upstreamProcess {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	u := &upstreamProcess{t: t, address: l.Addr().String()}
	l.Close()
	u.start()
	t.Cleanup(u.kill)
	return u
}

// start starts the process, and returns once it listens.
func (u *upstreamProcess) start() {
	u.t.Helper()
	u.cmd = exec.Command(os.Args[0], "-test.run=^TestActAsUpstream$")
	u.cmd.Env = append(os.Environ(), upstreamVariable+"="+u.address)
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
	go http.Serve(l, nil)
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
	io.WriteString(w, bodyOf(r.URL.Path))
}

// bodyOf is what an upstream that is well answers.
func bodyOf(path string) string { return strings.Repeat(path+"\n", 100) }

// hurts are what happens to upstreams, and how it ends.
var hurts = []struct {
	name       string
	hurt, heal func(u *upstreamProcess)
}{
	{"killed", (*upstreamProcess).kill, (*upstreamProcess).start},
	{"stopped", func(u *upstreamProcess) { u.signal(syscall.SIGSTOP) }, func(u *upstreamProcess) { u.signal(syscall.SIGCONT) }},
	{"resetting", ordered("reset"), ordered("well")},
	{"closing", ordered("close"), ordered("well")},
	{"slow", ordered("slow"), ordered("well")},
	{"with a burst of 500", ordered("500"), ordered("well")},
	{"with a burst of 503", ordered("503"), ordered("well")},
}

func ordered(what string) func(*upstreamProcess) {
	return func(u *upstreamProcess) { u.order(what) }
}
