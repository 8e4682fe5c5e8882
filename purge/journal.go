package purge

import (
	"container/list"
	"strings"
	"sync"
	"sync/atomic"

	"selvage/cache"
)

// maxRows bounds the tables: about 250 bytes a row with a typical URL.
const maxRows = 1_000_000

// Journal numbers purges and answers what they say of a Target. It is safe for concurrent use.
//
// Purges take effect in number order, one at a time: first the rows are marked, then Applied tells the number. So whoever
// has read Applied finds every purge up to that number in the tables, and a purge of many rows is atomic by its number,
// not by a lock: until Applied tells it, no reader asks for it. Readers therefore wait for one row at most.
type Journal struct {
	maxRows int // immutable

	applied atomic.Uint64 // written with order held
	order   sync.Mutex    // held by one purge from its number to Applied

	mu    sync.RWMutex
	rows  map[selector]*list.Element // guarded by mu
	aged  *list.List                 // guarded by mu: the rows (*row), the one purged longest ago in front
	all   marks                      // guarded by mu: purges of everything
	floor marks                      // guarded by mu: purges whose rows were collected; they too hold for everything
}

type row struct {
	selector selector
	marks    marks
}

var _ cache.Purges = (*Journal)(nil)

// NewJournal returns an empty journal in memory.
func NewJournal() *Journal {
	return &Journal{maxRows: maxRows, rows: make(map[selector]*list.Element), aged: list.New()}
}

// Applied returns the number of the newest purge in force; 0 before the first.
func (j *Journal) Applied() uint64 { return j.applied.Load() }

// Add puts a purge in force and returns its number. The purge holds for every request that begins after Add returned.
func (j *Journal) Add(e Entry) (uint64, error) {
	if err := e.check(); err != nil {
		return 0, err
	}
	return j.apply(&e), nil
}

// Invalidate puts a must-validate purge of purge URLs in force and returns its number: what a successful unsafe request
// does to its target (RFC 9111, section 4.4). Without URLs it does nothing.
func (j *Journal) Invalidate(urls ...string) uint64 {
	if len(urls) == 0 {
		return j.Applied()
	}
	return j.apply(&Entry{Kind: cache.MustValidate, URLs: urls})
}

func (j *Journal) apply(e *Entry) uint64 {
	j.order.Lock()
	defer j.order.Unlock()
	number := j.applied.Load() + 1
	if e.All {
		j.markAll(e.Kind, number)
	}
	for s := range e.selectors {
		j.mark(s, e.Kind, number)
	}
	j.applied.Store(number)
	return number
}

func (j *Journal) markAll(kind cache.Verdict, number uint64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.all.note(kind, number)
}

func (j *Journal) mark(s selector, kind cache.Verdict, number uint64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	at, ok := j.rows[s]
	if !ok {
		at = j.insertLocked(s)
	}
	j.aged.MoveToBack(at)
	at.Value.(*row).marks.note(kind, number)
}

// insertLocked adds an empty row, collecting the one purged longest ago when the tables are full.
func (j *Journal) insertLocked(s selector) *list.Element {
	if len(j.rows) >= j.maxRows {
		j.collectLocked()
	}
	s.name = strings.Clone(s.name) // it may point into a larger buffer, and rows live long
	at := j.aged.PushBack(&row{selector: s})
	j.rows[s] = at
	return at
}

// collectLocked drops the oldest row by raising the floor: its purges now hold for everything that has not been judged
// since. Only what nobody asked for during the last maxRows purges is hit without need. The kinds are kept: were a hard
// purge to become a must-validate one, a 304 could bring back what it removed.
func (j *Journal) collectLocked() {
	oldest := j.aged.Remove(j.aged.Front()).(*row)
	delete(j.rows, oldest.selector)
	j.floor.merge(&oldest.marks)
}

// Verdict judges t by the purges with a number in (after, upTo], where upTo is a number that Applied has told. The severest
// wins. A purge that began meanwhile may be counted too. With after at upTo it touches nothing.
func (j *Journal) Verdict(t *cache.Target, after, upTo uint64) cache.Verdict {
	if after >= upTo {
		return cache.Valid
	}
	j.mu.RLock()
	defer j.mu.RUnlock()
	v := max(j.all.verdict(after, upTo), j.floor.verdict(after, upTo))
	v = max(v, j.verdictLocked(selector{bySite, t.Site}, after, upTo))
	v = max(v, j.verdictLocked(selector{byHost, t.Host}, after, upTo))
	v = max(v, j.verdictLocked(selector{byURL, t.URL}, after, upTo))
	for _, tag := range t.Tags {
		v = max(v, j.verdictLocked(selector{byTag, tag}, after, upTo))
	}
	return v
}

func (j *Journal) verdictLocked(s selector, after, upTo uint64) cache.Verdict {
	at, ok := j.rows[s]
	if !ok {
		return cache.Valid
	}
	return at.Value.(*row).marks.verdict(after, upTo)
}
