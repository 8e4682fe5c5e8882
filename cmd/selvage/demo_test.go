package main

import (
	"bytes"
	"crypto/tls"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"selvage/testdata/site"
)

func testSite(t *testing.T) *demoSite {
	t.Helper()
	s, err := newDemoSite(site.Files, 0)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func ask(h http.Handler, target string, fields ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest("GET", target, nil)
	for _, f := range fields {
		name, value, _ := strings.Cut(f, ": ")
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// TestDemoSiteIsWhole: every local address that a page or the style sheet names is there, of the right type and with the
// right life.
func TestDemoSiteIsWhole(t *testing.T) {
	s := testSite(t)
	address := regexp.MustCompile(`(?:href|src)="(/[^"]*)"|url\("(/[^"]*)"\)`)
	seen, todo := make(map[string]bool), []string{"/", "/freshness", "/account", "/nothing-here"}
	for len(todo) > 0 {
		target := todo[0]
		todo = todo[1:]
		if seen[target] {
			continue
		}
		seen[target] = true
		w := ask(s, target)
		if want := map[bool]int{false: 200, true: 404}[target == "/nothing-here"]; w.Code != want {
			t.Errorf("GET %s: status = %d, want %d", target, w.Code, want)
		}
		if w.Header().Get("Content-Type") == "" || w.Header().Get("Cache-Control") == "" {
			t.Errorf("GET %s: Content-Type %q, Cache-Control %q, want both", target, w.Header().Get("Content-Type"), w.Header().Get("Cache-Control"))
		}
		if strings.HasPrefix(target, "/assets/") && w.Header().Get("Cache-Control") != freshForever {
			t.Errorf("GET %s: Cache-Control = %q, want immutable", target, w.Header().Get("Cache-Control"))
		}
		if strings.HasPrefix(w.Header().Get("Content-Type"), "text/") && target != "/bolt.txt" {
			for _, m := range address.FindAllStringSubmatch(w.Body.String(), -1) {
				todo = append(todo, m[1]+m[2])
			}
		}
	}
	for _, kind := range []string{".css", ".js", ".png", ".svg", ".woff", "/bolt.txt"} {
		found := false
		for target := range seen {
			found = found || strings.HasSuffix(target, kind)
		}
		if !found {
			t.Errorf("no page leads to a %s", kind)
		}
	}
}

func TestDemoSite(t *testing.T) {
	s := testSite(t)
	whole := ask(s, "/bolt.txt")
	if whole.Body.Len() != 10<<20 {
		t.Errorf("GET /bolt.txt: %d bytes, want 10MiB", whole.Body.Len())
	}
	if again := testSite(t).files["/bolt.txt"]; !bytes.Equal(again.body, whole.Body.Bytes()) {
		t.Error("the bolt differs from one start to the next")
	}
	if part := ask(s, "/bolt.txt", "Range: bytes=640-703"); part.Code != 206 || !strings.HasPrefix(part.Body.String(), "00000640 ") {
		t.Errorf("GET /bolt.txt from 640: status = %d, %q, want 206 and a line that says 640", part.Code, part.Body)
	}
	if same := ask(s, "/", "If-None-Match: "+ask(s, "/").Header().Get("ETag")); same.Code != 304 {
		t.Errorf("GET / with its own ETag: status = %d, want 304", same.Code)
	}
	first, second := ask(s, "/account"), ask(s, "/account")
	if first.Body.String() == second.Body.String() || first.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("GET /account twice: Cache-Control %q, want no-store and two different pages", first.Header().Get("Cache-Control"))
	}
	if one, two := ask(s, "/weave.svg"), ask(s, "/weave.svg"); one.Body.String() == two.Body.String() {
		t.Error("GET /weave.svg twice: the same piece")
	}
}

// TestDemo runs the whole demo on loopback, as `selvage run` does: the page is there over http and https, and a second look is
// a hit.
func TestDemo(t *testing.T) {
	k := &runCommand{HTTP: "127.0.0.1:0", HTTPS: "127.0.0.1:0"}
	d, err := k.openDemo()
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(d.folder)
	f := d.file()
	f.Log.File = filepath.Join(t.TempDir(), "access.log")
	n, err := newNode(f, "", testMachine(), slog.New(slog.DiscardHandler), d)
	if err != nil {
		t.Fatal(err)
	}
	signals, done := make(chan os.Signal), make(chan error)
	go func() { done <- d.serve(n, signals) }()

	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	for _, row := range []struct{ address, verdict string }{
		{"http://" + d.http.Addr().String() + "/", "Selvage; fwd=uri-miss; fwd-status=200; stored"},
		{"http://" + d.http.Addr().String() + "/", "Selvage; hit; ttl="},
		{"https://" + d.https.Addr().String() + "/", "Selvage; "},
		{"https://" + d.https.Addr().String() + "/account", "Selvage; fwd="},
	} {
		response, err := client.Get(row.address)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil || !bytes.Contains(body, []byte("</html>")) {
			t.Errorf("GET %s: not a whole page: %v", row.address, err)
		}
		if got := response.Header.Get("Cache-Status"); !strings.HasPrefix(got, row.verdict) {
			t.Errorf("GET %s: Cache-Status = %q, want %q", row.address, got, row.verdict)
		}
	}
	wantPurged(t, client, "http://"+d.http.Addr().String()+"/")
	signals <- syscall.SIGTERM
	if err := <-done; err != nil {
		t.Errorf("demo: %v", err)
	}
}

// wantPurged: whoever looks at the demo may purge, and the next look is a miss.
func wantPurged(t *testing.T, client *http.Client, address string) {
	t.Helper()
	for _, method := range []string{"PURGE", "GET"} {
		r, err := http.NewRequest(method, address, nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if got := response.Header.Get("Cache-Status"); response.StatusCode != http.StatusOK || strings.Contains(got, "; hit") {
			t.Errorf("%s %s: status = %d, Cache-Status = %q, want 200 and no hit", method, address, response.StatusCode, got)
		}
	}
}

// TestBanner: things to try, wrapped to the terminal, in colour only where that is wanted.
func TestBanner(t *testing.T) {
	b := banner{
		facts:  [][2]string{{"Look", "http://127.0.0.1:8080/"}},
		trials: []trial{{"curl -i http://127.0.0.1:8080/", "The first is a miss, the second a hit with its Age, and so on until it is stale."}},
	}
	for _, row := range []struct {
		what    string
		term    bool
		width   int
		noColor string
		colour  bool
	}{
		{"a terminal", true, 60, "", true},
		{"a terminal with NO_COLOR", true, 60, "1", false},
		{"a file", false, 0, "", false},
		{"a very narrow terminal", true, 10, "", true},
	} {
		var out bytes.Buffer
		c := console{out: &out, outTerm: row.term, width: row.width, machine: machine{
			env: func(name string) (string, bool) { return map[string]string{"NO_COLOR": row.noColor}[name], true },
		}}
		b.print(c)
		if got := strings.Contains(out.String(), "\x1b["); got != row.colour {
			t.Errorf("%s: colour = %v, want %v", row.what, got, row.colour)
		}
		for line := range strings.Lines(out.String()) {
			if strings.HasPrefix(line, "      ") && len(line) > max(row.width, minProseWidth)+1 && row.width > 0 {
				t.Errorf("%s: line of %d characters: %q", row.what, len(line), line)
			}
		}
	}
}
