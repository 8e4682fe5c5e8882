package main

import (
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"

	"selvage/cache"
)

// storedTable prints stored responses as they come, so its columns have the widths that their values can have. What does
// not fit the terminal ends in an ellipsis; elsewhere lines are as long as they are.
type storedTable struct {
	out   io.Writer
	style style
	width int // of the terminal; 0 off one
	rows  int
}

func newStoredTable(out io.Writer, c console) *storedTable {
	t := &storedTable{out: out, style: c.style()}
	if c.outTerm {
		t.width = c.width
	}
	return t
}

// The columns before the URL.
const (
	storedColumns = "%6s  %5s  %6s  %8s  "
	storedWidth   = 6 + 5 + 6 + 8 + 4*2
)

func (t *storedTable) put(s cache.StoredResponse) error {
	if t.rows++; t.rows == 1 {
		head := fmt.Sprintf(storedColumns+"%s", "status", "age", "ttl", "size", "url")
		if _, err := fmt.Fprintln(t.out, t.style.dim(head)); err != nil {
			return err
		}
	}
	ttl := fmt.Sprintf("%6s", humanSeconds(s.TTL))
	switch s.State {
	case cache.StatePurged:
		ttl = t.style.bad("purged")
	case cache.StateStale:
		ttl = t.style.doubtful(ttl)
	default:
		ttl = t.style.good(ttl)
	}
	url, more := t.fit(s.Scheme+"://"+s.URL, details(s))
	_, err := fmt.Fprintf(t.out, "%6d  %5s  %s  %8s  %s%s\n", s.Status, humanSeconds(s.Age), ttl, humanSize(s.Length), url, t.style.dim(more))
	return err
}

// details are what tells variants apart, and the tags.
func details(s cache.StoredResponse) (text string) {
	for _, v := range s.Variant {
		text += "  " + printable(v)
	}
	if len(s.Tags) > 0 {
		text += "  #" + printable(strings.Join(s.Tags, " #"))
	}
	return text
}

// fit cuts the end of a line to what the terminal has room for.
func (t *storedTable) fit(url, more string) (string, string) {
	if t.width == 0 {
		return url, more
	}
	room := max(minProseWidth, t.width) - storedWidth
	url = cut(url, room)
	return url, cut(more, room-utf8.RuneCountInString(url))
}

// cut shortens text to a number of characters.
func cut(text string, room int) string {
	if utf8.RuneCountInString(text) <= room {
		return text
	}
	if room < 1 {
		return ""
	}
	return string([]rune(text)[:room-1]) + "…"
}

// printable replaces what a terminal would obey, or show as nothing.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return utf8.RuneError
		}
		return r
	}, text)
}

// writeStat prints the figures of a disk tier, those of its process only when it is a node.
func writeStat(w io.Writer, s cache.DiskStat, style style) error {
	var b strings.Builder
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%s  %s\n", style.dim(fmt.Sprintf("%-18s", name)), fmt.Sprintf(format, args...))
	}
	line("records", "%d", s.Records)
	line("used", "%s", humanSize(s.Used)+share(s.Used, s.Limit, " of "+humanSize(s.Limit)+", %d%%"))
	line("live", "%s", humanSize(s.Live)+share(s.Live, s.Used, ", %d%%"))
	line("index", "%s", humanSize(s.Index))
	line("segments", "%d", s.Segments)
	if s.Limit > 0 {
		line("state", "%s", stateOf(s, style))
		line("queued", "%s", humanSize(s.Queued))
		b.WriteString(style.bold("since the start") + "\n")
		line("records read", "%d", s.Reads)
		line("writes dropped", "%d", s.Dropped)
		line("segments evicted", "%d, %d records rescued", s.Evicted, s.Rescued)
		line("segments compacted", "%d", s.Compacted)
		line("corrupt blocks", "%s", alarm(s.CorruptBlocks, style))
		line("errors", "%s, %s of them in a sync", alarm(s.Errors, style), alarm(s.SyncFailures, style))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// share is the part that n is of a whole, in percent, in the given words; empty of nothing.
func share(n, of int64, format string) string {
	if of <= 0 {
		return ""
	}
	return fmt.Sprintf(format, n*100/of)
}

func stateOf(s cache.DiskStat, style style) string {
	switch {
	case !s.Loaded:
		return style.doubtful("loading")
	case !s.Writable:
		return style.bad("not writing: the disk has failed")
	}
	return style.good("in use")
}

// alarm is a number that should be zero.
func alarm(n int64, style style) string {
	if n == 0 {
		return "0"
	}
	return style.bad(fmt.Sprint(n))
}

// writeScrubbed prints what a scrub has found.
func writeScrubbed(w io.Writer, r cache.Scrubbed, style style) error {
	var b strings.Builder
	for _, at := range r.Damaged {
		fmt.Fprintf(&b, "%s  %s\n", style.bad("damaged"), at)
	}
	if r.Missing+r.Orphans > 0 {
		fmt.Fprintf(&b, "%s  lacks %d, has %d too many\n", style.bad("index"), r.Missing, r.Orphans)
	}
	fmt.Fprintf(&b, "%s  %s of %s\n", style.good("good"), count(int(r.Records), "record"), humanSize(r.Bytes))
	_, err := io.WriteString(w, b.String())
	return err
}

// humanSize writes a size with two digits at least.
func humanSize(n int64) string {
	if n < 1<<10 {
		return fmt.Sprintf("%d B", n)
	}
	value, unit := float64(n), ""
	for _, unit = range []string{"KiB", "MiB", "GiB", "TiB"} {
		if value /= 1 << 10; value < 999.5 {
			break
		}
	}
	if value < 9.95 {
		return fmt.Sprintf("%.1f %s", value, unit)
	}
	return fmt.Sprintf("%.0f %s", value, unit)
}

// humanSeconds writes a time in the largest unit of which there are two.
func humanSeconds(n int64) string {
	if n < 0 {
		return "-" + humanSeconds(-n)
	}
	for _, unit := range []struct {
		seconds int64
		name    string
	}{{365 * 86400, "y"}, {86400, "d"}, {3600, "h"}, {60, "m"}} {
		if n >= 2*unit.seconds {
			return fmt.Sprint(n/unit.seconds) + unit.name
		}
	}
	return fmt.Sprint(n) + "s"
}
