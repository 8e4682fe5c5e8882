package main

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"strconv"
	"strings"
	"time"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"

	"selvage/encode"
)

// expectation is one `expect` line.
type expectation struct {
	line  int
	text  string
	check func(*outcome, *stage) error
}

// fixedExpectations are those without an argument.
var fixedExpectations = map[string]func(*outcome, *stage) error{
	"aborted":    func(o *outcome, _ *stage) error { return o.wantAborted() },
	"no answer":  func(o *outcome, _ *stage) error { return o.wantNoAnswer() },
	"closed":     func(o *outcome, _ *stage) error { return o.wantClosed(true) },
	"open":       func(o *outcome, _ *stage) error { return o.wantClosed(false) },
	"waiting":    func(o *outcome, _ *stage) error { return o.wantWaiting() },
	"unfinished": func(o *outcome, _ *stage) error { return o.wantUnfinished() },
	"empty body": func(o *outcome, _ *stage) error { return bodyWant{}.check(o.body, nil) },
}

func parseExpectation(l scriptLine) (expectation, error) {
	text := strings.TrimPrefix(l.text, "expect ")
	check, err := parseCheck(text)
	if err != nil {
		return expectation{}, atLine(l.number, err)
	}
	return expectation{l.number, text, check}, nil
}

func parseCheck(text string) (func(*outcome, *stage) error, error) {
	if check, ok := fixedExpectations[text]; ok {
		return check, nil
	}
	if statusLine.MatchString(text) {
		status, _ := strconv.Atoi(text)
		return func(o *outcome, _ *stage) error { return o.wantStatus(status) }, nil
	}
	word, rest, _ := strings.Cut(text, " ")
	switch word {
	case "body":
		want, err := parseBodyWant(rest)
		return func(o *outcome, s *stage) error {
			wrong := want.check(o.body, s)
			if wrong != nil && (!o.done || o.err != nil) {
				return fmt.Errorf("%w; has ended: %v, %v", wrong, o.done, o.err)
			}
			return wrong
		}, err
	case "content":
		want, err := parseBodyWant(rest)
		return func(o *outcome, s *stage) error {
			plain, wrong := o.content()
			if wrong == nil {
				wrong = want.check(plain, s)
			}
			return wrong
		}, err
	case "head", "first", "end":
		return parseMoment(text)
	case "interim":
		return parseInterimWant(rest)
	case "trailer":
		want, err := parseFieldWant(rest)
		return func(o *outcome, s *stage) error { return want.check(o.trailers, s) }, err
	case "parts", "part":
		return parsePartWant(word, rest)
	}
	want, err := parseFieldWant(text)
	return func(o *outcome, s *stage) error { return want.check(o.values, s) }, err
}

// fieldWant is `Name: value` (exactly), `Name ~ text` (contains), `Name !~ text` (does not) or `no Name`.
type fieldWant struct{ name, op, value string }

func parseFieldWant(text string) (fieldWant, error) {
	if name, ok := strings.CutPrefix(text, "no "); ok && !strings.ContainsAny(name, " :") {
		return fieldWant{name, "no", ""}, nil
	}
	for _, op := range []string{" !~ ", " ~ "} {
		name, value, ok := strings.Cut(text, op)
		if ok && !strings.ContainsAny(name, " :") {
			return fieldWant{name, strings.TrimSpace(op), value}, nil
		}
	}
	if f, ok := parseFieldLine(text); ok {
		return fieldWant{f.name, ":", f.value}, nil
	}
	return fieldWant{}, fmt.Errorf("%q: no such expectation", text)
}

func (w fieldWant) check(values func(string) (string, bool), s *stage) error {
	got, ok := values(w.name)
	want := s.expand(w.value)
	switch {
	case w.op == "no" && ok:
		return fmt.Errorf("%s = %q, want none", w.name, got)
	case w.op == "no" || w.op == "!~" && !strings.Contains(got, want):
		return nil
	case !ok:
		return fmt.Errorf("no %s, want %q", w.name, want)
	case w.op == "~" && !strings.Contains(got, want):
		return fmt.Errorf("%s = %q, want %q in it", w.name, got, want)
	case w.op == "!~":
		return fmt.Errorf("%s = %q, want no %q in it", w.name, got, want)
	case w.op == ":" && got != want:
		return fmt.Errorf("%s = %q, want %q", w.name, got, want)
	}
	return nil
}

// bodyWant is what follows `body`: `text`, `~ text`, `pattern 10MiB [b]` or `pattern 100-199 [b]`.
type bodyWant struct {
	contains bool
	text     []byte
}

func parseBodyWant(rest string) (bodyWant, error) {
	if text, ok := strings.CutPrefix(rest, "~ "); ok {
		return bodyWant{contains: true, text: []byte(text)}, nil
	}
	spec, ok := strings.CutPrefix(rest, "pattern ")
	if !ok {
		return bodyWant{text: []byte(rest)}, nil
	}
	span, letter, _ := strings.Cut(spec, " ")
	var first, last int
	if n, _ := fmt.Sscanf(span, "%d-%d", &first, &last); n == 2 {
		return bodyWant{text: pattern((letter + "a")[0], first, last-first+1)}, nil
	}
	size, tag, err := parsePattern(spec)
	return bodyWant{text: pattern(tag, 0, size)}, err
}

func (w bodyWant) check(got []byte, s *stage) error {
	want := w.text
	if len(want) < 200 && s != nil {
		want = []byte(s.expand(string(want)))
	}
	switch {
	case w.contains && !bytes.Contains(got, want):
		return fmt.Errorf("body = %s, want %s in it", shorten(got), shorten(want))
	case !w.contains && !bytes.Equal(got, want):
		return fmt.Errorf("body = %s, want %s%s", shorten(got), shorten(want), firstDifference(got, want))
	}
	return nil
}

