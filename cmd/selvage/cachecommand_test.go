package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"selvage/cache"
)

// cacheVerb runs `selvage cache` on a terminal of 80 columns without colour.
func cacheVerb(args ...string) (code int, out, stderr string) {
	c, o, e := testConsole()
	c.outTerm, c.width, c.errTerm = true, 80, false
	c.machine.env = func(name string) (string, bool) { return "1", name == "NO_COLOR" }
	code = run(append([]string{"cache"}, args...), c)
	return code, o.String(), e.String()
}

// want fails the test unless the verb ends with a code and prints text that matches.
func wantVerb(t *testing.T, code int, pattern string, args ...string) (out string) {
	t.Helper()
	got, out, stderr := cacheVerb(args...)
	if got != code || !regexp.MustCompile(`^(?s:`+pattern+`)$`).MatchString(out+stderr) {
		t.Errorf("selvage cache %s: exit code = %d, want %d, and\n%s%swant %s", strings.Join(args, " "), got, code, out, stderr, pattern)
	}
	return out
}

// startDiskNode is a node with a disk tier in a folder, and three responses in it, one behind the other.
func startDiskNode(t *testing.T, dir string) *testNode {
	t.Helper()
	tn := startNodeWith(t, fmt.Sprintf("disk: {path: %s, size: 16MiB}\n", dir))
	for n, target := range []string{"/a", "/b?c=d", "/" + strings.Repeat("long", 30)} {
		tn.get(target)
		for tn.store.Disk().Stat().Records <= int64(n) {
			runtime.Gosched()
		}
	}
	return tn
}

func (tn *testNode) stop() {
	tn.t.Helper()
	tn.signals <- syscall.SIGTERM
	if err := <-tn.done; err != nil {
		tn.t.Errorf("run: %v", err)
	}
}

// listing matches the line of one stored response.
func listing(url string) string {
	return `   200 +\d+s +\d+s      15 B  http://127.0.0.1:\d+` + url + `\n`
}

const listHead = `status    age     ttl      size  url\n`

// TestCacheVerbs: each verb, asked of the running node and of its folder once it is stopped.
func TestCacheVerbs(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "disk")
	tn := startDiskNode(t, dir)
	host := tn.edge.Addrs()[0].String()
	socket := "--socket=" + tn.path("admin.sock")

	wantVerb(t, exitOK, listHead+listing("/a")+listing(`/b\?c=d`)+listing(`/(long)+l?o?n?g?…`), "ls", socket)
	wantVerb(t, exitOK, `records +3\nused +\d.*MiB of 16 MiB, \d+%\n.*in use\n.*since the start\n.*corrupt blocks +0\n.*`, "stat", socket)
	wantVerb(t, exitOK, `good  3 records of 45 B\n`, "scrub", socket)
	wantVerb(t, exitOK, host+`/a: 1 response removed\n`, "rm", "http://"+host+"/a", socket)
	wantVerb(t, exitOK, host+`/a: 0 responses removed\n`, "rm", host+"/a", socket)
	if _, status := tn.get("/a"); !strings.Contains(status, "uri-miss") {
		t.Errorf("GET /a after rm: Cache-Status %q, want a miss", status)
	}
	wantVerb(t, exitUsage, `selvage: parse "/a": .*`, "rm", "/a", socket)
	wantVerb(t, exitFailed, `selvage: open disk cache .* in use by another process; leave out --path.*`, "ls", "--path", dir)
	tn.stop()
	wantVerb(t, exitFailed, `selvage: reach the running node: .*--path is for one that is stopped\n`, "ls", socket)

	wantVerb(t, exitOK, `good  3 records of 45 B\n`, "scrub", "--path", dir)
	wantVerb(t, exitOK, host+`/b\?c=d: 1 response removed\n`, "rm", host+"/b?c=d", "--path", dir)
	wantVerb(t, exitOK, listHead+listing(`/(long)+l?o?n?g?…`)+listing("/a"), "ls", "--path", dir)
	wantVerb(t, exitOK, `records +2\nused +\d.*MiB\nlive .*\nindex .*\nsegments +2\n`, "stat", "--path", dir)
	wantVerb(t, exitUsage, `selvage: --path and --socket can't be used together.*`, "ls", socket, "--path", dir)
}

