package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"selvage/edge"
)

// TestFreeze freezes and thaws the site of a running node, and looks.
func TestFreeze(t *testing.T) {
	tn := startNode(t)
	verb := func(args ...string) (code int, out, stderr string) {
		c, o, e := testConsole()
		code = run(append(args, "--socket", tn.path("admin.sock")), c)
		return code, o.String(), e.String()
	}
	const site = "default"
	for i, row := range []struct {
		args []string
		code int
		want string // printed, perhaps as an error
		get  string // status of something that is not stored
	}{
		{[]string{"freeze"}, exitOK, "open", "200"},
		{[]string{"freeze", site, "--for", "2h", "--why", "the move"}, exitOK, "the move", "503"},
		{[]string{"freeze"}, exitOK, "frozen for 119m, the move", "503"},
		{[]string{"origin", "ls"}, exitOK, "default  frozen for 119m, the move", "503"},
		{[]string{"reload"}, exitOK, "", "503"},
		{[]string{"freeze", site}, exitOK, "frozen for 59m", "503"}, // an hour, where nothing is said
		{[]string{"freeze", "--json"}, exitOK, `"until"`, "503"},
		{[]string{"thaw", site}, exitOK, "open", "200"},
		{[]string{"thaw", site}, exitOK, "open", "200"},
		{[]string{"freeze", "none"}, exitFailed, `there is no site "none"`, "200"},
		{[]string{"thaw", "none"}, exitFailed, `there is no site "none"`, "200"},
		{[]string{"freeze", site, "--for", "2"}, exitFailed, "unit", "200"},
		{[]string{"freeze", site, "--for", "0s"}, exitFailed, "at most 30 days", "200"},
		{[]string{"freeze", site, "--for", "31d"}, exitFailed, "at most 30 days", "200"},
	} {
		code, out, stderr := verb(row.args...)
		if code != row.code || !strings.Contains(out+stderr, row.want) {
			t.Errorf("%v: exit code = %d, want %d and %q in\n%s%s", row.args, code, row.code, row.want, out, stderr)
		}
		if body, _ := tn.get(fmt.Sprintf("/%d", i)); strings.HasPrefix(body, "503") != (row.get == "503") {
			t.Errorf("after %v: GET: %q, want %s", row.args, body, row.get)
		}
	}
	tn.signals <- syscall.SIGTERM
	if err := <-tn.done; err != nil {
		t.Errorf("run: %v", err)
	}
}

func TestSiteTable(t *testing.T) {
	now := time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC)
	var out bytes.Buffer
	err := writeSites(&out, []siteStatus{
		{"blog", nil}, {"shop", &edge.Freeze{Until: now.Add(3 * time.Hour), Why: "the \x1b move"}}, {"wiki", &edge.Freeze{Until: now}},
	}, now, style{})
	if err != nil {
		t.Fatal(err)
	}
	want := `site  state
blog  open
shop  frozen for 3h, the � move
wiki  frozen for 0s
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("table (-want +got):\n%s", diff)
	}
	if text, err := json.Marshal(siteStatus{"blog", nil}); err != nil || string(text) != `{"site":"blog"}` {
		t.Errorf("as JSON: %s, %v", text, err)
	}
}
