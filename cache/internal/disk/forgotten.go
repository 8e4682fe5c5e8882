package disk

import "iter"

// What is forgotten leaves the table, and with the next transaction the index. A segment says so too, in a commit block of its
// own, behind all that there is of the name: without an index nothing else would keep it forgotten. While the disk does not
// take that block, the writer owes it.

// forget takes a record off the disk that forget of Tier has taken out of sight; without a location, with whatever of the name
// was queued before it. A commit block says so also if the record's segment was dropped since, from which it may have been
// moved.
func (w *writer) forget(i id, at Location, n Name, had bool) {
	w.flush()
	gone, still := w.t.table.take(i, at)
	if _, newer := w.t.table.find(i); newer || !still && !had && w.t.ready.Load() {
		return
	}
	w.retire(gone)
	if n != (Name{}) {
		w.say(n)
	}
}

// say writes that a name is forgotten.
func (w *writer) say(n Name) {
	w.commit(&fill{}, &publication{commit: &commit{Record: Record{Name: n}, removed: true}})
}

// owe notes a name that is forgotten, though no segment says so. There are at most as many as there were records.
func (w *writer) owe(n Name) {
	w.owed[n.id()] = n
	w.bury(n.id(), slot{at: locate(w.t.born, 0)})
}

// settle says what is owed. A name that has a record again is left out: that record supersedes the older ones, and what is said
// behind it would be said of it too.
func (w *writer) settle() {
	if len(w.owed) == 0 || !w.t.available() {
		return
	}
	w.flush() // so that the table has all that was written
	owed := w.owed
	w.owed = make(map[id]Name) // for what fails again
	for i, n := range owed {
		if !w.t.table.has(i) {
			w.say(n)
		}
	}
}

// bury keeps a name forgotten while older records of it may still be found by the loader.
func (w *writer) bury(i id, s slot) {
	if w.loader == nil {
		return
	}
	s.flags = removed
	w.retire(w.t.table.put(i, s))
}

// disown forgets a record that is about to lose its body, if it has not moved. Its commit block, in a later segment, would mean
// nothing then, and an older record of the name, written while this body was, would count.
func (w *writer) disown(p placed) {
	if s, ok := w.t.table.find(p.id); !ok || s.at != p.at {
		return
	}
	c, err := w.t.readCommit(p.slot)
	if err != nil || c.id() != p.id {
		return
	}
	w.forget(p.id, p.at, c.Name, true)
}

// keepForgotten repeats what a segment says that is dropped ahead of older ones: they may hold records of names that it says are
// forgotten, or what a record has superseded that leaves with it.
func (w *writer) keepForgotten(s *segment) {
	for c := range w.saidBy(s) {
		if has, ok := w.t.table.find(c.id()); !ok || has.flags&removed != 0 || has.at.segment() == s.number {
			w.say(c.Name)
		}
	}
	w.flush()
}

// lose drops a segment that is not to be trusted, or that there is no time to empty. What would have had to be repeated is owed.
func (w *writer) lose(s *segment) {
	var names []Name
	for c := range w.saidBy(s) {
		names = append(names, c.Name)
	}
	for _, p := range w.dependents(s) {
		if p.at.segment() != s.number {
			if c, err := w.t.readCommit(p.slot); err == nil && c.id() == p.id {
				names = append(names, c.Name)
			}
		}
	}
	w.drop(s)
	for _, n := range names {
		if !w.t.table.has(n.id()) {
			w.owe(n)
		}
	}
}

// saidBy ranges over the commit blocks of a segment, as far as they can be read, unless it is the oldest: they say nothing about
// others then.
func (w *writer) saidBy(s *segment) iter.Seq[*commit] {
	return func(yield func(*commit) bool) {
		if s.file == nil || w.t.oldest(nil) == s {
			return
		}
		for walk := newWalker(s, segmentHeaderBytes); ; {
			b, err := walk.next()
			if err != nil || b.commit != nil && !yield(b.commit) {
				return
			}
		}
	}
}
