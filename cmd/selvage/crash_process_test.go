package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// longEnough is how long anything may take that has to happen. Nothing waits for it to pass unless it fails.
const longEnough = 60 * time.Second

// TestMain removes the program that tests have built.
func TestMain(m *testing.M) {
	code := m.Run()
	os.RemoveAll(buildFolder)
	os.Exit(code)
}

var buildFolder string // set by buildOnce

// buildProgram returns the program that the tests of processes run, built once.
func buildProgram(t *testing.T) string {
	t.Helper()
	name, err := buildOnce()
	if err != nil {
		t.Fatal(err)
	}
	return name
}

var buildOnce = sync.OnceValues(func() (name string, err error) {
	if buildFolder, err = os.MkdirTemp("", "selvage"); err != nil {
		return "", err
	}
	if err := os.Chmod(buildFolder, 0o755); err != nil { // other users run it too
		return "", err
	}
	name = filepath.Join(buildFolder, "selvage")
	if out, err := exec.Command("go", "build", "-o", name, ".").CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return name, nil
})

// program is how processes are started that follow each other on one cache directory.
type program struct {
	binary string
	folder string // of the configuration and the admin socket
	cache  string // the cache directory
	wrap   []string
	held   []*os.File // sockets that are open already, as from systemd
	user   *syscall.Credential
}

// newProgram writes the configuration; disk is the size of the disk tier.
func newProgram(t *testing.T, binary, origin, cache, disk string) *program {
	t.Helper()
	g := &program{binary: binary, folder: socketFolder(t), cache: cache}
	text := fmt.Sprintf(`
version: 1
memory: 8MiB
disk: {path: %q, size: %s}
listeners: [{address: "127.0.0.1:0"}]
log: {format: "off"}
admin: {socket: %q}
origins: {pages: {urls: [%q]}}
sites: [{default: true, origin: pages}]
`, cache, disk, g.socket(), origin)
	if err := os.WriteFile(g.config(), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return g
}

func (g *program) config() string { return filepath.Join(g.folder, "selvage.yaml") }
func (g *program) socket() string { return filepath.Join(g.folder, "admin.sock") }

// process is one run of a program.
type process struct {
	t       *testing.T
	cmd     *exec.Cmd
	said    *transcript
	exited  chan struct{}
	address string        // where it serves, once ready
	took    time.Duration // until it was ready
	admin   *http.Client
}

// start starts the program and returns at once.
func (g *program) start(t *testing.T) *process {
	t.Helper()
	args := append(slices.Clone(g.wrap), g.binary, "run", "--config", g.config())
	if len(g.held) > 0 { // LISTEN_PID is the program's own, which only a shell in its place can know before it runs
		args = append([]string{"/bin/sh", "-c", `LISTEN_PID=$$ exec "$@"`, "sh"}, args...)
	}
	p := &process{t: t, cmd: exec.Command(args[0], args[1:]...), said: newTranscript(), exited: make(chan struct{})}
	p.cmd.Env, p.cmd.ExtraFiles = append(os.Environ(), fmt.Sprintf("LISTEN_FDS=%d", len(g.held))), g.held
	p.cmd.Stdout, p.cmd.Stderr = p.said, p.said
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: g.user}
	p.admin = &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", g.socket())
	}}}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.cmd.Wait()
		p.said.end()
		close(p.exited)
	}()
	t.Cleanup(p.kill)
	return p
}

// startReady starts the program and waits until it serves.
func (g *program) startReady(t *testing.T) *process {
	t.Helper()
	began := time.Now()
	p := g.start(t)
	serving, ok := p.await("serving")
	if !ok {
		t.Fatalf("the program does not serve:\n%s", p.said)
	}
	p.address = serving.Listeners[0]
	for status := 0; status != http.StatusOK; {
		status, _ = p.ask("/readyz")
		if time.Since(began) > longEnough {
			t.Fatalf("the program is not ready:\n%s", p.said)
		}
	}
	p.took = time.Since(began)
	return p
}

