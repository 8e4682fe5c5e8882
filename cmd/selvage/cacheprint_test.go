package main

import (
	"bytes"
	"math"
	"strings"
	"testing"
	"unicode/utf8"

	"selvage/cache"
)

func TestHumanSize(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 10188: "9.9 KiB", 10189: "10 KiB", 1023 << 10: "1.0 MiB", 999 << 10: "999 KiB",
		3 << 29: "1.5 GiB", 5 << 40: "5.0 TiB", math.MaxInt64: "8388608 TiB",
	} {
		if got := humanSize(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}

func TestHumanSeconds(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0s", 119: "119s", 120: "2m", 7199: "119m", 7200: "2h", 2 * 86400: "2d", 729 * 86400: "729d", 730 * 86400: "2y", -60: "-60s",
	} {
		if got := humanSeconds(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}

// example is a response that an origin has done its worst to.
var example = cache.StoredResponse{
	URL: "example.com/" + strings.Repeat("path/", 9), Scheme: "https", Status: 200, State: cache.StateStale, Age: 7200, TTL: -60, Length: 1 << 20,
	Variant: []string{"X-Kind: é\x1b[2J\xff"}, Tags: []string{"red", "blue\n"},
}

// TestStoredTable: lines fit the terminal, colour is for terminals that want it, and nothing in a response moves the cursor.
func TestStoredTable(t *testing.T) {
	const url = "https://example.com/path/path/path/path/path/path/path/path/path/"
	for _, row := range []struct {
		what  string
		width int
		style style
		want  string
	}{
		{"off a terminal", 0, style{}, "   200     2h    -60s   1.0 MiB  " + url + "  X-Kind: é\uFFFD[2J\uFFFD  #red #blue\uFFFD\n"},
		{"wide", 110, style{}, "   200     2h    -60s   1.0 MiB  " + url + "  X-Kind: é…\n"},
		{"80 columns", 80, style{}, "   200     2h    -60s   1.0 MiB  https://example.com/path/path/path/path/path/p…\n"},
		{"in colour", 80, style{on: true}, "   200     2h  \x1b[33m  -60s\x1b[0m   1.0 MiB  https://example.com/path/path/path/path/path/p…\n"},
	} {
		var out bytes.Buffer
		table := storedTable{out: &out, style: row.style, width: row.width}
		if err := table.put(example); err != nil {
			t.Fatal(err)
		}
		_, got, _ := strings.Cut(out.String(), "\n") // behind the head
		if got != row.want {
			t.Errorf("%s:\n%q, want\n%q", row.what, got, row.want)
		}
		if n := utf8.RuneCountInString(got) - 1; row.width > 0 && !row.style.on && n > row.width {
			t.Errorf("%s: %d characters", row.what, n)
		}
	}
}

func TestStatOfTrouble(t *testing.T) {
	var out bytes.Buffer
	s := cache.DiskStat{Loaded: true, Used: 12 << 20, Live: 6 << 20, Limit: 16 << 20, CorruptBlocks: 2, Errors: 5, SyncFailures: 1}
	if err := writeStat(&out, s, style{}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"12 MiB of 16 MiB, 75%\n", "6.0 MiB, 50%\n", "not writing: the disk has failed\n", "corrupt blocks      2\n", "5, 1 of them in a sync\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("lacks %q:\n%s", want, out.String())
		}
	}
}
