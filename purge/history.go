package purge

import (
	"cmp"
	"slices"
	"time"
)

// Record is a purge in the history.
type Record struct {
	Number uint64
	Time   time.Time
	Entry
}

// Bounds of the history. The newest purge stays, however large.
const (
	maxRecords      = 10_000
	maxHistoryBytes = 16 << 20
)

// history is the newest purges, oldest first. Invalidations by unsafe methods are none: they are as many as such requests.
type history struct {
	most    int // immutable
	records []Record
	bytes   int
}

// add appends a purge, and lets go of the oldest.
func (h *history) add(r Record) {
	h.records = append(h.records, r)
	h.bytes += r.weight()
	for len(h.records) > 1 && (len(h.records) > h.most || h.bytes > maxHistoryBytes) {
		h.bytes -= h.records[0].weight()
		h.records[0] = Record{}
		h.records = h.records[1:]
	}
}

// weight is what a record costs in memory, more or less.
func (r *Record) weight() int {
	const itself, name = 256, 16
	bytes := itself + len(r.By) + len(r.Why)
	for s := range r.selectors {
		bytes += name + len(s.name)
	}
	return bytes
}

// before returns the place of the first purge with a number that is not below.
func (h *history) before(number uint64) int {
	i, _ := slices.BinarySearchFunc(h.records, number, func(r Record, n uint64) int { return cmp.Compare(r.Number, n) })
	return i
}

// oldest and newest return the numbers of the first and the last purge, 0 without.
func (h *history) oldest() uint64 {
	if len(h.records) == 0 {
		return 0
	}
	return h.records[0].Number
}

func (h *history) newest() uint64 {
	if len(h.records) == 0 {
		return 0
	}
	return h.records[len(h.records)-1].Number
}

// History returns at most limit purges with a number below before, the newest first; with before 0, from the newest on. They
// are those of Add, the newest ten thousand, also over restarts. What it returns is shared, and not to be changed.
func (j *Journal) History(before uint64, limit int) []Record {
	j.told.RLock()
	defer j.told.RUnlock()
	end := len(j.history.records)
	if before > 0 {
		end = j.history.before(before)
	}
	page := slices.Clone(j.history.records[max(0, end-max(0, limit)):end])
	slices.Reverse(page)
	return page
}

// Find returns a purge of the history.
func (j *Journal) Find(number uint64) (Record, bool) {
	j.told.RLock()
	defer j.told.RUnlock()
	i := j.history.before(number)
	if i == len(j.history.records) || j.history.records[i].Number != number {
		return Record{}, false
	}
	return j.history.records[i], true
}
