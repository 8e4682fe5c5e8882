package disk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"slices"
	"time"

	"go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"
)

// index is a bbolt file that tells what the segments hold, so that a start need not read them. It is keyed by location, so
// that inserts are appends and the records of a segment leave as one bucket. The request path never comes near it.
//
//	cache              version 4 bytes, identity 16, highest epoch 8
//	segments           a bucket for every segment, by its number in 4 bytes, big-endian
//	    "mark"         nonce 8, bytes known 8, records 8
//	    offset 4       hash 8, check 8, head 4, body 4, from 4, flags 1, CRC-32C 4
//
// All numbers in values are little-endian. bbolt has checksums for its two roots only, so each entry carries its own,
// begun with the segment's nonce and the offset, and each segment the number of its entries.
type index struct {
	db   *bbolt.DB
	file *os.File // bbolt's, which closes it
}

// mark says how much of a segment an index knows.
type mark struct {
	nonce uint64
	known int64 // bytes: what begins before is in the index, or dead
	count uint64
}

const (
	markBytes    = 24
	entryBytes   = 33
	applyAtOnce  = 32 << 10    // entries in one transaction, about
	indexWorth   = 1 << 20     // bytes of an index that is worth being rewritten
	mmapAtFirst  = 64 << 20    // of address space
	growthBytes  = 64 << 10    // that the file grows ahead
	indexPatient = time.Second // for another process that still closes it
)

var (
	cacheBucket    = []byte("cache")
	segmentsBucket = []byte("segments")
	markKey        = []byte("mark")
	versionKey     = []byte("version")
	identityKey    = []byte("identity")
	epochKey       = []byte("epoch")
)

// guard runs what touches an index. bbolt trusts its file: damage shows as a panic, or as a fault of the memory map when
// the file was cut short.
//
// What bbolt does in goroutines of its own cannot be guarded. It walks the whole file in one to find what is free, when the
// list of that is not in the file (NoFreelistSync), so we leave that option alone; and an index that was there at start,
// which may be damaged, is only ever opened to be read, where the list is not needed.
func guard(f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("index: %w: %v", errDamaged, r)
		}
	}()
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	return f()
}

// openIndex opens an index to be read, or makes one to be written.
func openIndex(path string, write bool) (x *index, err error) {
	x = &index{}
	flags := 0
	if write {
		flags = os.O_EXCL
	}
	err = guard(func() (err error) {
		x.db, err = bbolt.Open(path, 0o600, &bbolt.Options{
			ReadOnly:        !write,
			Timeout:         indexPatient,
			FreelistType:    bbolt.FreelistMapType,
			InitialMmapSize: mmapAtFirst,
			OpenFile: func(name string, flag int, perm os.FileMode) (*os.File, error) {
				x.file, err = openPlain(name, flag|flags, perm)
				return x.file, err
			},
		})
		return err
	})
	if err != nil {
		return nil, err
	}
	x.db.AllocSize = growthBytes
	return x, nil
}

// begin makes an empty index that of a cache. Nothing is synced until settle.
func (x *index) begin(identity [16]byte) error {
	x.db.NoSync, x.db.NoGrowSync = true, true
	return guard(func() error {
		return x.db.Update(func(tx *bbolt.Tx) error {
			b, err := tx.CreateBucket(cacheBucket)
			if err != nil {
				return err
			}
			_, err = tx.CreateBucket(segmentsBucket)
			return errors.Join(err, b.Put(identityKey, identity[:]), b.Put(versionKey, littleEndian.AppendUint32(nil, version)))
		})
	})
}

// settle makes durable what was written since begin; from here on every change is synced by itself.
func (x *index) settle() error {
	x.db.NoSync, x.db.NoGrowSync = false, false
	return guard(x.db.Sync)
}

// check reports whether the index is of the cache, and its highest epoch.
func (x *index) check(identity [16]byte) (epoch uint64, err error) {
	err = x.view(func(tx *bbolt.Tx) error {
		b, segments := tx.Bucket(cacheBucket), tx.Bucket(segmentsBucket)
		if b == nil || segments == nil {
			return fmt.Errorf("index: %w", errDamaged)
		}
		if root := uint64(segments.Root()); root != 0 {
			if err := checkPages(x.file, x.db.Info().PageSize, root); err != nil {
				return err
			}
		}
		if v := b.Get(versionKey); len(v) != 4 || littleEndian.Uint32(v) != version {
			return fmt.Errorf("index: format version %x, want %d", v, version)
		}
		if string(b.Get(identityKey)) != string(identity[:]) {
			return fmt.Errorf("index: %w", errOtherCache)
		}
		if v := b.Get(epochKey); len(v) == 8 {
			epoch = littleEndian.Uint64(v)
		}
		return nil
	})
	return epoch, err
}

func (x *index) view(f func(*bbolt.Tx) error) error {
	return guard(func() error { return x.db.View(f) })
}

// entries calls f for every entry of a segment in order of offsets, and returns how much of the segment the index knows.
// Nothing is known of a segment that is not in it, or is there under another nonce.
func (x *index) entries(segment uint32, nonce uint64, f func(entry)) (m mark, err error) {
	err = x.view(func(tx *bbolt.Tx) error {
		b := tx.Bucket(segmentsBucket).Bucket(binary.BigEndian.AppendUint32(nil, segment))
		if b == nil {
			return nil
		}
		if m, err = decodeMark(b.Get(markKey)); err != nil {
			return err
		}
		if m.nonce != nonce {
			m = mark{}
			return nil
		}
		return eachEntry(b, segment, m, f)
	})
	if err != nil {
		return mark{}, err
	}
	return m, nil
}

