package cache

import (
	"strings"
	"testing"
)

func TestCodedTag(t *testing.T) {
	for _, c := range []struct{ rule, own, want string }{
		{"the origin's, the coding, the sum", `"v1"`, `"v1~br~AAAAAAAAAAE"`},
		{"an empty one", `""`, `"~br~AAAAAAAAAAE"`},
		{"8.8.1: a weak one cannot be made strong", `W/"v1"`, `W/"v1"`},
		{"none", "", ""},
		{"one that is malformed: two sequences of bytes would have it", "v1", "W/v1"},
		{"half a tag", `"`, `W/"`},
	} {
		if got := codedTag(c.own, "br", 1); got != c.want {
			t.Errorf("%s: %q: %q, want %q", c.rule, c.own, got, c.want)
		}
	}
}

func TestSameContent(t *testing.T) {
	const br, other, gz, id = `"v1~br~AAAAAAAAAAE"`, `"v1~br~AAAAAAAAAAI"`, `"v1~gzip~AAAAAAAAAAE"`, `"v1~identity~AAAAAAAAAAE"`
	for _, c := range []struct {
		rule, a, b string
		want       bool
	}{
		{"8.8.3.2: the same", `"v1"`, `"v1"`, true},
		{"weakness does not count", `W/"v1"`, `"v1"`, true},
		{"another", `"v1"`, `"v2"`, false},
		{"our coding of it", br, `"v1"`, true},
		{"and the weak one of what streams", br, `W/"v1"`, true},
		{"two of our codings", br, gz, true},
		{"the same coding made twice", br, other, true},
		{"what we have decoded", id, `"v1"`, true},
		{"our coding of another", br, `"v2"`, false},
		{"our decoding of what another node has coded", `"v1~br~AAAAAAAAAAE~identity~AAAAAAAAAAE"`, br, true},
		{"an end that only looks like ours", `"v1~br~short"`, `"v1"`, false},
		{"or names a coding that we do not make", `"v1~xx~AAAAAAAAAAE"`, `"v1"`, false},
		{"Apache's", `"v1-gzip"`, `"v1"`, false},
		{"without quotes it is nobody's", "v1~br~AAAAAAAAAAE", `"v1"`, false},
	} {
		if got := sameContent(c.a, c.b); got != c.want || sameContent(c.b, c.a) != got {
			t.Errorf("%s: %s and %s: %v, want %v", c.rule, c.a, c.b, got, c.want)
		}
	}
}

func TestOriginTags(t *testing.T) {
	for _, c := range []struct {
		rule, list, want string
		ours             bool
	}{
		{"the origin's own stay as they are", `"v1" ,W/"v2",*`, `"v1" ,W/"v2",*`, false},
		{"ours lose what we have added", `"v1~br~AAAAAAAAAAE"`, `"v1"`, true},
		{"weak ones too", `W/"v1~zstd~AAAAAAAAAAE"`, `W/"v1"`, true},
		{"among others", `"a", "v1~gzip~AAAAAAAAAAE", W/"b"`, `"a", "v1", W/"b"`, true},
		{"a comma is part of a tag", `"a,b~br~AAAAAAAAAAE", "c"`, `"a,b", "c"`, true},
		{"nothing", "", "", false},
	} {
		if got, ours := OriginTags(c.list); got != c.want || ours != c.ours {
			t.Errorf("%s: %q: %q, %v; want %q, %v", c.rule, c.list, got, ours, c.want, c.ours)
		}
	}
}

func TestConfirmedTag(t *testing.T) {
	const coded = `"v1~br~AAAAAAAAAAE"`
	for _, c := range []struct {
		rule, noneMatch, etag string
		varies                bool
		want                  string
	}{
		{"the one that the client has", coded, coded, true, coded},
		{"not the one that it would get", `W/"v1"`, coded, true, `W/"v1"`},
		{"nor that of another coding", `"v1"`, coded, true, `"v1"`},
		{"the first that matches", `"v0", "v1", ` + coded, coded, true, `"v1"`},
		{"* names none: the one it would get", "*", coded, true, coded},
		{"by date alone, with one coding", "", `"v1"`, false, `"v1"`},
		{"by date alone nobody knows which of several it has", "", coded, true, "W/" + coded},
	} {
		q := requestWith("GET")
		if c.noneMatch != "" {
			q = requestWith("GET", "If-None-Match:"+c.noneMatch)
		}
		if got := ConfirmedTag(q, c.etag, c.varies); got != c.want {
			t.Errorf("%s: %q: %q, want %q", c.rule, c.noneMatch, got, c.want)
		}
	}
}

// A tag that we make is told from others, and leads back to the one it was made of.
func FuzzCodedTag(f *testing.F) {
	f.Add(`"v1"`, uint64(1))
	f.Add(`"v1~br~AAAAAAAAAAE"`, uint64(1<<63))
	f.Add(`W/"a,b"`, uint64(0))
	f.Add("0", uint64(0))
	f.Fuzz(func(t *testing.T, own string, sum uint64) {
		made := codedTag(own, "zstd", sum)
		if made == own {
			return
		}
		if !sameContent(made, own) {
			t.Errorf("%q is not the content of %q", made, own)
		}
		if strings.HasPrefix(made, "W/") || strings.Count(own, `"`) > 2 || strings.ContainsAny(own, " \t") {
			return // no tag at all, without quotes for one
		}
		if back, ours := OriginTags(made); !ours || back != own {
			t.Errorf("%q goes to the origin as %q, want %q", made, back, own)
		}
	})
}
