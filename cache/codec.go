package cache

import (
	"encoding/binary"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"time"
)

// The head of a stored Object as bytes, for the disk: a version, then the fields of Meta in the order of appendMeta. Numbers
// are varints, strings and lists carry their length.

const metaVersion = 3

// century is older than anything needs to be.
const century = 100 * 365 * 24 * time.Hour

var errMeta = errors.New("not the head of a stored response")

// process says how times on the disk are read by this process. The monotonic clock ends with the process that has it, and
// between processes there is the wall clock alone. But while one runs, a jump of the wall clock neither expires nor revives
// anything: what the process has received itself it finds on its monotonic clock again, and to what was there before it
// counts the time since it began.
type process struct {
	id    uint64 // random
	began Moment
}

func newProcess(c Clock) process { return process{rand.Uint64(), c.Now()} }

// wall is what the wall clock would say if it had not been set since the process began.
func (p process) wall(now Instant) time.Time { return p.began.Wall.Add(now.Sub(p.began.Mono)) }

// appendMeta appends m.
func appendMeta(b []byte, m *Meta, p process) []byte {
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
	b = binary.AppendUvarint(b, p.id)
	b = binary.AppendVarint(b, int64(m.Received))
	for _, d := range [...]time.Duration{m.InitialAge, m.Lifetime, m.WhileRevalidate, m.IfError, m.Unreachable} {
		b = binary.AppendVarint(b, int64(d))
	}
	for _, flag := range [...]bool{m.Heuristic, m.NoCache, m.ForbidStale, m.SharedWithAuth, m.Immutable, m.NoTransform} {
		b = appendFlag(b, flag)
	}
	b = appendList(b, m.Tags)
	return binary.AppendUvarint(b, m.Epoch)
}

// readMeta reads what appendMeta wrote into m, which shares b, and puts it on the monotonic clock. A response from the future
// is one whose age nobody knows: it is stale from the start. few is room for field lines.
func readMeta(m *Meta, b []byte, few []line, p process, now Instant) error {
	r := metaReader{rest: b}
	if r.uint8() != metaVersion {
		return errMeta
	}
	*m = Meta{
		Proto: r.text(), Status: int(r.uint()), Head: r.head(few), Vary: r.list(), ETag: r.text(),
		LastModified: r.time(), Date: r.time(), Coding: r.text(), ReceivedAt: r.time(),
	}
	own := r.uint() == p.id
	m.Received = Instant(r.int())
	for _, d := range [...]*time.Duration{&m.InitialAge, &m.Lifetime, &m.WhileRevalidate, &m.IfError, &m.Unreachable} {
		*d = r.duration()
	}
	for _, flag := range [...]*bool{&m.Heuristic, &m.NoCache, &m.ForbidStale, &m.SharedWithAuth, &m.Immutable, &m.NoTransform} {
		*flag = r.uint8() != 0
	}
	m.Tags, m.Epoch = r.list(), r.uint()
	if r.bad || len(r.rest) > 0 {
		return errMeta
	}
	if !own {
		m.Received = now.Add(-min(p.wall(now).Sub(m.ReceivedAt), century))
	}
	if m.Received > now { // nobody knows since when
		m.Received, m.Lifetime, m.WhileRevalidate = now, 0, 0
	}
	return nil
}

// appendHead appends the lengths of all names and values, and then the lines as they stand in a message.
func appendHead(b []byte, h Head) []byte {
	b = binary.AppendUvarint(b, uint64(len(h.lines)))
	start := uint32(0)
	for _, l := range h.lines {
		b = binary.AppendUvarint(b, uint64(l.name-start))
		b = binary.AppendUvarint(b, uint64(l.value-l.name-2))
		start = l.value + 2
	}
	return appendPart(b, view(h.block))
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

func (r *metaReader) text() string { return view(r.take(r.length())) }

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

// head reads a header section; few is room for its lines.
func (r *metaReader) head(few []line) Head {
	n := r.length()
	h := Head{lines: slices.Grow(few[:0], n)}
	end := 0
	for range n {
		name := end + r.length()
		value := name + 2 + r.length()
		end = value + 2
		h.lines = append(h.lines, line{uint32(name), uint32(value)})
	}
	h.block = r.take(r.length())
	if r.bad || end != len(h.block) || !h.wellFormed() {
		r.bad = true
		return Head{}
	}
	return h
}

// wellFormed reports whether there is a colon behind every name and an end behind every line.
func (h *Head) wellFormed() bool {
	for _, l := range h.lines {
		if string(h.block[l.name:l.name+2]) != ": " || string(h.block[l.value:l.value+2]) != "\r\n" {
			return false
		}
	}
	return true
}
