package origin

import (
	"log/slog"
	"strings"
	"testing"
)

// FuzzConceal: whatever an origin sends as Location or Set-Cookie, what becomes of it holds no byte that was not there, apart
// from the prefix, and without rules it stays as it is.
func FuzzConceal(f *testing.F) {
	for _, value := range []string{"/bucket/a", "http://a.test/bucket/a?b#c", "//a.test", "a=b; Domain=a.test; Path=/bucket", ";;=", "http://["} {
		f.Add(value)
	}
	c := testConfig()
	c.URLs = []string{"http://a.test"}
	plain, err := New("plain", c, Network{}, slog.New(slog.DiscardHandler))
	if err != nil {
		f.Fatal(err)
	}
	c.Path = PathConfig{Strip: "/img", Add: "/bucket"}
	turned, err := New("turned", c, Network{}, slog.New(slog.DiscardHandler))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, value string) {
		if got := plain.rules.reference(value, "www.test"); got != value {
			t.Errorf("reference %q became %q without rules", value, got)
		}
		if got := plain.rules.cookie(value); got != value && !strings.Contains(strings.ToLower(value), "a.test") {
			t.Errorf("cookie %q became %q without rules", value, got)
		}
		for _, got := range []string{turned.rules.reference(value, "www.test"), turned.rules.cookie(value)} {
			if len(got) > len(value)+len("/img/") || strings.Count(got, "\n") > strings.Count(value, "\n") {
				t.Errorf("%q became %q", value, got)
			}
		}
	})
}
