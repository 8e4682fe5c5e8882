package cache

import (
	"net/http"
	"slices"
	"strings"

	"github.com/dunglas/httpsfv"
)

// A response keeps at most maxTags tags of at most maxTagBytes each; what is beyond is left out, and cannot be purged by
// tag. Origins that send more are held to the bounds of other CDNs here.
const (
	maxTags     = 1000
	maxTagBytes = 256
)

// tagFields are the fields that hold tags, and what separates the tags in them. They stay in the response, since a CDN or
// a cache behind this one may want them too.
var tagFields = [...]struct{ name, separators string }{
	{"Cache-Tag", ", \t"},
	{"Surrogate-Key", " \t"},
	{"Xkey", ", \t"},
}

// tags collects the tags of a response, sorted, each once.
func tags(h http.Header) []string {
	var all []string
	for _, field := range tagFields {
		for _, line := range h[field.name] {
			all = append(all, strings.FieldsFunc(line, func(r rune) bool { return strings.ContainsRune(field.separators, r) })...)
		}
	}
	all = append(all, groups(h["Cache-Groups"])...)
	all = slices.DeleteFunc(all, func(tag string) bool { return tag == "" || len(tag) > maxTagBytes })
	all = all[:min(len(all), maxTags)]
	slices.Sort(all)
	return slices.Clip(slices.Compact(all))
}

// groups reads Cache-Groups (RFC 9875, section 2): a List of Strings, valid whole or not at all. Members of another type
// and parameters are ignored.
func groups(lines []string) []string {
	if len(lines) == 0 {
		return nil
	}
	members, err := httpsfv.UnmarshalList(lines)
	if err != nil {
		return nil
	}
	var names []string
	for _, member := range members {
		if item, ok := member.(httpsfv.Item); ok {
			if name, ok := item.Value.(string); ok {
				names = append(names, name)
			}
		}
	}
	return names
}
