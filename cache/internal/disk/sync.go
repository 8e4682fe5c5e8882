package disk

import (
	"errors"
	"slices"
	"time"
)

// indexRetry is how long no index is written after one was lost.
const indexRetry = time.Minute

// changes are what the index does not know yet, by segment. They reach it only after the segments they tell of are synced.
type changes map[uint32]*change

// change is what has happened to one segment.
type change struct {
	dropped bool
	slots   map[uint32]entry // by offset; a zero entry is one that has left
}

// entry is what the index keeps of a record.
type entry struct {
	id
	slot
}

func (c changes) of(segment uint32) *change {
	of := c[segment]
	if of == nil {
		of = &change{slots: make(map[uint32]entry)}
		c[segment] = of
	}
	return of
}

func (c changes) put(i id, s slot) {
	s.flags &= persistent
	c.of(s.at.segment()).slots[uint32(s.at.offset())] = entry{i, s}
}

func (c changes) remove(at Location) {
	if of := c.of(at.segment()); !of.dropped {
		of.slots[uint32(at.offset())] = entry{}
	}
}

func (c changes) drop(segment uint32) { c[segment] = &change{dropped: true} }

// sync makes durable what was written, in the order that lets every crash point tell the truth: fdatasync of the segments,
// fsync of the directory if names have come or gone, then the index, which thus never knows of a record that is not whole.
//
// A segment that cannot be synced is dropped with every record in it: after a failed fsync the kernel may have thrown away
// the pages, and a later fsync would report success.
func (w *writer) sync() error {
	w.settle()
	w.flush()
	w.synced = w.t.now()
	err := w.syncSegments()
	if err == nil && w.newNames {
		if err = w.t.fs.SyncDir(w.t.dir); err == nil {
			w.newNames = false
		}
	}
	if err != nil {
		w.t.pause("sync", err)
		return err
	}
	if w.index == nil || w.rewriter != nil {
		return nil // the changes wait for the next index
	}
	if err := w.syncIndex(); err != nil {
		w.loseIndex(err)
		return err
	}
	w.fit()
	return nil
}

// syncSegments also has the index learn how far each segment is written, whatever was: were the end of one walked at the next
// start and the end of a later one not, what that one says of the same names would not be heard.
func (w *writer) syncSegments() (all error) {
	for _, s := range slices.Clone(w.dirty) {
		if err := s.file.Sync(); err != nil {
			all = errors.Join(all, err)
			w.t.counters.syncFailures.Add(1)
			w.lose(s)
			continue
		}
		w.changes.of(s.number)
	}
	w.dirty = w.dirty[:0]
	return all
}

func (w *writer) syncIndex() error {
	if len(w.changes) == 0 {
		return nil
	}
	if err := w.index.apply(w.changes, w.marks(), w.t.epoch.Load()); err != nil {
		return err
	}
	w.changes = make(changes)
	w.t.indexBytes.Store(w.index.bytes())
	if w.index.mostlyFree() {
		w.rewriter = newRewriter(w)
	}
	return nil
}

// marks returns how far each segment is written: what is up to there is in the table, or dead.
func (w *writer) marks() map[uint32]mark {
	w.t.mu.RLock()
	defer w.t.mu.RUnlock()
	all := make(map[uint32]mark, len(w.t.segments))
	for number, s := range w.t.segments {
		all[number] = mark{nonce: s.nonce, known: s.size.Load()}
	}
	return all
}

// loseIndex gives up an index that has failed. The table has all that was in it; another is written from it later.
func (w *writer) loseIndex(err error) {
	w.t.complain("write index", err)
	w.index.abandon(err)
	w.index = nil
	w.t.fs.Remove(w.t.path(indexName))
	w.t.indexBytes.Store(0)
	w.retry = w.t.now().Add(indexRetry)
}
