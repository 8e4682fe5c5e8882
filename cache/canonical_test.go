package cache

import (
	"errors"
	"strings"
	"testing"
)

func TestCanonicalPath(t *testing.T) {
	for _, c := range []struct {
		rule, raw, want string
		err             error
	}{
		{"RFC 3986, 6.2.3: empty is the root", "", "/", nil},
		{"canonical already", "/a/b.c-d_e~f!$&'()*+,;=:@g", "/a/b.c-d_e~f!$&'()*+,;=:@g", nil},
		{"6.2.2.1: hex in capitals", "/%e4%bd", "/%E4%BD", nil},
		{"6.2.2.1: letters keep their case", "/A/b", "/A/b", nil},
		{"6.2.2.2: unreserved characters decoded", "/%61%2D%2e%5f%7E%41%30", "/a-._~A0", nil},
		{"6.2.2.2: reserved ones not", "/%2F%3b%3F%23%40%25", "/%2F%3B%3F%23%40%25", nil},
		{"6.2.2.3: single dots", "/./a/./b/.", "/a/b/", nil},
		{"5.2.4: /a/b/c/./../../g", "/a/b/c/./../../g", "/a/g", nil},
		{"5.2.4: double dots at the end", "/a/b/..", "/a/", nil},
		{"5.2.4: double dots take an empty segment", "/a//../b", "/a/b", nil},
		{"encoded dots are dots", "/a/%2e%2E/b/.%2e/c", "/c", nil},
		{"dots in a longer name stay", "/a/..b/.../.c", "/a/..b/.../.c", nil},
		{"dots before an encoded slash are no segment", "/a/..%2fb", "/a/..%2Fb", nil},
		{"dots before a semicolon are no segment", "/a/..;/b", "/a/..;/b", nil},
		{"back at the root", "/a/..", "/", nil},
		{"above the root", "/..", "", errPathClimbs},
		{"above the root and back", "/a/../../b", "", errPathClimbs},
		{"above the root, encoded", "/%2e%2e/b", "", errPathClimbs},
		{"empty segments stay", "//a///b/", "//a///b/", nil},
		{"an encoded percent sign is not decoded twice", "/%2561", "/%2561", nil},
		{"bytes outside the grammar", "/\"<>\\^`{|}", "/%22%3C%3E%5C%5E%60%7B%7C%7D", nil},
		{"bytes above ASCII", "/\u00e4\xff", "/%C3%A4%FF", nil},
		{"brackets stay", "/a[1]", "/a[1]", nil},
		{"a percent sign alone", "/100%", "", errPathPercent},
		{"half a percent-encoding", "/%4", "", errPathPercent},
		{"no hex", "/%zz", "", errPathPercent},
		{"no hex in the second place", "/%4g", "", errPathPercent},
		{"NUL", "/a\x00b", "", errPathByte},
		{"encoded NUL", "/a%00b", "", errPathByte},
		{"a control", "/a\x1fb", "", errPathByte},
		{"DEL", "/a\x7fb", "", errPathByte},
		{"CR LF", "/a\r\nb", "", errPathByte},
		{"RFC 9112, 3.2: a space", "/a b", "", errPathByte},
		{"a query", "/a?b", "", errPathByte},
		{"a fragment", "/a#b", "", errPathByte},
		{"no slash", "a/b", "", errPathRelative},
		{"the asterisk", "*", "", errPathRelative},
	} {
		if got, err := CanonicalPath(c.raw); got != c.want || !errors.Is(err, c.err) {
			t.Errorf("%s: %q: got %q, %v; want %q, %v", c.rule, c.raw, got, err, c.want, c.err)
		}
	}
}

func TestCanonicalQuery(t *testing.T) {
	for _, c := range []struct {
		rule, raw, want string
		err             error
	}{
		{"empty", "", "", nil},
		{"as it is", "a=1&b=%41;c=%2f?/:@[]&d=100%&", "a=1&b=%41;c=%2f?/:@[]&d=100%&", nil},
		{"bytes outside the grammar", "a=\"<>\\^`{|}\xe4", "a=%22%3C%3E%5C%5E%60%7B%7C%7D%E4", nil},
		{"a space", "a b", "", errQueryByte},
		{"a control", "a\x01", "", errQueryByte},
		{"a fragment", "a#b", "", errQueryByte},
	} {
		if got, err := CanonicalQuery(c.raw); got != c.want || !errors.Is(err, c.err) {
			t.Errorf("%s: %q: got %q, %v; want %q, %v", c.rule, c.raw, got, err, c.want, c.err)
		}
	}
}

