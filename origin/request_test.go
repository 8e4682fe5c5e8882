package origin

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"
)

func requestOf(method, host, path, query string, fields ...string) *http.Request {
	r := &http.Request{
		Method: method, Host: host, Header: http.Header{"User-Agent": nil},
		URL: &url.URL{Scheme: "http", Host: "origin.test", Path: path, RawQuery: query},
	}
	for i := 0; i < len(fields); i += 2 {
		r.Header[fields[i]] = append(r.Header[fields[i]], fields[i+1])
	}
	return r
}

func TestRequestOnTheWire(t *testing.T) {
	closing := requestOf("GET", "a.test", "/", "")
	closing.Close = true
	for name, c := range map[string]struct {
		r    *http.Request
		want string // without the empty line at the end; "" where it is refused
	}{
		"plain":             {requestOf("GET", "a.test", "/x", "q=1"), "GET /x?q=1 HTTP/1.1\r\nHost: a.test\r\n"},
		"in order":          {requestOf("GET", "a.test", "/", "", "Via", "1.1 b", "Accept", "x", "Via", "1.1 c"), "GET / HTTP/1.1\r\nHost: a.test\r\nAccept: x\r\nVia: 1.1 b\r\nVia: 1.1 c\r\n"},
		"no path":           {requestOf("GET", "a.test", "", ""), "GET / HTTP/1.1\r\nHost: a.test\r\n"},
		"escapes":           {requestOf("GET", "a.test", "/a b", ""), "GET /a%20b HTTP/1.1\r\nHost: a.test\r\n"},
		"about the server":  {requestOf("OPTIONS", "a.test", "*", ""), "OPTIONS * HTTP/1.1\r\nHost: a.test\r\n"},
		"the URL's host":    {requestOf("GET", "", "/", ""), "GET / HTTP/1.1\r\nHost: origin.test\r\n"},
		"zone":              {requestOf("GET", "[fe80::1%eth0]:80", "/", ""), "GET / HTTP/1.1\r\nHost: [fe80::1]:80\r\n"},
		"no end of a zone":  {requestOf("GET", "[%", "/", ""), "GET / HTTP/1.1\r\nHost: [%\r\n"},
		"international":     {requestOf("GET", "bücher.test", "/", ""), "GET / HTTP/1.1\r\nHost: xn--bcher-kva.test\r\n"},
		"last":              {closing, "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n"},
		"empty content":     {requestOf("POST", "a.test", "/", ""), "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 0\r\n"},
		"framing is ours":   {requestOf("GET", "a.test", "/", "", "Content-Length", "5", "Transfer-Encoding", "chunked", "Trailer", "X", "Host", "b"), "GET / HTTP/1.1\r\nHost: a.test\r\n"},
		"no slash":          {requestOf("GET", "a.test", "x", ""), ""},
		"blank in method":   {requestOf("GET /", "a.test", "/", ""), ""},
		"blank in query":    {requestOf("GET", "a.test", "/", "a b"), ""},
		"line end in query": {requestOf("GET", "a.test", "/", "a\r\nB: c"), ""},
		"line end in host":  {requestOf("GET", "a.test\r\nB: c", "/", ""), ""},
		"blank in zone":     {requestOf("GET", "[::1% ]", "/", ""), ""},
		"line end in field": {requestOf("GET", "a.test", "/", "", "A", "b\r\nC: d"), ""},
		"bare LF":           {requestOf("GET", "a.test", "/", "", "A", "b\nC: d"), ""},
		"NUL":               {requestOf("GET", "a.test", "/", "", "A", "b\x00"), ""},
		"colon in name":     {requestOf("GET", "a.test", "/", "", "A:", "b"), ""},
		"no name":           {requestOf("GET", "a.test", "/", "", "", "b"), ""},
	} {
		got, err := appendRequest([]byte("before "), c.r)
		switch {
		case c.want == "" && err == nil:
			t.Errorf("%s: not refused: %q", name, got)
		case c.want != "" && (err != nil || string(got) != "before "+c.want+"\r\n"):
			t.Errorf("%s: %q, %v; want %q", name, got, err, c.want)
		}
	}
}

// FuzzRequestOnTheWire: what is not refused is read as one head, and as the one that net/http would have written.
func FuzzRequestOnTheWire(f *testing.F) {
	f.Add("GET", "a.test", "/a/b", "q=1", "Accept", "text/html")
	f.Add("POST", "[::1%25]:80", "*", "", "Cookie", "a=b; c")
	f.Add("GET", "[% ]", "*", "", "0", "0")
	f.Add("DELETE", "bücher.test", "//x", "a b", "X", " y\t")
	f.Fuzz(func(t *testing.T, method, host, path, query, name, value string) {
		r := requestOf(method, host, path, query, name, value)
		ours, err := appendRequest(nil, r)
		if err != nil {
			return
		}
		in := bufio.NewReader(bytes.NewReader(ours))
		got, err := http.ReadRequest(in)
		if err != nil {
			t.Fatalf("%q: %v", ours, err)
		}
		if rest, _ := io.ReadAll(in); len(rest) > 0 || got.Body != http.NoBody {
			t.Fatalf("%q: %q is behind the head", ours, rest)
		}
		var theirs bytes.Buffer
		if err := r.Write(&theirs); err != nil {
			t.Fatalf("%q: net/http refuses it: %v", ours, err)
		}
		want, err := http.ReadRequest(bufio.NewReader(&theirs))
		if err != nil || strings.EqualFold(name, "User-Agent") { // of which net/http sends one, and no empty one
			return
		}
		if got.Method != want.Method || got.RequestURI != want.RequestURI || got.Host != want.Host || !reflect.DeepEqual(got.Header, want.Header) {
			t.Errorf("%q is read as %s %s of %s %v, want %s %s of %s %v", ours,
				got.Method, got.RequestURI, got.Host, got.Header, want.Method, want.RequestURI, want.Host, want.Header)
		}
	})
}