// ask asks the admin socket.
func (p *process) ask(target string) (status int, body string) {
	r, err := p.admin.Get("http://admin" + target)
	if err != nil {
		return 0, ""
	}
	defer r.Body.Close()
	var b bytes.Buffer
	b.ReadFrom(r.Body)
	return r.StatusCode, b.String()
}

// kill ends the process as the kernel ends one that has no memory left, and waits until it is gone.
func (p *process) kill() {
	p.cmd.Process.Kill()
	<-p.exited
	p.admin.CloseIdleConnections()
}

// stop ends the process as an operator does.
func (p *process) stop() {
	p.t.Helper()
	p.end(exitOK)
}

// end sends SIGTERM and wants the process to end with an exit code.
func (p *process) end(want ...int) {
	p.t.Helper()
	p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.exited:
	case <-time.After(longEnough):
		p.t.Errorf("the program does not end:\n%s", p.said)
	}
	p.kill()
	if code := p.cmd.ProcessState.ExitCode(); !slices.Contains(want, code) {
		p.t.Errorf("exit code = %d after SIGTERM, want one of %d:\n%s", code, want, p.said)
	}
}

// await waits until the process has logged a message. False: it ended without.
func (p *process) await(message string) (logLine, bool) {
	p.t.Helper()
	late := time.After(longEnough)
	for {
		line, found, changed := p.said.find(message)
		if found || changed == nil {
			return line, found
		}
		select {
		case <-changed:
		case <-late:
			p.t.Fatalf("the program does not say %q:\n%s", message, p.said)
		}
	}
}

// awaitTimes waits until the process has written a text so often.
func (p *process) awaitTimes(text string, n int) {
	p.t.Helper()
	late := time.After(longEnough)
	for p.said.count(text) < n {
		_, _, changed := p.said.find("")
		if changed == nil {
			p.t.Fatalf("the program has ended:\n%s", p.said)
		}
		select {
		case <-changed:
		case <-late:
			p.t.Fatalf("the program does not say %q %d times:\n%s", text, n, p.said)
		}
	}
}

// healthy reports output that no process may leave, whatever is done to it.
func (p *process) healthy() {
	p.t.Helper()
	for _, sign := range []string{"panic", "fatal error", "goroutine ", "SIGSEGV", "DATA RACE"} {
		if p.said.holds(sign) {
			p.t.Fatalf("the program says %q:\n%s", sign, p.said)
		}
	}
}

// logLine is what the tests read of a line of the process log.
type logLine struct {
	Level     string   `json:"level"`
	Message   string   `json:"msg"`
	Listeners []string `json:"listeners"`
	Streams   []string `json:"streams"`
	Records   int64    `json:"records"`
}

// transcript is what a process has written so far.
type transcript struct {
	mu      sync.Mutex
	text    bytes.Buffer  // guarded by mu
	changed chan struct{} // guarded by mu; closed with every write; nil after the end
}

func newTranscript() *transcript { return &transcript{changed: make(chan struct{})} }

func (s *transcript) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.text.Write(p)
	close(s.changed)
	s.changed = make(chan struct{})
	return len(p), nil
}

func (s *transcript) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.changed)
	s.changed = nil
}

// find returns the first line with a message, or a channel that is closed when there is more to look at.
func (s *transcript) find(message string) (line logLine, found bool, changed <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for text := range bytes.Lines(s.text.Bytes()) {
		var l logLine
		if json.Unmarshal(text, &l) == nil && l.Message == message {
			return l, true, s.changed
		}
	}
	return logLine{}, false, s.changed
}

// count returns how many lines hold a text.
func (s *transcript) count(text string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return bytes.Count(s.text.Bytes(), []byte(text))
}

func (s *transcript) holds(text string) bool { return s.count(text) > 0 }

func (s *transcript) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.TrimSpace(s.text.String())
}
