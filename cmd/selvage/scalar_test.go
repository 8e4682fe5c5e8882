package main

import (
	"errors"
	"math"
	"testing"
	"time"
)

func TestParseSize(t *testing.T) {
	for _, row := range []struct {
		text string
		want int64 // -1: refused
	}{
		{"0", 0}, {"4096", 4096}, {"1B", 1}, {"512KiB", 512 << 10}, {"64MiB", 64 << 20}, {"2GiB", 2 << 30}, {"2 GiB", 2 << 30},
		{"8388607TiB", 8388607 << 40}, {"9223372036854775807", math.MaxInt64},
		{"8388608TiB", -1}, {"9223372036854775808", -1},
		{"", -1}, {"GiB", -1}, {"-1", -1}, {"1.5GiB", -1}, {"64MB", -1}, {"64M", -1}, {"64mib", -1}, {"64MiB ", 64 << 20}, {"0x10", -1},
	} {
		got, err := parseSize(row.text)
		if (err != nil) != (row.want < 0) || err == nil && got != row.want {
			t.Errorf("parseSize(%q) = %d, %v, want %d", row.text, got, err, row.want)
		}
	}
}

// TestFormatSize: what is written reads back, no larger than it was.
func TestFormatSize(t *testing.T) {
	for _, row := range []struct {
		n    int64
		want string
	}{
		{0, "0"}, {1, "1"}, {1023, "1023"}, {1 << 10, "1KiB"}, {1536, "1536"}, {1 << 20, "1MiB"}, {3 << 29, "1536MiB"},
		{8 << 30, "8GiB"}, {8<<30 + 1, "8192MiB"}, {100<<30 + 1, "100GiB"},
	} {
		got := formatSize(row.n)
		if got != row.want {
			t.Errorf("formatSize(%d) = %s, want %s", row.n, got, row.want)
		}
		if back, err := parseSize(got); err != nil || back > row.n {
			t.Errorf("parseSize(formatSize(%d)) = %d, %v", row.n, back, err)
		}
	}
}

func TestParseDuration(t *testing.T) {
	const refused = -1
	for _, row := range []struct {
		text string
		want time.Duration
	}{
		{"0", 0}, {"0s", 0}, {"250ms", 250 * time.Millisecond}, {"30s", 30 * time.Second}, {"10m", 10 * time.Minute},
		{"1h30m", 90 * time.Minute}, {"2d", 48 * time.Hour}, {"1d12h", 36 * time.Hour}, {"36500d", maxDuration},
		{"36501d", refused}, {"36500d1ms", refused}, {"999999999999d", refused}, {"9999999999999s", refused},
		{"", refused}, {"15", refused}, {"00", refused}, {"1h30", refused}, {"-1s", refused}, {"1.5h", refused}, {"s", refused},
		{"10 m", refused}, {"10M", refused}, {"1w", refused}, {"1y", refused}, {"5us", refused},
	} {
		got, err := parseDuration(row.text)
		if (err != nil) != (row.want == refused) || err == nil && got != row.want {
			t.Errorf("parseDuration(%q) = %v, %v, want %v", row.text, got, err, row.want)
		}
	}
}

func TestExpand(t *testing.T) {
	env := func(name string) (string, bool) {
		value, ok := map[string]string{"SET": "x", "EMPTY": "", "_a1": "y", "SNEAKY": "${SET}"}[name]
		return value, ok
	}
	for _, row := range []struct{ text, want string }{
		{"", ""}, {"plain", "plain"}, {"$5 and $", "$5 and $"}, {"$SET", "$SET"},
		{"${SET}", "x"}, {"a${SET}b${_a1}c", "axbyc"}, {"${EMPTY}", ""},
		{"${SET:-d}", "x"}, {"${EMPTY:-d}", "d"}, {"${UNSET:-d}", "d"}, {"${UNSET:-}", ""}, {"${UNSET:-a:-b}", "a:-b"},
		{"$${SET}", "${SET}"}, {"$${", "${"}, {"$$${SET}", "$${SET}"},
		{"${SNEAKY}", "${SET}"}, // what a variable holds is not expanded again
	} {
		if got, err := expand(row.text, env); err != nil || got != row.want {
			t.Errorf("expand(%q) = %q, %v, want %q", row.text, got, err, row.want)
		}
	}
	for _, text := range []string{"${UNSET}", "${", "${SET", "${}", "${1}", "${a b}", "${SET-d}", "${:-d}", "${SET:?no}"} {
		var bad *scalarError
		if got, err := expand(text, env); !errors.As(err, &bad) || bad.hint == "" {
			t.Errorf("expand(%q) = %q, %v, want an error with a hint", text, got, err)
		}
	}
}

func TestEditDistance(t *testing.T) {
	for _, row := range []struct {
		a, b string
		want int
	}{
		{"", "", 0}, {"a", "", 1}, {"", "ab", 2}, {"urls", "url", 1}, {"defualt", "default", 2}, {"kitten", "sitting", 3},
	} {
		if got := editDistance(row.a, row.b); got != row.want {
			t.Errorf("editDistance(%q, %q) = %d, want %d", row.a, row.b, got, row.want)
		}
	}
}
