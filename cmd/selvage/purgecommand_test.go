package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/user"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"selvage/purge"
)

// purgeVerb runs `selvage purge` on a terminal of 80 columns without colour.
func purgeVerb(stdin string, args ...string) (code int, out, stderr string) {
	c, o, e := testConsole()
	c.in, c.outTerm, c.width, c.errTerm = strings.NewReader(stdin), true, 80, false
	c.machine.env = func(name string) (string, bool) {
		value, ok := map[string]string{"NO_COLOR": "1", "TOKEN": purgeToken, "WRONG": "0000000000000000"}[name]
		return value, ok
	}
	code = run(append([]string{"purge"}, args...), c)
	return code, o.String(), e.String()
}

// wantPurge fails the test unless the verb ends with a code and prints text that matches.
func wantPurge(t *testing.T, code int, pattern, stdin string, args ...string) (out string) {
	t.Helper()
	got, out, stderr := purgeVerb(stdin, args...)
	if got != code || !regexp.MustCompile(`^(?s:`+pattern+`)$`).MatchString(out+stderr) {
		t.Errorf("selvage purge %s: exit code = %d, want %d, and\n%s%swant %s", strings.Join(args, " "), got, code, out, stderr, pattern)
	}
	return out
}

// counted matches what a purge tells in the end. On a busy machine there may be time for an estimate alone.
const counted = `(about )?\d+ responses?, \d+ B  purge \d+\n`

// TestPurgeVerb: what it says, and that the node does it.
func TestPurgeVerb(t *testing.T) {
	tn := startNode(t)
	defer tn.stop()
	host, socket := tn.edge.Addrs()[0].String(), "--socket="+tn.path("admin.sock")
	status := func(target string) string {
		_, s := tn.get(target)
		return s
	}
	status("/a")
	status("/b?c=d")
	wantPurge(t, exitOK, `    15 B  127.0.0.1:\d+/a\nwould purge  1 response, 15 B\n`, "", "--dry-run", "http://"+host+"/a", socket)
	if s := status("/a"); !strings.Contains(s, "; hit") {
		t.Errorf("after a dry run: %s", s)
	}
	wantPurge(t, exitOK, `purged  `+counted, "", "http://"+host+"/a?utm_source=x", socket, "--why", "a test")
	if s := status("/a"); !strings.Contains(s, "fwd=miss") {
		t.Errorf("after the purge: %s", s)
	}
	wantPurge(t, exitOK, `made stale  `+counted, "", "--soft", "--prefix", host, socket)
	if s := status("/b?c=d"); !strings.Contains(s, "fwd=stale") {
		t.Errorf("after the soft purge: %s", s)
	}
	wantPurge(t, exitOK, `purged  `+counted, "", "--glob", host+"/*", "--tag", "a, b", "--host", host, "--all", socket)

	newest := tn.journal.History(0, 10)
	if len(newest) != 3 || newest[2].Why != "a test" || newest[2].By != "user "+thisUser(t) {
		t.Errorf("history: %+v", newest)
	}
	if got := newest[0]; len(got.Tags) != 1 || got.Tags[0] != "a, b" || len(got.Hosts) != 1 || !got.All {
		t.Errorf("the flags became %+v", got)
	}
	var a purge.Answer
	out := wantPurge(t, exitOK, `\{\n.*\n\}\n`, "", "--json", "--all", socket)
	if err := json.Unmarshal([]byte(out), &a); err != nil || !a.All || a.Number <= newest[0].Number {
		t.Errorf("--json: %v\n%s", err, out)
	}
}

func thisUser(t *testing.T) string {
	u, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	return u.Username
}

