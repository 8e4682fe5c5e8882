package main

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// style marks text up for a terminal, or leaves it as it is.
type style struct{ on bool }

// style is plain off a terminal, on a dumb one, and where NO_COLOR is set (no-color.org).
func (c console) style() style {
	noColour, _ := c.machine.env("NO_COLOR")
	kind, _ := c.machine.env("TERM")
	return style{on: c.outTerm && noColour == "" && kind != "dumb"}
}

func (s style) bold(text string) string    { return s.mark("1", text) }
func (s style) dim(text string) string     { return s.mark("2", text) }
func (s style) command(text string) string { return s.mark("36", text) }

func (s style) good(text string) string     { return s.mark("32", text) }
func (s style) doubtful(text string) string { return s.mark("33", text) }
func (s style) bad(text string) string      { return s.mark("31", text) }

func (s style) mark(code, text string) string {
	if !s.on || text == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

// Lines of prose are no wider than the terminal, and never so wide that they are hard to read.
const maxProseWidth, minProseWidth = 96, 40

// writeWrapped writes text in lines of at most width characters, each after indent. A width of 0 is unknown.
func writeWrapped(w io.Writer, text, indent string, width int) {
	if width == 0 {
		width = 80
	}
	room := max(minProseWidth, min(width, maxProseWidth)) - utf8.RuneCountInString(indent)
	var line []string
	length := 0
	flush := func() {
		if len(line) > 0 {
			fmt.Fprintln(w, indent+strings.Join(line, " "))
		}
		line, length = nil, 0
	}
	for _, word := range strings.Fields(text) {
		n := utf8.RuneCountInString(word)
		if length+len(line)+n > room {
			flush()
		}
		line, length = append(line, word), length+n
	}
	flush()
}
