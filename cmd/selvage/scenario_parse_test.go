package main

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// scenario is one file of testdata/scenarios, parsed. The language is described in testdata/scenarios/README.md.
type scenario struct {
	file    string
	modes   []string // the modes it runs in; empty is all of them
	config  configText
	origins []string
	steps   []scriptStep
}

// scriptStep is one statement, ready to run.
type scriptStep struct {
	line int
	run  func(*stage) error
}

// statement is a line at the margin and the indented lines under it, with four spaces of their indentation removed.
type statement struct {
	line int
	text string
	rest []scriptLine
}

type scriptLine struct {
	number int
	text   string
}

// readScenario parses a file.
func readScenario(file string) (*scenario, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	return parseScenario(file, string(text))
}

// parseScenario parses the text of a scenario. Its errors begin with file and line.
func parseScenario(file, text string) (*scenario, error) {
	blocks, err := splitBlocks(text)
	if err != nil {
		return nil, fmt.Errorf("%s:%w", file, err)
	}
	p := &scriptParser{scenario: &scenario{file: file}}
	for _, b := range blocks {
		if err := p.block(b); err != nil {
			return nil, located(file, b.line, err)
		}
	}
	p.config.mention("main")
	p.scenario.origins = p.config.origins
	p.scenario.config = p.config
	return p.scenario, nil
}

// splitBlocks cuts a text at the lines that begin at the margin. Lines that begin with # there are prose.
func splitBlocks(text string) ([]statement, error) {
	var blocks []statement
	for i, s := range strings.Split(text, "\n") {
		s = strings.TrimRight(s, " \t\r")
		inner, indented := strings.CutPrefix(s, "    ")
		switch {
		case strings.HasPrefix(s, "#"):
		case s == "" || indented:
			if len(blocks) > 0 {
				b := &blocks[len(blocks)-1]
				b.rest = append(b.rest, scriptLine{i + 1, inner})
			} else if s != "" {
				return nil, fmt.Errorf("%d: indented, but under no statement", i+1)
			}
		case s[0] == ' ' || s[0] == '\t':
			return nil, fmt.Errorf("%d: indented by other than four spaces", i+1)
		default:
			blocks = append(blocks, statement{line: i + 1, text: s})
		}
	}
	for i := range blocks {
		rest := blocks[i].rest
		for len(rest) > 0 && rest[len(rest)-1].text == "" {
			rest = rest[:len(rest)-1]
		}
		blocks[i].rest = rest
	}
	return blocks, nil
}

// scriptParser turns statements into steps.
type scriptParser struct {
	scenario *scenario
	config   configText
	rule     *rule // the latest origin statement, which `then` continues
}

func (p *scriptParser) add(b statement, run func(*stage) error) {
	p.scenario.steps = append(p.scenario.steps, scriptStep{b.line, run})
}

// statementWords are the words a statement may begin with. Whatever begins with none of them is a request or a client's action.
var statementWords = map[string]func(*scriptParser, statement) error{
	"modes":   (*scriptParser).modes,
	"config":  (*scriptParser).fullConfig,
	"site":    (*scriptParser).siteConfig,
	"cache":   (*scriptParser).cacheConfig,
	"node":    (*scriptParser).otherNode,
	"origin":  (*scriptParser).origin,
	"then":    (*scriptParser).then,
	"client":  (*scriptParser).client,
	"start":   (*scriptParser).start,
	"wait":    (*scriptParser).wait,
	"peek":    (*scriptParser).peek,
	"raw":     (*scriptParser).raw,
	"answer":  (*scriptParser).answer,
	"disk":    (*scriptParser).disk,
	"restart": (*scriptParser).restart,
	"purge":   (*scriptParser).purge,
	"history": (*scriptParser).history,
	"freeze":  (*scriptParser).freeze,
	"thaw":    (*scriptParser).thaw,
	"advance": (*scriptParser).advance,
	"reload":  (*scriptParser).reload,
	"metric":  (*scriptParser).metric,
	"log":     (*scriptParser).log,
}

func (p *scriptParser) block(b statement) error {
	word, _, _ := strings.Cut(b.text, " ")
	if parse, ok := statementWords[word]; ok {
		return parse(p, b)
	}
	if isMethod(word) || strings.HasSuffix(word, ":") {
		return p.request(b)
	}
	return p.action(b)
}

func (p *scriptParser) modes(b statement) error {
	for _, m := range strings.Fields(b.text)[1:] {
		if scenarioModes[m] == nil {
			return fmt.Errorf("no mode %q", m)
		}
		p.scenario.modes = append(p.scenario.modes, m)
	}
	return nil
}

func (p *scriptParser) advance(b statement) error {
	d, err := time.ParseDuration(strings.TrimPrefix(b.text, "advance "))
	if err != nil || d <= 0 {
		return fmt.Errorf("%q: advance wants a duration such as 30s", b.text)
	}
	p.add(b, func(s *stage) error { return s.advance(d) })
	return nil
}

// isMethod reports whether a word is written as request methods are here: in capitals.
func isMethod(word string) bool {
	for _, r := range word {
		if !unicode.IsUpper(r) && r != '-' {
			return false
		}
	}
	return word != ""
}

// fieldLine is a header field line.
type fieldLine struct{ name, value string }

// parseFieldLine reads `Name: value`; the name is a token.
func parseFieldLine(s string) (fieldLine, bool) {
	name, value, ok := strings.Cut(s, ":")
	if !ok || name == "" || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`"(),/;<=>?@[\]{}`, r) }) {
		return fieldLine{}, false
	}
	return fieldLine{name, strings.TrimSpace(value)}, true
}

// patternSize reads 100, 64KiB, 10MiB.
func patternSize(s string) (int, error) {
	digits := strings.TrimRight(s, "KMiB")
	n, err := strconv.Atoi(digits)
	shift, ok := map[string]int{"": 0, "KiB": 10, "MiB": 20}[s[len(digits):]]
	if err != nil || !ok || n < 0 {
		return 0, fmt.Errorf("%q is no size such as 100, 64KiB or 10MiB", s)
	}
	return n << shift, nil
}

// unescape replaces \r, \n, \t, \0, \\ and \xNN. A line's own end is not part of it.
func unescape(s string) (string, error) {
	out, err := strconv.Unquote(`"` + strings.NewReplacer(`"`, `\"`, `\0`, `\x00`).Replace(s) + `"`)
	if err != nil {
		return "", fmt.Errorf("%s: %w", s, err)
	}
	return out, nil
}

// pattern returns bytes [start, start+n) of an endless text that says at every place which place it is: lines of sixteen
// bytes, the offset in hex and the letter. Two bodies with different letters differ everywhere.
func pattern(letter byte, start, n int) []byte {
	out, place := make([]byte, 0, n+32), make([]byte, 8)
	for at := start &^ 15; at < start+n; at += 16 {
		binary.BigEndian.PutUint64(place, uint64(at))
		out = append(hex.AppendEncode(out, place[1:]), letter, '\n')
	}
	return out[start&15:][:n]
}
