package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// smallDisk mounts a file system of the given size in memory and returns its root.
func smallDisk(t *testing.T, size string) string {
	t.Helper()
	root := filepath.Join(t.TempDir(), "disk")
	if err := os.Mkdir(root, 0o700); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "mode=0700,size="+size, "tmpfs", root).CombinedOutput(); err != nil {
		t.Skipf("NOT RUN: needs root and a tmpfs: %v: %s", err, bytes.TrimSpace(out))
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", root).CombinedOutput(); err != nil {
			t.Errorf("umount %s: %v: %s", root, err, out)
		}
	})
	return root
}

func remount(t *testing.T, root, option string) {
	t.Helper()
	if out, err := exec.Command("mount", "-o", "remount,"+option, root).CombinedOutput(); err != nil {
		t.Fatalf("remount %s: %v: %s", root, err, out)
	}
}

// untilKept asks for a page that is too large for memory until the disk has it.
func (v *visitors) untilKept() {
	v.t.Helper()
	q := visit{number: 3, flavour: flavours[0]} // fresh for long, does not vary
	for began := time.Now(); !v.t.Failed(); {
		before := v.hits.Load()
		v.ask(q)
		if v.hits.Load() > before {
			return
		}
		if q.number = (q.number + 4) % v.pages; time.Since(began) > longEnough {
			v.t.Fatal("the disk tier does not recover")
		}
	}
}

// testFullDisk has a disk that is full before the limit is reached, at first by what the cache itself holds, then by somebody
// else's bytes. Every answer is right, and the tier recovers.
func testFullDisk(t *testing.T, binary string) {
	root := smallDisk(t, "64m")
	origin, url := newPageOrigin(t)
	g := newProgram(t, binary, url, filepath.Join(root, "cache"), "256MiB")
	p := g.startReady(t)
	v := newVisitors(p, origin, 400) // more than 100 MiB
	v.sweep(false)
	ballast, err := os.Create(filepath.Join(root, "ballast"))
	if err != nil {
		t.Fatal(err)
	}
	defer ballast.Close()
	fillUp(t, ballast)
	v.pages = 100
	v.sweep(false)
	if !p.said.holds("no space left on device") {
		t.Errorf("the program does not say that the disk is full:\n%s", p.said)
	}
	if err := ballast.Truncate(0); err != nil {
		t.Fatal(err)
	}
	v.untilKept()
	p.stop()
	p.healthy()
	t.Logf("%v", &v.tally)
}

