package cache

import (
	"slices"
	"strings"
	"testing"

	"selvage/encode"
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
		{"and around its name, where none may be: a refusal all the same", []string{"gzip; q =0, br;q =0.5"}, Brotli, "br"},
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

// One row for each sentence of RFC 9110, section 12.5.3, that concerns the choice, for a site that likes zstd best, then br, then
// gzip.
func TestPrefer(t *testing.T) {
	for _, c := range []struct {
		rule  string
		lines []string
		want  encode.Coding
	}{
		{"no field: any coding would do, and plain is read by everybody", nil, encode.Identity},
		{"an empty value: no coding is wanted", []string{""}, encode.Identity},
		{"one that is listed", []string{"gzip"}, encode.Gzip},
		{"the highest weight", []string{"zstd;q=0.5, br;q=0.7, gzip;q=0.6"}, encode.Brotli},
		{"of the same weight what the site likes better", []string{"gzip, br, zstd"}, encode.Zstd},
		{"the order of the field says nothing", []string{"br, gzip"}, encode.Brotli},
		{"no weight is 1", []string{"br;q=0.999, gzip"}, encode.Gzip},
		{"a weight of 0 is not acceptable", []string{"zstd;q=0, br;q=0, gzip;q=0.001"}, encode.Gzip},
		{"* stands for all that are not listed", []string{"*"}, encode.Zstd},
		{"with its weight", []string{"gzip;q=0.5, *;q=0.1"}, encode.Gzip},
		{"and not for those that are", []string{"*, zstd;q=0"}, encode.Brotli},
		{"*;q=0 refuses all others", []string{"gzip;q=0.1, *;q=0"}, encode.Gzip},
		{"codings that we do not know say nothing", []string{"deflate, compress, snappy;q=1"}, encode.Identity},
		{"nor does one with a malformed weight", []string{"br;q=2, gzip;q=0.1"}, encode.Gzip},
		{"identity is acceptable where nothing is said of it, and last", []string{"gzip;q=0.001"}, encode.Gzip},
		{"identity may be liked better", []string{"identity, gzip;q=0.5"}, encode.Identity},
		{"identity may be liked as much, which is no reason against a coding", []string{"identity, gzip"}, encode.Gzip},
		{"identity;q=0.5 and * for the rest", []string{"identity;q=0.5, *;q=0.1"}, encode.Identity},
		{"identity;q=0 with a coding", []string{"identity;q=0, br;q=0.1"}, encode.Brotli},
		{"identity;q=0 without one: plain all the same, for what would a 406 be good", []string{"identity;q=0"}, encode.Identity},
		{"everything refused: likewise", []string{"*;q=0"}, encode.Identity},
		{"several lines are one list", []string{"gzip;q=0.5", "br;q=0.8"}, encode.Brotli},
		{"of two weights the lower", []string{"br, gzip;q=0.5, br;q=0.4"}, encode.Gzip},
		{"x-gzip is gzip", []string{"x-gzip"}, encode.Gzip},
	} {
		lines := slices.Clone(c.lines)
		for i := range lines {
			lines[i] = "Accept-Encoding:" + lines[i]
		}
		q := requestWith("GET", lines...)
		if got := q.Prefer([]encode.Coding{encode.Zstd, encode.Brotli, encode.Gzip}); got != c.want {
			t.Errorf("%s: %q: %q, want %q", c.rule, c.lines, got, c.want)
		}
	}
}

func TestNegotiationAllocatesNothing(t *testing.T) {
	order := []encode.Coding{encode.Brotli, encode.Zstd, encode.Gzip}
	if n := testing.AllocsPerRun(100, func() {
		q := NewQuery()
		q.ReduceField("accept-encoding", "gzip, deflate;q=0.5, br;q=0.8, zstd, *;q=0.1")
		if q.Prefer(order) != encode.Zstd {
			t.Error("not zstd")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// Whatever a client says, it gets nothing that it refuses, and nothing that it likes less than another.
func FuzzPrefer(f *testing.F) {
	f.Add("gzip, br;q=0")
	f.Add("*;q=0.5, identity;q=0, zstd;q=0")
	f.Add("identity, br;q=0.1, br;q=0.9, *;q=0")
	f.Fuzz(func(t *testing.T, value string) {
		q := requestWith("GET", "Accept-Encoding:"+value)
		got := q.Prefer([]encode.Coding{encode.Brotli, encode.Zstd, encode.Gzip})
		if got != encode.Identity && !q.Accepts(got) {
			t.Errorf("%q: %v, which it does not accept", value, got)
		}
		for _, other := range []encode.Coding{encode.Brotli, encode.Zstd, encode.Gzip} {
			if w := q.offer.of(bitOf(other)); got != encode.Identity && w > q.offer.of(bitOf(got)) || got == encode.Identity && w > 0 && q.offer.listed&identity == 0 {
				t.Errorf("%q: %v, and %v has the weight %d", value, got, other, w)
			}
		}
	})
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
