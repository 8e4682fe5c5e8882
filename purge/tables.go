package purge

import (
	"container/list"
	"crypto/sha256"
	"slices"
	"strings"
	"sync"

	"selvage/cache"
)

const (
	maxRows  = 1_000_000
	minRows  = 10_000
	rowBytes = 512  // of the longest name that is kept as it is; patterns take more. A typical URL's takes 300
	maxGlobs = 1000 // each is tried once on every object, so they are few
)

// tables are what is remembered of the purges in force: a row for each selector, and two rows that hold for everything.
//
// They are changed by one goroutine at a time, with mu held, so that this one may read them without.
type tables struct {
	maxRows, maxGlobs int // immutable

	mu       sync.RWMutex
	rows     map[selector]*list.Element
	aged     *list.List // the rows (*row), the one purged longest ago in front
	prefixes prefixes   // the rows of prefixes
	globs    []*row     // the rows of globs, the one purged longest ago first
	siteTags int        // how many rows are of site tags: without any, no name is put together to look for one
	all      marks      // purges of everything
	floor    marks      // purges whose rows were collected; they too hold for everything
}

// row is what is remembered of one selector. A row that is collected is given to another selector: it keeps its place in
// the file, which is thus bounded as the tables are.
type row struct {
	selector selector
	glob     *glob // of a glob's row
	marks    marks
	slot     uint32 // immutable: where the file has it

	unwritten bool // guarded by the journal's order: the file does not have it as it is
}

func newTables(maxRows, maxGlobs int) *tables {
	return &tables{maxRows: maxRows, maxGlobs: maxGlobs, rows: make(map[selector]*list.Element), aged: list.New()}
}

// maxPlainBytes is the longest name that is kept as it is, and compared without an allocation. URLs are the choice of clients,
// and a row for each may stay.
const maxPlainBytes = 256

// kept returns the selector that s is remembered as, in memory of its own: names may point into larger buffers, and rows
// live long. A digest begins with NUL, as nothing in a request or response does.
func (s selector) kept() selector {
	if len(s.name) <= maxPlainBytes || s.table.isPattern() {
		return selector{s.table, strings.Clone(s.name)}
	}
	sum := sha256.Sum256([]byte(s.name))
	return selector{s.table, "\x00" + string(sum[:])}
}

// markEntry notes a purge, and tells of all rows that it has changed.
func (t *tables) markEntry(e *Entry, number uint64, changed func(*row)) {
	if e.All {
		t.markAll(e.Kind, number)
	}
	for s := range e.selectors {
		t.mark(s, e.Kind, number, changed)
	}
}

// mark notes a purge of everything that s matches, and tells of all rows that have changed: the row of s, and that of the
// prefix which an old glob may have become.
func (t *tables) mark(s selector, kind cache.Verdict, number uint64, changed func(*row)) {
	s = s.kept()
	t.mu.Lock()
	defer t.mu.Unlock()
	at, ok := t.rows[s]
	if !ok {
		at = t.insertLocked(s, changed)
	}
	t.touchLocked(at)
	r := at.Value.(*row)
	r.marks.note(kind, number)
	changed(r)
}

func (t *tables) markAll(kind cache.Verdict, number uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.all.note(kind, number)
}

// touchLocked makes a row the one purged last.
func (t *tables) touchLocked(at *list.Element) {
	t.aged.MoveToBack(at)
	if r := at.Value.(*row); r.selector.table == byGlob {
		i := slices.Index(t.globs, r)
		t.globs = append(slices.Delete(t.globs, i, i+1), r)
	}
}

// insertLocked adds an empty row. When the tables are full it is one that had to leave.
func (t *tables) insertLocked(s selector, changed func(*row)) *list.Element {
	var at *list.Element
	if s.table == byGlob && len(t.globs) >= t.maxGlobs {
		at = t.shortenLocked(changed)
	}
	if at == nil && len(t.rows) >= t.maxRows {
		at = t.aged.Front()
		t.floor.merge(&t.takeOutLocked(at).marks)
	}
	if at == nil {
		at = t.aged.PushBack(&row{slot: uint32(len(t.rows))})
	}
	at.Value.(*row).marks = marks{}
	t.putInLocked(at, s)
	return at
}

