package disk

import (
	"bufio"
	"fmt"
	"io"
)

// walker reads a segment front to back, block by block.
type walker struct {
	s      *segment
	at     int64 // of the next block
	end    int64
	in     *bufio.Reader
	buffer []byte // of body blocks
}

// walked is one block. Its content is nil when it was damaged.
type walked struct {
	blockHeader
	at      Location
	content []byte  // of a body block valid until the next
	commit  *commit // of a commit block
}

// newWalker returns a walker over what is behind an offset of a segment that is open.
func newWalker(s *segment, from int64) *walker {
	end := s.size.Load()
	in := io.NewSectionReader(s.file, from, max(0, end-from))
	return &walker{s: s, at: from, end: end, in: bufio.NewReaderSize(in, 256<<10)}
}

// next returns the next block, io.EOF at the end, or an error where the blocks end sooner: nothing says where the block
// behind a damaged header begins.
func (w *walker) next() (b walked, err error) {
	var head [blockHeaderBytes]byte
	switch _, err := io.ReadFull(w.in, head[:]); {
	case err == io.ErrUnexpectedEOF:
		return b, fmt.Errorf("segment %08x ends in a block header: %w", w.s.number, errDamaged)
	case err != nil:
		return b, err
	}
	if b.blockHeader, err = decodeBlockHeader(head[:], w.s.nonce, w.at); err != nil {
		return b, err
	}
	b.at = locate(w.s.number, w.at)
	w.at += blockHeaderBytes + int64(b.length)
	if w.at > w.end {
		return b, fmt.Errorf("segment %08x ends in a block: %w", w.s.number, errDamaged)
	}
	content := w.room(b.blockHeader)
	if _, err := io.ReadFull(w.in, content); err != nil {
		return b, err
	}
	if b.check(content) == nil {
		b.content = content
		b.commit = b.decode()
	}
	return b, nil
}

// room returns where to read the content of a block: a commit shares it, and lasts.
func (w *walker) room(h blockHeader) []byte {
	if h.kind == commitBlock {
		return make([]byte, h.length)
	}
	if uint32(cap(w.buffer)) < h.length {
		w.buffer = make([]byte, max(h.length, blockBytes))
	}
	return w.buffer[:h.length]
}

// decode returns the commit that the block holds, if it is a commit block and good.
func (b *walked) decode() *commit {
	if b.kind != commitBlock {
		return nil
	}
	c, err := decodeCommit(b.content, b.fill)
	if err != nil {
		return nil
	}
	return c
}
