package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/coreos/go-systemd/v22/daemon"

	"selvage/origin"
)

// TestSignals: the first TERM or INT drains, the second ends at once; HUP and USR1 do neither.
func TestSignals(t *testing.T) {
	for _, row := range []struct {
		signals          []os.Signal
		drained, aborted bool
	}{
		{[]os.Signal{syscall.SIGHUP}, false, false},
		{[]os.Signal{syscall.SIGTERM}, true, false},
		{[]os.Signal{syscall.SIGINT, syscall.SIGHUP}, true, false},
		{[]os.Signal{syscall.SIGTERM, syscall.SIGINT}, true, true},
	} {
		synctest.Test(t, func(t *testing.T) {
			var drained, aborted bool
			n := &node{log: slog.New(slog.DiscardHandler), tell: func(string) {}, abort: func() { aborted = true }}
			ctx, end := context.WithCancel(t.Context())
			signals := make(chan os.Signal, len(row.signals))
			for _, s := range row.signals {
				signals <- s
			}
			go n.obey(ctx, signals, func() { drained = true })
			synctest.Wait()
			if drained != row.drained || aborted != row.aborted {
				t.Errorf("%v: drained %v, aborted %v, want %v, %v", row.signals, drained, aborted, row.drained, row.aborted)
			}
			end()
		})
	}
}

// testNode is a node that serves a file on loopback: what is tested is that real sockets, files and signals reach the rooms.
type testNode struct {
	*node
	t       *testing.T
	folder  string
	listen  string // the file's listeners
	origin  string
	signals chan os.Signal
	done    chan error
}

func startNode(t *testing.T) *testNode { return startNodeWith(t, "") }

// startNodeWith starts a node with more in its file.
func startNodeWith(t *testing.T, more string) *testNode {
	t.Helper()
	return startNodeOn(t, `[{address: "127.0.0.1:0"}, {address: "localhost:0", tls: {}}]`, more)
}

// startNodeOn starts a node with listeners of its own, one for http, one with TLS, and returns once it is ready.
func startNodeOn(t *testing.T, listen, more string) *testNode {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		io.WriteString(w, "from the origin")
	}))
	t.Cleanup(server.Close)
	tn := &testNode{t: t, folder: socketFolder(t), listen: listen, origin: server.URL, signals: make(chan os.Signal), done: make(chan error)}
	tn.write(more)
	f, err := LoadFile(tn.path("selvage.yaml"), testMachine())
	if err != nil {
		t.Fatal(err)
	}
	tn.node, err = newNode(f, tn.path("selvage.yaml"), testMachine(), slog.New(slog.DiscardHandler), new(sockets))
	if err != nil {
		t.Fatal(err)
	}
	ready := make(chan struct{})
	tn.tell = func(state string) {
		if state == daemon.SdNotifyReady {
			close(ready)
		}
	}
	go func() { tn.done <- tn.run(tn.signals) }()
	<-ready // or the admin side, which tests ask without its socket, is ahead of the rest
	return tn
}

func (tn *testNode) path(name string) string { return filepath.Join(tn.folder, name) }

// write replaces the configuration file; more is appended to it.
func (tn *testNode) write(more string) {
	tn.t.Helper()
	text := fmt.Sprintf(`
version: 1
listeners: %s
log: {format: json, file: %s}
admin: {socket: %s}
origins: {app: {urls: [%q]}}
sites:
  - default: true
    origin: app
%s`, tn.listen, tn.path("access.log"), tn.path("admin.sock"), tn.origin, more)
	if err := os.WriteFile(tn.path("selvage.yaml"), []byte(text), 0o600); err != nil {
		tn.t.Fatal(err)
	}
}

// get returns the body and the Cache-Status of a request.
func (tn *testNode) get(target string) (body, status string) {
	tn.t.Helper()
	response, err := http.Get("http://" + tn.edge.Addrs()[0].String() + target)
	if err != nil {
		tn.t.Fatal(err)
	}
	defer response.Body.Close()
	b, err := io.ReadAll(response.Body)
	if err != nil {
		tn.t.Fatal(err)
	}
	return string(b), response.Header.Get("Cache-Status")
}

// reloadByVerb is `selvage reload`.
func (tn *testNode) reloadByVerb() (code int, said string) {
	c, out, stderr := testConsole()
	code = run([]string{"reload", "--socket", tn.path("admin.sock")}, c)
	return code, out.String() + stderr.String()
}

const stickyRoute = `
    routes:
      - match: {path: [/fixed]}
        respond: {body: "from the file"}
      - match: {path: ["/*"]}
`

