package purge

import "selvage/cache"

// mark is what is remembered of the purges of one kind that hit one row: the last two numbers, 0 for none.
type mark struct{ last, prev uint64 }

// note remembers a purge. Numbers may come in any order, as they do when the floor takes over a row.
func (m *mark) note(number uint64) {
	switch {
	case number > m.last:
		m.last, m.prev = number, m.last
	case number < m.last && number > m.prev:
		m.prev = number
	}
}

// within reports whether a purge lies in (after, upTo].
//
// The number before the last is kept for a reader who began before the last purge: had the last overwritten the one that
// concerns the reader, the reader would be told that nothing happened. When both came after the reader began, an older one
// may be forgotten, and the answer is the safe one.
func (m *mark) within(after, upTo uint64) bool {
	if m.last <= upTo {
		return m.last > after
	}
	return m.prev > after
}

// marks are the marks of one row: cache.Soft first, cache.Hard last.
type marks [cache.Hard]mark

func (m *marks) note(kind cache.Verdict, number uint64) { m[kind-1].note(number) }

// merge notes what other remembers.
func (m *marks) merge(other *marks) {
	for i := range other {
		m[i].note(other[i].prev)
		m[i].note(other[i].last)
	}
}

// verdict returns the severest kind with a purge in (after, upTo].
func (m *marks) verdict(after, upTo uint64) cache.Verdict {
	for kind := cache.Hard; kind > cache.Valid; kind-- {
		if m[kind-1].within(after, upTo) {
			return kind
		}
	}
	return cache.Valid
}

// newest returns the number of the last purge of any kind.
func (m *marks) newest() (number uint64) {
	for i := range m {
		number = max(number, m[i].last)
	}
	return number
}
