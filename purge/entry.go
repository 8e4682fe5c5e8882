package purge

import (
	"errors"
	"fmt"

	"selvage/cache"
)

// Entry is one purge: whatever any of its selectors matches falls, all of it at the same instant.
//
// Names are compared byte by byte with those of a cache.Target, so whoever makes an Entry brings them into that form.
type Entry struct {
	// Kind says what becomes of what is selected: cache.Soft, cache.MustValidate or cache.Hard.
	Kind cache.Verdict

	All      bool
	Sites    []string
	Hosts    []string
	Tags     []string
	URLs     []string // purge URLs, as in cache.Target
	Prefixes []string // of purge URLs, byte for byte: "example.com/blog" also takes "example.com/blogs"
	Globs    []string // over whole purge URLs, see glob: "example.com/*/print?*"
	SiteTags []string // "SITE TAG": tags on responses of one site alone, for who may touch no other

	// Who asked, and why: for the history alone.
	By  string
	Why string
}

// Bounds of an Entry. A row of the tables is thus bounded too: names of sites, hosts, tags and URLs are kept as a digest
// when they are long, while the bytes of prefixes and globs are needed as they are.
const (
	MaxNames        = 1000     // selectors in one purge
	maxNameBytes    = 64 << 10 // of a site, host, tag or URL: no request has a longer one
	maxPatternBytes = 1 << 10  // of a prefix or glob
	maxWordBytes    = 1 << 10  // of By and of Why
)

// Why an Entry is refused.
var (
	errKind    = errors.New("a purge is soft, must-validate or hard")
	errEmpty   = errors.New("a purge that selects nothing")
	errNoName  = errors.New("a selector without a name")
	errMany    = fmt.Errorf("more than %d selectors in one purge", MaxNames)
	errLong    = errors.New("a selector that is too long")
	errAnybody = errors.New("who or why is too long")
)

func (e *Entry) check() error {
	if e.Kind <= cache.Valid || e.Kind > cache.Hard {
		return fmt.Errorf("%w, not %d", errKind, e.Kind)
	}
	if len(e.By) > maxWordBytes || len(e.Why) > maxWordBytes {
		return fmt.Errorf("%w: the limit is %d bytes", errAnybody, maxWordBytes)
	}
	names := 0
	for s := range e.selectors {
		if err := s.check(); err != nil {
			return err
		}
		if names++; names > MaxNames {
			return errMany
		}
	}
	if !e.All && names == 0 {
		return errEmpty
	}
	return nil
}

// count is the number of selectors but All.
func (e *Entry) count() (n int) {
	for t := range tableCount {
		n += len(*e.names(t))
	}
	return n
}

// selector is what a purge named, and the key of one row.
type selector struct {
	table table
	name  string
}

func (s selector) check() error {
	most := maxNameBytes
	if s.table.isPattern() {
		most = maxPatternBytes
	}
	switch {
	case s.name == "":
		return errNoName
	case len(s.name) > most:
		return fmt.Errorf("%w: a %v of %d bytes, the limit is %d", errLong, s.table, len(s.name), most)
	}
	return nil
}

// table is the part of a Target that a selector's name is compared with, and how.
type table uint8

const (
	bySite table = iota
	byHost
	byTag
	byURL
	byPrefix
	byGlob
	bySiteTag

	tableCount
)

// isPattern reports whether the bytes of a name are needed as they are, and not only to be equal to others.
func (t table) isPattern() bool { return t == byPrefix || t == byGlob }

func (t table) String() string {
	return [...]string{"site", "host", "tag", "url", "prefix", "glob", "site_tag"}[t]
}

// names returns the list of e that belongs to a table.
func (e *Entry) names(t table) *[]string {
	return [...]*[]string{
		bySite: &e.Sites, byHost: &e.Hosts, byTag: &e.Tags, byURL: &e.URLs, byPrefix: &e.Prefixes, byGlob: &e.Globs,
		bySiteTag: &e.SiteTags,
	}[t]
}

// selectors ranges over all selectors of e but All.
func (e *Entry) selectors(yield func(selector) bool) {
	for t := range tableCount {
		for _, name := range *e.names(t) {
			if !yield(selector{t, name}) {
				return
			}
		}
	}
}
