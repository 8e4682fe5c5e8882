package origin

import (
	"fmt"
	"net/http"
	"slices"
	"testing"
)

// TestPaths: prefixes are of whole segments, and what goes out comes back.
func TestPaths(t *testing.T) {
	for _, row := range []struct{ strip, add, in, out, back string }{
		{"", "", "/a", "/a", "/a"},
		{"", "/bucket", "/a/b", "/bucket/a/b", "/a/b"},
		{"", "/bucket", "/", "/bucket/", "/"},
		{"/img", "", "/img/a", "/a", "/img/a"},
		{"/img", "", "/img/", "/", "/img/"},
		{"/img", "", "/img", "/", "/img/"},
		{"/img", "", "/images/a", "/images/a", "/img/images/a"}, // it was not ours to begin with
		{"/img", "/bucket", "/img/a", "/bucket/a", "/img/a"},
		{"/img/", "/bucket/", "/img/a", "/bucket/a", "/img/a"},
		{"/img", "/bucket", "/img/a%2Fb", "/bucket/a%2Fb", "/img/a%2Fb"},
	} {
		r, err := newRules(nil, Config{Path: PathConfig{row.strip, row.add}})
		if err != nil {
			t.Fatal(err)
		}
		if out := r.path.out(row.in); out != row.out {
			t.Errorf("strip %q, add %q: %s goes out as %s, want %s", row.strip, row.add, row.in, out, row.out)
		}
		if back := r.path.back(row.out); back != row.back {
			t.Errorf("strip %q, add %q: %s comes back as %s, want %s", row.strip, row.add, row.out, back, row.back)
		}
	}
}

// TestConceal: one row per field of an answer that tells what is behind the edge.
func TestConceal(t *testing.T) {
	withFarm(t, "a", func(c *Config) {
		c.Host, c.Path = "internal.example", PathConfig{Strip: "/img", Add: "/bucket"}
	}, func(t *testing.T, p *Pool, f *farm) {
		for _, row := range []struct {
			name, in string
			want     []string
		}{
			{"Server", "thing/1.2.3", nil},
			{"X-Powered-By", "PHP/8", nil},
			{"X-Aspnet-Version", "4", nil},
			{"X-Other", "kept", []string{"kept"}},
			{"Location", "/bucket/b?c#d", []string{"/img/b?c#d"}},
			{"Location", "/bucket", []string{"/img/"}},
			{"Location", "/elsewhere", []string{"/elsewhere"}},
			{"Location", "b", []string{"b"}},
			{"Location", "?b", []string{"?b"}},
			{"Location", "http://internal.example/bucket/b", []string{"http://internal.example/img/b"}}, // the edge turns the host
			{"Location", "http://a.test/bucket/b", []string{"http://a.test/img/b"}},
			{"Location", "//a.test/bucket/b", []string{"//a.test/img/b"}},
			{"Location", "http://other.example/bucket/b", []string{"http://other.example/bucket/b"}},
			{"Location", "http://a.test", []string{"http://a.test"}},
			{"Location", "http://[", []string{"http://["}},
			{"Content-Location", "/bucket/b", []string{"/img/b"}},
			{"Set-Cookie", "a=b; Domain=internal.example; Path=/bucket/x; Secure", []string{"a=b; Path=/img/x; Secure"}},
			{"Set-Cookie", "a=b; domain=.A.test;path=/", []string{"a=b;path=/"}},
			{"Set-Cookie", "a=b; Domain=example.com", []string{"a=b; Domain=example.com"}},
			{"Set-Cookie", "a=Domain=a.test", []string{"a=Domain=a.test"}},
		} {
			f.set("a", func(p *peer, _ *http.Request) bool {
				p.write(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n%s: %s\r\n\r\n", row.name, row.in))
				return true
			})
			response := wantBody(t, p, newRequest(t, "GET", "/img/a", nil), 200, "")
			if got := response.Header.Values(row.name); !slices.Equal(got, row.want) {
				t.Errorf("%s: %s became %q, want %q", row.name, row.in, got, row.want)
			}
		}
	})
}

// TestConcealedInEverySection: interim answers and trailers, announced or not, tell no more than the head.
func TestConcealedInEverySection(t *testing.T) {
	withOrigin(t, func(t *testing.T, p *Pool, _ *scripted) {
		var interim hints
		response := wantBody(t, p, newRequest(t, "GET", "/", nil).WithContext(WithWitness(t.Context(), &interim)), 200, "ok")
		if len(interim) != 1 || interim[0].Get("Server") != "" || interim[0].Get("Link") == "" {
			t.Errorf("interim responses %v, want Link without Server", interim)
		}
		if len(response.Trailer) != 1 || response.Trailer.Get("Sum") != "1" {
			t.Errorf("trailers %v, want Sum alone", response.Trailer)
		}
	}, serve("HTTP/1.1 103 Early Hints\r\nServer: thing\r\nLink: </a>\r\n\r\n"+
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: Server, Sum\r\n\r\n2\r\nok\r\n0\r\nServer: thing\r\nSum: 1\r\nX-Runtime: 2\r\n\r\n"))
}

// TestHideNothing: an empty list leaves answers as they are.
func TestHideNothing(t *testing.T) {
	withFarm(t, "a", func(c *Config) { c.Hide = nil }, func(t *testing.T, p *Pool, f *farm) {
		f.set("a", func(p *peer, _ *http.Request) bool {
			p.write("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nServer: thing\r\n\r\n")
			return true
		})
		if got := wantBody(t, p, newRequest(t, "GET", "/", nil), 200, "").Header.Get("Server"); got != "thing" {
			t.Errorf("Server: %q, want it kept", got)
		}
	})
}

// TestPathOnTheWire: both spellings of a path are changed, and OPTIONS * has none.
func TestPathOnTheWire(t *testing.T) {
	withFarm(t, "a", func(c *Config) { c.Path = PathConfig{"/img", "/bucket"} }, func(t *testing.T, p *Pool, f *farm) {
		var got string
		f.set("a", func(p *peer, r *http.Request) bool {
			got = r.RequestURI
			return says(200)(p, r)
		})
		for target, want := range map[string]string{"/img/a%2Fb?c=/img": "/bucket/a%2Fb?c=/img", "/x": "/bucket/x", "/img": "/bucket/"} {
			if wantBody(t, p, newRequest(t, "GET", target, nil), 200, "OK"); got != want {
				t.Errorf("GET %s was sent as %s, want %s", target, got, want)
			}
		}
		r := newRequest(t, "OPTIONS", "/", nil)
		r.URL.Path = "*"
		if wantBody(t, p, r, 200, "OK"); got != "*" {
			t.Errorf("OPTIONS * was sent as %s", got)
		}
	})
}
