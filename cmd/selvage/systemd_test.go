package main

import (
	"bytes"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestIsAt: which open socket a listener's address means.
func TestIsAt(t *testing.T) {
	tcp := func(ip string, port int) net.Addr { return &net.TCPAddr{IP: net.ParseIP(ip), Port: port} }
	for _, row := range []struct {
		open             net.Addr
		network, address string
		want             bool
	}{
		{tcp("::", 80), "tcp", ":80", true},
		{tcp("0.0.0.0", 80), "tcp", ":80", true},
		{tcp("::", 80), "tcp", "0.0.0.0:80", true},
		{tcp("192.0.2.1", 80), "tcp", "192.0.2.1:80", true},
		{tcp("::1", 80), "tcp", "[::1]:80", true},
		{tcp("192.0.2.1", 80), "tcp", ":80", false},
		{tcp("::", 80), "tcp", "192.0.2.1:80", false},
		{tcp("::", 80), "tcp", ":81", false},
		{tcp("::", 80), "unix", ":80", false},
		{tcp("::", 80), "tcp", "nonsense", false},
		{&net.UDPAddr{IP: net.IPv6unspecified, Port: 443}, "udp", ":443", true},
		{&net.UDPAddr{IP: net.IPv6unspecified, Port: 443}, "tcp", ":443", false},
		{tcp("::", 443), "udp", ":443", false},
		{&net.UnixAddr{Name: "/run/a.sock", Net: "unix"}, "unix", "/run/a.sock", true},
		{&net.UnixAddr{Name: "/run/a.sock", Net: "unix"}, "unix", "/run/b.sock", false},
	} {
		if got := isAt(row.open, row.network, row.address); got != row.want {
			t.Errorf("%v for %s %s: %v, want %v", row.open, row.network, row.address, got, row.want)
		}
	}
}

// TestSockets: a socket that systemd holds is taken, once; any other is opened; one that nobody wants is closed and told of.
func TestSockets(t *testing.T) {
	held, unwanted := loopback(t), loopback(t)
	s := &sockets{inherited: []net.Listener{held, unwanted}}
	if l, err := s.listen("tcp", held.Addr().String()); l != held {
		t.Errorf("an address that systemd holds: %v, %v, want its socket", l, err)
	}
	if l, err := s.listen("tcp", held.Addr().String()); err == nil {
		t.Errorf("the same again: %v, want that it is in use", l)
	}
	packets, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer packets.Close()
	s.packets = []net.PacketConn{packets}
	if c, err := s.listenPacket("udp", packets.LocalAddr().String()); c != packets {
		t.Errorf("a UDP address that systemd holds: %v, %v, want its socket", c, err)
	}
	other, err := s.listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	other.Close()
	var log bytes.Buffer
	s.closeUnused(slog.New(slog.NewTextHandler(&log, nil)))
	if _, err := unwanted.Accept(); err == nil || !strings.Contains(log.String(), unwanted.Addr().String()) {
		t.Errorf("a socket that is no listener: %v, log %q, want it closed and told of", err, &log)
	}
}

// TestUnixListeners: a socket file that nobody answers on is left over from a crash, and replaced; no other is.
func TestUnixListeners(t *testing.T) {
	path, s := filepath.Join(socketFolder(t), "http.sock"), new(sockets)
	first, err := s.listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.listen("unix", path); err == nil {
		t.Error("a socket that somebody answers on was taken away")
	}
	first.(*net.UnixListener).SetUnlinkOnClose(false) // as after a crash
	first.Close()
	second, err := s.listen("unix", path)
	if err != nil {
		t.Fatalf("a socket that nobody answers on: %v", err)
	}
	second.Close()
}

func loopback(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// TestService runs the built program as systemd does: the socket is open before the program starts, so that a connection made
// then is answered once it runs; it says when it is ready, and when it ends.
func TestService(t *testing.T) {
	folder := socketFolder(t)
	told, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(folder, "notify.sock"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer told.Close()
	held := loopback(t)
	config := filepath.Join(folder, "selvage.yaml")
	text := "version: 1\nmemory: 16MiB\nlisteners: [{address: \"" + held.Addr().String() + "\"}]\nlog: {format: \"off\"}\n" +
		"admin: {socket: " + filepath.Join(folder, "admin.sock") + "}\n" +
		"sites: [{default: true, routes: [{match: {path: [\"/*\"]}, respond: {body: hello}}]}]\n"
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	early := make(chan error, 1)
	go func() {
		response, err := http.Get("http://" + held.Addr().String())
		if err == nil {
			response.Body.Close()
		}
		early <- err
	}()

	file, err := held.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	// LISTEN_PID is the program's own, which only a shell in its place can know before it runs.
	service := exec.Command("/bin/sh", "-c", `LISTEN_PID=$$ exec "$0" run --config "$1"`, buildProgram(t), config)
	service.Env = append(os.Environ(), "LISTEN_FDS=1", "NOTIFY_SOCKET="+told.LocalAddr().String())
	service.ExtraFiles = []*os.File{file}
	if err := service.Start(); err != nil {
		t.Fatal(err)
	}
	defer service.Process.Kill() // if the test ends early
	expectNote(t, told, "READY=1")
	if err := <-early; err != nil {
		t.Errorf("a request from before the start: %v", err)
	}
	if err := service.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	expectNote(t, told, "STOPPING=1")
	if err := service.Wait(); err != nil {
		t.Errorf("the service: %v", err)
	}
}

func expectNote(t *testing.T, told *net.UnixConn, want string) {
	t.Helper()
	note := make([]byte, 256)
	n, err := told.Read(note)
	if got := string(note[:n]); err != nil || got != want {
		t.Fatalf("systemd is told %q (%v), want %q", got, err, want)
	}
}
