package disk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// version is that of the format of segments, index and identity. A file of another version is as good as none.
const version = 1

const (
	blockBytes         = 64 << 10 // of content in every block of a body but its last
	segmentHeaderBytes = 48
	blockHeaderBytes   = 32
)

var (
	castagnoli    = crc32.MakeTable(crc32.Castagnoli)
	segmentMagic  = [8]byte{'S', 'l', 'v', 'g', 'S', 'e', 'g', '\n'}
	blockMagic    = [4]byte{0xB1, 'S', 'v', 'B'}
	littleEndian  = binary.LittleEndian
	errDamaged    = errors.New("damaged")
	errOtherCache = errors.New("of another cache")
)

// Location is where a commit extent begins: a segment and an offset in it. Segments are numbered as they are made and
// written from front to back, so of two records of one name the one at the higher Location is the newer.
type Location uint64

func locate(segment uint32, offset int64) Location { return Location(segment)<<32 | Location(offset) }

func (l Location) segment() uint32 { return uint32(l >> 32) }
func (l Location) offset() int64   { return int64(uint32(l)) }

// String returns the segment's number and the offset, as logs and tools show them.
func (l Location) String() string { return fmt.Sprintf("%08x:%x", l.segment(), l.offset()) }

// segmentHeader begins every segment:
//
//	0  magic     8 bytes
//	8  version   4
//	12 number    4, also in the file's name
//	16 identity 16, of the cache
//	32 nonce     8, random: part of the checksum of every block header
//	40 zero      4
//	44 CRC-32C   4, of all before it
type segmentHeader struct {
	number   uint32
	identity [16]byte
	nonce    uint64
}

func (h *segmentHeader) encode() []byte {
	b := append(make([]byte, 0, segmentHeaderBytes), segmentMagic[:]...)
	b = littleEndian.AppendUint32(b, version)
	b = littleEndian.AppendUint32(b, h.number)
	b = append(b, h.identity[:]...)
	b = littleEndian.AppendUint64(b, h.nonce)
	b = littleEndian.AppendUint32(b, 0)
	return littleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

func decodeSegmentHeader(b []byte) (h segmentHeader, err error) {
	if len(b) < segmentHeaderBytes || [8]byte(b) != segmentMagic {
		return h, fmt.Errorf("segment header: %w", errDamaged)
	}
	if v := littleEndian.Uint32(b[8:]); v != version {
		return h, fmt.Errorf("segment header: format version %d, want %d", v, version)
	}
	if crc32.Checksum(b[:44], castagnoli) != littleEndian.Uint32(b[44:]) {
		return h, fmt.Errorf("segment header: checksum: %w", errDamaged)
	}
	h.number = littleEndian.Uint32(b[12:])
	h.identity = [16]byte(b[16:])
	h.nonce = littleEndian.Uint64(b[32:])
	return h, nil
}

type blockKind uint8

const (
	bodyBlock   blockKind = 1 + iota
	commitBlock           // its content is an encoded commit
)

// blockHeader stands before every block:
//
//	0  magic     4 bytes
//	4  kind      1, and 3 zero
//	8  length    4, of the content that follows
//	12 ordinal   4, of the block in its body; in a commit block the number of body blocks
//	16 fill      8, the number of the body
//	24 CRC-32C   4, of the content
//	28 CRC-32C   4, of all before it, begun with the segment's nonce and the header's offset: see placeChecksum
//
// The last checksum binds a block to its place, so that neither a block left over from a deleted file nor one written to
// the wrong offset passes for the right one.
type blockHeader struct {
	kind    blockKind
	length  uint32
	ordinal uint32
	fill    uint64
	content uint32
}

func (h *blockHeader) append(b []byte, nonce uint64, offset int64) []byte {
	start := len(b)
	b = append(b, blockMagic[:]...)
	b = append(b, byte(h.kind), 0, 0, 0)
	b = littleEndian.AppendUint32(b, h.length)
	b = littleEndian.AppendUint32(b, h.ordinal)
	b = littleEndian.AppendUint64(b, h.fill)
	b = littleEndian.AppendUint32(b, h.content)
	return littleEndian.AppendUint32(b, placeChecksum(b[start:], nonce, offset))
}

func decodeBlockHeader(b []byte, nonce uint64, offset int64) (h blockHeader, err error) {
	if len(b) < blockHeaderBytes || [4]byte(b) != blockMagic {
		return h, fmt.Errorf("block header: %w", errDamaged)
	}
	if placeChecksum(b[:28], nonce, offset) != littleEndian.Uint32(b[28:]) {
		return h, fmt.Errorf("block header: checksum: %w", errDamaged)
	}
	return blockHeader{
		kind:    blockKind(b[4]),
		length:  littleEndian.Uint32(b[8:]),
		ordinal: littleEndian.Uint32(b[12:]),
		fill:    littleEndian.Uint64(b[16:]),
		content: littleEndian.Uint32(b[24:]),
	}, nil
}

// placeChecksum is a CRC-32C that begins with the place in place of zero: no two offsets begin with the same number.
func placeChecksum(b []byte, nonce uint64, offset int64) uint32 {
	place := uint32(nonce) ^ uint32(nonce>>32) ^ uint32(offset)*0x9E3779B1
	return crc32.Update(place, castagnoli, b)
}

// check reports what is wrong with the content under h.
func (h *blockHeader) check(content []byte) error {
	if uint32(len(content)) != h.length || crc32.Checksum(content, castagnoli) != h.content {
		return fmt.Errorf("block: checksum: %w", errDamaged)
	}
	return nil
}

// blocksOf returns how many blocks a body of the given length has.
func blocksOf(length int64) int64 { return (length + blockBytes - 1) / blockBytes }

// contentOf returns the length of the content of one block of a body.
func contentOf(length, ordinal int64) int64 { return min(blockBytes, length-ordinal*blockBytes) }
