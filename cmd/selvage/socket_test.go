package main

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAdminSocketPath(t *testing.T) {
	t.Setenv("TMPDIR", "/tmp")
	for _, row := range []struct {
		configured, runtime, session string
		uid                          int
		want                         string
	}{
		{"/srv/a.sock", "/run/x", "/run/user/7", 7, "/srv/a.sock"},
		{"", "/run/x", "/run/user/7", 7, "/run/x/admin.sock"},
		{"", "/run/x:/run/y", "", 0, "/run/x/admin.sock"},
		{"", "", "/run/user/7", 7, "/run/user/7/selvage/admin.sock"},
		{"", "", "", 7, "/tmp/selvage-7/admin.sock"},
	} {
		env := func(name string) (string, bool) {
			return map[string]string{"RUNTIME_DIRECTORY": row.runtime, "XDG_RUNTIME_DIR": row.session}[name], true
		}
		if got := adminSocketPath(row.configured, env, row.uid); got != row.want {
			t.Errorf("%+v: path = %s", row, got)
		}
	}
}

func TestListenSocket(t *testing.T) {
	folder := filepath.Join(socketFolder(t), "made")
	path := filepath.Join(folder, "admin.sock")

	first, err := listenSocket(path)
	if err != nil {
		t.Fatal(err)
	}
	wantMode(t, folder, 0o750)
	wantMode(t, path, 0o660)

	if _, err := listenSocket(path); err == nil || !strings.Contains(err.Error(), "another process answers") {
		t.Errorf("a socket that somebody answers on: err = %v, want a refusal", err)
	}

	first.(*net.UnixListener).SetUnlinkOnClose(false) // as after a crash
	first.Close()
	second, err := listenSocket(path)
	if err != nil {
		t.Fatalf("a socket that nobody answers on: %v, want it replaced", err)
	}
	second.Close()

	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := listenSocket(path); err == nil {
		t.Error("a file in the way: no error")
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != "precious" {
		t.Errorf("a file in the way: now %q, %v, want it untouched", text, err)
	}
}

// socketFolder is a folder whose path is short enough for a socket; t.TempDir's may not be.
func socketFolder(t *testing.T) string {
	t.Helper()
	folder, err := os.MkdirTemp("", "selvage")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(folder) })
	return folder
}

func wantMode(t *testing.T, path string, want os.FileMode) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Mode().Perm(); got != want {
		t.Errorf("mode of %s = %o, want %o", filepath.Base(path), got, want)
	}
}
