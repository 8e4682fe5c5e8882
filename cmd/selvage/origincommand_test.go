package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"selvage/origin"
)

// TestOriginLs asks a running node, in words and as JSON.
func TestOriginLs(t *testing.T) {
	tn := startNode(t)
	tn.get("/a")
	c, out, stderr := testConsole()
	if code := run([]string{"origin", "ls", "--socket", tn.path("admin.sock")}, c); code != exitOK {
		t.Fatalf("origin ls: exit code = %d\n%s", code, stderr)
	}
	address := strings.TrimPrefix(tn.origin, "http://")
	if text := out.String(); !strings.Contains(text, "app") || !strings.Contains(text, address) || !strings.Contains(text, "up") {
		t.Errorf("origin ls prints\n%s", text)
	}
	c, out, _ = testConsole()
	run([]string{"origin", "ls", "--json", "--socket", tn.path("admin.sock")}, c)
	var got []originStatus
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatalf("%v in\n%s", err, out)
	}
	if len(got) != 1 || got[0].Origin != "app" || len(got[0].Upstreams) != 1 || got[0].Upstreams[0].Answers != 1 {
		t.Errorf("origin ls --json: %+v", got)
	}
	for _, row := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"weight", "app", address, "7"}, exitOK, " 7 "},
		{[]string{"drain", "app", address}, exitOK, "draining"},
		{[]string{"drain", "none", address}, exitFailed, `there is no origin "none"`},
		{[]string{"drain", "app", "none"}, exitFailed, "no upstream none"},
		{[]string{"weight", "app", address, "0"}, exitFailed, "not from 1 to 1000"},
	} {
		c, out, stderr := testConsole()
		code := run(append(append([]string{"origin"}, row.args...), "--socket", tn.path("admin.sock")), c)
		if text := out.String() + stderr.String(); code != row.code || !strings.Contains(text, row.want) {
			t.Errorf("origin %v: exit code = %d, want %d and %q in\n%s", row.args, code, row.code, row.want, text)
		}
	}
	if body, status := tn.get("/b"); !strings.HasPrefix(body, "503") {
		t.Errorf("GET /b with its only upstream drained: %q, %s", body, status)
	}
	c, _, _ = testConsole()
	run([]string{"origin", "resume", "app", address, "--socket", tn.path("admin.sock")}, c)
	if body, _ := tn.get("/c"); body != "from the origin" {
		t.Errorf("GET /c after it was resumed: %q", body)
	}
	tn.signals <- syscall.SIGTERM
	if err := <-tn.done; err != nil {
		t.Errorf("run: %v", err)
	}
	c, _, _ = testConsole()
	if code := run([]string{"origin", "ls", "--socket", tn.path("admin.sock")}, c); code != exitFailed {
		t.Errorf("origin ls of a node that is gone: exit code = %d, want 1", code)
	}
}

// TestOriginTable: why an upstream is out stands beside it.
func TestOriginTable(t *testing.T) {
	var out bytes.Buffer
	err := writeOrigins(&out, []originStatus{
		{"app", origin.Status{Out: true, Queued: 2, Upstreams: []origin.UpstreamStatus{
			{Upstream: "a:80", State: origin.StateUp, Weight: 1, InFlight: 3, Latency: 0.0123, Answers: 10},
			{Upstream: "b:80", State: origin.StateEjected, Why: "error rate: status 503", Backup: true, Answers: 7, Failures: 5},
		}}},
	}, style{})
	if err != nil {
		t.Fatal(err)
	}
	want := `origin  upstream  weight  in flight  latency  answers  failures  state
app     a:80      1       3          12.3ms   10       0         up
app     b:80      0       0          -        7        5         ejected, backup, error rate: status 503
app     none is left that can be expected to answer
app     2 requests waiting
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("table (-want +got):\n%s", diff)
	}
}
