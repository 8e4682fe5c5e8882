package main

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"selvage/origin"
)

// loader reads one configuration: a file and those it includes.
type loader struct {
	machine  machine
	sources  []*source
	problems Diagnostics
	places   map[string]place // by canonical path
	broken   map[string]bool  // canonical paths that could not be read, or hold a key that could not
	unread   bool             // a whole file could not be read: what it should hold is not missed
	nameless bool             // no origin could be read: nor is one that is asked for by name
}

// LoadFile reads and checks a configuration file and those it includes. The error is Diagnostics: everything that is
// wrong, in the order of the files.
func LoadFile(name string, m machine) (*File, error) {
	l := &loader{machine: m, places: make(map[string]place), broken: make(map[string]bool)}
	f := DefaultFile()
	f.Version = 0 // so that it must be given
	f.Memory = defaultMemory(m.memoryLimit)
	if main, ok := l.read(name, position{}); ok {
		l.places[""] = place{position: position{source: main, line: 1, column: 1}}
		l.decode(main, reflect.ValueOf(&f).Elem())
		l.include(&f, filepath.Dir(name))
	}
	l.nameless = len(f.Origins) == 0 && l.broken["origins"]
	if !l.unread {
		f.validate(m, l.judge)
	}
	if len(l.problems) > 0 {
		l.hideSecrets()
		l.problems.sort(l.sources)
		return nil, l.problems
	}
	return &f, nil
}

// hideSecrets keeps every line from being shown that a secret stands in, whatever else is wrong there.
func (l *loader) hideSecrets() {
	type line struct {
		file   string
		number int
	}
	secret := make(map[line]bool)
	for _, p := range l.places {
		if p.secret {
			secret[line{p.source.name, p.line}] = true
		}
	}
	for i := range l.problems {
		if p := &l.problems[i]; secret[line{p.File, p.Line}] {
			p.excerpt = ""
		}
	}
}

// maxFileBytes is far above any file a person writes.
const maxFileBytes = 1 << 20

// read reads a file; at is what asked for it.
func (l *loader) read(name string, at position) (*source, bool) {
	text, err := l.machine.read(name)
	if pathErr := (*fs.PathError)(nil); errors.As(err, &pathErr) {
		err = pathErr.Err // the name is in front already
	}
	if err == nil && len(text) > maxFileBytes {
		err = errors.New("the file is larger than 1MiB")
	}
	src := newSource(name, text)
	l.sources = append(l.sources, src)
	if err != nil {
		l.unread = true
		l.problems = append(l.problems, Diagnostic{File: name, Problem: err.Error(), Hint: includedBy(at)})
		return nil, false
	}
	return src, true
}

func includedBy(at position) string {
	if at.source == nil {
		return ""
	}
	return fmt.Sprintf("it is included by %s:%d", at.source.name, at.line)
}

// decode reads src into a File or a fragment.
func (l *loader) decode(src *source, into reflect.Value) {
	root, err := parse(strings.Join(src.lines, "\n"))
	if err != nil {
		l.unread = true
		l.reportAt(position{source: src, line: err.line, column: err.column}, "", err.problem, "")
		return
	}
	if root == nil {
		return
	}
	d := &decoder{source: src, env: l.machine.env, report: l.reportAt, places: l.places, starts: starts()}
	d.section("", position{source: src, line: 1, column: 1}, root, into)
}

func starts() map[reflect.Type]reflect.Value {
	out := make(map[reflect.Type]reflect.Value)
	for _, section := range startingPoints() {
		out[reflect.TypeOf(section)] = reflect.ValueOf(section)
	}
	return out
}

// include reads the files that f names and adds what they hold.
func (l *loader) include(f *File, dir string) {
	for i, pattern := range f.Include {
		path := fmt.Sprintf("include[%d]", i)
		if !filepath.IsAbs(pattern) {
			pattern = filepath.Join(dir, pattern)
		}
		names, err := l.machine.glob(pattern)
		switch {
		case err != nil:
			l.judge(path, "is not a pattern of file names", "")
		case len(names) == 0 && !strings.ContainsAny(pattern, "*?["):
			l.judge(path, "no such file", "")
		}
		for _, name := range names {
			l.includeFile(f, name, l.places[canonical(path)].position)
		}
	}
}

func (l *loader) includeFile(f *File, name string, at position) {
	src, ok := l.read(name, at)
	if !ok {
		return
	}
	var part fragment
	inner := &loader{machine: l.machine, places: make(map[string]place), broken: make(map[string]bool)}
	inner.decode(src, reflect.ValueOf(&part).Elem())
	l.adopt(inner, len(f.Sites))
	f.Sites = append(f.Sites, part.Sites...)
	for name, config := range part.Origins {
		if _, twice := f.Origins[name]; twice {
			place := inner.places[canonical("origins."+name)]
			l.reportAt(place.position, place.display, "duplicate key", "another file has an origin of this name")
			continue
		}
		if f.Origins == nil {
			f.Origins = make(map[string]origin.Config)
		}
		f.Origins[name] = config
	}
}

