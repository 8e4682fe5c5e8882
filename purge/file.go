package purge

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"runtime/debug"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	bberrors "go.etcd.io/bbolt/errors"
)

// ErrInUse means that another process has the journal's file open.
var ErrInUse = errors.New("another process has it open")

// patience is for another process that still closes the file.
const patience = time.Second

var (
	journalBucket = []byte("journal")
	rowsBucket    = []byte("rows")
	historyBucket = []byte("history")
	stateKey      = []byte("state")
)

// file is the journal's bbolt file. A write is on disk, whole, when it returns: pwrite of the new pages, fdatasync, pwrite of
// one of the two roots, fdatasync.
//
// Room on the disk is set aside ahead of what is written: what fills a disk up is mostly the cache that purges are about, and
// while it makes room bit by bit they must not be refused.
//
// One whose name is lost in a power cut, as its directory was not synced, is a lost journal: the next has another identity.
type file struct {
	db     *bbolt.DB
	handle *os.File
	aside  int64 // bytes that the disk is known to have room for, from the start of the file
	broken error // set for good once bbolt has met damage: it may have kept a lock that nobody gives back
}

// guard runs what touches the file. bbolt trusts it: damage shows as a panic, or as a fault of the memory map when the file
// was cut short.
func guard(f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: %v", errDamaged, r)
		}
	}()
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	return f()
}

// openFile opens a file that is there, or makes one.
func openFile(path string) (*file, error) {
	f := &file{}
	err := guard(func() (err error) {
		f.db, err = bbolt.Open(path, 0o600, &bbolt.Options{
			Timeout:      patience,
			FreelistType: bbolt.FreelistMapType,
			OpenFile:     f.openPlain,
		})
		return err
	})
	if err == nil {
		err = f.checkRoots()
	}
	if err != nil {
		f.close()
		return nil, explain(err)
	}
	return f, nil
}

// openPlain opens what stands at the name itself: a symbolic link is an error.
func (f *file) openPlain(name string, flag int, perm os.FileMode) (_ *os.File, err error) {
	f.handle, err = os.OpenFile(name, flag|syscall.O_NOFOLLOW, perm)
	return f.handle, err
}

// explain tells what is wrong with the file from what is wrong around it. What bbolt says of a file's contents is no error of
// a system call.
func explain(err error) error {
	var system syscall.Errno
	switch {
	case errors.Is(err, bberrors.ErrTimeout):
		return ErrInUse
	case errors.Is(err, errDamaged), errors.As(err, &system):
		return err
	}
	return fmt.Errorf("%w: %w", errDamaged, err)
}

// checkRoots tries both roots of the file. bbolt takes the older where the newer is damaged, and would so take back the last
// purge without a word. A write cut short by a power failure looks the same; it costs a cold cache.
func (f *file) checkRoots() error {
	const header, sealed, whole = 16, 56, 64 // bytes: of a page's header, of a root under its checksum, and with it
	pageBytes := int64(f.db.Info().PageSize)
	for page := range int64(2) {
		var root [whole]byte
		if _, err := f.handle.ReadAt(root[:], page*pageBytes+header); err != nil {
			return fmt.Errorf("root %d: %w: %w", page, errDamaged, err)
		}
		sum := fnv.New64a()
		sum.Write(root[:sealed])
		if sum.Sum64() != binary.NativeEndian.Uint64(root[sealed:]) {
			return fmt.Errorf("root %d: %w", page, errDamaged)
		}
	}
	return nil
}

// empty reports whether nothing has ever been written.
func (f *file) empty() (yes bool, err error) {
	err = guard(func() error {
		return f.db.View(func(tx *bbolt.Tx) error {
			first, _ := tx.Cursor().First()
			yes = first == nil
			return nil
		})
	})
	return yes, err
}

// begin writes the state of an empty journal.
func (f *file) begin(s state) error {
	return f.update(func(tx *bbolt.Tx) error {
		if _, err := tx.CreateBucket(journalBucket); err != nil {
			return err
		}
		_, rowsErr := tx.CreateBucket(rowsBucket)
		_, historyErr := tx.CreateBucket(historyBucket)
		return errors.Join(rowsErr, historyErr, writeState(tx, s))
	})
}