// TestPurgeVerbRefuses: errors of the command line are told as such, also those that only the node can find.
func TestPurgeVerbRefuses(t *testing.T) {
	tn := startNode(t)
	defer tn.stop()
	socket := "--socket=" + tn.path("admin.sock")
	for _, row := range []struct {
		code int
		want string
		args []string
	}{
		{exitUsage, "say what to purge", []string{socket}},
		{exitUsage, "say what to purge", []string{socket, "--soft"}},
		{exitUsage, "urls[0]: path climbs above the root", []string{socket, "a.example/../b"}},
		{exitUsage, "sites[0]: there is no site of that name", []string{socket, "--site", "none"}},
		{exitUsage, "there is no URL on standard input", []string{socket, "-"}},
		{exitUsage, "can't be used together", []string{socket, "--server", "http://localhost:1", "--all"}},
		{exitUsage, "--token is for --server", []string{socket, "--token", "env:TOKEN", "--all"}},
		{exitUsage, "--server wants a --token", []string{"--server", "http://localhost:1", "--all"}},
		{exitUsage, "--server wants a URL", []string{"--server", "localhost:1", "--token", "env:TOKEN", "--all"}},
		{exitUsage, "over http would show the token", []string{"--server", "http://192.0.2.1:9090", "--token", "env:TOKEN", "--all"}},
		{exitUsage, "NONE is not set", []string{"--server", "http://localhost:1", "--token", "env:NONE", "--all"}},
		{exitUsage, "never the secret itself", []string{"--server", "http://localhost:1", "--token", purgeToken, "--all"}},
		{exitUsage, "no such file", []string{"--config", tn.path("none.yaml"), "--all"}},
		{exitFailed, "reach the node", []string{"--socket", tn.path("none.sock"), "--all"}},
	} {
		code, out, stderr := purgeVerb("", row.args...)
		if code != row.code || !strings.Contains(stderr, row.want) || strings.Contains(stderr, purgeToken) {
			t.Errorf("%s: exit code = %d, want %d and %q\n%s%s", row.args, code, row.code, row.want, out, stderr)
		}
	}
	if n := tn.journal.Applied(); n != 0 {
		t.Errorf("%d purges, want none", n)
	}
}

// TestPurgeVerbFindsTheSocket: in the configuration, whatever else may be wrong with that.
func TestPurgeVerbFindsTheSocket(t *testing.T) {
	tn := startNode(t)
	defer tn.stop()
	config := tn.path("other.yaml")
	if err := os.WriteFile(config, fmt.Appendf(nil, "admin: {socket: %s, token: env:NOT_HERE}\n", tn.path("admin.sock")), 0o600); err != nil {
		t.Fatal(err)
	}
	wantPurge(t, exitOK, `purged  `+counted, "", "--all", "--config", config)
}

// TestPurgeVerbOverTCP: with a token, and what becomes of a wrong one.
func TestPurgeVerbOverTCP(t *testing.T) {
	a := testAdmin(verdict{OK: true})
	stop := startAdmin(t, a, AdminConfig{Socket: filepath.Join(socketFolder(t), "a.sock"), Address: "127.0.0.1:0"})
	defer stop()
	server := "--server=http://" + a.doors[1].Addr().String()
	wantPurge(t, exitOK, `purged  0 responses, 0 B  purge 1\n`, "", "--all", server, "--token", "env:TOKEN")
	wantPurge(t, exitFailed, `selvage: the node answered 401 Unauthorized: the token is not known\n`, "", "--all", server, "--token", "env:WRONG")
	wantPurge(t, exitFailed, `selvage: the node answered 404 Not Found: .*`, "", "--all", server+"/sub", "--token", "env:TOKEN")
}

// TestPurgeAtSeveralNodes: one after the other, as they are named; behind one that cannot none is asked.
func TestPurgeAtSeveralNodes(t *testing.T) {
	var asked []string
	node := func(name string, status int) string {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			asked = append(asked, name)
			w.WriteHeader(status)
			io.WriteString(w, `{"number": 7, "kind": "hard", "matched": {"responses": 1, "exact": true}}`)
		}))
		t.Cleanup(server.Close)
		return "--server=" + server.URL
	}
	shield, edge, broken := node("shield", 200), node("edge", 200), node("broken", 500)
	for _, row := range []struct {
		servers []string
		code    int
		want    string
		asked   []string
	}{
		{[]string{shield, edge}, exitOK, `http://.*\npurged  1 response, 0 B  purge 7\nhttp://.*\npurged  .*\n`, []string{"shield", "edge"}},
		{[]string{edge, shield}, exitOK, `(http://.*\npurged  .*\n){2}`, []string{"edge", "shield"}},
		{[]string{broken, edge}, exitFailed, `selvage: the node answered 500 .*`, []string{"broken"}},
		{[]string{shield, broken, edge}, exitPartly, `http://.*\npurged  .*\nselvage: http://.*, after 1 node, where it is done: the node answered 500 .*`,
			[]string{"shield", "broken"}},
		{[]string{shield, "--server=nonsense"}, exitUsage, `selvage: --server wants a URL .*`, nil},
	} {
		asked = nil
		wantPurge(t, row.code, row.want, "", append([]string{"--all", "--token", "env:TOKEN"}, row.servers...)...)
		if !slices.Equal(asked, row.asked) {
			t.Errorf("%v: asked %v, want %v", row.servers, asked, row.asked)
		}
	}
}

