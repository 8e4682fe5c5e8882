package encode

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestWants(t *testing.T) {
	c := DefaultConfig()
	for _, tt := range []struct {
		contentType string
		length      int64
		want        bool
	}{
		{"text/html", 4096, true},
		{"text/html; charset=utf-8", 4096, true},
		{"TEXT/HTML", 4096, true},
		{"text/css ; charset=utf-8", -1, true}, // as it streams
		{"text/plain", 511, false},
		{"text/plain", 512, true},
		{"text/event-stream", -1, false}, // whose reader waits for every line
		{"application/javascript", 4096, true},
		{"application/json", 4096, true},
		{"application/ld+json", 4096, true},
		{"application/atom+xml", 4096, true},
		{"image/svg+xml", 4096, true},
		{"application/wasm", 4096, true},
		{"font/ttf", 4096, true},
		{"font/woff2", 4096, false}, // is Brotli inside
		{"font/woff", 4096, false},
		{"image/png", 4096, false},
		{"video/mp4", 4096, false},
		{"application/zip", 4096, false},
		{"application/octet-stream", 4096, false},
		{"", 4096, false},
		{"text/", 4096, false},
		{"text", 4096, false},
		{"/html", 4096, false},
	} {
		if got := c.Wants(tt.contentType, tt.length); got != tt.want {
			t.Errorf("Wants(%q, %d) = %t, want %t", tt.contentType, tt.length, got, tt.want)
		}
	}
	c.Enabled = false
	if c.Wants("text/html", 4096) {
		t.Error("enabled: false wants text/html")
	}
}

func TestKeepsWhatIsInBounds(t *testing.T) {
	c := DefaultConfig()
	for length, want := range map[int64]bool{-1: false, 511: false, 512: true, 8 << 20: true, 8<<20 + 1: false} {
		if got := c.Keeps(length); got != want {
			t.Errorf("Keeps(%d) = %t, want %t", length, got, want)
		}
	}
}

// What is not stored may carry a secret; see Config.Dynamic.
func TestStreams(t *testing.T) {
	for _, tt := range []struct {
		dynamic                  string
		setCookie, authorization bool
		want                     bool
	}{
		{"none", false, false, false},
		{"anonymous", false, false, true},
		{"anonymous", true, false, false},
		{"anonymous", false, true, false},
		{"all", true, true, true},
	} {
		c := DefaultConfig()
		c.Dynamic = tt.dynamic
		if got := c.Streams(tt.setCookie, tt.authorization); got != tt.want {
			t.Errorf("dynamic: %s: Streams(%t, %t) = %t, want %t", tt.dynamic, tt.setCookie, tt.authorization, got, tt.want)
		}
	}
}

func TestCodingsInOrder(t *testing.T) {
	c := Config{Order: []string{"zstd", "x-gzip", "nonsense", "br"}}
	if got, want := c.Codings(), []Coding{Zstd, Gzip, Brotli}; !slices.Equal(got, want) {
		t.Errorf("Codings() = %v, want %v", got, want)
	}
}

func TestValidate(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*Config)
		want   []string // paths
	}{
		{"the default", func(*Config) {}, nil},
		{"no coding", func(c *Config) { c.Order = nil }, []string{"order"}},
		{"a coding nobody makes", func(c *Config) { c.Order = []string{"br", "deflate"} }, []string{"order[1]"}},
		{"a coding that needs a dictionary", func(c *Config) { c.Order = []string{"dcz"} }, []string{"order[0]"}},
		{"identity", func(c *Config) { c.Order = []string{"identity"} }, []string{"order[0]"}},
		{"a coding twice", func(c *Config) { c.Order = []string{"gzip", "X-Gzip"} }, []string{"order[1]"}},
		{"types", func(c *Config) { c.Types = []string{"text/*", "text", "*", "*/*", "*+json", "*+", "a/b c"} },
			[]string{"types[1]", "types[2]", "types[3]", "types[5]", "types[6]"}},
		{"a negative minimum", func(c *Config) { c.MinSize = -1 }, []string{"min_size"}},
		{"no size in between", func(c *Config) { c.MinSize, c.MaxSize = 2, 1 }, []string{"max_size"}},
		{"a maximum beyond memory", func(c *Config) { c.MaxSize = 1 << 30 }, []string{"max_size"}},
		{"dynamic", func(c *Config) { c.Dynamic = "some" }, []string{"dynamic"}},
		{"patterns", func(c *Config) { c.Dictionary.Match = []string{"/a-*.js", "a-*.js", "/(a|b)"} },
			[]string{"dictionary.match[1]", "dictionary.match[2]"}},
	} {
		c := DefaultConfig()
		tt.change(&c)
		var got []string
		c.Validate(func(path, _, _ string) { got = append(got, path) })
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s: problems (-want +got):\n%s", tt.name, diff)
		}
	}
}

func TestValidateWorkshop(t *testing.T) {
	for _, tt := range []struct {
		c    WorkshopConfig
		want []string
	}{
		{DefaultWorkshopConfig(), nil},
		{WorkshopConfig{CPU: 100, Queue: 1}, nil},
		{WorkshopConfig{}, []string{"cpu", "queue"}},
		{WorkshopConfig{CPU: 101, Queue: 2e6}, []string{"cpu", "queue"}},
	} {
		var got []string
		tt.c.Validate(func(path, _, _ string) { got = append(got, path) })
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%+v: problems (-want +got):\n%s", tt.c, diff)
		}
	}
}