func (f *file) update(change func(*bbolt.Tx) error) error {
	if f.broken != nil {
		return f.broken
	}
	err := guard(func() error { return f.db.Update(change) })
	if errors.Is(err, errDamaged) {
		f.broken = err
		return err
	}
	f.setAside()
	return err
}

// ahead is the room that the file has on the disk beyond what it uses: for the largest purges twice, for thousands of small ones.
const ahead = 1 << 20

// setAside renews that room once half of it is used up. Where there is none at the moment, the next batch tries again.
func (f *file) setAside() {
	used, err := f.used()
	if err == nil && f.aside < used+ahead/2 && allocate(f.handle, used+ahead) == nil {
		f.aside = used + ahead
	}
}

// used returns how far into the file pages go.
func (f *file) used() (bytes int64, err error) {
	err = guard(func() error {
		return f.db.View(func(tx *bbolt.Tx) error {
			bytes = tx.Size()
			return nil
		})
	})
	return bytes, err
}

// write writes a batch.
func (f *file) write(b *batch) error { return f.update(b.write) }

// write takes from the history what memory has not: purges of batches that have failed, and what is too old. It takes the sum
// from the transaction, not from memory: after a failed sync the batch before may be in the file or not.
func (b *batch) write(tx *bbolt.Tx) error {
	s, err := readState(tx)
	if err != nil {
		return err
	}
	told, rows := tally{tx.Bucket(historyBucket), &s.sum}, tally{tx.Bucket(rowsBucket), &s.sum}
	told.bucket.FillPercent, rows.bucket.FillPercent = 0.9, 0.9 // numbers and slots rise
	if err := told.keep(b.oldest, b.state.marked); err != nil {
		return err
	}
	for _, a := range b.additions {
		if err := told.put(numberKey(a.record.Number), a.record.encode()); err != nil {
			return err
		}
	}
	for i := range b.rows {
		if err := rows.put(slotKey(b.rows[i].slot), b.rows[i].encode()); err != nil {
			return err
		}
	}
	b.state.sum = s.sum
	return writeState(tx, b.state)
}

func readState(tx *bbolt.Tx) (state, error) {
	b := tx.Bucket(journalBucket)
	if b == nil || tx.Bucket(rowsBucket) == nil || tx.Bucket(historyBucket) == nil {
		return state{}, fmt.Errorf("state: %w: not a journal", errDamaged)
	}
	return decodeState(b.Get(stateKey))
}

func writeState(tx *bbolt.Tx, s state) error {
	s.transaction = uint64(tx.ID())
	return tx.Bucket(journalBucket).Put(stateKey, s.encode())
}

// tally changes a bucket and keeps the sum.
type tally struct {
	bucket *bbolt.Bucket
	sum    *uint64
}

func (t tally) put(key, value []byte) error {
	if old := t.bucket.Get(key); old != nil {
		*t.sum -= checksum(key, old)
	}
	*t.sum += checksum(key, value)
	return t.bucket.Put(key, value)
}

// keep deletes the numbers that are not from oldest to newest.
func (t tally) keep(oldest, newest uint64) error {
	c := t.bucket.Cursor()
	for k, v := c.First(); k != nil && bigEndian.Uint64(k) < oldest; k, v = c.First() {
		if err := t.delete(c, k, v); err != nil {
			return err
		}
	}
	for k, v := c.Last(); k != nil && bigEndian.Uint64(k) > newest; k, v = c.Last() {
		if err := t.delete(c, k, v); err != nil {
			return err
		}
	}
	return nil
}

// delete deletes what the cursor is at.
func (t tally) delete(c *bbolt.Cursor, key, value []byte) error {
	*t.sum -= checksum(key, value)
	return c.Delete()
}

// close lets go of the file. After damage bbolt might wait for ever for its own lock: then the memory map stays, and as that
// keeps flock(2)'s lock too, the lock is given back by itself.
func (f *file) close() error {
	if f.db != nil && f.broken == nil {
		return guard(f.db.Close)
	}
	if f.handle == nil {
		return nil
	}
	syscall.Flock(int(f.handle.Fd()), syscall.LOCK_UN)
	return f.handle.Close()
}
