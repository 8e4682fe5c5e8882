package cache

import (
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"time"
)

// The head of a stored Object as bytes, for the disk: a version, then the fields of Meta in the order of appendMeta. Numbers
// are varints, strings and lists carry their length. Times are the wall clock's: the monotonic one ends with the process.

const metaVersion = 1

var errMeta = errors.New("not the head of a stored response")

// appendMeta appends m.
func appendMeta(b []byte, m *Meta) []byte {
	b = append(b, metaVersion)
	b = appendPart(b, m.Proto)
	b = binary.AppendUvarint(b, uint64(m.Status))
	b = appendHead(b, m.Head)
	b = appendList(b, m.Vary)
	b = appendPart(b, m.ETag)
	b = appendTime(b, m.LastModified)
	b = appendTime(b, m.Date)
	b = appendPart(b, m.Coding)
	b = appendTime(b, m.ReceivedAt)
	for _, d := range []time.Duration{m.InitialAge, m.Lifetime, m.WhileRevalidate, m.IfError, m.Unreachable} {
		b = binary.AppendVarint(b, int64(d))
	}
	for _, flag := range []bool{m.Heuristic, m.NoCache, m.ForbidStale, m.SharedWithAuth, m.Immutable} {
		b = appendFlag(b, flag)
	}
	b = appendList(b, m.Tags)
	return binary.AppendUvarint(b, m.Epoch)
}

// readMeta reads what appendMeta wrote, and puts it on the monotonic clock as it is now. A response from the future is one
// whose age nobody knows: it is stale from the start.
func readMeta(b []byte, now Moment) (*Meta, error) {
	r := metaReader{rest: b}
	if r.uint8() != metaVersion {
		return nil, errMeta
	}
	m := &Meta{
		Proto: r.text(), Status: int(r.uint()), Head: r.head(), Vary: r.list(), ETag: r.text(),
		LastModified: r.time(), Date: r.time(), Coding: r.text(), ReceivedAt: r.time(),
	}
	for _, d := range []*time.Duration{&m.InitialAge, &m.Lifetime, &m.WhileRevalidate, &m.IfError, &m.Unreachable} {
		*d = r.duration()
	}
	for _, flag := range []*bool{&m.Heuristic, &m.NoCache, &m.ForbidStale, &m.SharedWithAuth, &m.Immutable} {
		*flag = r.uint8() != 0
	}
	m.Tags, m.Epoch = r.list(), r.uint()
	if r.bad || len(r.rest) > 0 {
		return nil, errMeta
	}
	since := now.Wall.Sub(m.ReceivedAt)
	if since < 0 {
		since, m.Lifetime, m.WhileRevalidate = 0, 0, 0
	}
	m.Received = now.Mono.Add(-since)
	return m, nil
}

func appendHead(b []byte, h Head) []byte {
	b = binary.AppendUvarint(b, uint64(len(h.lines)))
	for i := range h.lines {
		name, value := h.Line(i)
		b = appendPart(appendPart(b, name), value)
	}
	return b
}

func appendList(b []byte, all []string) []byte {
	b = binary.AppendUvarint(b, uint64(len(all)))
	for _, s := range all {
		b = appendPart(b, s)
	}
	return b
}

// appendTime appends nanoseconds since 1970; math.MinInt64 is no time at all.
func appendTime(b []byte, t time.Time) []byte {
	if t.IsZero() {
		return binary.AppendVarint(b, math.MinInt64)
	}
	return binary.AppendVarint(b, t.UnixNano())
}

// metaReader takes values off the front of rest, until one is not there: then bad is set, and the rest are zero.
type metaReader struct {
	rest []byte
	bad  bool
}

func (r *metaReader) take(n int) []byte {
	if n < 0 || n > len(r.rest) {
		r.bad, r.rest = true, nil
		return nil
	}
	p := r.rest[:n]
	r.rest = r.rest[n:]
	return p
}

func (r *metaReader) uint8() byte {
	if p := r.take(1); p != nil {
		return p[0]
	}
	return 0
}

func (r *metaReader) uint() uint64 {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 {
		n = -1
	}
	r.take(n)
	return v
}

func (r *metaReader) int() int64 {
	v, n := binary.Varint(r.rest)
	if n <= 0 {
		n = -1
	}
	r.take(n)
	return v
}

func (r *metaReader) duration() time.Duration { return time.Duration(r.int()) }

func (r *metaReader) time() time.Time {
	if v := r.int(); v != math.MinInt64 && !r.bad {
		return time.Unix(0, v).UTC()
	}
	return time.Time{}
}

// length reads a length or a count, of things that take at least a byte each.
func (r *metaReader) length() int {
	n := r.uint()
	if n > uint64(len(r.rest)) {
		r.bad, r.rest = true, nil
		return 0
	}
	return int(n)
}

func (r *metaReader) text() string { return string(r.take(r.length())) }

func (r *metaReader) list() []string {
	n := r.length()
	if n == 0 {
		return nil
	}
	all := make([]string, 0, min(n, 1024))
	for range n {
		if r.bad {
			return nil
		}
		all = append(all, r.text())
	}
	return slices.Clip(all)
}

func (r *metaReader) head() Head {
	n := r.length()
	h := Head{lines: make([]line, 0, min(n, 1024))}
	for range n {
		if r.bad {
			return Head{}
		}
		name := r.text()
		h.append(name, r.text())
	}
	return h
}
