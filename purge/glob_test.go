package purge

import (
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"selvage/cache"
)

func TestGlob(t *testing.T) {
	for _, tt := range []struct {
		pattern, url string
		want         bool
	}{
		{"example.com/a", "example.com/a", true},
		{"example.com/a", "example.com/ab", false},
		{"*", "", true},
		{"*", "example.com/a/b?c=d", true},
		{"example.com/*", "example.com/", true},
		{"example.com/*.css", "example.com/deep/in/it.css", true}, // also of slashes
		{"example.com/*.css", "example.com/it.css?v=1", false},
		{"example.com/a?*", "example.com/a?b=c", true}, // ? begins a query
		{"example.com/a?*", "example.com/ab", false},   // and is not any byte
		{"*/print*", "example.com/a/print?x", true},
		{"*/print*", "example.com/a/prin", false},
		{"a*a", "a", false}, // the prefix and the suffix do not share a byte
		{"a*a", "aa", true},
		{"a*b*b", "ab", false},
		{"*ab*ab*", "ab/ab", true},
		{"*ab*ab*", "aab", false},
		{"a**b", "ab", true},
		{"[ab]*", "a", false}, // no classes
	} {
		g := compileGlob(tt.pattern)
		if got := g.matches(tt.url); got != tt.want {
			t.Errorf("%q takes %q: %t, want %t", tt.pattern, tt.url, got, tt.want)
		}
	}
}

func FuzzGlob(f *testing.F) {
	f.Add("a*b*c", "abcbc")
	f.Add("*aab*", "aaab")
	f.Add("**", "")
	f.Fuzz(func(t *testing.T, pattern, url string) {
		if len(pattern) > 100 || len(url) > 200 || !utf8.ValidString(pattern) || !utf8.ValidString(url) {
			t.Skip() // for the regular expression that it is compared with
		}
		g := compileGlob(pattern)
		if got, want := g.matches(url), globMatches(pattern, url); got != want {
			t.Errorf("%q takes %q: %t, want %t", pattern, url, got, want)
		}
	})
}

// A thousand patterns that make backtracking matchers slow, and the longest URL: a look-up tries all of them.
func TestGlobsBuiltToBeSlowAreNot(t *testing.T) {
	j := NewJournal()
	var number uint64
	for i := range maxGlobs {
		pattern := strings.Repeat("*a", 400) + fmt.Sprint("*", i, "b*c")
		number = mustAdd(t, j, Entry{Kind: cache.Hard, Globs: []string{pattern}})
	}
	target := &cache.Target{URL: strings.Repeat("a", 16<<10)}
	begun := time.Now()
	if got := j.Verdict(target, 0, number); got != cache.Valid {
		t.Errorf("Verdict = %v, want valid", got)
	}
	if took := time.Since(begun); took > 30*time.Second {
		t.Errorf("a verdict by %d globs took %v", maxGlobs, took)
	}
}

// The one beyond the most makes the oldest its literal prefix; one that begins with a star is then everything.
func TestTheOldestGlobBecomesItsPrefix(t *testing.T) {
	j := NewJournal()
	j.maxGlobs = 2
	glob := func(kind cache.Verdict, pattern string) { mustAdd(t, j, Entry{Kind: kind, Globs: []string{pattern}}) }
	verdict := func(url string) cache.Verdict { return j.Verdict(&cache.Target{URL: url}, 0, j.Applied()) }
	glob(cache.Hard, "a/*.css")
	glob(cache.Soft, "*.js")
	if got := verdict("a/b"); got != cache.Valid {
		t.Errorf("Verdict = %v while there is room, want valid", got)
	}
	glob(cache.Hard, "c/*")
	if got := verdict("a/b"); got != cache.Hard {
		t.Errorf("Verdict = %v after the third glob, want hard: a/*.css is a/ now", got)
	}
	glob(cache.Hard, "d*") // *.js becomes everything
	if got := verdict("x"); got != cache.Soft {
		t.Errorf("Verdict = %v after the fourth glob, want soft", got)
	}
	glob(cache.Hard, "a/*.html")
	glob(cache.Soft, "e*")
	glob(cache.Soft, "f*") // a/*.html becomes a/, which is there
	if rows := []int{len(j.rows), j.aged.Len(), len(j.globs)}; fmt.Sprint(rows) != "[5 5 2]" {
		t.Errorf("%v rows, in order of age, and globs; want a/, c/, d, and two globs", rows)
	}
	slots := make(map[uint32]bool)
	for at := j.aged.Front(); at != nil; at = at.Next() {
		slots[at.Value.(*row).slot] = true
	}
	if len(slots) != 5 {
		t.Errorf("%d slots for 5 rows", len(slots))
	}
}
