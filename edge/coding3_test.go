package edge

import (
	"bytes"
	"crypto/tls"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/quic-go/quic-go/http3"

	"selvage/cache"
	"selvage/encode"
)

// pageOrigin answers everything with a page that is worth encoding.
type pageOrigin struct{ variedOrigin }

func (pageOrigin) RoundTrip(*http.Request) (*http.Response, error) {
	return text(200, page, "Cache-Control: max-age=3600", "Content-Type: text/html", `Etag: "v1"`), nil
}

// TestCodingsByHTTP3 asks by HTTP/2 and by HTTP/3 for a page in every coding, for parts of it, and about it: the answers are the
// same, HEAD has the fields of GET, and parts put together are the whole.
func TestCodingsByHTTP3(t *testing.T) {
	shop := encode.NewWorkshop(encode.WorkshopConfig{CPU: 100, Queue: 100}, nil)
	e, _, _ := http3Edge(t, ListenerConfig{Address: "127.0.0.1:0", TLS: &TLSConfig{}}, func(o *Options) {
		store, err := cache.NewStore(cache.StoreConfig{MaxBytes: 1 << 20, Encoding: cache.Encoding{Workshop: shop}}, o.Clock, o.Journal)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(store.Close)
		o.Store, o.Pools = store, map[string]Pool{"main": pageOrigin{}}
		o.Config.Sites[0].Compress = new(encode.DefaultConfig())
	})
	config := &tls.Config{InsecureSkipVerify: true}
	second := &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true, DisableCompression: true}
	third := &http3.Transport{TLSClientConfig: config, DisableCompression: true}
	defer second.CloseIdleConnections()
	defer third.Close()
	for _, coding := range []encode.Coding{encode.Identity, encode.Gzip, encode.Brotli, encode.Zstd} {
		ask := func(client http.RoundTripper, method string, fields ...string) codedAnswer {
			t.Helper()
			return askCoded(t, client, e.Addrs()[0].String(), method, append(fields, "Accept-Encoding: "+coding.String()))
		}
		whole := ask(third, "GET")
		for whole.Header.Get("Etag") == `W/"v1"` { // until what was made in haste has given way
			whole = ask(third, "GET")
		}
		if got := whole.plain(t, coding); got != page || whole.Header.Get("Content-Encoding") != coding.String() {
			t.Errorf("%q: %v, right %v", coding, whole.Header, got == page)
		}
		tag := whole.Header.Get("Etag")
		for _, row := range [][]string{
			{"GET"}, {"HEAD"}, {"GET", "If-None-Match: " + tag}, {"HEAD", "If-None-Match: " + tag},
			{"GET", "Range: bytes=0-49"}, {"GET", "Range: bytes=50-", "If-Range: " + tag}, {"GET", "Range: bytes=0-9", `If-Range: "v2"`},
		} {
			by2, by3 := ask(second, row[0], row[1:]...), ask(third, row[0], row[1:]...)
			if diff := cmp.Diff(by2, by3); diff != "" {
				t.Errorf("%q: %q: by HTTP/2 and by HTTP/3:\n%s", coding, row, diff)
			}
			if row[0] == "HEAD" {
				if diff := cmp.Diff(ask(third, "GET", row[1:]...).Header, by3.Header); diff != "" {
					t.Errorf("%q: %q: GET and HEAD:\n%s", coding, row, diff)
				}
			}
		}
		first, rest := ask(third, "GET", "Range: bytes=0-49"), ask(third, "GET", "Range: bytes=50-", "If-Range: "+tag)
		if first.Status != 206 || rest.Status != 206 || first.Body+rest.Body != whole.Body {
			t.Errorf("%q: parts: %d and %d, %d and %d bytes", coding, first.Status, rest.Status, len(first.Body), len(rest.Body))
		}
	}
}

// codedAnswer is what of an answer is the same however, and whenever, it is asked for.
type codedAnswer struct {
	Status int
	Header http.Header
	Body   string
}

func askCoded(t *testing.T, client http.RoundTripper, address, method string, fields []string) codedAnswer {
	t.Helper()
	r, err := http.NewRequest(method, "https://"+address+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = "example.com"
	for _, line := range fields {
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Add(name, value)
	}
	answer, err := client.RoundTrip(r)
	if err != nil {
		t.Fatalf("%s %q: %v", method, fields, err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatalf("%s %q: %v", method, fields, err)
	}
	for _, name := range []string{"Age", "Date", "Alt-Svc", "Cache-Status"} {
		delete(answer.Header, name)
	}
	return codedAnswer{answer.StatusCode, answer.Header, string(body)}
}

// plain returns the body without its coding.
func (a codedAnswer) plain(t *testing.T, coding encode.Coding) string {
	t.Helper()
	if coding == encode.Identity {
		return a.Body
	}
	r, err := encode.NewReader(bytes.NewReader([]byte(a.Body)), coding, encode.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	all, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(all)
}
