package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// heldOrigin holds back the answer to /slow until it is let go. Every POST begins a new edition of all its pages.
type heldOrigin struct {
	*httptest.Server
	asked, letGo chan struct{}
	edition      atomic.Int64
}

func newHeldOrigin(t *testing.T) *heldOrigin {
	o := &heldOrigin{asked: make(chan struct{}), letGo: make(chan struct{})}
	o.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			close(o.asked)
			<-o.letGo
		}
		if r.Method == http.MethodPost {
			o.edition.Add(1)
		}
		w.Header().Set("Cache-Control", "max-age=600")
		w.Header().Set("X-Edition", strconv.FormatInt(o.edition.Load(), 10))
		io.WriteString(w, r.URL.Path)
	}))
	t.Cleanup(o.Close)
	return o
}

// TestSuccession: a process that starts on the sockets of one that still drains answers meanwhile, without the disk, which it
// takes over when the other has ended. What was changed meanwhile is not served from there. Not one request fails. THREATS R13.
func TestSuccession(t *testing.T) {
	origin := newHeldOrigin(t)
	g := newProgram(t, buildProgram(t), origin.URL, t.TempDir(), "16MiB")
	held := loopback(t)
	address := held.Addr().String()
	text := fmt.Sprintf(`
version: 1
memory: 8MiB
disk: {path: %q, size: 16MiB}
listeners: [{address: %q}]
log: {format: "off"}
admin: {socket: %q}
origins: {pages: {urls: [%q]}}
sites: [{default: true, origin: pages}]
`, g.cache, address, g.socket(), origin.URL)
	if err := os.WriteFile(g.config(), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := held.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	g.held = []*os.File{file}

	first := g.start(t)
	first.await("serving")
	v := visitAnew(address)
	if got, _ := askFor(t, address, "GET", "/kept"); got != missed {
		t.Errorf("a page that is new: %q, want %q", got, missed)
	}
	slow := make(chan error, 1)
	go func() { slow <- getPage(address, "/slow") }()
	<-origin.asked

	second := g.start(t)
	second.await("another process has the disk or the admin socket; waiting for its end")
	first.cmd.Process.Signal(syscall.SIGTERM) // it waits for the slow page
	second.awaitTimes(`"msg":"serving"`, 1)
	v.await(50)
	if got, _ := askFor(t, address, "GET", "/kept"); got != missed {
		t.Errorf("the page, without the disk: %q, want %q", got, missed)
	}
	askFor(t, address, "POST", "/kept")
	select {
	case <-first.exited:
		t.Fatal("the first has ended before its slow page")
	default:
	}
	close(origin.letGo)
	if err := <-slow; err != nil {
		t.Errorf("the slow page: %v", err)
	}
	<-first.exited

	second.awaitTimes(`"msg":"serving"`, 2)
	v.await(50)
	for late := time.Now().Add(longEnough); ; {
		got, edition := askFor(t, address, "GET", "/kept")
		if edition != "1" {
			t.Fatalf("the page after a POST to it: edition %s, %q", edition, got)
		}
		if strings.HasPrefix(got, "Selvage; hit") {
			break
		}
		if time.Now().After(late) {
			t.Fatal("the page is not kept")
		}
	}
	v.leave(t)
	second.stop()
	second.healthy()
}

const missed = "Selvage; fwd=uri-miss; fwd-status=200; stored"

// visitAnew has somebody come over and over, over a new connection each time.
func visitAnew(address string) *patrons {
	v := &patrons{leaving: make(chan struct{}), steps: make(chan struct{})}
	v.asking.Go(func() {
		for page := 0; v.isHere(); page++ {
			v.note(getPage(address, fmt.Sprintf("/page/%d", page)))
		}
	})
	return v
}

func getPage(address, path string) error {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: longEnough}
	response, err := client.Get("http://" + address + path)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && string(body) != path {
		err = fmt.Errorf("GET %s: %s %q", path, response.Status, body)
	}
	return err
}

// askFor returns what a request says of the cache, and the edition of the page.
func askFor(t *testing.T, address, method, path string) (status, edition string) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: longEnough}
	r, err := http.NewRequest(method, "http://"+address+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	return response.Header.Get("Cache-Status"), response.Header.Get("X-Edition")
}
