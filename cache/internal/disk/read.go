package disk

import (
	"errors"
	"fmt"
	"io"
	"math/bits"
	"os"
	"slices"
	"sync"
)

// joinedBytes is the largest record that is read in one go.
const joinedBytes = blockBytes + 8<<10

// Ref is a record that a look-up has found.
type Ref struct{ placed }

// Location is where the record is.
func (r Ref) Location() Location { return r.at }

// Lookup finds the record of a name, from memory alone. It counts as a use of the record. What it finds is read with Open,
// and may be gone by then.
func (t *Tier) Lookup(n Name) (Ref, bool) {
	i := n.id()
	s, ok := t.table.touch(i)
	if !ok || !t.shown(s) {
		return Ref{}, false
	}
	return Ref{placed{i, s}}, true
}

// Holds reports whether Lookup would find a record, without using it.
func (t *Tier) Holds(n Name) bool {
	s, ok := t.table.find(n.id())
	return ok && t.shown(s)
}

// shown reports whether the record of a slot may be found.
func (t *Tier) shown(s slot) bool {
	return s.flags&(removed|leaving) == 0 && t.resets.Load() == 0 && !t.off() && (s.at.segment() >= t.born || t.ready.Load())
}

// Found is a record whose head has been read. It does not change, and is as good as long as its segments are there.
type Found struct {
	commit
	placed placed
}

// Location is where the record is.
func (f *Found) Location() Location { return f.placed.at }

// Entry is a record that is being read. It belongs to one goroutine; Close it, once. While it is open its bytes stay on disk,
// though for no longer than a minute once their turn to leave has come.
type Entry struct {
	*Found
	t       *Tier
	pinned  []*segment
	whole   *[]byte // body blocks and commit block as on disk, of a joined record; pooled
	start   int64   // offset of whole in the segment
	block   *[]byte // the last block read; pooled
	have    int64   // ordinal of the block in content, -1 for none
	content []byte
	extent  int   // that the last block was in
	before  int64 // blocks in the extents before it
}

// entries are pooled: a hit makes nothing that the garbage collector has to take away.
var entries = sync.Pool{New: func() any { return new(Entry) }}

func (t *Tier) newEntry(f *Found) *Entry {
	e := entries.Get().(*Entry)
	*e = Entry{Found: f, t: t, have: -1, pinned: e.pinned}
	return e
}

// Open reads the head of a record, and the body too where both are small. The caller compares Key and Variant: only
// hashes were compared so far. After any error the record is as good as not there.
func (t *Tier) Open(r Ref) (*Entry, error) {
	e, err := t.read(r.placed)
	if !errors.Is(err, ErrGone) {
		return e, err
	}
	// It may have moved, when its segment was dropped.
	s, ok := t.table.find(r.id)
	if !ok || s.at == r.at || !t.shown(s) {
		return nil, err
	}
	return t.read(placed{r.id, s})
}

// Reopen opens a record whose head was read before, and reads nothing. The record may have been replaced or forgotten since:
// as long as its segments are there, its bytes are. Then they are ErrGone, though the record may stand elsewhere.
func (t *Tier) Reopen(f *Found) (*Entry, error) {
	e := t.newEntry(f)
	if err := e.pinBody(); err != nil {
		e.Close()
		return nil, err
	}
	t.counters.reads.Add(1)
	return e, nil
}

func (t *Tier) read(p placed) (*Entry, error) {
	e := t.newEntry(&Found{placed: p})
	err := e.readCommit()
	if err == nil && (e.id() != p.id || e.removed) {
		err = fmt.Errorf("commit: of another name: %w", errDamaged)
	}
	if err == nil {
		err = e.pinBody()
	}
	if err != nil {
		e.commit = commit{} // whose name it is cannot be told
		err = e.fail(p.at, err)
		e.Close()
		return nil, err
	}
	t.counters.reads.Add(1)
	return e, nil
}

// readCommit reads the commit block, with the body before it if the record is joined, in one pread.
func (e *Entry) readCommit() error {
	s := e.pin(e.placed.at.segment())
	if s == nil {
		return ErrGone
	}
	if e.placed.flags&joined == 0 {
		b := make([]byte, e.placed.head)
		if _, err := s.file.ReadAt(b, e.placed.at.offset()); err != nil {
			return err
		}
		return parseCommit(b, s, e.placed.at.offset(), &e.commit)
	}
	e.start = e.placed.at.offset() - int64(e.placed.body)
	e.whole = takeBuffer(int(e.placed.body + e.placed.head))
	if _, err := s.file.ReadAt(*e.whole, e.start); err != nil {
		return err
	}
	b := slices.Clone((*e.whole)[e.placed.body:]) // lasts longer than the buffer
	return parseCommit(b, s, e.placed.at.offset(), &e.commit)
}

// parseCommit checks a commit block and decodes its content, which the commit then shares.
func parseCommit(b []byte, s *segment, at int64, into *commit) error {
	h, err := decodeBlockHeader(b, s.nonce, at)
	switch {
	case err != nil:
		return err
	case h.kind != commitBlock:
		return fmt.Errorf("commit: another kind of block: %w", errDamaged)
	}
	content := b[blockHeaderBytes:]
	if err := h.check(content); err != nil {
		return err
	}
	return into.decode(content, h.fill)
}

