package cache

import (
	"net/http"
	"slices"
	"strings"

	"github.com/dunglas/httpsfv"
)

// The bounds of a response's tags. One with more of them, or longer ones, is not stored: of tags left out nobody would know
// that a purge by them has missed it.
const (
	maxTags          = 1000
	MaxTagBytes      = 256      // nothing is stored under a longer one
	maxTagFieldBytes = 64 << 10 // of all the fields together, before anything is read from them
)

// The fields of RFC 9875.
const (
	groupsField       = "Cache-Groups"
	invalidationField = "Cache-Group-Invalidation"
)

// TagFields are the fields that tags are read from where the configuration does not say otherwise. They stay in the
// response, since a CDN or a cache behind this one may want them too.
func TagFields() []string { return []string{"Cache-Tag", "Surrogate-Key", "xkey", groupsField} }

// responseTags collects the tags of a response to q, sorted, each once; false where they are beyond the bounds.
func responseTags(q *Query, p *Policy, h http.Header) (all []string, ok bool) {
	if !bounded(h, p.tagFields...) || !bounded(h, groupsField) {
		return nil, false
	}
	for _, name := range p.tagFields {
		all = append(all, fieldTags(name, h)...)
	}
	if p.Groups {
		all = append(all, q.groupTags(groups(h[groupsField]))...)
	}
	slices.Sort(all)
	all = slices.Clip(slices.Compact(all))
	return all, len(all) <= maxTags && !slices.ContainsFunc(all, func(tag string) bool { return len(tag) > MaxTagBytes })
}

// bounded reports whether the named fields together are short enough to be read.
func bounded(h http.Header, names ...string) bool {
	bytes := 0
	for _, name := range names {
		for _, line := range h[name] {
			bytes += len(line)
		}
	}
	return bytes <= maxTagFieldBytes
}

// fieldTags reads one field. Tags are separated by commas and blanks, those of Surrogate-Key by blanks alone.
func fieldTags(name string, h http.Header) (all []string) {
	separators := ", \t"
	switch name {
	case groupsField:
		return groups(h[name])
	case "Surrogate-Key":
		separators = " \t"
	}
	for _, line := range h[name] {
		all = append(all, strings.FieldsFunc(line, func(r rune) bool { return strings.ContainsRune(separators, r) })...)
	}
	return all
}

// groups reads Cache-Groups or Cache-Group-Invalidation (RFC 9875, sections 2 and 3): a List of Strings, valid whole or not
// at all. Members of another type and parameters are ignored.
func groups(lines []string) (names []string) {
	if len(lines) == 0 {
		return nil
	}
	members, err := httpsfv.UnmarshalList(lines)
	if err != nil {
		return nil
	}
	for _, member := range members {
		if item, ok := member.(httpsfv.Item); ok {
			if name, ok := item.Value.(string); ok && name != "" {
				names = append(names, name)
			}
		}
	}
	return names
}

// groupTags returns the tags by which the groups of q's origin are known: only responses of one scheme, host and port share
// a group (RFC 9875, section 2.1), or a server could invalidate what is its neighbours'. A blank before the group and none
// in what precedes it keep two origins apart whatever their groups are called.
func (q *Query) groupTags(groups []string) []string {
	tags := make([]string, len(groups))
	for i, group := range groups {
		tags[i] = q.scheme() + "://" + q.Host + " " + group
	}
	return tags
}

// InvalidatedGroups returns the tags of the groups that a response makes invalid (RFC 9875, section 3), where the policy lets
// it: like Invalidated, after a method that is not safe. The bounds are those of tags; of a field beyond them nothing is
// believed.
func InvalidatedGroups(q *Query, r *Response, p *Policy) []string {
	if !p.Groups || !invalidates(q, r) || !bounded(r.Header, invalidationField) {
		return nil
	}
	all := groups(r.Header[invalidationField])
	return q.groupTags(all[:min(len(all), maxTags)])
}