func eachEntry(b *bbolt.Bucket, segment uint32, m mark, f func(entry)) error {
	count := uint64(0)
	c := b.Cursor()
	for k, v := c.First(); k != nil; k, v = c.Next() {
		if len(k) != 4 || string(k) == string(markKey) && len(v) == markBytes {
			continue
		}
		e, err := decodeEntry(locate(segment, int64(binary.BigEndian.Uint32(k))), v, m.nonce)
		if err != nil {
			return err
		}
		count++
		f(e)
	}
	if count != m.count {
		return fmt.Errorf("index: %d entries of segment %08x, want %d: %w", count, segment, m.count, errDamaged)
	}
	return nil
}

// apply writes changes in as few transactions as their number allows, and those of one segment in one, with its mark: what
// is not applied yet, the segment itself will tell at the next start. It goes from the oldest segment on, since of one name
// what is told last counts.
func (x *index) apply(all changes, marks map[uint32]mark, epoch uint64) error {
	numbers := make([]uint32, 0, len(all))
	for number := range all {
		numbers = append(numbers, number)
	}
	slices.Sort(numbers)
	for len(numbers) > 0 {
		count, entries := 0, 0
		for count < len(numbers) && entries < applyAtOnce {
			entries += len(all[numbers[count]].slots)
			count++
		}
		err := guard(func() error {
			return x.db.Update(func(tx *bbolt.Tx) error { return applyTo(tx, numbers[:count], all, marks, epoch) })
		})
		if err != nil {
			return err
		}
		numbers = numbers[count:]
	}
	return nil
}

func applyTo(tx *bbolt.Tx, numbers []uint32, all changes, marks map[uint32]mark, epoch uint64) error {
	segments := tx.Bucket(segmentsBucket)
	for _, number := range numbers {
		key := binary.BigEndian.AppendUint32(nil, number)
		m, there := marks[number]
		if all[number].dropped || !there {
			if err := segments.DeleteBucket(key); err != nil && !errors.Is(err, bbolterrors.ErrBucketNotFound) {
				return err
			}
			continue
		}
		b, err := segments.CreateBucketIfNotExists(key)
		if err != nil {
			return err
		}
		if err := applySegment(b, all[number], m); err != nil {
			return err
		}
	}
	return tx.Bucket(cacheBucket).Put(epochKey, littleEndian.AppendUint64(nil, epoch))
}

func applySegment(b *bbolt.Bucket, c *change, m mark) error {
	b.FillPercent = 0.9 // offsets rise
	if old, err := decodeMark(b.Get(markKey)); err == nil {
		m.count = old.count
	}
	offsets := make([]uint32, 0, len(c.slots))
	for offset := range c.slots {
		offsets = append(offsets, offset)
	}
	slices.Sort(offsets)
	for _, offset := range offsets {
		key, e := binary.BigEndian.AppendUint32(nil, offset), c.slots[offset]
		had := b.Get(key) != nil
		switch {
		case e.at == 0 && had:
			m.count--
			if err := b.Delete(key); err != nil {
				return err
			}
		case e.at != 0:
			if !had {
				m.count++
			}
			if err := b.Put(key, e.append(nil, m.nonce)); err != nil {
				return err
			}
		}
	}
	return b.Put(markKey, m.append(nil))
}

func (m *mark) append(b []byte) []byte {
	b = littleEndian.AppendUint64(b, m.nonce)
	b = littleEndian.AppendUint64(b, uint64(m.known))
	return littleEndian.AppendUint64(b, m.count)
}

func decodeMark(b []byte) (mark, error) {
	if len(b) != markBytes {
		return mark{}, fmt.Errorf("index: mark: %w", errDamaged)
	}
	return mark{littleEndian.Uint64(b), int64(littleEndian.Uint64(b[8:])), littleEndian.Uint64(b[16:])}, nil
}

func (e *entry) append(b []byte, nonce uint64) []byte {
	start := len(b)
	b = littleEndian.AppendUint64(b, e.hash)
	b = littleEndian.AppendUint64(b, e.check)
	b = littleEndian.AppendUint32(b, e.head)
	b = littleEndian.AppendUint32(b, e.body)
	b = littleEndian.AppendUint32(b, e.from)
	b = append(b, byte(e.flags))
	return littleEndian.AppendUint32(b, placeChecksum(b[start:], nonce, e.at.offset()))
}

func decodeEntry(at Location, b []byte, nonce uint64) (e entry, err error) {
	if len(b) != entryBytes || placeChecksum(b[:29], nonce, at.offset()) != littleEndian.Uint32(b[29:]) {
		return e, fmt.Errorf("index: entry %v: %w", at, errDamaged)
	}
	e.id = id{littleEndian.Uint64(b), littleEndian.Uint64(b[8:])}
	e.slot = slot{
		at: at, head: littleEndian.Uint32(b[16:]), body: littleEndian.Uint32(b[20:]),
		from: littleEndian.Uint32(b[24:]), flags: slotFlags(b[28]) & persistent,
	}
	return e, nil
}

// bytes returns the size of the file, at most.
func (x *index) bytes() (size int64) {
	x.view(func(tx *bbolt.Tx) error {
		size = tx.Size() + growthBytes
		return nil
	})
	return size
}

// mostlyFree reports whether half of the file is free, so that it is worth being written anew.
func (x *index) mostlyFree() bool {
	stats := x.db.Stats()
	free := int64(stats.FreePageN+stats.PendingPageN) * int64(x.db.Info().PageSize)
	size := x.bytes()
	return size > indexWorth && free > size/2
}

func (x *index) close() error { return guard(x.db.Close) }

// abandon lets go of an index that has failed. After a panic inside bbolt, Close might wait for ever for a lock that nobody
// will give back; then the descriptor and the address space stay taken.
func (x *index) abandon(err error) {
	if !errors.Is(err, errDamaged) {
		x.close()
	}
}
