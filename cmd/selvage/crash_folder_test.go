package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
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

// testFullDisk has a disk that is full before the limit is reached: first of what the cache itself holds, then of the bytes of
// somebody who takes whatever comes free. Every answer is right, and the tier recovers once there is room.
func testFullDisk(t *testing.T, binary string) {
	pages := 300 // about 90 MiB
	if soaking() {
		pages = 1000
	}
	root := smallDisk(t, "64m")
	origin, url := newPageOrigin(t)
	g := newProgram(t, binary, url, filepath.Join(root, "cache"), "256MiB")
	p := g.startReady(t)
	v := newVisitors(p, origin, pages)
	v.sweep(false)
	p.wantSaid("no space left on device")
	leave := takeAllSpace(t, filepath.Join(root, "ballast"))
	v.sweep(false)
	for n := range 100 {
		p.purgePage(n)
	}
	v.wantNoDisk("no space left on device")
	leave()
	p.wantDiskSoon()
	q := newPage(v.pages)
	v.ask(q)
	p.stop()
	p.healthy()
	t.Logf("%v", &v.tally)

	p = g.startReady(t)
	p.await(loadedMessage)
	v = newVisitors(p, origin, v.pages)
	q.onlyCached = true
	if v.ask(q); v.hits.Load() != 1 {
		t.Errorf("GET /page/%d after a restart: no hit, so the disk has not kept what came after it had recovered", q.number)
	}
}

// purgePage has a page purged, which takes room on the disk for the purge and nothing else.
func (p *process) purgePage(number int) {
	p.t.Helper()
	what := fmt.Sprintf(`{"urls": ["%s/page/%d"]}`, pageHost, number)
	response, err := p.admin.Post("http://admin/v1/purge", "application/json", strings.NewReader(what))
	if err != nil {
		p.t.Errorf("purge %s: %v", what, err)
		return
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		p.t.Errorf("purge %s: status = %d, want 200", what, response.StatusCode)
	}
}

// takeAllSpace writes a file that takes every byte that is free or comes free, until the function returned is called.
func takeAllSpace(t *testing.T, name string) (leave func()) {
	t.Helper()
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(t.Context())
	var taking sync.WaitGroup
	taking.Go(func() {
		block := make([]byte, 4<<10)
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for ctx.Err() == nil {
			if _, err := f.Write(block); errors.Is(err, syscall.ENOSPC) {
				<-tick.C
			} else if err != nil {
				t.Error(err)
				return
			}
		}
	})
	return func() {
		end()
		taking.Wait()
		if err := errors.Join(f.Truncate(0), f.Close()); err != nil {
			t.Error(err)
		}
	}
}

// diskUsable asks the process whether it uses the disk: 1, or 0.
func (p *process) diskUsable(value int) bool {
	p.t.Helper()
	_, metrics := p.ask("/metrics")
	return strings.Contains(metrics, fmt.Sprintf("\nselvage_disk_usable %d\n", value))
}

// wantDiskSoon waits until the process says that it uses the disk again.
func (p *process) wantDiskSoon() {
	p.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for late := time.After(longEnough); ; {
		if p.diskUsable(1) {
			return
		}
		select {
		case <-tick.C:
		case <-late:
			p.t.Fatalf("the disk tier does not recover:\n%s", p.said)
		}
	}
}

// newPage returns the first page from a number on that is fresh for long and the same for everybody.
func newPage(number int) visit {
	for is := traitsOf(number); is.varies || is.fresh < time.Minute; is = traitsOf(number) {
		number++
	}
	return visit{number: number}
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
	v.wantNoDisk("read-only file system")
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
	v.wantNoDisk("read-only file system")
	p.stop()
	p.healthy()
}

// wantNoDisk asks for more pages until the process says in its metrics that it goes without the disk tier, which it does for a while
// after a write that failed, and wants the reason in its log.
func (v *visitors) wantNoDisk(why string) {
	v.t.Helper()
	for late := time.Now().Add(longEnough); !v.p.diskUsable(0); v.pages++ {
		if time.Now().After(late) {
			v.t.Fatalf("the disk tier is not left alone:\n%s", v.p.said)
		}
		v.ask(visit{number: v.pages, flavour: flavours[0]}) // a new one, which is to be written
	}
	v.p.wantSaid(why)
}

func (p *process) wantSaid(text string) {
	p.t.Helper()
	if !p.said.holds(text) {
		p.t.Errorf("the program does not say %q:\n%s", text, p.said)
	}
}

// testRemoved takes the directory away while the process runs.
func testRemoved(t *testing.T, binary string) {
	origin, url := newPageOrigin(t)
	g := newProgram(t, binary, url, filepath.Join(t.TempDir(), "cache"), "16MiB")
	p := g.startReady(t)
	v := newVisitors(p, origin, 100) // more than it holds
	v.sweep(false)
	if err := os.RemoveAll(g.cache); err != nil {
		t.Fatal(err)
	}
	v.sweep(false)
	v.sweep(true)
	if !p.said.holds("no such file or directory") {
		t.Errorf("the program does not say that its directory is gone:\n%s", p.said)
	}
	p.end(exitOK, exitFailed) // the latter if something was still to be written
	p.healthy()
	if p.cmd.ProcessState.ExitCode() == exitFailed && !p.said.holds("write out the disk cache") {
		t.Errorf("the program does not say why it ends with 1:\n%s", p.said)
	}
}