// TestCacheVerbsPrintJSON: the same fields whomever one asks.
func TestCacheVerbsPrintJSON(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "disk")
	tn := startDiskNode(t, dir)
	host := tn.edge.Addrs()[0].String()
	check := func(place string) {
		t.Helper()
		_, out, _ := cacheVerb("ls", "--json", place)
		var first cache.StoredResponse
		if err := json.NewDecoder(strings.NewReader(out)).Decode(&first); err != nil {
			t.Fatalf("ls --json: %v\n%s", err, out)
		}
		if first.URL != host+"/a" || first.Status != 200 || first.State != cache.StateFresh || first.Length != 15 || first.Location == "" {
			t.Errorf("ls --json %s: %+v", place, first)
		}
		if strings.Count(out, "\n") != 3 {
			t.Errorf("ls --json %s: want a line for each response\n%s", place, out)
		}
		wantVerb(t, exitOK, `\{\n  "loaded": true,\n.*"records": 3,\n.*`, "stat", "--json", place)
		wantVerb(t, exitOK, `\{\n  "clean": true,\n  "records": 3,\n  "bytes": 45,\n  "damaged": \[\],.*`, "scrub", "--json", place)
		wantVerb(t, exitOK, `\{\n  "url": "a.example/",\n  "removed": 0\n\}\n`, "rm", "--json", "a.example", place)
	}
	check("--socket=" + tn.path("admin.sock"))
	tn.stop()
	check("--path=" + dir)
}

// TestScrubOfDamage: it fails, says where, and the next one is clean.
func TestScrubOfDamage(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "disk")
	startDiskNode(t, dir).stop()
	flipBit(t, dir, "from the origin")
	wantVerb(t, exitFailed, `damaged  [0-9a-f]{8}:[0-9a-f]+\ngood  2 records of 30 B\n.*level=ERROR .*offset=.*`+
		`selvage: damage cost 1 record; .*\n`, "scrub", "--path", dir)
	wantVerb(t, exitOK, `good  2 records of 30 B\n`, "scrub", "--path", dir)
	wantVerb(t, exitOK, listHead+listing(`/b\?c=d`)+listing(`/(long)+l?o?n?g?…`), "ls", "--path", dir)
}

func flipBit(t *testing.T, dir, text string) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.seg"))
	if err != nil || len(names) == 0 {
		t.Fatalf("segments: %v, %v", names, err)
	}
	b, err := os.ReadFile(names[0])
	at := strings.Index(string(b), text)
	if err != nil || at < 0 {
		t.Fatalf("%q is not in %s: %v", text, names[0], err)
	}
	b[at] ^= 1
	if err := os.WriteFile(names[0], b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestCacheVerbsWithoutDisk: a node without a disk tier says so.
func TestCacheVerbsWithoutDisk(t *testing.T) {
	tn := startNode(t)
	defer tn.stop()
	for _, verb := range [][]string{{"ls"}, {"stat"}, {"scrub"}, {"rm", "example.com/a"}} {
		wantVerb(t, exitFailed, `selvage: the node answered 404 Not Found: this node has no disk tier\n`,
			append(verb, "--socket", tn.path("admin.sock"))...)
	}
}

// TestScrubShowsProgress: on a terminal there is a line while it lasts, and none when it is over.
func TestScrubShowsProgress(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "disk")
	startDiskNode(t, dir).stop()
	for _, terminal := range []bool{true, false} {
		c, out, stderr := testConsole()
		c.errTerm = terminal
		if code := run([]string{"cache", "scrub", "--path", dir}, c); code != exitOK || out.String() != "good  3 records of 45 B\n" {
			t.Errorf("exit code = %d, %s%s", code, out, stderr)
		}
		shown := strings.Contains(stderr.String(), "% ") && strings.HasSuffix(stderr.String(), eraseLine)
		if shown != terminal {
			t.Errorf("terminal %v: standard error got %q", terminal, stderr)
		}
	}
}
