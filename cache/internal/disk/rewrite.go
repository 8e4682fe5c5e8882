package disk

import (
	"errors"
	"io/fs"
	"slices"
)

// rewriter writes a new index from the table and puts it in the place of the old one: at every start, so that damage of the
// old one that nobody noticed ends with it, and whenever half of it is free. It works in steps; what changes meanwhile
// waits in the writer's changes and is applied to the new index.
type rewriter struct {
	w     *writer
	index *index
	rest  []placed // in order of location
	marks map[uint32]mark
}

// newRewriter begins, or returns nil when no index can be made for now.
func newRewriter(w *writer) *rewriter {
	if w.t.now().Before(w.retry) {
		return nil
	}
	r := &rewriter{w: w}
	if err := r.begin(); err != nil {
		r.fail(err)
		return nil
	}
	return r
}

func (r *rewriter) begin() (err error) {
	t := r.w.t
	if err := t.fs.Remove(r.path()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if r.index, err = t.options.openIndex(r.path(), true); err != nil {
		return err
	}
	if err := r.index.begin(t.Identity()); err != nil {
		return err
	}
	r.w.flush()
	r.marks = r.w.marks()
	r.rest = t.table.where(func(s slot) bool { return s.flags&removed == 0 })
	slices.SortFunc(r.rest, byLocation)
	if r.w.index == nil {
		r.w.changes = make(changes) // all of them are in the table
	}
	return r.markAll()
}

// markAll has the index know every segment, one of which nothing is live too: were it walked again at the next start, what
// a newer segment says of its records would not be heard.
func (r *rewriter) markAll() error {
	all := make(changes)
	for number := range r.marks {
		all.of(number)
	}
	return r.index.apply(all, r.marks, r.w.t.epoch.Load())
}

func (r *rewriter) path() string { return r.w.t.path(indexName + freshSuffix) }

// step copies a bounded number of records. It returns true when the rewriter has ended, one way or the other.
func (r *rewriter) step() bool {
	err := r.copySome()
	if err == nil && len(r.rest) > 0 {
		return false
	}
	if err == nil {
		err = r.finish()
	}
	if err != nil {
		r.fail(err)
	}
	return true
}

// copyAtOnce is how many records are copied between two looks at the queue.
const copyAtOnce = 8 << 10

func (r *rewriter) copySome() error {
	n := min(copyAtOnce, len(r.rest))
	some := make(changes)
	for _, p := range r.rest[:n] {
		some.put(p.id, p.slot)
	}
	r.rest = r.rest[n:]
	return r.index.apply(some, r.marks, r.w.t.epoch.Load())
}

// finish makes the new index the index: fdatasync of the segments it tells of, fdatasync of index.new, rename. A segment that has been dropped meanwhile is still in it; the changes that wait say so.
func (r *rewriter) finish() error {
	w := r.w
	if err := w.syncSegments(); err != nil {
		return err
	}
	if err := r.index.settle(); err != nil {
		return err
	}
	if err := w.t.fs.Rename(r.path(), w.t.path(indexName)); err != nil {
		return err
	}
	w.newNames = true // synced with the next changes; until then the old index may come back, and is right about what it knows
	if w.index != nil {
		w.index.close()
	}
	w.index, r.index = r.index, nil
	w.t.indexBytes.Store(w.index.bytes())
	return nil
}

// fail ends the rewriter. The index there was, if any, goes on.
func (r *rewriter) fail(err error) {
	r.w.t.complain("write index", err)
	r.abandon(err)
	r.w.retry = r.w.t.now().Add(indexRetry)
}

func (r *rewriter) abandon(err error) {
	if r.index != nil {
		r.index.abandon(err)
		r.index = nil
	}
	r.w.t.fs.Remove(r.path())
}
