package purge

import "selvage/cache"

// Matcher tells what an Entry selects, for those who count or list. It is safe for concurrent use.
type Matcher struct{ tables *tables }

// Matcher compiles e once for many questions: tables that know of this one purge.
func (e *Entry) Matcher() *Matcher {
	t := newTables(maxRows, max(maxGlobs, len(e.Globs)))
	one := *e
	one.Kind = cache.Hard
	t.markEntry(&one, 1, func(*row) {})
	return &Matcher{t}
}

// Matches reports whether one of the selectors takes t.
func (m *Matcher) Matches(t *cache.Target) bool { return m.tables.verdict(t, 0, 1) != cache.Valid }
