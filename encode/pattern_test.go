package encode

import (
	"regexp"
	"strings"
	"testing"
)

func TestPatternsMatch(t *testing.T) {
	for _, tt := range []struct {
		pattern, path string
		want          bool
	}{
		{"/app.*.js", "/app.4f3a.js", true},
		{"/app.*.js", "/app..js", true}, // any text, none too
		{"/app.*.js", "/app.js", false}, // a dot is not there twice
		{"/app.*.js", "/app.4f3a.css", false},
		{"/app.*.js", "/x/app.4f3a.js", false},
		{"/app/*/main.js", "/app/1/2/main.js", true}, // slashes too
		{"/app/*/main.js", "/app/main.js", false},
		{"/product/*", "/product/", true},
		{"/product/*", "/product", false},
		{"/*/a-*.js", "/1/a-2.js", true},
		{"/*/a-*.js", "/1/b-2.js", false},
		{"/*ab*ab", "/ab", false},
		{"/*ab*ab", "/abab", true},
		{"/exact", "/exact", true},
		{"/exact", "/exact/", false},
		{"/*", "/anything", true},
		{"/**", "/anything", true},
		{"/d%C3%BCsseldorf*", "/d%C3%BCsseldorf.js", true}, // RFC 9842, section 2.1.1: percent-encoded
	} {
		if got := Pattern(tt.pattern).Match(tt.path); got != tt.want {
			t.Errorf("%q matches %q: %t, want %t", tt.pattern, tt.path, got, tt.want)
		}
	}
}

func TestParsePattern(t *testing.T) {
	for s, want := range map[string]bool{
		"/app.*.js":                    true,
		"/npm/bootstrap@*/dist/b.css":  true,
		"/":                            true,
		"/a%20b*":                      true,
		"":                             false,
		"app.*.js":                     false,
		"https://example.com/app.*.js": false,
		"/:name":                       false, // has a meaning of its own in a URL pattern
		"/(a|b)":                       false,
		"/{a}":                         false,
		"/a?":                          false,
		"/a+":                          false,
		`/a\*`:                         false,
		`/a"b`:                         false,
		"/a b":                         false,
		"/a#b":                         false,
		"/düsseldorf":                  false,
		"/a\x00":                       false,
		"/*/*/*/*":                     true,
		"/*/*/*/*/*":                   false,
		"/" + strings.Repeat("a", 255): true,
		"/" + strings.Repeat("a", 256): false,
	} {
		if p, err := ParsePattern(s); (err == nil) != want || want && string(p) != s {
			t.Errorf("ParsePattern(%q) = %q, %v, want ok = %t", s, p, err, want)
		}
	}
}

func TestTheLongestPatternIsTaken(t *testing.T) {
	c := DictionaryConfig{Enabled: true, Names: true, Match: []string{"/assets/*", "/assets/js/*", "/a*"}}
	for _, tt := range []struct {
		path string
		want Pattern
	}{
		{"/assets/js/app.4f3a.js", "/assets/js/*"},
		{"/assets/app.4f3a.js", "/assets/*"},
		{"/app.4f3a.js", "/a*"},
		{"/main.4f3a.js", "/main.*.js"},
		{"/main.js", ""},
	} {
		if got, ok := c.Pattern(tt.path); got != tt.want || ok != (tt.want != "") {
			t.Errorf("Pattern(%q) = %q, %t, want %q", tt.path, got, ok, tt.want)
		}
	}
	c.Names = false
	if got, ok := c.Pattern("/main.4f3a.js"); ok {
		t.Errorf("names: false: Pattern = %q", got)
	}
	c.Enabled = false
	if got, ok := c.Pattern("/app.4f3a.js"); ok {
		t.Errorf("enabled: false: Pattern = %q", got)
	}
}

// Stars are what a regular expression calls dot star.
func FuzzPattern(f *testing.F) {
	f.Add("/app.*.js", "/app.4f3a.js")
	f.Add("/*ab*ab", "/abab")
	f.Add("/a**b", "/ab")
	f.Fuzz(func(t *testing.T, s, path string) {
		p, err := ParsePattern(s)
		if err != nil || strings.ContainsRune(path, '\n') {
			return
		}
		parts := strings.Split(s, "*")
		for i := range parts {
			parts[i] = regexp.QuoteMeta(parts[i])
		}
		want := regexp.MustCompile("^" + strings.Join(parts, "(?s:.*)") + "$").MatchString(path)
		if got := p.Match(path); got != want {
			t.Errorf("%q matches %q: %t, want %t", s, path, got, want)
		}
	})
}

// A pattern made from a path matches it, and says what it says in a structured field and as a URL pattern.
func FuzzPatternByName(f *testing.F) {
	for _, path := range []string{"/app.4f3a.js", "/npm/b@5.3.8/x", "/lib/jquery-4.0.0-beta.2.min.js", "/a-12345678"} {
		f.Add(path)
	}
	f.Fuzz(func(t *testing.T, path string) {
		p, ok := patternByName(path)
		if !ok {
			return
		}
		if _, err := ParsePattern(string(p)); err != nil || !p.Match(path) {
			t.Errorf("%q becomes %q, which matches: %t, %v", path, p, p.Match(path), err)
		}
	})
}