// testReplaced moves the directory away while the process runs, and has another process use one in its place. Neither takes
// notice of the other, and the first one goes on where it was when its directory is back.
func testReplaced(t *testing.T, binary string) {
	origin, url := newPageOrigin(t)
	g := newProgram(t, binary, url, filepath.Join(t.TempDir(), "cache"), "16MiB")
	p := g.startReady(t)
	v := newVisitors(p, origin, 100) // more than it holds
	v.sweep(false)
	away := g.cache + ".away"
	if err := os.Rename(g.cache, away); err != nil {
		t.Fatal(err)
	}
	q := newProgram(t, binary, url, g.cache, "16MiB").startReady(t)
	w := newVisitors(q, origin, 24)
	w.sweep(false)
	v.sweep(false)
	w.sweep(false)
	q.stop()
	for _, each := range []*process{p, q} {
		each.healthy()
	}
	q.unharmed()
	if !p.said.holds("cannot use the disk") {
		t.Errorf("the program does not say that its directory is gone:\n%s", p.said)
	}
	if err := errors.Join(os.Rename(g.cache, g.cache+".other"), os.Rename(away, g.cache)); err != nil {
		t.Fatal(err)
	}
	p.wantDiskSoon()
	v.sweep(false)
	p.stop()
	p.healthy()
	g.agree(t, origin)
}

// testPermissionLost takes the right to write from a process that runs, and gives it back.
func testPermissionLost(t *testing.T, binary string) {
	origin, url := newPageOrigin(t)
	g := newProgram(t, binary, url, filepath.Join(t.TempDir(), "cache"), "16MiB")
	if err := os.Mkdir(g.cache, 0o700); err != nil {
		t.Fatal(err)
	}
	g.asNobody(t)
	p := g.startReady(t)
	v := newVisitors(p, origin, 100)
	v.sweep(false)
	if err := os.Chmod(g.cache, 0o500); err != nil {
		t.Fatal(err)
	}
	v.sweep(false)
	v.sweep(false)
	v.wantNoDisk("permission denied")
	if err := os.Chmod(g.cache, 0o700); err != nil {
		t.Fatal(err)
	}
	p.wantDiskSoon()
	v.sweep(false)
	p.stop()
	p.healthy()
	g.agree(t, origin)
}

// asNobody has the program run by a user whom permissions bind, if this one may do everything.
func (g *program) asNobody(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		return
	}
	g.user = &syscall.Credential{Uid: 65534, Gid: 65534}
	for _, folder := range []string{g.folder, g.cache} {
		if err := os.Chown(folder, 65534, 65534); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
	}
	letThrough(t, filepath.Dir(g.cache))
}

// letThrough lets others pass through the test's folders.
func letThrough(t *testing.T, folder string) {
	t.Helper()
	for up := folder; up != os.TempDir() && up != "/"; up = filepath.Dir(up) {
		if err := os.Chmod(up, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

// testFewDescriptors has so few of them that clients leave none for the disk. Every answer is right, and the tier recovers.
func testFewDescriptors(t *testing.T, binary string) {
	origin, url := newPageOrigin(t)
	g := newProgram(t, binary, url, filepath.Join(t.TempDir(), "cache"), "16MiB")
	g.wrap = []string{"/bin/sh", "-c", `ulimit -n 40; exec "$0" "$@"`} // enough for the visitors and five segments, and a few more
	p := g.startReady(t)
	v := newVisitors(p, origin, 24)
	v.sweep(false)
	var idle []net.Conn
	for range 20 {
		if c, err := net.Dial("tcp", p.address); err == nil {
			idle = append(idle, c)
		}
	}
	v.pages, v.poor = 150, true
	v.sweep(false)
	for _, c := range idle {
		c.Close()
	}
	p.wantDiskSoon()
	v.poor = false
	v.sweep(false)
	p.stop()
	p.healthy()
	if !p.said.holds("too many open files") {
		t.Error("the program has never run out of descriptors")
	}
	t.Logf("%v; %d times out of descriptors", &v.tally, p.said.count("too many open files"))
	g.agree(t, origin)
}

// testForeign has directories named that hold somebody's files. The program refuses them and changes nothing.
func testForeign(t *testing.T, binary string) {
	_, url := newPageOrigin(t)
	folder := t.TempDir()
	letter := filepath.Join(folder, "letter.txt")
	writeFile(t, letter, []byte("dear reader"))
	refused(t, newProgram(t, binary, url, folder, "16MiB"), "letter.txt")
	if got := string(readFile(t, letter)); got != "dear reader" {
		t.Errorf("the letter reads %q now", got)
	}
	wantMode(t, letter, 0o600)
	refused(t, newProgram(t, binary, url, letter, "16MiB"), "not a directory")
}

// testInUse starts a second process on a directory: it is refused, and the first one does not notice.
func testInUse(t *testing.T, binary string) {
	origin, url := newPageOrigin(t)
	g := newProgram(t, binary, url, filepath.Join(t.TempDir(), "cache"), "16MiB")
	p := g.startReady(t)
	v := newVisitors(p, origin, 24)
	v.sweep(false)
	refused(t, newProgram(t, binary, url, g.cache, "16MiB"), "another process")
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
	g.asNobody(t)
	p := g.startReady(t)
	v := newVisitors(p, origin, 24)
	v.sweep(false)
	v.wantNoDisk("permission denied")
	p.stop()
	p.healthy()
}
