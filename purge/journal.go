package purge

import (
	"crypto/rand"
	"sync"
	"sync/atomic"
	"time"

	"selvage/cache"
)

// Journal numbers purges and answers what they say of a Target. It is safe for concurrent use.
//
// Purges take effect in number order, one at a time: first the rows are marked, then Applied tells the number. So whoever
// has read Applied finds every purge up to that number in the tables, and a purge of many rows is atomic by its number,
// not by a lock: until Applied tells it, no reader asks for it. Readers therefore wait for one row at most.
type Journal struct {
	identity  [16]byte // immutable
	reserved  uint64   // immutable
	recovered Recovery // immutable
	ledger    *ledger  // immutable; nil when the journal is in memory only

	applied atomic.Uint64 // written with order held
	changed chan struct{} // holds one when purges have removed something since it was taken
	counts  counts

	order     sync.Mutex // held by one purge from its number to Applied
	unwritten []*row     // guarded by order: what the file does not have yet, when there is a file

	*tables // changed with order held

	told    sync.RWMutex
	history history // guarded by told; changed with order held
}

var _ cache.Purges = (*Journal)(nil)

// NewJournal returns an empty journal in memory.
func NewJournal() *Journal { return New(Options{}) }

// New is NewJournal with options.
func New(o Options) *Journal {
	j := newJournal(o.rows())
	rand.Read(j.identity[:])
	return j
}

func newJournal(maxRows int) *Journal {
	return &Journal{
		changed: make(chan struct{}, 1), tables: newTables(maxRows, maxGlobs), history: history{most: maxRecords},
	}
}

// Identity names the journal: random, made with its file, or with a journal in memory. A cache that was kept under another
// identity has missed purges.
func (j *Journal) Identity() [16]byte { return j.identity }

// Applied returns the number of the newest purge in force; 0 before the first. Numbers rise, with gaps.
func (j *Journal) Applied() uint64 { return j.applied.Load() }

// Changed returns a channel that has something in it when hard purges came into force since it was last taken. It is for
// one reader, who reclaims what they have removed.
func (j *Journal) Changed() <-chan struct{} { return j.changed }

// Add puts a purge in force and returns its number. The purge holds for every request that begins after Add returned, also
// after a crash: it is in the file before it is in force. After an error it is not in force, though a purge whose write has
// failed may be after a restart. The lists of e are kept, and not to be changed.
func (j *Journal) Add(e Entry) (uint64, error) {
	if err := e.check(); err != nil {
		return 0, err
	}
	if j.ledger == nil {
		return j.apply(Record{Time: now(), Entry: e}), nil
	}
	return j.record(Record{Time: now(), Entry: e})
}

// now is the time of a purge in the history.
func now() time.Time { return time.Now().UTC().Truncate(time.Millisecond) }

// apply puts a purge in force that nobody writes.
func (j *Journal) apply(r Record) uint64 {
	j.order.Lock()
	defer j.order.Unlock()
	r.Number = j.applied.Load() + 1
	j.enterOrdered(r)
	return r.Number
}

// Invalidate puts a must-validate purge in force and returns its number: what a successful unsafe request does to its target
// and to the groups that its answer names (RFC 9111, section 4.4; RFC 9875, section 3). It does not wait for the file, which
// has it a moment later (see Run). Without URLs and tags it does nothing.
func (j *Journal) Invalidate(urls, tags []string) uint64 {
	if len(urls)+len(tags) == 0 {
		return j.Applied()
	}
	j.order.Lock()
	number := j.applied.Load() + 1
	j.enforceOrdered(&Entry{Kind: cache.MustValidate, URLs: urls, Tags: tags}, number)
	j.order.Unlock()
	if j.ledger != nil {
		j.ledger.remind()
	}
	return number
}

// enterOrdered puts a purge in force and into the history. As with all methods of this ending, the caller holds order.
func (j *Journal) enterOrdered(r Record) {
	j.told.Lock()
	j.history.add(r)
	j.told.Unlock()
	j.enforceOrdered(&r.Entry, r.Number)
}

func (j *Journal) enforceOrdered(e *Entry, number uint64) {
	j.markEntry(e, number, j.rewriteOrdered)
	j.applied.Store(number)
	j.counts.add(e)
	if e.Kind == cache.Hard {
		select {
		case j.changed <- struct{}{}:
		default:
		}
	}
}

// rewriteOrdered has a row written with the next batch.
func (j *Journal) rewriteOrdered(r *row) {
	if j.ledger != nil && !r.unwritten {
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
	return j.verdict(t, after, upTo)
}
