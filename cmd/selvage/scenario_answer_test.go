package main

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"selvage/encode"
)

// message is what a scripted origin answers, or the body of what a scripted client asks: a programme of acts around one
// head.
type message struct {
	before  []act // before the head, or all there is of an answer without a status
	status  int   // 0: no head
	fields  []fieldLine
	body    []act
	trailer []fieldLine

	framing framing
	length  int // declared Content-Length; -1: the length of the body

	conditional bool // 304 when the validators of the request match
	ranges      bool // 206 when a range is asked for
	noDate      bool
	gzip        bool   // the body is sent in that coding
	early       bool   // answer without reading the request's body
	echo        string // "head" or "body": the request's own is the body
	tunnel      bool   // after the head, send back whatever comes
}

type framing uint8

const (
	byLength framing = iota
	byChunks
	byClose
)

// act is one thing done to the connection: bytes sent, a pause, or an end.
type act struct {
	data []byte
	wait time.Duration
	end  ending
}

type ending uint8

const (
	goOn      ending = iota
	closeHere        // close cleanly
	resetHere        // break the connection
	hangHere         // do nothing until the other side leaves
)

var endings = map[string]ending{"close": closeHere, "reset": resetHere, "hang": hangHere}

var statusLine = regexp.MustCompile(`^[1-9][0-9][0-9]$`)

// parseMessage reads the lines of an answer: keywords and fields, then perhaps an empty line and a literal body.
func parseMessage(lines []scriptLine) (*message, error) {
	m := &message{length: -1}
	for i, l := range lines {
		if l.text == "" {
			m.body = append(m.body, act{data: []byte(joinLines(lines[i+1:]))})
			break
		}
		if err := m.parseLine(l.text); err != nil {
			return nil, atLine(l.number, err)
		}
	}
	if m.gzip {
		m.fields = append(m.fields, fieldLine{"Content-Encoding", "gzip"})
		m.body = []act{{data: encode.Append(nil, m.data(), encode.Gzip, encode.Best)}}
	}
	return m, nil
}

func joinLines(lines []scriptLine) string {
	text := make([]string, len(lines))
	for i, l := range lines {
		text[i] = l.text
	}
	return strings.Join(text, "\n")
}

func (m *message) parseLine(s string) error {
	if f, ok := parseFieldLine(s); ok {
		m.fields = append(m.fields, f)
		return nil
	}
	if statusLine.MatchString(s) {
		m.status, _ = strconv.Atoi(s)
		return nil
	}
	word, rest, _ := strings.Cut(s, " ")
	switch s {
	case "chunked":
		m.framing = byChunks
	case "until close":
		m.framing = byClose
	case "conditional":
		m.conditional = true
	case "ranges":
		m.ranges = true
	case "no Date":
		m.noDate = true
	case "early":
		m.early = true
	case "gzip":
		m.gzip = true
	case "tunnel":
		m.tunnel = true
	case "echo head", "echo body":
		m.echo = rest
	default:
		return m.parseArgument(word, rest)
	}
	return nil
}

func (m *message) parseArgument(word, rest string) (err error) {
	switch word {
	case "length":
		m.length, err = strconv.Atoi(rest)
		return err
	case "trailer":
		f, ok := parseFieldLine(rest)
		if !ok {
			return fmt.Errorf("trailer wants a field, not %q", rest)
		}
		m.trailer, m.framing = append(m.trailer, f), byChunks
		return nil
	case "interim":
		return m.parseInterim(rest)
	}
	a, err := parseAct(word, rest, m.size())
	if err != nil {
		return err
	}
	if m.status == 0 {
		m.before = append(m.before, a)
	} else {
		m.body = append(m.body, a)
	}
	return nil
}

// parseInterim reads `103` or `103 Link: </a.css>` into a whole informational response.
func (m *message) parseInterim(rest string) error {
	code, fieldLine, _ := strings.Cut(rest, " ")
	head := "HTTP/1.1 " + code + " Interim\r\n"
	if fieldLine != "" {
		head += fieldLine + "\r\n"
	}
	m.before = append(m.before, act{data: []byte(head + "\r\n")})
	return nil
}

// size returns how many bytes the body has so far: a second pattern goes on where the first ended.
func (m *message) size() int {
	n := 0
	for _, a := range m.body {
		n += len(a.data)
	}
	return n
}

// parseAct reads one act; at is the place in the body where it stands.
func parseAct(word, rest string, at int) (act, error) {
	if end, ok := endings[word]; ok && rest == "" {
		return act{end: end}, nil
	}
	switch word {
	case "wait":
		d, err := time.ParseDuration(rest)
		return act{wait: d}, err
	case "text":
		return act{data: []byte(rest)}, nil
	case "bytes":
		s, err := unescape(rest)
		return act{data: []byte(s)}, err
	case "pattern":
		size, letter, err := parsePattern(rest)
		return act{data: pattern(letter, at, size)}, err
	}
	return act{}, fmt.Errorf("%q: no such keyword", strings.TrimSpace(word+" "+rest))
}

// parsePattern reads `10MiB` or `10MiB b`.
func parsePattern(s string) (size int, letter byte, err error) {
	sizeText, letterText, _ := strings.Cut(s, " ")
	letter = 'a'
	if letterText != "" {
		letter = letterText[0]
	}
	size, err = patternSize(sizeText)
	return size, letter, err
}

// data returns the whole body in one piece.
func (m *message) data() []byte {
	out := make([]byte, 0, m.size())
	for _, a := range m.body {
		out = append(out, a.data...)
	}
	return out
}

// bodiless reports whether an answer ends with its head, whatever its fields say.
func bodiless(method string, status int) bool {
	return method == "HEAD" || status/100 == 1 || status == 204 || status == 304
}

func (m *message) has(name string) bool {
	return m != nil && slices.ContainsFunc(m.fields, func(f fieldLine) bool { return f.name == name })
}

// chunk frames data for a chunked body.
func chunk(data []byte) []byte {
	if len(data) == 0 {
		return nil
	}
	return append(append(fmt.Appendf(nil, "%x\r\n", len(data)), data...), "\r\n"...)
}
