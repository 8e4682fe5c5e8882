package purge

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc64"
	"time"

	"selvage/cache"
)

// What the file holds. Numbers in keys are big-endian, so that they sort; in values they are little-endian.
//
//	journal
//	    "state"     version 4 bytes, identity 16, reserved 8, marked 8, all 24, floor 24, transaction 8, sum 8, checksum 8
//	rows
//	    slot 4      table 1, last numbers 24, name
//	history         the purges by Add; the rows have those with a number up to marked
//	    number 8    time 8 (ms since 1970), kind 1, all 1, who and why, then of each selector: table 1, name.
//	                Before each text stands its length (uvarint)
//
// bbolt has checksums for its two roots only, so the state carries the number of the transaction that wrote it, which the
// root has too, and the sum of the checksums of all rows and of the history: whatever is lost, altered or from another time,
// one of the two does not fit.
//
// Version 1 had no history, no prefixes and no globs. It is not read: its journal is put aside, and the cache begins empty.
const version = 2

var (
	littleEndian = binary.LittleEndian
	bigEndian    = binary.BigEndian
	ecma         = crc64.MakeTable(crc64.ECMA)
)

var (
	errDamaged = errors.New("damaged")
	errVersion = fmt.Errorf("%w: of another version", errDamaged)
)

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
	marked      uint64 // the rows have all purges of the history up to this one
	all         lasts
	floor       lasts
	transaction uint64
	sum         uint64
}

const stateBytes = 4 + 16 + 2*8 + 2*lastsBytes + 8 + 8 + 8

func (s *state) encode() []byte {
	b := littleEndian.AppendUint32(make([]byte, 0, stateBytes), version)
	b = append(b, s.identity[:]...)
	b = littleEndian.AppendUint64(b, s.reserved)
	b = littleEndian.AppendUint64(b, s.marked)
	b = s.all.append(b)
	b = s.floor.append(b)
	b = littleEndian.AppendUint64(b, s.transaction)
	b = littleEndian.AppendUint64(b, s.sum)
	return littleEndian.AppendUint64(b, crc64.Checksum(b, ecma))
}

func decodeState(b []byte) (s state, err error) {
	if len(b) >= 4 && len(b) != stateBytes && littleEndian.Uint32(b) != version {
		return s, fmt.Errorf("state: %w: format version %d, this program reads %d", errVersion, littleEndian.Uint32(b), version)
	}
	if len(b) != stateBytes || crc64.Checksum(b[:stateBytes-8], ecma) != littleEndian.Uint64(b[stateBytes-8:]) {
		return s, fmt.Errorf("state: %w", errDamaged)
	}
	if v := littleEndian.Uint32(b); v != version {
		return s, fmt.Errorf("state: %w: format version %d, this program reads %d", errVersion, v, version)
	}
	s.identity, b = [16]byte(b[4:20]), b[20:]
	s.reserved, b = littleEndian.Uint64(b), b[8:]
	s.marked, b = littleEndian.Uint64(b), b[8:]
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
	if len(key) != 4 || len(value) <= 1+lastsBytes || table(value[0]) >= tableCount {
		return nil, fmt.Errorf("row %x: %w", key, errDamaged)
	}
	l := decodeLasts(value[1:])
	return &row{
		selector: selector{table(value[0]), string(value[1+lastsBytes:])},
		marks:    l.marks(),
		slot:     bigEndian.Uint32(key),
	}, nil
}

func (r *Record) encode() []byte {
	b := littleEndian.AppendUint64(nil, uint64(r.Time.UnixMilli()))
	b = append(b, byte(r.Kind), 0)
	if r.All {
		b[9] = 1
	}
	b = appendText(appendText(b, r.By), r.Why)
	for s := range r.selectors {
		b = appendText(append(b, byte(s.table)), s.name)
	}
	return b
}

func appendText(b []byte, text string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(text))), text...)
}

// decodeRecord returns a purge that Add would take.
func decodeRecord(key, value []byte) (r Record, err error) {
	if len(key) != 8 || len(value) < 10 || value[9] > 1 {
		return r, fmt.Errorf("purge %x: %w", key, errDamaged)
	}
	r.Number, r.Time = bigEndian.Uint64(key), time.UnixMilli(int64(littleEndian.Uint64(value))).UTC()
	r.Kind, r.All = cache.Verdict(value[8]), value[9] == 1
	if err := r.decodeTexts(value[10:]); err != nil {
		return r, fmt.Errorf("purge %x: %w", key, err)
	}
	if err := r.check(); err != nil {
		return r, fmt.Errorf("purge %x: %w: %w", key, errDamaged, err)
	}
	return r, nil
}

func (r *Record) decodeTexts(b []byte) error {
	var ok bool
	for _, word := range []*string{&r.By, &r.Why} {
		if *word, b, ok = cutText(b); !ok {
			return errDamaged
		}
	}
	for len(b) > 0 {
		in := table(b[0])
		if in >= tableCount {
			return errDamaged
		}
		var name string
		if name, b, ok = cutText(b[1:]); !ok {
			return errDamaged
		}
		*r.names(in) = append(*r.names(in), name)
	}
	return nil
}

// cutText takes a text off the front of b.
func cutText(b []byte) (text string, rest []byte, ok bool) {
	length, n := binary.Uvarint(b)
	if n <= 0 || length > uint64(len(b)-n) {
		return "", nil, false
	}
	end := n + int(length)
	return string(b[n:end]), b[end:], true
}