// TestNode: a node serves its file, takes up a new one, keeps the old one when the new is bad, reopens its log, drains.
func TestNode(t *testing.T) {
	tn := startNode(t)
	if body, status := tn.get("/a"); body != "from the origin" || !strings.Contains(status, "uri-miss") {
		t.Errorf("GET /a: %q, Cache-Status %q, want the origin's answer and a miss", body, status)
	}
	if _, status := tn.get("/a"); !strings.Contains(status, "hit") {
		t.Errorf("GET /a again: Cache-Status %q, want a hit", status)
	}

	tn.write(stickyRoute + "    quux: 1\n")
	if code, said := tn.reloadByVerb(); code != exitUsage || !strings.Contains(said, "sites[0].quux: unknown key") {
		t.Errorf("reload of a bad file: exit code = %d, %q, want 2 and what is wrong", code, said)
	}
	if body, _ := tn.get("/fixed"); body != "from the origin" {
		t.Errorf("GET /fixed after a refused reload: %q, want the old configuration", body)
	}

	tn.write(stickyRoute)
	if code, said := tn.reloadByVerb(); code != exitOK {
		t.Errorf("reload of a good file: exit code = %d, %q, want 0", code, said)
	}
	if body, _ := tn.get("/fixed"); body != "from the file" {
		t.Errorf("GET /fixed after a reload: %q, want the new configuration", body)
	}
	if _, status := tn.get("/a"); !strings.Contains(status, "hit") {
		t.Errorf("GET /a after a reload: Cache-Status %q, want the cache to survive", status)
	}

	tn.write("")
	tn.signals <- syscall.SIGHUP
	if err := os.Rename(tn.path("access.log"), tn.path("access.log.1")); err != nil {
		t.Fatal(err)
	}
	tn.signals <- syscall.SIGUSR1 // taken only after the reload is done
	tn.signals <- syscall.SIGHUP  // taken only after the log is reopened
	if body, _ := tn.get("/fixed"); body != "from the origin" {
		t.Errorf("GET /fixed after SIGHUP: %q, want the new configuration", body)
	}
	if _, err := os.Stat(tn.path("access.log")); err != nil {
		t.Errorf("after SIGUSR1: %v, want a new log", err)
	}

	tn.signals <- syscall.SIGTERM
	if err := <-tn.done; err != nil {
		t.Errorf("run: %v", err)
	}
	if _, err := os.Stat(tn.path("admin.sock")); !os.IsNotExist(err) {
		t.Errorf("admin socket after the end: %v, want it gone", err)
	}
}

// TestNodeOpensAllOrNothing: when one thing cannot be opened, what was opened before is let go.
func TestNodeOpensAllOrNothing(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	socket := filepath.Join(socketFolder(t), "admin.sock")
	for _, row := range []struct{ what, more string }{
		{"the origin's certificates", `origins: {app: {urls: ["http://127.0.0.1:1"], tls: {ca: nowhere.pem}}}`},
		{"the admin socket", "admin: {socket: node_test.go/is/no/folder}"},
		{"a listener", fmt.Sprintf("admin: {socket: %s}\nlisteners: [{address: %q}]", socket, taken.Addr())},
	} {
		f := DefaultFile()
		f.Memory = minMemory
		read := loader{machine: testMachine(), places: make(map[string]place), broken: make(map[string]bool)}
		read.decode(newSource("selvage.yaml", []byte(row.more)), reflect.ValueOf(&f).Elem())
		if _, err := newNode(&f, "", testMachine(), log, new(sockets)); err == nil {
			t.Errorf("%s cannot be opened: no error", row.what)
		}
	}
	if _, err := os.Stat(socket); !os.IsNotExist(err) {
		t.Errorf("admin socket of a node that did not start: %v, want it gone", err)
	}
}

// TestReloadRefusals: what is set at start cannot change, and is refused in words.
func TestReloadRefusals(t *testing.T) {
	tn := startNode(t)
	for _, row := range []struct{ from, to, want string }{
		{"version: 1", "version: 1\nmemory: 64MiB", "restart"},
		{"admin.sock", "other.sock", "restart"},
		{"127.0.0.1:0", "127.0.0.1:1", "listeners changed"},
	} {
		tn.write("")
		text, err := os.ReadFile(tn.path("selvage.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		changed := strings.Replace(string(text), row.from, row.to, 1)
		if err := os.WriteFile(tn.path("selvage.yaml"), []byte(changed), 0o600); err != nil {
			t.Fatal(err)
		}
		if v := tn.reload(); v.OK || !strings.Contains(v.Error, row.want) {
			t.Errorf("reload with %s for %s: %+v, want a refusal with %q", row.to, row.from, v, row.want)
		}
	}
	tn.signals <- syscall.SIGINT
	if err := <-tn.done; err != nil {
		t.Errorf("run: %v", err)
	}
}

// TestPoolsOfUnchangedOriginsStay: a reload costs no connections to origins it does not concern.
func TestPoolsOfUnchangedOriginsStay(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	before := load(t, smallest+"  \nsites: [{hosts: [a.example], origin: app}]\n").Origins
	old, err := openPools(before, nil, nil, log)
	if err != nil {
		t.Fatal(err)
	}
	same, err := openPools(before, before, old, log)
	if err != nil {
		t.Fatal(err)
	}
	if same["app"] != old["app"] {
		t.Error("an unchanged origin got a new pool")
	}
	changed := before["app"]
	changed.IdleConns++
	other, err := openPools(map[string]origin.Config{"app": changed}, before, old, log)
	if err != nil {
		t.Fatal(err)
	}
	if other["app"] == old["app"] {
		t.Error("a changed origin kept its pool")
	}
}