// putInLocked gives a row to a selector.
func (t *tables) putInLocked(at *list.Element, s selector) {
	r := at.Value.(*row)
	r.selector = s
	t.rows[s] = at
	switch s.table {
	case byPrefix:
		t.prefixes.put(s.name, r)
	case byGlob:
		r.glob = compileGlob(s.name)
		t.globs = append(t.globs, r)
	case bySiteTag:
		t.siteTags++
	}
}

// takeOutLocked takes a row from its selector. Its purges must go on to hold: in the floor, for everything that has not been
// judged since, so that only what nobody asked for during the last maxRows purges is hit without need; or in the row of a
// shorter pattern. The kinds are kept: were a hard purge to become a must-validate one, a 304 could bring back what it
// removed.
func (t *tables) takeOutLocked(at *list.Element) *row {
	r := at.Value.(*row)
	delete(t.rows, r.selector)
	switch r.selector.table {
	case byPrefix:
		t.prefixes.remove(r.selector.name)
	case byGlob:
		i := slices.Index(t.globs, r)
		t.globs, r.glob = slices.Delete(t.globs, i, i+1), nil
	case bySiteTag:
		t.siteTags--
	}
	return r
}

// shortenLocked makes the oldest glob its literal prefix: it then takes more, and costs less. It returns the row that this
// has freed, if any.
func (t *tables) shortenLocked(changed func(*row)) *list.Element {
	at := t.rows[t.globs[0].selector]
	prefix := selector{byPrefix, t.globs[0].glob.prefix}
	r := t.takeOutLocked(at)
	shorter, ok := t.rows[prefix]
	switch {
	case prefix.name == "": // it begins with a star, and its prefix is everything
		t.floor.merge(&r.marks)
	case ok:
		shorter.Value.(*row).marks.merge(&r.marks)
		changed(shorter.Value.(*row))
	default:
		t.putInLocked(at, prefix)
		changed(r)
		return nil
	}
	return at
}

// verdict judges a Target by the purges with a number in (after, upTo].
func (t *tables) verdict(of *cache.Target, after, upTo uint64) cache.Verdict {
	t.mu.RLock()
	defer t.mu.RUnlock()
	v := max(t.all.verdict(after, upTo), t.floor.verdict(after, upTo))
	v = max(v, t.rowLocked(bySite, of.Site, after, upTo))
	v = max(v, t.rowLocked(byHost, of.Host, after, upTo))
	v = max(v, t.rowLocked(byURL, of.URL, after, upTo))
	for _, tag := range of.Tags {
		v = max(v, t.rowLocked(byTag, tag, after, upTo))
		if t.siteTags > 0 {
			v = max(v, t.rowLocked(bySiteTag, siteTag(of.Site, tag), after, upTo))
		}
	}
	t.prefixes.along(of.URL, func(r *row) { v = max(v, r.marks.verdict(after, upTo)) })
	return max(v, t.globsLocked(of.URL, after, upTo))
}

// siteTag is the name of a tag on responses of one site: names of sites have no space.
func siteTag(site, tag string) string { return site + " " + tag }

func (t *tables) rowLocked(in table, name string, after, upTo uint64) cache.Verdict {
	s := selector{in, name}
	if len(name) > maxPlainBytes {
		s = s.kept()
	}
	at, ok := t.rows[s]
	if !ok {
		return cache.Valid
	}
	return at.Value.(*row).marks.verdict(after, upTo)
}

// globsLocked looks only at globs purged since: what was judged before has been tried on the others.
func (t *tables) globsLocked(url string, after, upTo uint64) (v cache.Verdict) {
	for _, r := range slices.Backward(t.globs) {
		if r.marks.newest() <= after {
			break
		}
		if found := r.marks.verdict(after, upTo); found > v && r.glob.matches(url) {
			v = found
		}
	}
	return v
}
