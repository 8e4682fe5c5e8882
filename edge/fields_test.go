package edge

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var testID = identity{name: "Selvage", loop: "selvage-1", via: "1.1 Selvage"}

// THREATS T44.
func TestCheckFields(t *testing.T) {
	for _, tt := range []struct {
		connection []string
		want       int
	}{
		{nil, 0},
		{[]string{"close"}, 0},
		{[]string{"keep-alive, Upgrade", "TE"}, 0},
		{[]string{"X-Custom"}, 0},
		{[]string{"close, Host"}, 400},
		{[]string{"cache-control"}, 400},
		{[]string{"close", "AUTHORIZATION"}, 400},
		{[]string{"cdn-loop"}, 400},
		{[]string{"Via"}, 400},
		{[]string{" ,\tForwarded\t,"}, 400},
		{[]string{"content-length"}, 400},
		{[]string{"Content-Type"}, 400},
		{[]string{"x-forwarded-for"}, 400},
		{[]string{"X-Forwarded-Anything"}, 400},
	} {
		status, reason := checkFields(http.Header{"Connection": tt.connection})
		if status != tt.want || (reason != "") != (status != 0) {
			t.Errorf("Connection: %q: %d %q, want %d", tt.connection, status, reason, tt.want)
		}
	}
}

func TestOutboundHeader(t *testing.T) {
	in := http.Header{
		// stays
		"Accept": {"text/html"}, "Cookie": {"a=b", "c=d"}, "Cache-Control": {"no-store"}, "Authorization": {"Basic x"},
		"X-Custom": {"1"}, "Sec-Websocket-Key": {"k"},
		// hop by hop (RFC 9110, section 7.6.1)
		"Connection": {"close, x-named", "Upgrade, HTTP2-Settings"}, "X-Named": {"1"}, "Keep-Alive": {"1"}, "Te": {"gzip, Trailers"},
		"Trailer": {"X"}, "Transfer-Encoding": {"chunked"}, "Upgrade": {"h2c"}, "Http2-Settings": {"AAMAAABk"},
		"Proxy-Authorization": {"x"}, "Proxy-Connection": {"x"},
		// the default list
		"X-Forwarded-Port": {"1"}, "X-Forwarded-Server": {"1"}, "X-Forwarded-Prefix": {"1"}, "X-Forwarded": {"1"}, "X-Real-Ip": {"1"},
		"True-Client-Ip": {"1"}, "X-Client-Ip": {"1"}, "X-Url-Scheme": {"1"}, "Front-End-Https": {"1"}, "X-Http-Method": {"1"},
		"X-Http-Method-Override": {"1"}, "X-Method-Override": {"1"}, "X-Original-Url": {"1"}, "X-Rewrite-Url": {"1"},
		"X-Host": {"1"}, "X-Http-Host-Override": {"1"}, "X-Original-Host": {"1"}, "X-Original-Uri": {"1"}, "X-Scheme": {"1"},
		"X-Script-Name": {"1"}, "Client-Ip": {"1"}, "X-Cluster-Client-Ip": {"1"}, "Forwarded-For": {"1"}, "Forwarded-Host": {"1"},
		"Proxy": {"1"}, "X_forwarded_for": {"1"}, "Under_score": {"1"}, "Content-Length": {"5"},
		// replaced
		"X-Forwarded-For": {"6.6.6.6"}, "X-Forwarded-Proto": {"gopher"}, "X-Forwarded-Host": {"evil"}, "Forwarded": {"for=6.6.6.6"},
		// appended to
		"Via": {"1.0 a", "1.1 b"}, "Cdn-Loop": {"other; v=1"},
	}
	before := in.Clone()
	c := clientInfo{Addr: addr("192.0.2.1"), Peer: addr("192.0.2.1"), Proto: "https", Host: "example.com:8443"}
	got := outboundHeader(in, c, "HTTP/2.0", testID)
	want := http.Header{
		"Accept": {"text/html"}, "Cookie": {"a=b", "c=d"}, "Cache-Control": {"no-store"}, "Authorization": {"Basic x"},
		"X-Custom": {"1"}, "Sec-Websocket-Key": {"k"},
		"Te":              {"trailers"},
		"X-Forwarded-For": {"192.0.2.1"}, "X-Forwarded-Proto": {"https"}, "X-Forwarded-Host": {"example.com:8443"},
		"Forwarded": {`for=192.0.2.1;host="example.com:8443";proto=https`},
		"Via":       {"1.0 a, 1.1 b, 2 Selvage"}, "Cdn-Loop": {"other; v=1, selvage-1"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("towards the origin (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(before, in); diff != "" {
		t.Errorf("the client's fields were changed (-before +after):\n%s", diff)
	}
}

func TestVia(t *testing.T) {
	for proto, want := range map[string]string{
		"HTTP/1.0": "1.0 Selvage", "HTTP/1.1": "1.1 Selvage", "HTTP/2.0": "2 Selvage", "HTTP/3.0": "3 Selvage",
	} {
		if got := viaWith(http.Header{}, proto, testID); got != want {
			t.Errorf("%s: Via: %s, want %s", proto, got, want)
		}
	}
}

func TestInboundHeader(t *testing.T) {
	got := inboundHeader(http.Header{
		"Content-Type": {"text/css"}, "Set-Cookie": {"a", "b"}, "Content-Length": {"3"}, "Age": {"7"}, "Cache-Status": {"Shield; hit"},
		"Connection": {"X-Named"}, "X-Named": {"1"}, "Keep-Alive": {"1"}, "Transfer-Encoding": {"chunked"}, "Upgrade": {"h2"},
		"Alt-Svc": {`h3=":443"`}, "Proxy-Authenticate": {"Basic"}, "Proxy-Status": {"Shield; error=timeout"},
	})
	want := http.Header{
		"Proxy-Status": {"Shield; error=timeout"}, // told along, as RFC 9209, section 2 has it
		"Content-Type": {"text/css"}, "Set-Cookie": {"a", "b"}, "Content-Length": {"3"}, "Age": {"7"}, "Cache-Status": {"Shield; hit"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("towards the client (-want +got):\n%s", diff)
	}
}

// THREATS T41.
func TestLooped(t *testing.T) {
	for _, tt := range []struct {
		name  string
		lines []string
		want  bool
	}{
		{"absent", nil, false},
		{"others", []string{"foo.test; a=1, bar.test:80", "baz"}, false},
		{"a longer name", []string{"selvage-12"}, false},
		{"ourselves", []string{"selvage-1"}, true},
		{"ourselves with parameters, in a second line", []string{"foo", "bar , Selvage-1 ;x=y"}, true},
		{"ourselves behind a quote left open", []string{`a;x="`, `b;y=", selvage-1`}, true},
		{"16 nodes", []string{strings.Repeat("a,", 16)}, false},
		{"17 nodes", []string{strings.Repeat("a,", 16), "b"}, true},
	} {
		if got := looped(http.Header{"Cdn-Loop": tt.lines}, testID); got != tt.want {
			t.Errorf("%s: looped(%q) = %v, want %v", tt.name, tt.lines, got, tt.want)
		}
	}
	// What outboundHeader appends is what the next round finds, whatever the client began with.
	for _, start := range []string{"", `"`, `a;b="\`, ";", ","} {
		out := outboundHeader(http.Header{"Cdn-Loop": {start}}, clientInfo{}, "HTTP/1.1", testID)
		if !looped(out, testID) {
			t.Errorf("a request that began with CDN-Loop: %s is not recognised as %s", start, out["Cdn-Loop"])
		}
	}
}

func TestNewIdentity(t *testing.T) {
	one, two := newIdentity(""), newIdentity("")
	if one.name != "Selvage" || !strings.HasPrefix(one.loop, "selvage-") || one.loop == two.loop {
		t.Errorf("identities without a name = %+v, %+v, want different tokens after selvage-", one, two)
	}
	if got := newIdentity("edge-7"); got != (identity{"edge-7", "edge-7", "1.1 edge-7"}) {
		t.Errorf("configured identity = %+v", got)
	}
}

var locations = []struct{ in, want string }{
	{"http://web.internal:8080/a?b#c", "https://example.com/a?b#c"},
	{"HTTP://web.internal:8080/a", "https://example.com/a"},
	{"http://web.internal:8080", "https://example.com"},
	{"http://web.internal:8080?x", "https://example.com?x"},
	{"http://user:pw@web.internal:8080/a", "https://example.com/a"}, // a password for the origin is none for us
	{"//web.internal:8080/a", "https://example.com/a"},
	{"http://web.internal:8080/%7e/a%2Fb?x=http://web.internal:8080/", "https://example.com/%7e/a%2Fb?x=http://web.internal:8080/"},
	{"https://asked.test/a", "https://example.com/a"}, // the host the origin was asked for
	{"/a", "/a"},
	{"a//web.internal:8080/", "a//web.internal:8080/"},
	{"", ""},
	{"?x=http://web.internal:8080/", "?x=http://web.internal:8080/"},
	{"https://web.internal:8080/a", "https://web.internal:8080/a"}, // not an upstream
	{"http://web.internal/a", "http://web.internal/a"},
	{"http://elsewhere.test/http://web.internal:8080/", "http://elsewhere.test/http://web.internal:8080/"},
	{"http://web.internal:8080@evil.test/", "http://web.internal:8080@evil.test/"},
	{"http://web.internal:8080\\@evil.test/", "http://web.internal:8080\\@evil.test/"},
	{"mailto:a//web.internal:8080", "mailto:a//web.internal:8080"},
}

func TestRewriteLocation(t *testing.T) {
	for _, tt := range locations {
		if got := rewriteLocation(tt.in, testPools["web"], "asked.test", "https", "example.com"); got != tt.want {
			t.Errorf("rewriteLocation(%q) = %q, want %q", tt.in, got, tt.want)
		}
	}
}

func TestRewriteLocationKeepsUpgradeToHTTPS(t *testing.T) {
	const to = "https://example.com/a"
	if got := rewriteLocation(to, testPools["web"], "example.com", "http", "Example.com:8080"); got != to {
		t.Errorf("rewriteLocation(%q) for http = %q, want it kept: the way back is a loop", to, got)
	}
}

// FuzzLocation: a Location is left alone, or leads to our own name with the rest of it unchanged.
func FuzzLocation(f *testing.F) {
	for _, l := range locations {
		f.Add(l.in)
	}
	f.Fuzz(func(t *testing.T, in string) {
		got := rewriteLocation(in, testPools["web"], "asked.test", "https", "example.com")
		if got == in {
			return
		}
		rest, ok := strings.CutPrefix(got, "https://example.com")
		if !ok || !strings.HasSuffix(in, rest) {
			t.Fatalf("rewriteLocation(%q) = %q", in, got)
		}
		if u, err := url.Parse(got); err != nil || u.Host != "example.com" || u.User != nil {
			t.Fatalf("rewriteLocation(%q) = %q, which leads to %v, %v", in, got, u, err)
		}
	})
}

func TestHeaderChanges(t *testing.T) {
	shared := make([]string, 1, 4)
	shared[0] = "one"
	h := http.Header{"Gone": {"1"}, "Replaced": {"1", "2"}, "Shared": shared, "Kept": {"1"}}
	compileChanges(HeaderConfig{
		Remove: []string{"gone", "absent", "both"},
		Set:    map[string]string{"replaced": "3", "new": "", "Both": "set"},
		Add:    map[string]string{"shared": "two", "Both": "added"},
	}).apply(h)
	want := http.Header{
		"Replaced": {"3"}, "New": {""}, "Both": {"set", "added"}, "Shared": {"one", "two"}, "Kept": {"1"},
	}
	if diff := cmp.Diff(want, h); diff != "" {
		t.Errorf("after the changes (-want +got):\n%s", diff)
	}
	if got := shared[:2][1]; got != "" {
		t.Errorf("a slice that others share was written to: %q", got)
	}
}
