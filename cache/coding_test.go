package cache

import (
	"slices"
	"strings"
	"testing"
)

// One row for each sentence of RFC 9110, section 12.5.3, that concerns the reduction.
func TestAcceptEncoding(t *testing.T) {
	for _, c := range []struct {
		rule  string
		lines []string
		want  CodingSet
		sent  string
	}{
		{"no field: we ask for none", nil, 0, ""},
		{"an empty value: no coding is wanted", []string{""}, 0, ""},
		{"fixed order", []string{"zstd, gzip, br"}, Brotli | Gzip | Zstd, "br, gzip, zstd"},
		{"codings that we do not know are left out", []string{"compress, deflate, gzip"}, Gzip, "gzip"},
		{"8.4.1: names are case-insensitive", []string{"GZIP, Br"}, Brotli | Gzip, "br, gzip"},
		{"8.4.1.3: x-gzip is gzip", []string{"x-gzip"}, Gzip, "gzip"},
		{"a weight of 0 is not acceptable", []string{"gzip;q=0, br"}, Brotli, "br"},
		{"0.000 is 0", []string{"gzip;q=0.000, zstd;q=0.001"}, Zstd, "zstd"},
		{"spaces around the weight", []string{"gzip ; q=0 , br\t;\tq=1"}, Brotli, "br"},
		{"Q is q", []string{"gzip;Q=0"}, 0, ""},
		{"* is every coding not listed", []string{"*"}, Brotli | Gzip | Zstd, "br, gzip, zstd"},
		{"* leaves what is listed alone", []string{"gzip;q=0, *"}, Brotli | Zstd, "br, zstd"},
		{"*;q=0 refuses the others, and identity", []string{"gzip, *;q=0"}, Gzip | IdentityRefused, "gzip"},
		{"identity listed is acceptable in spite of *;q=0", []string{"identity, *;q=0"}, 0, ""},
		{"identity;q=0", []string{"identity;q=0, br"}, Brotli | IdentityRefused, "br"},
		{"identity;q=0 in spite of *", []string{"*, identity;q=0"}, Brotli | Gzip | Zstd | IdentityRefused, "br, gzip, zstd"},
		{"several lines add up", []string{"gzip", "br;q=0.5"}, Brotli | Gzip, "br, gzip"},
		{"a later line refuses", []string{"*", "gzip;q=0"}, Brotli | Zstd, "br, zstd"},
		{"empty members", []string{",, gzip ,"}, Gzip, "gzip"},
		{"a malformed weight fails alone", []string{"gzip;q=x, gzip;q=0.x, br;q=1.001, br;q=0.1234, br;q=, zstd"}, Zstd, "zstd"},
		{"a refusal wins over its opposite", []string{"gzip, gzip;q=0"}, 0, ""},
	} {
		lines := slices.Clone(c.lines)
		for i := range lines {
			lines[i] = "Accept-Encoding:" + lines[i]
		}
		got := requestWith("GET", lines...).Coding
		if got != c.want || got.AcceptEncoding() != c.sent {
			t.Errorf("%s: %q: %04b sent as %q, want %04b as %q", c.rule, c.lines, got, got.AcceptEncoding(), c.want, c.sent)
		}
	}
}

// What is sent to the origin reduces to itself, and no coding is accepted that the client did not name.
func FuzzAcceptEncoding(f *testing.F) {
	f.Add("gzip, br;q=0")
	f.Add("*;q=0.5, identity;q=0, zstd;q=0")
	f.Add(`x-gzip;q="1", ;;, gzip;;q=0`)
	f.Fuzz(func(t *testing.T, value string) {
		set := requestWith("GET", "Accept-Encoding:"+value).Coding
		sent := set.AcceptEncoding()
		if again := requestWith("GET", "Accept-Encoding:"+sent).Coding; again != set&^IdentityRefused {
			t.Errorf("%q: %04b, sent as %q, which is %04b", value, set, sent, again)
		}
		folded := strings.ToLower(value)
		for coding := range strings.SplitSeq(sent, ", ") {
			if !strings.Contains(folded, coding) && !strings.Contains(value, "*") {
				t.Errorf("%q: accepts %q", value, coding)
			}
		}
	})
}
