package main

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
)

// decoder turns the syntax tree of one file into Config structs by their tags: `yaml:"name"`, `unit:"bytes"`,
// `enum:"a,b"`, `secret:"true"`. It carries on after an error, so that all are reported at once. goccy's own decoder
// stops at the first, and forgets where a value came from; the semantic checks need to know.
//
// The type of a value is that of the field it fills, not what YAML would take it for: a host named "no" is a string.
type decoder struct {
	source *source
	env    func(name string) (string, bool)
	report func(at position, path, problem, hint string)
	places map[string]place // by canonical path: where each value that was given stands
	starts map[reflect.Type]reflect.Value
}

// place is where a path of the file format stands in a file, and how the path is written there.
type place struct {
	position
	display string
}

// canonical is a path with list elements written as in a.0.b, whichever way it came.
func canonical(path string) string { return canonicalReplacer.Replace(path) }

var canonicalReplacer = strings.NewReplacer("[", ".", "]", "")

// entry is one key of a mapping.
type entry struct {
	key   string
	at    position
	value ast.Node
}

func (d *decoder) at(node ast.Node) position {
	p := node.GetToken().Position
	return position{source: d.source, line: p.Line, column: p.Column}
}

// value decodes node into the settable value into. at is where the key stands, or the list element.
func (d *decoder) value(path string, at position, node ast.Node, into reflect.Value, tag reflect.StructTag) {
	d.places[canonical(path)] = place{at, path}
	if problem, hint := refuse(node); problem != "" {
		d.report(at, path, problem, hint)
		return
	}
	switch into.Kind() {
	case reflect.Struct:
		d.section(path, at, node, into)
	case reflect.Pointer:
		fresh := reflect.New(into.Type().Elem())
		d.start(fresh.Elem())
		d.value(path, at, node, fresh.Elem(), tag)
		into.Set(fresh)
	case reflect.Slice:
		d.list(path, at, node, into, tag)
	case reflect.Map:
		d.table(path, at, node, into, tag)
	default:
		d.scalar(path, node, into, tag)
	}
}

// refuse names what this format leaves out of YAML. Anchors and merge keys would make one line mean two places, and an
// error in it point at neither; the sections of a site already serve its routes.
func refuse(node ast.Node) (problem, hint string) {
	switch node.(type) {
	case nil, *ast.NullNode:
		return "has no value", "give it one, or leave the key out"
	case *ast.AnchorNode, *ast.AliasNode:
		return "anchors and aliases are not part of this format", "a route without cache: has its site's"
	case *ast.TagNode:
		return "tags are not part of this format", "write the plain value"
	}
	return "", ""
}

// start gives a section the value it begins with.
func (d *decoder) start(section reflect.Value) {
	if from, ok := d.starts[section.Type()]; ok {
		section.Set(from)
	}
}

// section decodes a mapping into a struct. Keys are taken in the order of the struct, so that a site's cache is known
// before its routes start from it.
func (d *decoder) section(path string, at position, node ast.Node, into reflect.Value) {
	outer := maps.Clone(d.starts)
	defer func() { d.starts = outer }()

	given := make(map[string]entry)
	for _, e := range d.entries(path, at, node) {
		given[e.key] = e
	}
	for _, f := range reflect.VisibleFields(into.Type()) {
		name := f.Tag.Get("yaml")
		e, ok := given[name]
		if name == "" || !ok {
			continue
		}
		delete(given, name)
		e.at.secret = f.Tag.Get("secret") != ""
		field := into.FieldByIndex(f.Index)
		d.value(join(path, name), e.at, e.value, field, f.Tag)
		if field.Kind() == reflect.Pointer && !field.IsNil() {
			d.starts[field.Type().Elem()] = field.Elem()
		}
	}
	for name, e := range given {
		d.report(e.at, join(path, name), "unknown key", suggest(name, keysOf(into.Type()), "the keys here are"))
	}
}

