package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

// Diagnostic is one thing that is wrong with a configuration, and where.
type Diagnostic struct {
	File    string `json:"file"`
	Line    int    `json:"line"`
	Column  int    `json:"column"`
	Path    string `json:"path,omitempty"` // of the key: sites[0].cache.ttl.default
	Problem string `json:"problem"`
	Hint    string `json:"hint,omitempty"`

	excerpt string // the line it is in; empty where the line may hold a secret
}

func (d Diagnostic) String() string {
	var b strings.Builder
	b.WriteString(d.File)
	if d.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", d.Line, d.Column)
	}
	b.WriteString(": ")
	if d.Path != "" {
		b.WriteString(d.Path + ": ")
	}
	b.WriteString(d.Problem)
	if d.Hint != "" {
		b.WriteString("; " + d.Hint)
	}
	return b.String()
}

// Diagnostics is everything that is wrong with a configuration: the error of loading it.
type Diagnostics []Diagnostic

func (ds Diagnostics) Error() string {
	lines := make([]string, len(ds))
	for i, d := range ds {
		lines[i] = d.String()
	}
	return strings.Join(lines, "\n")
}

// sort orders by place: by file in the order of reading, then by line and column.
func (ds Diagnostics) sort(files []*source) {
	order := make(map[string]int, len(files))
	for i, f := range files {
		order[f.name] = i
	}
	slices.SortStableFunc(ds, func(a, b Diagnostic) int {
		return cmp.Or(
			cmp.Compare(order[a.File], order[b.File]), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column),
			cmp.Compare(a.Path, b.Path), cmp.Compare(a.Problem, b.Problem))
	})
}

// print writes one line for each, with the source line and a caret under it when excerpts are wanted.
func (ds Diagnostics) print(w io.Writer, excerpts bool) {
	for _, d := range ds {
		fmt.Fprintln(w, d)
		if excerpts && d.excerpt != "" {
			fmt.Fprintf(w, "%6d | %s\n       | %s^\n", d.Line, d.excerpt, caretIndent(d.excerpt, d.Column))
		}
	}
}

// caretIndent is the white space that puts a caret under the given column of line: tabs stay tabs.
func caretIndent(line string, column int) string {
	indent := make([]rune, 0, column)
	for _, r := range line {
		if len(indent) >= column-1 {
			break
		}
		if r != '\t' {
			r = ' '
		}
		indent = append(indent, r)
	}
	return string(indent)
}

// source is one file of configuration, as read.
type source struct {
	name  string
	lines []string
}

func newSource(name string, text []byte) *source {
	return &source{name: name, lines: strings.Split(string(text), "\n")}
}

// position is a place in a file; both numbers start at 1, columns count characters.
type position struct {
	source       *source
	line, column int
	secret       bool
}

// excerpt is the line as it can be shown on a terminal: no control characters, not endless.
func (p position) excerpt() string {
	if p.secret || p.source == nil || p.line < 1 || p.line > len(p.source.lines) {
		return ""
	}
	line := strings.TrimRight(p.source.lines[p.line-1], "\r")
	if utf8.RuneCountInString(line) > 200 || p.column > 200 {
		return ""
	}
	return strings.Map(func(r rune) rune {
		if r != '\t' && (r < ' ' || r == 0x7f) {
			return utf8.RuneError
		}
		return r
	}, line)
}

// suggest returns a hint for a name nobody knows: the nearest known one, or all of them after intro if there is one.
func suggest(name string, known []string, intro string) string {
	slices.Sort(known)
	best, distance := "", min(3, max(1, len(name)/2))
	for _, k := range known {
		if d := editDistance(name, k); d <= distance && (best == "" || d < distance) {
			best, distance = k, d
		}
	}
	switch {
	case best != "":
		return fmt.Sprintf("did you mean %q?", best)
	case len(known) == 0 || intro == "":
		return ""
	}
	return intro + " " + strings.Join(known, ", ")
}

// editDistance is Levenshtein's: how many characters must be inserted, removed or changed to turn a into b. Names beyond
// 64 bytes are as far from everything as they are long.
func editDistance(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return max(len(a), len(b))
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