// TestPurgeManyLines: URLs from standard input go as many at a time as one purge holds; one that makes no sense leaves those
// before its own purge done.
func TestPurgeManyLines(t *testing.T) {
	tn := startNode(t)
	defer tn.stop()
	socket := "--socket=" + tn.path("admin.sock")
	var lines strings.Builder
	lines.WriteString("# of last night\n\n")
	for i := range 2*purge.MaxNames + 1 {
		fmt.Fprintf(&lines, "  https://a.example/%d\r\n", i)
	}
	wantPurge(t, exitOK, `(purged  .*\n){3}`, lines.String(), "-", "--tag", "news", socket)
	got := tn.journal.History(0, 10)
	if len(got) != 3 || len(got[2].URLs) != purge.MaxNames-1 || len(got[2].Tags) != 1 || len(got[1].URLs) != purge.MaxNames ||
		len(got[1].Tags) != 0 || len(got[0].URLs) != 2 {
		t.Errorf("%d purges", len(got))
	}
	wantPurge(t, exitPartly, `purged  .*\nselvage: after the first 1000 URLs, which are done: the node answered 422 Unprocessable Entity: .*\n.*`,
		lines.String()[:40_000]+"\na b\n", "-", socket)
	wantPurge(t, exitUsage, `selvage: the node answered 422.*urls\[1\]: .*`, "a.example/\na b\n", "-", socket)
	wantPurge(t, exitOK, `purged  .*\n`, "", "-", "--all", socket)
}

// busyNode refuses some requests before it answers.
type busyNode struct {
	refusals []*http.Response // nil is a connection that fails
	asked    []time.Time
}

func (b *busyNode) RoundTrip(*http.Request) (*http.Response, error) {
	b.asked = append(b.asked, time.Now())
	if len(b.asked) > len(b.refusals) {
		w := httptest.NewRecorder()
		io.WriteString(w, `{"number": 7, "kind": "hard"}`)
		return w.Result(), nil
	}
	if r := b.refusals[len(b.asked)-1]; r != nil {
		return r, nil
	}
	return nil, errors.New("connection refused")
}

func refusedWith(status int, retryAfter string) *http.Response {
	w := httptest.NewRecorder()
	w.Header().Set("Retry-After", retryAfter)
	w.WriteHeader(status)
	io.WriteString(w, `{"title": "no", "detail": "not now"}`)
	return w.Result()
}

// TestPurgePatience: with --wait a node is asked again, as late as it says, for a minute; without it, and when the answer is
// about what was asked, it is not.
func TestPurgePatience(t *testing.T) {
	for _, row := range []struct {
		what     string
		patience time.Duration
		refusals []*http.Response
		asked    int
		took     time.Duration
		done     bool
	}{
		{"without a refusal", 0, nil, 1, 0, true},
		{"without patience", 0, []*http.Response{nil}, 1, 0, false},
		{"nobody there yet", waitTime, []*http.Response{nil, nil}, 3, 2 * time.Second, true},
		{"busy", waitTime, []*http.Response{refusedWith(429, "7")}, 2, 7 * time.Second, true},
		{"cannot write", waitTime, []*http.Response{refusedWith(503, "5"), refusedWith(503, "5")}, 3, 10 * time.Second, true},
		{"makes no sense", waitTime, []*http.Response{refusedWith(422, "")}, 1, 0, false},
		{"no such token", waitTime, []*http.Response{refusedWith(401, "")}, 1, 0, false},
		{"for ever", waitTime, []*http.Response{refusedWith(503, "25"), refusedWith(503, "25"), refusedWith(503, "25")}, 3, 50 * time.Second, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			began, node := time.Now(), &busyNode{refusals: row.refusals}
			c := newServerClient("http://localhost", purgeToken)
			c.http.Transport, c.patience = node, row.patience
			_, err := c.purge(t.Context(), &purge.Request{}, false)
			if (err == nil) != row.done || len(node.asked) != row.asked || time.Since(began) != row.took {
				t.Errorf("%s: %v, asked %d times in %v, want done = %v, %d in %v",
					row.what, err, len(node.asked), time.Since(began), row.done, row.asked, row.took)
			}
		})
	}
}

