package main

import (
	"fmt"
	"strings"

	"selvage/purge"
)

// writeAnswer prints what came of a purge; of a dry run, the responses first.
func writeAnswer(c console, a *purge.Answer) error {
	style := c.style()
	var b strings.Builder
	writeMatches(&b, a, c)
	switch {
	case a.DryRun && a.Kind == "soft":
		b.WriteString("would make stale")
	case a.DryRun:
		b.WriteString("would purge")
	case a.Kind == "soft":
		b.WriteString(style.good("made stale"))
	default:
		b.WriteString(style.good("purged"))
	}
	fmt.Fprintf(&b, "  %s", matchedText(a.Matched))
	if !a.DryRun {
		b.WriteString(style.dim(fmt.Sprintf("  purge %d", a.Number)))
	}
	b.WriteByte('\n')
	_, err := c.out.Write([]byte(b.String()))
	return err
}

// matchedText says how much it was.
func matchedText(m *purge.Matched) string {
	if m == nil {
		return "(not counted: the node has been asked too often)"
	}
	text := fmt.Sprintf("%s, %s", count(int(m.Responses), "response"), humanSize(m.Bytes))
	if !m.Exact {
		return "about " + text
	}
	return text
}

// writeMatches lists what a dry run has found, cut to the width of a terminal.
func writeMatches(b *strings.Builder, a *purge.Answer, c console) {
	style, width := c.style(), 0
	if c.outTerm {
		width = c.width
	}
	for _, m := range a.Responses {
		url, tags := printable(m.URL), ""
		if len(m.Tags) > 0 {
			tags = "  #" + printable(strings.Join(m.Tags, " #"))
		}
		if width > 0 {
			const size = 10
			room := max(minProseWidth, width) - size
			url = cut(url, room)
			tags = cut(tags, room-len([]rune(url)))
		}
		fmt.Fprintf(b, "%8s  %s%s\n", humanSize(m.Bytes), url, style.dim(tags))
	}
	if a.Matched != nil && a.DryRun && a.Matched.Responses > int64(len(a.Responses)) {
		fmt.Fprintln(b, style.dim(fmt.Sprintf("          and %d more", a.Matched.Responses-int64(len(a.Responses)))))
	}
}