func TestCanonicalHost(t *testing.T) {
	for _, c := range []struct {
		rule, host string
		secure     bool
		want       string
		err        error
	}{
		{"a name", "example.com", false, "example.com", nil},
		{"RFC 3986, 6.2.2.1: in lower case", "WWW.Example.COM", false, "www.example.com", nil},
		{"one trailing dot", "example.com.", false, "example.com", nil},
		{"two trailing dots", "example.com..", false, "", errHost},
		{"6.2.3: default port of http", "example.com:80", false, "example.com", nil},
		{"6.2.3: default port of https", "example.com.:443", true, "example.com", nil},
		{"6.2.3: an empty port is the default one", "example.com:", true, "example.com", nil},
		{"443 is not the default of http", "example.com:443", false, "example.com:443", nil},
		{"80 is not the default of https", "example.com:80", true, "example.com:80", nil},
		{"another port", "Example.com.:8080", false, "example.com:8080", nil},
		{"leading zeros in a port", "example.com:0080", false, "example.com", nil},
		{"an address", "192.0.2.1:80", false, "192.0.2.1", nil},
		{"RFC 5952 for IPv6", "[2001:DB8:0::1]:443", true, "[2001:db8::1]", nil},
		{"IPv6 with a port", "[::1]:8080", false, "[::1]:8080", nil},
		{"an underscore", "a_b.example", false, "a_b.example", nil},
		{"Punycode", "xn--bcher-kva.example", false, "xn--bcher-kva.example", nil},
		{"no ASCII", "b\u00fccher.example", false, "", errHost},
		{"empty", "", false, "", errHost},
		{"a dot", ".", false, "", errHost},
		{"a port alone", ":80", false, "", errHost},
		{"an empty label", "a..b", false, "", errHost},
		{"a leading dot", ".example.com", false, "", errHost},
		{"userinfo", "user@example.com", false, "", errHost},
		{"a list", "a.example,b.example", false, "", errHost},
		{"a space", "a .example", false, "", errHost},
		{"a path", "a.example/b", false, "", errHost},
		{"percent-encoded", "%61.example", false, "", errHost},
		{"port 0", "example.com:0", false, "", errPort},
		{"port 65536", "example.com:65536", false, "", errPort},
		{"a port with a sign", "example.com:+80", false, "", errPort},
		{"two ports", "example.com:1:2", false, "", errHost},
		{"IPv6 without brackets", "::1", false, "", errHost},
		{"IPv6 without the end", "[::1", false, "", errHost},
		{"IPv6 with a zone", "[fe80::1%25eth0]", false, "", errHost},
		{"IPv4 in brackets", "[192.0.2.1]", false, "", errHost},
		{"something behind the brackets", "[::1]x", false, "", errHost},
		{"254 characters", strings.Repeat("a.", 126) + "ab", false, "", errHost},
	} {
		if got, err := CanonicalHost(c.host, c.secure); got != c.want || !errors.Is(err, c.err) {
			t.Errorf("%s: %q, secure %v: got %q, %v; want %q, %v", c.rule, c.host, c.secure, got, err, c.want, c.err)
		}
	}
}

func TestCanonicalInputAllocatesNothing(t *testing.T) {
	allocs := testing.AllocsPerRun(100, func() {
		CanonicalPath("/a/b%2Fc/d.html")
		CanonicalQuery("a=1&b=2")
		CanonicalHost("www.example.com", true)
		CanonicalHost("www.example.com:8443", true)
	})
	if allocs != 0 {
		t.Errorf("%v allocations, want 0", allocs)
	}
}

func FuzzCanonicalPath(f *testing.F) {
	for _, seed := range []string{"/a/%2e%2E/b", "/%41%2f;x//..", "/a/./../", "/\xff\"%7e", "/..%00", "/%25%32%65"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		path, err := CanonicalPath(raw)
		if err != nil {
			if path != "" {
				t.Errorf("%q: %q beside %v", raw, path, err)
			}
			return
		}
		if again, err := CanonicalPath(path); again != path || err != nil {
			t.Errorf("%q: %q, again %q, %v", raw, path, again, err)
		}
		if !isCanonicalPath(path) || path[0] != '/' || strings.ContainsAny(path, "?# \"<>\\^`{|}\x00\x7f") {
			t.Errorf("%q: %q is not canonical", raw, path)
		}
		for segment := range strings.SplitSeq(path, "/") {
			if segment == "." || segment == ".." {
				t.Errorf("%q: %q has dot segments", raw, path)
			}
		}
		if raw != "" && isCanonicalPath(raw) && path != raw {
			t.Errorf("%q: the fast path says it is canonical, the slow one %q", raw, path)
		}
		if respelt, err := respellPath(path); err != nil || string(respelt) != path {
			t.Errorf("%q: %q is spelt anew as %q, %v", raw, path, respelt, err)
		}
	})
}