// fillUp writes until the disk is full.
func fillUp(t *testing.T, f *os.File) {
	t.Helper()
	block := make([]byte, 64<<10)
	for {
		if _, err := f.Write(block); errors.Is(err, syscall.ENOSPC) {
			return
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

// testReadOnly has a disk that takes no writes: from the start on, or all of a sudden.
func testReadOnly(t *testing.T, binary string) {
	root := smallDisk(t, "64m")
	origin, url := newPageOrigin(t)
	g := newProgram(t, binary, url, filepath.Join(root, "cache"), "32MiB")

	remount(t, root, "ro")
	p := g.startReady(t)
	v := newVisitors(p, origin, 24)
	v.sweep(false)
	if !p.said.holds("read-only file system") {
		t.Errorf("the program does not say that the disk is read-only:\n%s", p.said)
	}
	p.stop()
	p.healthy()

	remount(t, root, "rw")
	p = g.startReady(t)
	v = newVisitors(p, origin, 24)
	v.sweep(false)
	p.kill() // one that has files open for writing would refuse the remount
	remount(t, root, "ro")
	p = g.startReady(t)
	v = newVisitors(p, origin, 24)
	v.sweep(false)
	p.stop()
	p.healthy()
}

// testRemoved takes the directory away while the process runs.
func testRemoved(t *testing.T, binary string) {
	origin, url := newPageOrigin(t)
	g := newProgram(t, binary, url, filepath.Join(t.TempDir(), "cache"), "16MiB")
	p := g.startReady(t)
	v := newVisitors(p, origin, 100) // about 30 MiB
	v.sweep(false)
	if err := os.RemoveAll(g.cache); err != nil {
		t.Fatal(err)
	}
	v.sweep(false)
	v.sweep(true)
	if !p.alive() {
		t.Errorf("the program has ended:\n%s", p.said)
	}
	p.kill()
	p.healthy()
}

// testInUse starts a second process on a directory: it is refused, and the first one does not notice.
func testInUse(t *testing.T, binary string) {
	origin, url := newPageOrigin(t)
	g := newProgram(t, binary, url, filepath.Join(t.TempDir(), "cache"), "16MiB")
	p := g.startReady(t)
	v := newVisitors(p, origin, 24)
	v.sweep(false)
	refused(t, newProgram(t, binary, url, g.cache, "16MiB"), "in use by another process")
	v.sweep(false)
	p.stop()
	p.healthy()
	p.unharmed()
}

// refused starts a program that has to end at once, with a message.
func refused(t *testing.T, g *program, message string) {
	t.Helper()
	p := g.start(t)
	if _, served := p.await("serving"); served {
		t.Errorf("the program serves, want it to end with %q", message)
		p.kill()
		return
	}
	p.healthy()
	if code := p.cmd.ProcessState.ExitCode(); code != exitFailed || !p.said.holds(message) {
		t.Errorf("exit code = %d, want 1 and %q:\n%s", code, message, p.said)
	}
}

// testLinks puts a symbolic link to somebody's file in the place of each of ours. Nobody follows it.
func testLinks(t *testing.T, binary string) {
	origin, url := newPageOrigin(t)
	g := newProgram(t, binary, url, filepath.Join(t.TempDir(), "cache"), "16MiB")
	secret := filepath.Join(t.TempDir(), "secret")
	for _, kind := range []string{"*.seg", "index", "identity"} {
		fillCache(t, g, origin, 24)
		damage{kind, func(t *testing.T, file string, _ int64) {
			if err := errors.Join(os.Rename(file, secret), os.Symlink(secret, file)); err != nil {
				t.Fatal(err)
			}
		}}.do(t, filepath.Join(g.cache, kind))
		before := readFile(t, secret)
		p := g.startReady(t)
		p.await(loadedMessage)
		v := newVisitors(p, origin, 24)
		v.sweep(false)
		p.stop()
		p.healthy()
		if !bytes.Equal(readFile(t, secret), before) {
			t.Errorf("%s: the file that a link in its place points to has changed", kind)
		}
		wantPlainFiles(t, g.cache)
	}
	if err := errors.Join(os.Remove(filepath.Join(g.cache, "lock")), os.Symlink(secret, filepath.Join(g.cache, "lock"))); err != nil {
		t.Fatal(err)
	}
	refused(t, g, "too many levels of symbolic links")
	linked := filepath.Join(t.TempDir(), "linked")
	if err := os.Symlink(g.cache, linked); err != nil {
		t.Fatal(err)
	}
	refused(t, newProgram(t, binary, url, linked, "16MiB"), "a symbolic link")
}

// wantPlainFiles reports what in a cache directory is no file, or open to others.
func wantPlainFiles(t *testing.T, folder string) {
	t.Helper()
	wantMode(t, folder, 0o700)
	entries, err := os.ReadDir(folder)
	if err != nil || len(entries) == 0 {
		t.Fatalf("read %s: %d entries, %v", folder, len(entries), err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || info.Mode() != 0o600 {
			t.Errorf("%s: mode = %v, %v, want a file of mode 0600", e.Name(), info.Mode(), err)
		}
	}
}

// testPermissions has a process make its files under the most generous umask, and start in a directory open to everybody.
func testPermissions(t *testing.T, binary string) {
	origin, url := newPageOrigin(t)
	g := newProgram(t, binary, url, filepath.Join(t.TempDir(), "cache"), "16MiB")
	g.wrap = []string{"/bin/sh", "-c", `umask 0; exec "$0" "$@"`}
	fillCache(t, g, origin, 24)
	wantPlainFiles(t, g.cache)
	if err := os.Chmod(g.cache, 0o777); err != nil {
		t.Fatal(err)
	}
	fillCache(t, g, origin, 24)
	wantPlainFiles(t, g.cache)
	noPermission(t, binary, origin, url)
}

// noPermission has a process that may not use its directory. It serves without, and says so.
func noPermission(t *testing.T, binary string, origin *pageOrigin, url string) {
	t.Helper()
	closed := filepath.Join(t.TempDir(), "closed")
	if err := os.Mkdir(closed, 0o500); err != nil {
		t.Fatal(err)
	}
	g := newProgram(t, binary, url, filepath.Join(closed, "cache"), "16MiB")
	if os.Geteuid() == 0 { // who may do everything
		g.user = &syscall.Credential{Uid: 65534, Gid: 65534}
		if err := os.Chown(g.folder, 65534, 65534); err != nil {
			t.Fatal(err)
		}
	}
	p := g.startReady(t)
	v := newVisitors(p, origin, 24)
	v.sweep(false)
	p.stop()
	p.healthy()
	if !strings.Contains(p.said.String(), "permission denied") {
		t.Errorf("the program does not say that it may not use its directory:\n%s", p.said)
	}
}