// TestTokenGoesNowhereElse: a redirect is not followed.
func TestTokenGoesNowhereElse(t *testing.T) {
	followed := false
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { followed = true }))
	defer other.Close()
	first := httptest.NewServer(http.RedirectHandler(other.URL, http.StatusTemporaryRedirect))
	defer first.Close()
	wantPurge(t, exitFailed, `selvage: the node answered 307 .*`, "", "--all", "--server", first.URL, "--token", "env:TOKEN")
	if followed {
		t.Error("the token went where the node pointed")
	}
}

// purgeAs sends a PURGE with a token to the node's own site, and returns the status.
func (tn *testNode) purgeAs(token string) int {
	tn.t.Helper()
	r, err := http.NewRequest("PURGE", "http://"+tn.edge.Addrs()[0].String()+"/a", nil)
	if err != nil {
		tn.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		tn.t.Fatal(err)
	}
	response.Body.Close()
	return response.StatusCode
}

// TestTokenIsChanged: a reload reads it anew. No token, right or wrong, is in the access log or the metrics.
func TestTokenIsChanged(t *testing.T) {
	const first, second = "first-token-0123", "second-token-0123"
	file := filepath.Join(t.TempDir(), "token")
	write := func(token string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(token+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(first)
	section := fmt.Sprintf("purge: {tokens: {deploy: {token: \"file:%s\"}}}\n", file)
	tn := startNodeWith(t, section)
	if got := tn.purgeAs(first); got != 200 {
		t.Errorf("PURGE with the token: status = %d, want 200", got)
	}
	write(second)
	if got := tn.purgeAs(second); got != 401 {
		t.Errorf("PURGE with the new token before a reload: status = %d, want 401", got)
	}
	if code, said := tn.reloadByVerb(); code != exitOK {
		t.Errorf("reload: exit code = %d\n%s", code, said)
	}
	if got := tn.purgeAs(first); got != 401 {
		t.Errorf("PURGE with the old token: status = %d, want 401", got)
	}
	if got := tn.purgeAs(second); got != 200 {
		t.Errorf("PURGE with the new token: status = %d, want 200", got)
	}
	write("short")
	if code, said := tn.reloadByVerb(); code != exitUsage || !strings.Contains(said, "needs at least 16") {
		t.Errorf("reload with a short token: exit code = %d\n%s", code, said)
	}
	w := httptest.NewRecorder()
	tn.edge.Metrics().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	tn.stop()
	log, err := os.ReadFile(tn.path("access.log"))
	if err != nil || !strings.Contains(string(log), "PURGE") {
		t.Fatalf("access log: %v\n%s", err, log)
	}
	for _, token := range []string{first, second} {
		if strings.Contains(string(log)+w.Body.String(), token) {
			t.Errorf("%s is in the log or the metrics", token)
		}
	}
}

// TestRemovalIsInTheHistory: `selvage cache rm` is a purge like any other.
func TestRemovalIsInTheHistory(t *testing.T) {
	tn := startDiskNode(t, filepath.Join(t.TempDir(), "disk"))
	defer tn.stop()
	host := tn.edge.Addrs()[0].String()
	wantVerb(t, exitOK, host+`/a: 1 response removed\n`, "rm", host+"/a", "--socket="+tn.path("admin.sock"))
	got := tn.journal.History(0, 10)
	if len(got) != 1 || got[0].By != "user "+thisUser(t) || len(got[0].URLs) != 1 || got[0].URLs[0] != host+"/a" {
		t.Errorf("history: %+v", got)
	}
}