// adopt takes over what reading an included file found; its sites come after the first `sites` ones.
func (l *loader) adopt(inner *loader, sites int) {
	l.problems = append(l.problems, inner.problems...)
	l.unread = l.unread || inner.unread
	for path, p := range inner.places {
		if path = shiftSite(path, sites); l.places[path].source == nil {
			l.places[path] = p
		}
	}
	for path := range inner.broken {
		l.broken[shiftSite(path, sites)] = true
	}
}

// shiftSite is the canonical path of something in an included file's sites, in the whole.
func shiftSite(path string, by int) string {
	rest, inSites := strings.CutPrefix(path, "sites.")
	if !inSites {
		return path
	}
	number, rest, deeper := strings.Cut(rest, ".")
	i, err := strconv.Atoi(number)
	if err != nil {
		return path
	}
	path = "sites." + strconv.Itoa(i+by)
	if deeper {
		path += "." + rest
	}
	return path
}

// reportAt notes what could not be read.
func (l *loader) reportAt(at position, path, problem, hint string) {
	l.broken[canonical(path)] = true
	l.broken[parent(canonical(path))] = true
	l.problems = append(l.problems, Diagnostic{
		File: at.source.name, Line: at.line, Column: at.column,
		Path: path, Problem: problem, Hint: hint, excerpt: at.excerpt(),
	})
}

// judge notes what was read but makes no sense. What was not given is not missed in a section that holds something
// unreadable: it may be the misspelt one.
func (l *loader) judge(path, problem, hint string) {
	path = canonical(path)
	_, given := l.places[path]
	if l.broken[path] || !given && l.broken[parent(path)] || l.nameless && strings.HasSuffix(path, ".origin") {
		return
	}
	nearest := path
	for ; !given; _, given = l.places[nearest] {
		nearest = parent(nearest)
	}
	at := l.places[nearest]
	display := at.display + strings.TrimPrefix(path, nearest)
	l.problems = append(l.problems, Diagnostic{
		File: at.source.name, Line: at.line, Column: at.column,
		Path: strings.TrimPrefix(display, "."), Problem: problem, Hint: hint, excerpt: at.excerpt(),
	})
}

func parent(path string) string {
	return path[:max(0, strings.LastIndexByte(path, '.'))]
}

// syntaxError is where the text stops being YAML.
type syntaxError struct {
	line, column int
	problem      string
}

// parse returns the syntax tree of a file, nil for one that says nothing. The parser stops at the first fault; and since
// it is not ours, a panic in it is a fault of the file too.
func parse(text string) (root ast.Node, fault *syntaxError) {
	defer func() {
		if recover() != nil {
			root, fault = nil, &syntaxError{1, 1, "not understood as YAML"}
		}
	}()
	tokens := lexer.Tokenize(text)
	if deep := tooDeep(tokens); deep != nil {
		return nil, &syntaxError{deep.Position.Line, deep.Position.Column, "nested too deeply"}
	}
	file, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey()) // we report duplicates ourselves, all of them
	if located := yaml.Error(nil); errors.As(err, &located) {
		at := located.GetToken().Position
		return nil, &syntaxError{at.Line, at.Column, located.GetMessage()}
	}
	if err != nil {
		return nil, &syntaxError{1, 1, err.Error()}
	}
	return onlyDocument(file)
}

func onlyDocument(file *ast.File) (ast.Node, *syntaxError) {
	var root ast.Node
	for _, document := range file.Docs {
		switch {
		case document.Body == nil || document.Body.Type() == ast.DirectiveType:
			continue
		case root != nil:
			at := document.Body.GetToken().Position
			return nil, &syntaxError{at.Line, 1, "a second document; a file holds one"}
		}
		root = document.Body
	}
	return root, nil
}

// Bounds of nesting. The parser takes time quadratic in the depth, and a stack frame for each level.
const (
	maxFlowDepth   = 32
	maxIndentation = 256
)

// tooDeep returns the token at which text is nested deeper than anything this format holds.
func tooDeep(tokens token.Tokens) *token.Token {
	depth := 0
	for _, t := range tokens {
		switch t.Type {
		case token.MappingStartType, token.SequenceStartType:
			depth++
		case token.MappingEndType, token.SequenceEndType:
			depth--
		case token.SequenceEntryType, token.MappingKeyType, token.TagType, token.AnchorType:
			if t.Position.Column > maxIndentation {
				return t
			}
		}
		if depth > maxFlowDepth {
			return t
		}
	}
	return nil
}
