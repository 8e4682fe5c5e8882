package purge

import (
	"container/list"
	"crypto/rand"
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
	identity  [16]byte // immutable
	maxRows   int      // immutable
	reserved  uint64   // immutable
	recovered Recovery // immutable
	ledger    *ledger  // immutable; nil when the journal is in memory only

	applied atomic.Uint64 // written with order held

	order     sync.Mutex // held by one purge from its number to Applied
	unwritten []*row     // guarded by order: what the file does not have yet, when there is a file

	// The tables are changed with order and mu held, so that whoever holds either may read them.
	mu    sync.RWMutex
	rows  map[selector]*list.Element
	aged  *list.List // the rows (*row), the one purged longest ago in front
	all   marks      // purges of everything
	floor marks      // purges whose rows were collected; they too hold for everything
}

// row is what is remembered of one selector. A row that is collected is given to another selector: it keeps its place in
// the file, which is thus bounded as the tables are.
type row struct {
	selector  selector
	marks     marks
	slot      uint32 // immutable: where the file has it
	unwritten bool   // guarded by order
}

var _ cache.Purges = (*Journal)(nil)

// NewJournal returns an empty journal in memory.
func NewJournal() *Journal {
	j := &Journal{maxRows: maxRows, rows: make(map[selector]*list.Element), aged: list.New()}
	rand.Read(j.identity[:])
	return j
}

// Identity names the journal: random, made with its file, or with a journal in memory. A cache that was kept under another
// identity has missed purges.
func (j *Journal) Identity() [16]byte { return j.identity }

// Applied returns the number of the newest purge in force; 0 before the first. Numbers rise, with gaps.
func (j *Journal) Applied() uint64 { return j.applied.Load() }

// Add puts a purge in force and returns its number. The purge holds for every request that begins after Add returned, also
// after a crash: it is in the file before it is in force. After an error it is not in force, though a purge whose write has
// failed may be after a restart.
func (j *Journal) Add(e Entry) (uint64, error) {
	if err := e.check(); err != nil {
		return 0, err
	}
	if j.ledger == nil {
		return j.apply(&e), nil
	}
	return j.record(&e)
}

// Invalidate puts a must-validate purge of purge URLs in force and returns its number: what a successful unsafe request
// does to its target (RFC 9111, section 4.4). It does not wait for the file, which has it a moment later (see Run). Without
// URLs it does nothing.
func (j *Journal) Invalidate(urls ...string) uint64 {
	if len(urls) == 0 {
		return j.Applied()
	}
	number := j.apply(&Entry{Kind: cache.MustValidate, URLs: urls})
	if j.ledger != nil {
		j.ledger.remind()
	}
	return number
}

func (j *Journal) apply(e *Entry) uint64 {
	j.order.Lock()
	defer j.order.Unlock()
	number := j.applied.Load() + 1
	j.enforceOrdered(e, number)
	return number
}

// enforceOrdered puts a purge in force. As with all methods of this ending, the caller holds order.
func (j *Journal) enforceOrdered(e *Entry, number uint64) {
	j.markOrdered(e, number)
	j.applied.Store(number)
}

func (j *Journal) markOrdered(e *Entry, number uint64) {
	if e.All {
		j.markAll(e.Kind, number)
	}
	for s := range e.selectors {
		r := j.mark(s, e.Kind, number)
		if j.ledger != nil {
			j.rewriteOrdered(r)
		}
	}
}

func (j *Journal) markAll(kind cache.Verdict, number uint64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.all.note(kind, number)
}

func (j *Journal) mark(s selector, kind cache.Verdict, number uint64) *row {
	j.mu.Lock()
	defer j.mu.Unlock()
	at, ok := j.rows[s]
	if !ok {
		at = j.insertLocked(s)
	}
	j.aged.MoveToBack(at)
	r := at.Value.(*row)
	r.marks.note(kind, number)
	return r
}

// insertLocked adds an empty row, collecting the one purged longest ago when the tables are full.
func (j *Journal) insertLocked(s selector) *list.Element {
	s.name = strings.Clone(s.name) // it may point into a larger buffer, and rows live long
	at := j.aged.Front()
	if len(j.rows) >= j.maxRows {
		r := j.collectLocked(at)
		r.selector, r.marks = s, marks{}
	} else {
		at = j.aged.PushBack(&row{selector: s, slot: uint32(len(j.rows))})
	}
	j.rows[s] = at
	return at
}

// collectLocked takes a row out of the tables by raising the floor: its purges now hold for everything that has not been
// judged since. Only what nobody asked for during the last maxRows purges is hit without need. The kinds are kept: were a
// hard purge to become a must-validate one, a 304 could bring back what it removed.
func (j *Journal) collectLocked(at *list.Element) *row {
	r := at.Value.(*row)
	delete(j.rows, r.selector)
	j.floor.merge(&r.marks)
	return r
}

// rewriteOrdered has a row written with the next batch.
func (j *Journal) rewriteOrdered(r *row) {
	if !r.unwritten {
		r.unwritten = true
		j.unwritten = append(j.unwritten, r)
	}
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
