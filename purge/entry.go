package purge

import (
	"errors"
	"fmt"
	"slices"

	"selvage/cache"
)

// Entry is one purge: whatever any of its selectors matches falls, all of it at the same instant.
//
// Names are compared byte by byte with those of a cache.Target, so whoever makes an Entry brings them into that form.
type Entry struct {
	// Kind says what becomes of what is selected: cache.Soft, cache.MustValidate or cache.Hard.
	Kind cache.Verdict

	All   bool
	Sites []string
	Hosts []string
	Tags  []string
	URLs  []string // purge URLs, as in cache.Target
}

// Why an Entry is refused.
var (
	errKind   = errors.New("a purge is soft, must-validate or hard")
	errEmpty  = errors.New("a purge that selects nothing")
	errNoName = errors.New("a selector without a name")
)

func (e *Entry) check() error {
	if e.Kind <= cache.Valid || e.Kind > cache.Hard {
		return fmt.Errorf("%w, not %d", errKind, e.Kind)
	}
	if !e.All && len(e.Sites)+len(e.Hosts)+len(e.Tags)+len(e.URLs) == 0 {
		return errEmpty
	}
	for _, names := range [][]string{e.Sites, e.Hosts, e.Tags, e.URLs} {
		if slices.Contains(names, "") {
			return errNoName
		}
	}
	return nil
}

// selector is the key of one row: what a purge named.
type selector struct {
	table table
	name  string
}

// table is the part of a Target that a selector's name is compared with.
type table uint8

const (
	bySite table = iota
	byHost
	byTag
	byURL
)

// selectors ranges over all selectors of e but All.
func (e *Entry) selectors(yield func(selector) bool) {
	tables := [...][]string{bySite: e.Sites, byHost: e.Hosts, byTag: e.Tags, byURL: e.URLs}
	for in, names := range tables {
		for _, name := range names {
			if !yield(selector{table(in), name}) {
				return
			}
		}
	}
}
