package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
)

// namedUpstream answers with its name; a request for /slow waits until it is let go.
func namedUpstream(t *testing.T, name string) (url string, asked <-chan struct{}, let chan<- struct{}) {
	t.Helper()
	begun, gate := make(chan struct{}, 1), make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		if r.URL.Path == "/slow" {
			begun <- struct{}{}
			<-gate
		}
		io.WriteString(w, name)
	}))
	t.Cleanup(server.Close)
	return server.URL, begun, gate
}

// TestOriginSet: a set put at run time holds, over reloads too, until the file says something else of the origin; what is in
// flight is finished where it is.
func TestOriginSet(t *testing.T) {
	tn := startNode(t)
	one, asked, let := namedUpstream(t, "one")
	two, _, _ := namedUpstream(t, "two")
	set := func(urls ...string) {
		t.Helper()
		c, out, stderr := testConsole()
		args := append([]string{"origin", "set", "--socket", tn.path("admin.sock"), "app"}, urls...)
		if code := run(args, c); code != exitOK {
			t.Fatalf("%v: exit code = %d\n%s", args, code, stderr)
		}
		for _, u := range urls {
			if address := strings.TrimPrefix(u, "http://"); !strings.Contains(out.String(), address) {
				t.Errorf("%v prints no %s:\n%s", args, address, out)
			}
		}
	}
	want := func(when, body string) {
		t.Helper()
		if got, _ := tn.get("/" + strings.ReplaceAll(when, " ", "-")); got != body {
			t.Errorf("%s: GET: %q, want %q", when, got, body)
		}
	}
	want("before", "from the origin")
	set(one)
	want("with one", "one")

	slow := make(chan string)
	go func() {
		body, _ := tn.get("/slow")
		slow <- body
	}()
	<-asked
	set(two)
	want("with two", "two")
	close(let)
	if body := <-slow; body != "one" {
		t.Errorf("in flight while the set changed: %q, want it from one", body)
	}

	if code, said := tn.reloadByVerb(); code != exitOK {
		t.Fatalf("reload: %s", said)
	}
	want("after a reload of the same file", "two")
	tn.origin = one
	tn.write("")
	if code, said := tn.reloadByVerb(); code != exitOK {
		t.Fatalf("reload: %s", said)
	}
	want("after a reload that changes the origin", "one")
	set(one, two)
	if got := len(tn.origins()[0].Upstreams); got != 2 {
		t.Errorf("%d upstreams, want 2", got)
	}
	tn.signals <- syscall.SIGTERM
	if err := <-tn.done; err != nil {
		t.Errorf("run: %v", err)
	}
}

// TestOriginSetIsJudged: by the rules of the file, all faults at once, and a set that is refused changes nothing.
func TestOriginSetIsJudged(t *testing.T) {
	tn := startNode(t)
	for _, row := range []struct {
		origin, body string
		status       int
		want         []string
	}{
		{"none", `{"urls": ["http://a"]}`, 404, []string{`there is no origin \"none\"`}},
		{"app", ``, 422, []string{"urls"}},
		{"app", `{"urls": []}`, 422, []string{"urls"}},
		{"app", `{"urls": ["http://a"], "check": {}}`, 422, []string{`"at": "check"`, "unknown key"}},
		{"app", `{"urls": ["http://a/b", "ftp://c"], "upstreams": [{"url": "http://d", "weight": 0}]}`, 422,
			[]string{"urls[0]", "urls[1]", "upstreams[0].weight"}},
		{"app", `{"urls": "http://a"}`, 422, []string{`"at": "urls"`, "list"}},
		{"app", `{"urls": [`, 422, []string{"errors"}},
		{"app", `{"urls": ["http://${HOME}"]}`, 422, []string{"HOME"}},
		{"app", `{"upstreams": [{"url": "file:///no/such/folder"}]}`, 422, []string{"upstreams[0].url"}},
		{"app", `{"urls": ["tcp://a:1"]}`, 422, []string{"sites[0].origin"}},
		{"app", `{"urls": ["http://a"], "upstreams": [{"url": "http://b", "weight": 3, "backup": true}]}`, 200,
			[]string{`"upstream": "a:80"`, `"upstream": "b:80"`, `"backup": true`}},
		{"app", `{"upstreams": [{"url": "http://c"}]}`, 200, []string{`"weight": 1`}}, // as in the file
	} {
		r := httptest.NewRequest("PUT", "/v1/origins/"+row.origin, strings.NewReader(row.body))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		tn.admin.behindSocket().ServeHTTP(w, r)
		if w.Code != row.status {
			t.Errorf("PUT %s %s: status = %d, want %d\n%s", row.origin, row.body, w.Code, row.status, w.Body)
		}
		for _, word := range row.want {
			if !strings.Contains(w.Body.String(), word) {
				t.Errorf("PUT %s %s: no %q in\n%s", row.origin, row.body, word, w.Body)
			}
		}
		if upstreams := tn.origins()[0].Upstreams; w.Code != 200 && upstreams[0].Upstream != strings.TrimPrefix(tn.origin, "http://") {
			t.Errorf("PUT %s %s: refused, and the upstream is %s", row.origin, row.body, upstreams[0].Upstream)
		}
	}
	tn.signals <- syscall.SIGTERM
	if err := <-tn.done; err != nil {
		t.Errorf("run: %v", err)
	}
}