// pin pins a segment for as long as the entry is open, or returns nil when it is gone.
func (e *Entry) pin(number uint32) *segment {
	if s := e.segment(number); s != nil {
		return s
	}
	s := e.t.pin(number)
	if s != nil {
		e.pinned = append(e.pinned, s)
	}
	return s
}

// segment returns a segment that is pinned, or nil.
func (e *Entry) segment(number uint32) *segment {
	for _, s := range e.pinned {
		if s.number == number {
			return s
		}
	}
	return nil
}

// pinBody pins the segments of the body.
func (e *Entry) pinBody() error {
	for _, x := range e.extents {
		if e.pin(x.segment) == nil {
			return ErrGone
		}
	}
	return nil
}

// readCommit reads the commit block of a slot.
func (t *Tier) readCommit(s slot) (*commit, error) {
	in := t.pin(s.at.segment())
	if in == nil {
		return nil, ErrGone
	}
	defer in.unpin()
	b, c := make([]byte, s.head), &commit{}
	if _, err := in.file.ReadAt(b, s.at.offset()); err != nil {
		return nil, err
	}
	return c, parseCommit(b, in, s.at.offset(), c)
}

// Block returns the bytes of the body from an offset to the end of the block that holds it, checked. They are valid until
// the next call and not to be changed. At the end of the body it returns io.EOF.
func (e *Entry) Block(offset int64) ([]byte, error) {
	if offset < 0 || offset >= e.Length {
		return nil, io.EOF
	}
	if n := offset / blockBytes; n != e.have {
		e.have = -1
		if err := e.readBlock(n); err != nil {
			return nil, e.fail(e.blockAt(n), err)
		}
		e.have = n
	}
	return e.content[offset%blockBytes:], nil
}

// readBlock reads and checks one block of the body.
func (e *Entry) readBlock(n int64) error {
	size := contentOf(e.Length, n)
	at := e.blockAt(n)
	s, b, err := e.raw(at, blockHeaderBytes+size)
	if err != nil {
		return err
	}
	h, err := decodeBlockHeader(b, s.nonce, at.offset())
	switch {
	case err != nil:
		return err
	case h.kind != bodyBlock || h.fill != e.Fill || int64(h.ordinal) != n:
		return fmt.Errorf("block: of another body: %w", errDamaged)
	}
	e.content = b[blockHeaderBytes:]
	return h.check(e.content)
}

// blockAt returns where a block of the body is.
func (e *Entry) blockAt(n int64) Location {
	if n < e.before {
		e.extent, e.before = 0, 0
	}
	for n >= e.before+int64(e.extents[e.extent].blocks) {
		e.before += int64(e.extents[e.extent].blocks)
		e.extent++
	}
	x := e.extents[e.extent]
	return locate(x.segment, int64(x.offset)+(n-e.before)*(blockHeaderBytes+blockBytes))
}

// raw returns bytes as they are on disk, from what was read with the head if they were.
func (e *Entry) raw(at Location, size int64) (*segment, []byte, error) {
	s := e.segment(at.segment())
	if e.whole != nil {
		from := at.offset() - e.start
		if from < 0 || from+size > int64(len(*e.whole)) {
			return s, nil, fmt.Errorf("block: outside of the record: %w", errDamaged)
		}
		return s, (*e.whole)[from : from+size], nil
	}
	if e.block == nil {
		e.block = takeBuffer(int(min(e.Length, blockBytes)) + blockHeaderBytes)
	}
	b := (*e.block)[:size]
	_, err := s.file.ReadAt(b, at.offset())
	return s, b, err
}

// fail answers an error of reading: what is damaged, or cannot be read, is forgotten.
func (e *Entry) fail(at Location, err error) error {
	switch {
	case errors.Is(err, ErrGone):
		return err
	case errors.Is(err, os.ErrClosed):
		return ErrGone
	case errors.Is(err, io.EOF), errors.Is(err, errDamaged):
		e.t.damaged(at, err)
	default:
		e.t.complain("read", err)
	}
	e.t.forget(e.placed.id, e.placed.at, e.Name)
	return fmt.Errorf("read record at %v: %w", at, err)
}

// damaged counts a bad block and tells where it is.
func (t *Tier) damaged(at Location, err error) {
	t.counters.corrupt.Add(1)
	t.log.Error("disk cache dropped a damaged record", "dir", t.dir, "segment", segmentName(at.segment()),
		"offset", at.offset(), "error", err)
}

// Close lets go of the record. The slices that Block returned are no longer valid; the Record is.
func (e *Entry) Close() {
	giveBuffer(e.whole)
	giveBuffer(e.block)
	for _, s := range e.pinned {
		s.unpin()
	}
	clear(e.pinned)
	*e = Entry{pinned: e.pinned[:0]}
	entries.Put(e)
}

// buffers are pooled by the power of two of their size.
var buffers [18]sync.Pool

func takeBuffer(size int) *[]byte {
	class := bits.Len(uint(size - 1))
	if b, ok := buffers[class].Get().(*[]byte); ok {
		*b = (*b)[:size]
		return b
	}
	b := make([]byte, size, 1<<class)
	return &b
}

func giveBuffer(b *[]byte) {
	if b != nil {
		buffers[bits.Len(uint(cap(*b)-1))].Put(b)
	}
}
