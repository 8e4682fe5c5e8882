package disk

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"unsafe"

	"github.com/cespare/xxhash/v2"
)

// Name is what a record is found by.
type Name struct {
	Hash         uint64 // of Key and Variant, with a secret seed: see Tier.Seed
	Key, Variant string
}

// Record is what there is to know of one stored response. Its bytes are nobody's to change, and last as long as anyone
// holds them.
type Record struct {
	Name
	Fill   uint64 // names the body among all that the name has had: from NewFill, never 0
	Epoch  uint64 // purges applied when the origin was asked
	Head   []byte // whatever the caller knows of the response
	Length int64  // of the body
}

// NewFill draws the number of a body. With 64 random bits no two bodies of one name have the same.
func NewFill() uint64 {
	for {
		if n := rand.Uint64(); n != 0 {
			return n
		}
	}
}

// id is a Name in the table and in the index: the caller's hash and one of ours. Should two names share both, the newer
// takes the older's place: a miss, since whoever reads a record compares the whole name.
type id struct{ hash, check uint64 }

func (n *Name) id() id {
	check := xxhash.Sum64String(n.Key)
	if n.Variant != "" {
		var d xxhash.Digest
		d.ResetWithSeed(check)
		d.WriteString(n.Variant)
		check = d.Sum64()
	}
	return id{n.Hash, check}
}

// extent is a run of blocks of one body, one behind the other in one segment.
type extent struct {
	segment uint32
	offset  uint32
	blocks  uint32
}

// commit is the content of a commit block: the record whole, and where its body is. Numbers are unsigned varints, but
// those that look random; bytes follow their length.
//
//	flags 1 byte, hash 8, epoch, length, key, variant, head, extents: their number, then of each segment, offset, blocks
type commit struct {
	Record
	removed bool // the name is forgotten: head, body and all before
	extents []extent
	one     [1]extent // room for the extents of most
}

const flagRemoved = 1

func (c *commit) append(b []byte) []byte {
	flags := byte(0)
	if c.removed {
		flags |= flagRemoved
	}
	b = littleEndian.AppendUint64(append(b, flags), c.Hash)
	b = binary.AppendUvarint(b, c.Epoch)
	b = binary.AppendUvarint(b, uint64(c.Length))
	b = appendBytes(b, c.Key)
	b = appendBytes(b, c.Variant)
	b = appendBytes(b, c.Head)
	b = binary.AppendUvarint(b, uint64(len(c.extents)))
	for _, e := range c.extents {
		b = binary.AppendUvarint(b, uint64(e.segment))
		b = binary.AppendUvarint(b, uint64(e.offset))
		b = binary.AppendUvarint(b, uint64(e.blocks))
	}
	return b
}

func appendBytes[T string | []byte](b []byte, v T) []byte {
	return append(binary.AppendUvarint(b, uint64(len(v))), v...)
}

// decodeCommit reads the content of a commit block, which the commit then shares.
func decodeCommit(content []byte, fill uint64) (*commit, error) {
	c := &commit{}
	return c, c.decode(content, fill)
}

// decode is decodeCommit into an empty commit.
func (c *commit) decode(content []byte, fill uint64) error {
	in := cursor{rest: content}
	flags := in.take(1)
	c.Hash = in.fixed()
	c.Fill = fill
	c.Epoch = in.number(1<<64 - 1)
	c.Length = int64(in.number(1<<63 - 1))
	c.Key = view(in.bytes())
	c.Variant = view(in.bytes())
	c.Head = in.bytes()
	c.extents = in.extents(c.one[:0])
	if in.bad || len(in.rest) > 0 || flags[0]&^flagRemoved != 0 {
		return fmt.Errorf("commit: %w", errDamaged)
	}
	c.removed = flags[0]&flagRemoved != 0
	if !c.covers() {
		return fmt.Errorf("commit: extents: %w", errDamaged)
	}
	return nil
}

// covers reports whether the extents hold as many blocks as the body has.
func (c *commit) covers() bool {
	blocks := int64(0)
	for _, e := range c.extents {
		blocks += int64(e.blocks)
	}
	return blocks == blocksOf(c.Length)
}

// cursor reads a commit front to back. Past its end, or past a limit, everything is bad and zero.
type cursor struct {
	rest []byte
	bad  bool
}

func (c *cursor) take(n uint64) []byte {
	if c.bad || n > uint64(len(c.rest)) {
		c.bad = true
		return make([]byte, min(n, 8))
	}
	var out []byte
	out, c.rest = c.rest[:n:n], c.rest[n:]
	return out
}

func (c *cursor) fixed() uint64 { return littleEndian.Uint64(c.take(8)) }

func (c *cursor) number(most uint64) uint64 {
	v, n := binary.Uvarint(c.rest)
	if c.bad || n <= 0 || v > most {
		c.bad = true
		return 0
	}
	c.rest = c.rest[n:]
	return v
}

func (c *cursor) bytes() []byte { return c.take(c.number(1<<64 - 1)) }

// extents appends the extents to out, which may have room for them.
func (c *cursor) extents(out []extent) []extent {
	count := c.number(1<<32 - 1)
	if count > uint64(len(c.rest))/3 { // three bytes each at least
		c.bad = true
		return nil
	}
	out = slices.Grow(out, int(count))
	for range count {
		e := extent{uint32(c.number(1<<32 - 1)), uint32(c.number(1<<32 - 1)), uint32(c.number(1<<32 - 1))}
		if e.segment == 0 || e.offset < segmentHeaderBytes || e.blocks == 0 {
			c.bad = true
			return nil
		}
		out = append(out, e)
	}
	return out
}

func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
