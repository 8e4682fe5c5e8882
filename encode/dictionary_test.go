package encode

import (
	"strings"
	"testing"

	"github.com/dunglas/httpsfv"
)

// The hash of RFC 9842's examples.
const exampleHash = ":pZGm1Av0IEBKARczz7exkNYsZb8LzaMrV7J32a2fFG4=:"

func TestParseAvailable(t *testing.T) {
	for _, tt := range []struct {
		name  string
		lines []string
		ok    bool
	}{
		{"as in the RFC", []string{exampleHash}, true},
		{"parameters are ignored", []string{exampleHash + ";a=1"}, true},
		{"spaces around it", []string{"  " + exampleHash + " "}, true},
		{"absent", nil, false},
		{"empty", []string{""}, false},
		{"two hashes", []string{exampleHash + ", " + exampleHash}, false},
		{"two lines", []string{exampleHash, exampleHash}, false},
		{"no colons", []string{strings.Trim(exampleHash, ":")}, false},
		{"no end", []string{strings.TrimSuffix(exampleHash, ":")}, false},
		{"a string", []string{`"pZGm1Av0IEBKARczz7exkNYsZb8LzaMrV7J32a2fFG4="`}, false},
		{"31 bytes", []string{":pZGm1Av0IEBKARczz7exkNYsZb8LzaMrV7J32a2fFA==:"}, false},
		{"33 bytes", []string{":pZGm1Av0IEBKARczz7exkNYsZb8LzaMrV7J32a2fFG4A:"}, false},
		{"no base64", []string{":" + strings.Repeat("*", 44) + ":"}, false},
	} {
		h, ok := ParseAvailable(tt.lines)
		if ok != tt.ok || ok && h.String() != exampleHash {
			t.Errorf("%s: ParseAvailable(%q) = %v, %t, want ok = %t", tt.name, tt.lines, h, ok, tt.ok)
		}
	}
}

func TestParseDictionaryID(t *testing.T) {
	for _, tt := range []struct {
		lines []string
		want  string
	}{
		{[]string{`"dictionary-12345"`}, "dictionary-12345"},
		{[]string{`"with \"quotes\" and \\"`}, `with "quotes" and \`},
		{[]string{`"` + strings.Repeat("a", 1024) + `"`}, strings.Repeat("a", 1024)},
		{[]string{`"` + strings.Repeat("a", 1025) + `"`}, ""},
		{[]string{`""`}, ""},
		{[]string{`token`}, ""},
		{[]string{`"a"`, `"b"`}, ""},
		{nil, ""},
	} {
		if got, ok := ParseDictionaryID(tt.lines); got != tt.want || ok != (tt.want != "") {
			t.Errorf("ParseDictionaryID(%q) = %q, %t, want %q", tt.lines, got, ok, tt.want)
		}
	}
}

// What the field says is what a parser of structured fields reads.
func TestUseAs(t *testing.T) {
	for _, id := range []string{"", "dictionary-12345", `with "quotes" and \`} {
		value := UseAs("/app/*/main.js", id)
		d, err := httpsfv.UnmarshalDictionary([]string{value})
		if err != nil {
			t.Fatalf("%s: %v", value, err)
		}
		if match, _ := d.Get("match"); match.(httpsfv.Item).Value != "/app/*/main.js" {
			t.Errorf("%s: match = %v", value, match)
		}
		got := ""
		if item, ok := d.Get("id"); ok {
			got = item.(httpsfv.Item).Value.(string)
		}
		if got != id {
			t.Errorf("%s: id = %q, want %q", value, got, id)
		}
	}
}

// What is read is read the same again.
func FuzzDictionaryFields(f *testing.F) {
	f.Add(exampleHash, "")
	f.Add(`"dictionary-12345"`, "x")
	f.Add(":AA==:", ":;a")
	f.Fuzz(func(t *testing.T, one, two string) {
		lines := []string{one, two}[:1+min(len(two), 1)]
		if h, ok := ParseAvailable(lines); ok {
			if again, ok := ParseAvailable([]string{h.String()}); !ok || again != h {
				t.Errorf("%q is %v, which is %v", lines, h, again)
			}
		}
		if id, ok := ParseDictionaryID(lines); ok {
			_, value, _ := strings.Cut(UseAs("/", id), "id=")
			if again, ok := ParseDictionaryID([]string{value}); !ok || again != id {
				t.Errorf("%q is %q, which is %q", lines, id, again)
			}
		}
	})
}
