package purge

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc64"

	"selvage/cache"
)

// What the file holds. Numbers in keys are big-endian, so that they sort; in values they are little-endian.
//
//	journal
//	    "state"     version 4 bytes, identity 16, reserved 8, all 24, floor 24, transaction 8, sum 8, checksum 8
//	rows
//	    slot 4      table 1, last numbers 24, name
//	added           purges that came into force after the rows were written
//	    number 8    kind 1, all 1, then of each selector: table 1, length of the name (uvarint), name
//
// bbolt has checksums for its two roots only, so the state carries the number of the transaction that wrote it, which the
// root has too, and the sum of the checksums of all rows and of all that was added: whatever is lost, altered or from another
// time, one of the two does not fit.
const version = 1

var (
	littleEndian = binary.LittleEndian
	bigEndian    = binary.BigEndian
	ecma         = crc64.MakeTable(crc64.ECMA)
)

var errDamaged = errors.New("damaged")

// checksum is what a key and its value add to the sum.
func checksum(key, value []byte) uint64 {
	return crc64.Update(crc64.Checksum(key, ecma), ecma, value)
}

// lasts are the last numbers of each kind: what is kept of marks. The number before the last is for a reader who began
// before the last purge, and there is none after a restart.
type lasts [cache.Hard]uint64

const lastsBytes = 8 * len(lasts{})

func (m *marks) lasts() (l lasts) {
	for i := range m {
		l[i] = m[i].last
	}
	return l
}

func (l *lasts) marks() (m marks) {
	for i := range l {
		m[i].last = l[i]
	}
	return m
}

func (l *lasts) append(b []byte) []byte {
	for _, number := range l {
		b = littleEndian.AppendUint64(b, number)
	}
	return b
}

func decodeLasts(b []byte) (l lasts) {
	for i := range l {
		l[i] = littleEndian.Uint64(b[8*i:])
	}
	return l
}

// state is what the file says of the whole journal.
type state struct {
	identity    [16]byte
	reserved    uint64 // no number above it has been used
	all         lasts
	floor       lasts
	transaction uint64
	sum         uint64
}

const stateBytes = 4 + 16 + 8 + 2*lastsBytes + 8 + 8 + 8

func (s *state) encode() []byte {
	b := littleEndian.AppendUint32(make([]byte, 0, stateBytes), version)
	b = append(b, s.identity[:]...)
	b = littleEndian.AppendUint64(b, s.reserved)
	b = s.all.append(b)
	b = s.floor.append(b)
	b = littleEndian.AppendUint64(b, s.transaction)
	b = littleEndian.AppendUint64(b, s.sum)
	return littleEndian.AppendUint64(b, crc64.Checksum(b, ecma))
}

func decodeState(b []byte) (s state, err error) {
	if len(b) != stateBytes || crc64.Checksum(b[:stateBytes-8], ecma) != littleEndian.Uint64(b[stateBytes-8:]) {
		return s, fmt.Errorf("state: %w", errDamaged)
	}
	if v := littleEndian.Uint32(b); v != version {
		return s, fmt.Errorf("state: %w: format version %d, want %d", errDamaged, v, version)
	}
	s.identity, b = [16]byte(b[4:20]), b[20:]
	s.reserved, b = littleEndian.Uint64(b), b[8:]
	s.all, b = decodeLasts(b), b[lastsBytes:]
	s.floor, b = decodeLasts(b), b[lastsBytes:]
	s.transaction, s.sum = littleEndian.Uint64(b), littleEndian.Uint64(b[8:])
	return s, nil
}

func slotKey(slot uint32) []byte     { return bigEndian.AppendUint32(nil, slot) }
func numberKey(number uint64) []byte { return bigEndian.AppendUint64(nil, number) }

func (r *row) encode() []byte {
	b := append(make([]byte, 0, 1+lastsBytes+len(r.selector.name)), byte(r.selector.table))
	l := r.marks.lasts()
	return append(l.append(b), r.selector.name...)
}

func decodeRow(key, value []byte) (*row, error) {
	if len(key) != 4 || len(value) <= 1+lastsBytes || table(value[0]) > byURL {
		return nil, fmt.Errorf("row %x: %w", key, errDamaged)
	}
	l := decodeLasts(value[1:])
	return &row{
		selector: selector{table(value[0]), string(value[1+lastsBytes:])},
		marks:    l.marks(),
		slot:     bigEndian.Uint32(key),
	}, nil
}

func (e *Entry) encode() []byte {
	b := []byte{byte(e.Kind), 0}
	if e.All {
		b[1] = 1
	}
	for s := range e.selectors {
		b = append(b, byte(s.table))
		b = binary.AppendUvarint(b, uint64(len(s.name)))
		b = append(b, s.name...)
	}
	return b
}

// decodeEntry returns an Entry that Add would take.
func decodeEntry(b []byte) (e Entry, err error) {
	if len(b) < 2 || b[1] > 1 {
		return e, fmt.Errorf("purge: %w", errDamaged)
	}
	e.Kind, e.All = cache.Verdict(b[0]), b[1] == 1
	tables := [...]*[]string{bySite: &e.Sites, byHost: &e.Hosts, byTag: &e.Tags, byURL: &e.URLs}
	for b = b[2:]; len(b) > 0; {
		length, n := binary.Uvarint(b[1:])
		if int(b[0]) >= len(tables) || n <= 0 || length > uint64(len(b)-1-n) {
			return e, fmt.Errorf("purge: %w", errDamaged)
		}
		name := b[1+n:][:length]
		names := tables[b[0]]
		*names = append(*names, string(name))
		b = b[1+n+len(name):]
	}
	if err := e.check(); err != nil {
		return e, fmt.Errorf("purge: %w: %w", errDamaged, err)
	}
	return e, nil
}
