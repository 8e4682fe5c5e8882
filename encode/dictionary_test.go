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

// What the field says is what a parser of structured fields reads.
func TestUseAs(t *testing.T) {
	value := UseAs("/app/*/main.js")
	d, err := httpsfv.UnmarshalDictionary([]string{value})
	if err != nil {
		t.Fatalf("%s: %v", value, err)
	}
	if match, _ := d.Get("match"); match.(httpsfv.Item).Value != "/app/*/main.js" || len(d.Names()) != 1 {
		t.Errorf("%s: match = %v, of %v", value, match, d.Names())
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
	})
}
