package origin

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// site makes a folder of files, and a pool of it.
func site(t *testing.T) (folder string, p *Pool) {
	t.Helper()
	outside := t.TempDir()
	folder = filepath.Join(outside, "www")
	changed := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for name, text := range map[string]string{
		"../secret.txt": "secret", "index.html": "<p>home", "a.txt": "0123456789", "dir/index.html": "<p>dir", "dir/b.css": "b{}",
		"empty/x.txt": "", "sp ace.txt": "space", ".env": "KEY", ".git/config": "git", "dir/.htpasswd": "pw",
		".well-known/security.txt": "contact", "noext": "plain text", "back\\slash": "x",
	} {
		name = filepath.Join(folder, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(name, changed, changed); err != nil {
			t.Fatal(err)
		}
	}
	for link, to := range map[string]string{"out": "../secret.txt", "abs": filepath.Join(outside, "secret.txt"), "in": "a.txt", "loop": "loop"} {
		if err := os.Symlink(to, filepath.Join(folder, link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(folder, "pipe"), 0o644); err != nil {
		t.Fatal(err)
	}
	c := testConfig()
	c.URLs = []string{"file://" + folder}
	p = newPool(t, c, nil)
	t.Cleanup(p.Close)
	return folder, p
}

// askRaw sends a request whose path is spelt as given.
func askRaw(t *testing.T, p *Pool, method, target string, fields ...string) (*http.Response, string) {
	t.Helper()
	u, err := url.Parse("http://www.test" + target)
	if err != nil {
		t.Fatal(err)
	}
	r := &http.Request{Method: method, URL: u, Host: "www.test", Header: http.Header{}}
	for _, f := range fields {
		name, value, _ := strings.Cut(f, ": ")
		r.Header.Add(name, value)
	}
	response, body, err := exchangeOnce(p, r)
	if err != nil {
		t.Fatalf("%s %s: %v", method, target, err)
	}
	return response, body
}

// TestDirectory: which file a path stands for, and which paths stand for none.
func TestDirectory(t *testing.T) {
	_, p := site(t)
	for _, row := range []struct {
		target string
		status int
		want   string // body, or Location
	}{
		{"/", 200, "<p>home"},
		{"/index.html", 200, "<p>home"},
		{"/a.txt", 200, "0123456789"},
		{"/a.txt?query", 200, "0123456789"},
		{"/dir/", 200, "<p>dir"},
		{"/dir", 301, "/dir/"},
		{"/dir?a=b", 301, "/dir/?a=b"},
		{"/sp%20ace.txt", 200, "space"},
		{"/in", 200, "0123456789"},
		{"/.well-known/security.txt", 200, "contact"},
		{"/none", 404, ""}, {"/none/", 404, ""}, {"/empty/", 404, ""}, {"/a.txt/", 404, ""}, {"/a.txt/b", 404, ""},
		{"/.env", 404, ""}, {"/.git/config", 404, ""}, {"/.git", 404, ""}, {"/.git/", 404, ""}, {"/dir/.htpasswd", 404, ""},
		{"/../secret.txt", 404, ""}, {"/dir/../../secret.txt", 404, ""}, {"/%2e%2e/secret.txt", 404, ""}, {"/..%2fsecret.txt", 404, ""},
		{"/dir/../a.txt", 404, ""}, {"/./a.txt", 404, ""}, {"//a.txt", 404, ""}, {"/dir%2fb.css", 404, ""}, {"/dir//b.css", 404, ""},
		{"/out", 404, ""}, {"/abs", 404, ""}, {"/loop", 404, ""}, {"/pipe", 404, ""}, {"/back%5Cslash", 404, ""}, {"/a.txt%00", 404, ""},
		{"/" + strings.Repeat("a", 300), 404, ""},
	} {
		response, body := askRaw(t, p, "GET", row.target)
		got := body
		if row.status == 301 {
			got = response.Header.Get("Location")
		}
		if response.StatusCode != row.status || row.want != "" && got != row.want {
			t.Errorf("GET %s: %d %q, want %d %q", row.target, response.StatusCode, got, row.status, row.want)
		}
		if strings.Contains(body, "secret") || response.ContentLength != int64(len(body)) {
			t.Errorf("GET %s: Content-Length %d, body %q", row.target, response.ContentLength, body)
		}
	}
}

// TestDirectoryHTTP: methods, validators and ranges.
func TestDirectoryHTTP(t *testing.T) {
	_, p := site(t)
	first, _ := askRaw(t, p, "GET", "/a.txt")
	tag := first.Header.Get("Etag")
	if first.Header.Get("Last-Modified") != "Fri, 02 Jan 2026 03:04:05 GMT" || !strings.HasPrefix(tag, `"`) ||
		first.Header.Get("Content-Type") != "text/plain; charset=utf-8" || Upstream(first)[:8] != "file:///" {
		t.Errorf("GET /a.txt: %v from %s", first.Header, Upstream(first))
	}
	for _, row := range []struct {
		method, target, field string
		status                int
		body                  string
		more                  string // a field of the answer
	}{
		{"HEAD", "/a.txt", "", 200, "", "Content-Length: 10"},
		{"POST", "/a.txt", "", 405, "405 Method Not Allowed\n", "Allow: GET, HEAD"},
		{"HEAD", "/none", "", 404, "", ""},
		{"GET", "/dir/b.css", "", 200, "b{}", "Content-Type: text/css; charset=utf-8"},
		{"GET", "/noext", "", 200, "plain text", "Content-Type: text/plain; charset=utf-8"},
		{"GET", "/a.txt", "If-None-Match: " + tag, 304, "", "Etag: " + tag},
		{"GET", "/a.txt", `If-None-Match: "other"`, 200, "0123456789", ""},
		{"GET", "/a.txt", "If-Modified-Since: Fri, 02 Jan 2026 03:04:05 GMT", 304, "", ""},
		{"GET", "/a.txt", `If-Match: "other"`, 412, "", ""},
		{"GET", "/a.txt", "Range: bytes=2-4", 206, "234", "Content-Range: bytes 2-4/10"},
		{"GET", "/a.txt", "Range: bytes=-3", 206, "789", "Content-Range: bytes 7-9/10"},
		{"GET", "/a.txt", "Range: bytes=8-", 206, "89", "Content-Range: bytes 8-9/10"},
		{"GET", "/a.txt", "Range: bytes=20-", 416, "invalid range: failed to overlap\n", "Content-Range: bytes */10"},
		{"GET", "/a.txt", "Range: bytes=0-1,3-4", 200, "0123456789", ""},
		{"GET", "/a.txt", "Range: bytes=a", 416, "invalid range\n", ""},
		{"HEAD", "/a.txt", "Range: bytes=2-4", 206, "", "Content-Range: bytes 2-4/10"},
		{"GET", "/empty/x.txt", "", 200, "", "Content-Length: 0"},
	} {
		var fields []string
		if row.field != "" {
			fields = append(fields, row.field)
		}
		response, body := askRaw(t, p, row.method, row.target, fields...)
		name, value, _ := strings.Cut(row.more, ": ")
		if response.StatusCode != row.status || body != row.body || response.Header.Get(name) != value {
			t.Errorf("%s %s, %s: %d %q %v, want %d %q %s", row.method, row.target, row.field, response.StatusCode, body, response.Header,
				row.status, row.body, row.more)
		}
	}
}

// TestFileThatShrinks ends in an error, and one that grows has the length it had.
func TestFileThatShrinks(t *testing.T) {
	folder, p := site(t)
	name := filepath.Join(folder, "big.bin")
	if err := os.WriteFile(name, make([]byte, 1<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		size int64
		want int
	}{{2 << 20, 1 << 20}, {1 << 10, -1}} {
		if err := os.Truncate(name, 1<<20); err != nil {
			t.Fatal(err)
		}
		response, err := p.RoundTrip(newRequest(t, "GET", "/big.bin", nil))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(name, row.size); err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		response.Body.Close()
		if row.want < 0 {
			wantFailure(t, err, typeResponseIncomplete, 502)
		} else if err != nil || len(body) != row.want {
			t.Errorf("grown to %d: %d bytes, %v, want %d", row.size, len(body), err, row.want)
		}
	}
}

// TestFilesAreClosed: an answer that is not read to its end leaves no descriptor behind.
func TestFilesAreClosed(t *testing.T) {
	_, p := site(t)
	open := func() int {
		all, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Skip("no /proc")
		}
		return len(all)
	}
	before := open()
	for _, method := range []string{"GET", "HEAD"} {
		for range 20 {
			response, err := p.RoundTrip(newRequest(t, method, "/a.txt", nil))
			if err != nil {
				t.Fatal(err)
			}
			response.Body.Close()
		}
	}
	if after := open(); after > before+5 {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
}

// TestFolderBesideServers: a folder may stand in for servers that are gone.
func TestFolderBesideServers(t *testing.T) {
	folder, _ := site(t)
	withFarm(t, "a", func(c *Config) {
		c.Upstreams = []UpstreamConfig{{URL: "file://" + folder, Weight: 1, Backup: true}}
	}, func(t *testing.T, p *Pool, f *farm) {
		wantBody(t, p, newRequest(t, "GET", "/a.txt", nil), 200, "OK")
		f.set("a", refuses)
		wantBody(t, p, newRequest(t, "GET", "/a.txt", nil), 200, "0123456789")
	})
}

// FuzzFileName: whatever is asked for, the name lies below the folder and hides nothing.
func FuzzFileName(f *testing.F) {
	for _, target := range []string{"/", "/a/b.txt", "/dir/", "/../x", "/.git/config", "/%2e%2e/x", "/a%2fb", "//", "/.well-known/x", "/a\\b"} {
		f.Add(target)
	}
	f.Fuzz(func(t *testing.T, target string) {
		u, err := url.Parse("http://www.test" + target)
		if err != nil {
			return
		}
		name, ok := fileName(u)
		if !ok {
			return
		}
		hidden := func(segment string) bool { return strings.HasPrefix(segment, ".") && segment != ".well-known" }
		if !filepath.IsLocal(name) || slices.ContainsFunc(strings.Split(name, "/"), hidden) || strings.ContainsAny(name, "\x00\\") {
			t.Errorf("%q is the name %q", target, name)
		}
		if want := fmt.Sprintf("/%s", name); u.Path != want && u.Path+"index.html" != want {
			t.Errorf("%q is the name %q", target, name)
		}
	})
}