func keysOf(t reflect.Type) []string {
	var names []string
	for _, f := range reflect.VisibleFields(t) {
		if name := f.Tag.Get("yaml"); name != "" {
			names = append(names, name)
		}
	}
	return names
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// entries returns the keys of a mapping in the order of the file, each once.
func (d *decoder) entries(path string, at position, node ast.Node) []entry {
	mapping, ok := node.(ast.MapNode)
	if !ok {
		d.report(at, path, "wants keys and values, not "+kind(node), "")
		return nil
	}
	var out []entry
	first := make(map[string]int)
	for it := mapping.MapRange(); it.Next(); {
		e, ok := d.entry(path, it)
		if !ok {
			continue
		}
		if line, twice := first[e.key]; twice {
			d.report(e.at, join(path, e.key), "duplicate key", fmt.Sprintf("it is first given in line %d", line))
			continue
		}
		first[e.key] = e.at.line
		out = append(out, e)
	}
	return out
}

func (d *decoder) entry(path string, it *ast.MapNodeIter) (entry, bool) {
	key, at := it.Key(), d.at(it.Key())
	switch key.(type) {
	case *ast.MergeKeyNode:
		d.report(at, path, "merge keys are not part of this format", "a route without cache: has its site's")
		return entry{}, false
	case *ast.StringNode, *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.NullNode:
		return entry{key: key.GetToken().Value, at: at, value: it.Value()}, true
	}
	d.report(at, path, "a key must be a plain word", "")
	return entry{}, false
}

// list decodes a sequence into a slice, replacing what was there.
func (d *decoder) list(path string, at position, node ast.Node, into reflect.Value, tag reflect.StructTag) {
	sequence, ok := node.(*ast.SequenceNode)
	if !ok {
		hint := ""
		if text, isScalar := scalarText(node); isScalar {
			hint = fmt.Sprintf("write [%s]", text)
		}
		d.report(at, path, "wants a list, not "+kind(node), hint)
		return
	}
	out := reflect.MakeSlice(into.Type(), len(sequence.Values), len(sequence.Values))
	for i, element := range sequence.Values {
		d.start(out.Index(i))
		d.value(fmt.Sprintf("%s[%d]", path, i), d.elementAt(at, element), element, out.Index(i), tag)
	}
	into.Set(out)
}

// elementAt is where a list element begins: a mapping's own token is its first colon.
func (d *decoder) elementAt(list position, element ast.Node) position {
	if mapping, ok := element.(*ast.MappingNode); ok && len(mapping.Values) > 0 && !mapping.IsFlowStyle {
		return d.at(mapping.Values[0].Key)
	}
	if element == nil {
		return list
	}
	return d.at(element)
}

// table decodes a mapping into a map, adding to what was there. The map is a copy: the one it starts from may be shared.
func (d *decoder) table(path string, at position, node ast.Node, into reflect.Value, tag reflect.StructTag) {
	out := reflect.MakeMap(into.Type())
	for _, key := range into.MapKeys() {
		out.SetMapIndex(key, into.MapIndex(key))
	}
	for _, e := range d.entries(path, at, node) {
		value := reflect.New(into.Type().Elem()).Elem()
		d.start(value)
		d.value(join(path, e.key), e.at, e.value, value, tag)
		out.SetMapIndex(reflect.ValueOf(e.key), value)
	}
	into.Set(out)
}

// scalar decodes a single value, after ${NAME} was replaced in it.
func (d *decoder) scalar(path string, node ast.Node, into reflect.Value, tag reflect.StructTag) {
	at := d.at(node)
	at.secret = tag.Get("secret") != ""
	d.places[canonical(path)] = place{at, path}
	text, ok := scalarText(node)
	if !ok {
		d.report(at, path, "wants a single value, not "+kind(node), "")
		return
	}
	text, err := expand(text, d.env)
	if err == nil {
		err = setScalar(into, text, tag)
	}
	if bad := (*scalarError)(nil); errors.As(err, &bad) {
		d.report(at, path, bad.problem, bad.hint)
	}
}

// scalarText is what stands in the file, without quotes.
func scalarText(node ast.Node) (string, bool) {
	switch n := node.(type) {
	case *ast.LiteralNode:
		return n.Value.Value, true
	case ast.ScalarNode:
		return n.GetToken().Value, true
	}
	return "", false
}

var durationType = reflect.TypeFor[time.Duration]()

func setScalar(into reflect.Value, text string, tag reflect.StructTag) error {
	switch {
	case into.Type() == durationType:
		v, err := parseDuration(text)
		into.SetInt(int64(v))
		return err
	case tag.Get("unit") == "bytes":
		v, err := parseSize(text)
		into.SetInt(v)
		return err
	case into.CanInt():
		v, err := parseInt(text)
		into.SetInt(v)
		return err
	case into.Kind() == reflect.Bool:
		v, err := parseBool(text)
		into.SetBool(v)
		return err
	}
	into.SetString(text)
	if words := tag.Get("enum"); words != "" {
		return parseEnum(text, words)
	}
	return nil
}

// kind names a node in the words of a person.
func kind(node ast.Node) string {
	switch node.(type) {
	case ast.MapNode:
		return "keys and values"
	case *ast.SequenceNode:
		return "a list"
	}
	return "a single value"
}