// content is the body without its coding.
func (o *outcome) content() ([]byte, error) {
	coding, known := encode.Named(o.header.Get("Content-Encoding"))
	if !known {
		return o.body, nil
	}
	var plain io.Reader
	var err error
	switch coding { // with decoders of our own: those of package encode are kept, and one of zstd belongs to its bubble
	case encode.Gzip:
		plain, err = gzip.NewReader(bytes.NewReader(o.body))
	case encode.Brotli:
		plain = brotli.NewReader(bytes.NewReader(o.body))
	case encode.Zstd:
		plain, err = zstd.NewReader(bytes.NewReader(o.body), zstd.WithDecoderConcurrency(1))
	case encode.DCZ: // one of these is made for each dictionary
		plain, err = encode.NewDeltaReader(bytes.NewReader(o.body), o.dictionary, encode.DefaultLimits())
	}
	if err != nil {
		return nil, fmt.Errorf("content in %v: %w", coding, err)
	}
	body, err := io.ReadAll(plain)
	if err != nil {
		return nil, fmt.Errorf("content in %v: %w", coding, err)
	}
	return body, nil
}

func shorten(b []byte) string {
	if len(b) <= 60 {
		return strconv.Quote(string(b))
	}
	return fmt.Sprintf("%q… (%d bytes)", b[:30], len(b))
}

func firstDifference(got, want []byte) string {
	if len(want) <= 60 {
		return ""
	}
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			return fmt.Sprintf(", first difference at %d", i)
		}
	}
	return ""
}

// parseMoment reads `head after 2s`, `first byte within 10ms`, `end after 3s`. Time stands still while anything works, so
// `after` is exact.
func parseMoment(text string) (func(*outcome, *stage) error, error) {
	words := strings.Fields(text)
	if len(words) < 3 {
		return nil, fmt.Errorf("%q: want head, first byte or end, then after or within, then a duration", text)
	}
	what := strings.Join(words[:len(words)-2], " ")
	d, err := time.ParseDuration(words[len(words)-1])
	relation := words[len(words)-2]
	if err != nil || relation != "after" && relation != "within" {
		return nil, fmt.Errorf("%q: want after or within and a duration", text)
	}
	return func(o *outcome, _ *stage) error {
		at, ok := map[string]time.Duration{"head": o.headAt, "first byte": o.firstAt, "end": o.endAt}[what]
		if !ok || at < 0 {
			return fmt.Errorf("%s has not come, want it %s %v", what, relation, d)
		}
		if relation == "after" && at != d || at > d {
			return fmt.Errorf("%s after %v, want it %s %v", what, at, relation, d)
		}
		return nil
	}, nil
}

// parseInterimWant reads `103` or `103 Link: </a.css>`.
func parseInterimWant(rest string) (func(*outcome, *stage) error, error) {
	code, fieldText, _ := strings.Cut(rest, " ")
	status, err := strconv.Atoi(code)
	if err != nil {
		return nil, fmt.Errorf("interim wants a status, not %q", code)
	}
	want := fieldWant{op: "no"}
	if fieldText != "" {
		if want, err = parseFieldWant(fieldText); err != nil {
			return nil, err
		}
	}
	return func(o *outcome, s *stage) error {
		for _, i := range o.interim {
			values := func(name string) (string, bool) { v := i.header.Values(name); return strings.Join(v, ", "), len(v) > 0 }
			if i.status == status && want.check(values, s) == nil {
				return nil
			}
		}
		return fmt.Errorf("interim responses = %v, want %s", o.interim, rest)
	}, nil
}

// parsePartWant reads `parts 2`, `part 1 Content-Range: bytes 0-1/10` and `part 1 body …` (multipart/byteranges).
func parsePartWant(word, rest string) (func(*outcome, *stage) error, error) {
	numberText, rest, _ := strings.Cut(rest, " ")
	number, err := strconv.Atoi(numberText)
	if err != nil {
		return nil, fmt.Errorf("%s wants a number, not %q", word, numberText)
	}
	if word == "parts" {
		return func(o *outcome, _ *stage) error {
			parts, err := o.parts()
			if err == nil && len(parts) != number {
				err = fmt.Errorf("%d parts, want %d", len(parts), number)
			}
			return err
		}, nil
	}
	inner, err := parseCheck(rest)
	return func(o *outcome, s *stage) error {
		parts, err := o.parts()
		if err != nil {
			return err
		}
		if number < 1 || number > len(parts) {
			return fmt.Errorf("%d parts, want part %d", len(parts), number)
		}
		return inner(parts[number-1], s)
	}, err
}

// parts cuts a multipart body into what looks like answers of their own.
func (o *outcome) parts() ([]*outcome, error) {
	kind, params, err := mime.ParseMediaType(o.header.Get("Content-Type"))
	if err != nil || kind != "multipart/byteranges" {
		return nil, fmt.Errorf("Content-Type = %q, want multipart/byteranges", o.header.Get("Content-Type"))
	}
	var out []*outcome
	for r := multipart.NewReader(bytes.NewReader(o.body), params["boundary"]); ; {
		part, err := r.NextRawPart()
		if err == io.EOF {
			return out, nil
		}
		if err != nil {
			return nil, fmt.Errorf("part %d: %w", len(out)+1, err)
		}
		body, err := io.ReadAll(part)
		if err != nil {
			return nil, fmt.Errorf("part %d: %w", len(out)+1, err)
		}
		out = append(out, &outcome{status: o.status, header: map[string][]string(part.Header), body: body})
	}
}

func differ(what, got, want string) error {
	if got != want {
		return fmt.Errorf("%s = %q, want %q", what, got, want)
	}
	return nil
}
