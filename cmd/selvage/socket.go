package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// adminSocketPath is where the admin socket is: where the configuration says, else in the folder that systemd made for
// this service, else in /run/selvage for root, else in a folder of the user's own.
func adminSocketPath(configured string, env func(string) (string, bool), uid int) string {
	if configured != "" {
		return configured
	}
	folder := filepath.Join(os.TempDir(), "selvage-"+strconv.Itoa(uid))
	if service, ok := env("RUNTIME_DIRECTORY"); ok && service != "" {
		folder, _, _ = strings.Cut(service, ":") // systemd.exec(5): several are joined by colons
	} else if uid == 0 && runtime.GOOS == "linux" {
		folder = "/run/selvage"
	} else if session, ok := env("XDG_RUNTIME_DIR"); ok && session != "" {
		folder = filepath.Join(session, "selvage")
	}
	return filepath.Join(folder, "admin.sock")
}

// listenSocket listens on a unix socket that its user and group may use, mode 0660 in a folder of mode 0750 if it has to
// be made. A socket file that nobody answers on is left over from a crash, and replaced.
func listenSocket(path string) (net.Listener, error) {
	if err := makeFolder(filepath.Dir(path)); err != nil {
		return nil, err
	}
	l, err := listenPrivately(path)
	if errors.Is(err, syscall.EADDRINUSE) {
		if err := removeStale(path); err != nil {
			return nil, err
		}
		l, err = listenPrivately(path)
	}
	return l, err
}

// listenPrivately binds under a umask, so that the socket never has wider permissions, not even for a moment. The umask is
// the whole process's: a file made meanwhile has too few permissions, never too many.
func listenPrivately(path string) (net.Listener, error) {
	old := syscall.Umask(0o117)
	defer syscall.Umask(old)
	return net.Listen("unix", path)
}

func makeFolder(folder string) error {
	if err := os.MkdirAll(folder, 0o750); err != nil {
		return fmt.Errorf("make the socket's folder: %w", err)
	}
	info, err := os.Lstat(folder)
	if err != nil {
		return fmt.Errorf("look at the socket's folder: %w", err)
	}
	owner := info.Sys().(*syscall.Stat_t).Uid
	if info.IsDir() && owner != 0 && int(owner) != os.Geteuid() {
		// In a folder like /tmp anybody can make ours first, and swap the socket in it.
		return fmt.Errorf("%s belongs to another user", folder)
	}
	return nil
}

// removeStale removes the socket file at path if nobody answers there.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	if err != nil {
		return fmt.Errorf("look at %s: %w", path, err)
	}
	if info.Mode().Type() != os.ModeSocket {
		return fmt.Errorf("%s is in the way and no socket", path)
	}
	conn, err := net.DialTimeout("unix", path, time.Second)
	switch {
	case err == nil:
		conn.Close()
		return fmt.Errorf("another process answers on %s", path)
	case !errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("see who answers on %s: %w", path, err)
	}
	return os.Remove(path)
}
