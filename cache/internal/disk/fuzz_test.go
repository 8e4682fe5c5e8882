package disk

import (
	"bytes"
	"hash/crc32"
	"io"
	"testing"
)

// Whatever a commit block holds, it is refused or means one record, which encodes to the same meaning again.
func FuzzRecord(f *testing.F) {
	rec, _ := record(1, 100_000)
	for _, c := range []commit{
		{Record: Record{Name: Name{Hash: 1, Key: "k"}}},
		{Record: rec, extents: []extent{{1, 48, 1}, {2, 48, 1}}},
		{Record: Record{Name: Name{Hash: 7, Key: "k", Variant: "gzip"}}, removed: true},
	} {
		f.Add(c.append(nil))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		c, err := decodeCommit(content, 1)
		if err != nil {
			return
		}
		if !c.covers() {
			t.Errorf("extents %v do not hold a body of %d bytes", c.extents, c.Length)
		}
		again, err := decodeCommit(c.append(nil), 1)
		if err != nil || !bytes.Equal(again.append(nil), c.append(nil)) {
			t.Errorf("%+v is read as %+v, error %v", c, again, err)
		}
	})
}

// memory is a segment's file without a disk.
type memory struct{ *bytes.Reader }

func (memory) WriteAt([]byte, int64) (int, error) { return 0, io.ErrShortWrite }
func (memory) Sync() error                        { return nil }
func (memory) Truncate(int64) error               { return nil }
func (memory) Close() error                       { return nil }
func (m memory) Size() (int64, error)             { return m.Reader.Size(), nil }

// Whatever a segment holds, its blocks are read in order, within the file, and to an end. The checksums of the input are
// made good where they can be, or nothing would get past them.
func FuzzSegment(f *testing.F) {
	c := commit{Record: Record{Name: Name{Hash: 1, Key: "k"}, Length: 3}, extents: []extent{{1, 48, 1}}}
	b := appendBlock(nil, blockHeader{kind: bodyBlock, fill: 9}, []byte("abc"))
	f.Add(appendBlock(b, blockHeader{kind: commitBlock, ordinal: 1, fill: 9}, c.append(nil)))
	f.Add(b[:len(b)-1])
	f.Fuzz(func(t *testing.T, blocks []byte) {
		header := segmentHeader{number: 1, nonce: 5}
		b := append(header.encode(), mended(blocks)...)
		s := &segment{number: 1, nonce: 5, file: memory{bytes.NewReader(b)}}
		s.size.Store(int64(len(b)))
		last := int64(0)
		for w := newWalker(s, segmentHeaderBytes); ; {
			block, err := w.next()
			if err != nil {
				return
			}
			if at := block.at.offset(); at <= last || at+blockHeaderBytes+int64(block.length) > int64(len(b)) {
				t.Fatalf("block of %d bytes at %d after one at %d, in a file of %d", block.length, at, last, len(b))
			} else {
				last = at
			}
		}
	})
}

func appendBlock(b []byte, h blockHeader, content []byte) []byte {
	h.length, h.content = uint32(len(content)), crc32.Checksum(content, castagnoli)
	return append(h.append(b, 5, int64(segmentHeaderBytes+len(b))), content...)
}

// mended makes the magic and the checksums of blocks good.
func mended(in []byte) []byte {
	b := bytes.Clone(in)
	for at := 0; at+blockHeaderBytes <= len(b); {
		head := b[at : at+blockHeaderBytes]
		copy(head, blockMagic[:])
		length := int(littleEndian.Uint32(head[8:]))
		if end := at + blockHeaderBytes + length; end <= len(b) && length >= 0 {
			littleEndian.PutUint32(head[24:], crc32.Checksum(b[at+blockHeaderBytes:end], castagnoli))
		}
		littleEndian.PutUint32(head[28:], placeChecksum(head[:28], 5, int64(segmentHeaderBytes+at)))
		at += blockHeaderBytes + max(0, length)
	}
	return b
}

// Whatever the pages of an index hold, looking at them ends.
func FuzzPages(f *testing.F) {
	page := make([]byte, 4096)
	pageOrder.PutUint64(page, 2)
	pageOrder.PutUint16(page[8:], branchPage)
	pageOrder.PutUint16(page[10:], 2)
	pageOrder.PutUint64(page[24:], 3)
	pageOrder.PutUint64(page[40:], 2)
	f.Add(page)
	f.Fuzz(func(t *testing.T, pages []byte) {
		file := append(make([]byte, 2*128), pages...)
		if err := checkPages(bytes.NewReader(file), 128, 2); err == nil && len(pages) < pageHeaderBytes {
			t.Error("no page, and no error")
		}
	})
}

func FuzzIdentity(f *testing.F) {
	i := newIdentity()
	f.Add(i.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		if i, err := decodeIdentity(b); err == nil && !bytes.Equal(i.encode(), b) {
			t.Errorf("%x is read as %x", b, i.encode())
		}
	})
}
