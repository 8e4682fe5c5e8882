package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// segment is one append-only file of blocks. Only the writer appends, and only it drops segments; anyone may read one that
// it has pinned.
type segment struct {
	// Immutable; nonce and file once a record of the segment can be found.
	number uint32
	nonce  uint64
	file   File // nil: found at start and not open yet; set with mu held

	size atomic.Int64 // bytes written; set by the writer
	live atomic.Int64 // of them, bytes of records that can be found; set by the writer

	forgotten int64 // of them, bytes that say that a name is forgotten, as far as known; owned by the writer

	mu       sync.Mutex
	pins     int       // guarded by mu
	dropped  time.Time // guarded by mu; zero before
	unlinked bool      // guarded by mu; set by the writer: the name is removed
	closed   bool      // guarded by mu
}

// segmentName returns the file name of a segment. It is all that a name on disk is ever made of.
func segmentName(number uint32) string { return fmt.Sprintf("%08x.seg", number) }

// segmentNumber is the reverse of segmentName.
func segmentNumber(name string) (number uint32, ok bool) {
	if _, err := fmt.Sscanf(name, "%08x.seg", &number); err != nil || number == 0 {
		return 0, false
	}
	return number, name == segmentName(number)
}

func (t *Tier) path(name string) string { return filepath.Join(t.dir, name) }

// createSegment makes the file of a new segment: open(O_CREAT|O_EXCL), pwrite of the header. It is durable with the first
// sync of the segment and of the directory.
func (t *Tier) createSegment(number uint32) (*segment, error) {
	name := t.path(segmentName(number))
	f, err := t.fs.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("create segment: %w", err)
	}
	s := &segment{number: number, nonce: NewFill(), file: f}
	header := segmentHeader{number: number, identity: t.Identity(), nonce: s.nonce}
	if _, err := f.WriteAt(header.encode(), 0); err != nil {
		f.Close()
		t.fs.Remove(name)
		return nil, fmt.Errorf("create segment: %w", err)
	}
	s.size.Store(segmentHeaderBytes)
	return s, nil
}

// openSegment opens the file of a segment found at start and checks that it is one of ours.
func (t *Tier) openSegment(s *segment) error {
	if s.file != nil {
		return nil
	}
	f, err := t.fs.OpenFile(t.path(segmentName(s.number)), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	if err := t.checkSegment(s, f); err != nil {
		f.Close()
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.file = f
	return nil
}

func (t *Tier) checkSegment(s *segment, f File) error {
	size, err := f.Size()
	if err != nil {
		return err
	}
	if size < segmentHeaderBytes {
		return fmt.Errorf("segment header: cut short: %w", errDamaged)
	}
	var b [segmentHeaderBytes]byte
	if _, err := f.ReadAt(b[:], 0); err != nil {
		return err
	}
	header, err := decodeSegmentHeader(b[:])
	switch {
	case err != nil:
		return err
	case header.number != s.number || header.identity != t.Identity():
		return fmt.Errorf("segment header: %w", errOtherCache)
	}
	s.nonce = header.nonce
	s.size.Store(size)
	return nil
}

// unreadable reports whether an error of opening a file is of the machine and not of the file, which may be good then.
func unreadable(err error) bool {
	return slices.ContainsFunc([]error{
		syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.EIO, syscall.EACCES, syscall.EPERM,
	}, func(of error) bool { return errors.Is(err, of) })
}

// segment returns a segment that can be found, or nil.
func (t *Tier) segment(number uint32) *segment {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.segments[number]
}

// pin returns a segment that then stays readable until unpin, or nil when it is gone.
func (t *Tier) pin(number uint32) *segment {
	s := t.segment(number)
	if s == nil || !s.pin() {
		return nil
	}
	return s
}

func (s *segment) pin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file == nil || !s.dropped.IsZero() {
		return false
	}
	s.pins++
	return true
}

func (s *segment) unpin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pins--; s.pins == 0 && !s.dropped.IsZero() {
		s.closeLocked()
	}
}

// drop ends the segment once nobody reads it.
func (s *segment) drop(now time.Time, unlinked bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dropped, s.unlinked = now, unlinked
	if s.pins == 0 {
		s.closeLocked()
	}
}

// unlink notes that the name is removed.
func (s *segment) unlink() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unlinked = true
}

// expire ends a dropped segment whose readers have had their time. It reports whether nothing is left of the segment.
func (s *segment) expire(before time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dropped.Before(before) {
		s.closeLocked()
	}
	return s.closed && s.unlinked
}

func (s *segment) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closeLocked()
}

// closeLocked also cuts a segment that was dropped and still has its name, or the next start would find it all again.
func (s *segment) closeLocked() {
	if !s.closed && s.file != nil {
		if !s.dropped.IsZero() && !s.unlinked {
			s.file.Truncate(0)
		}
		s.file.Close()
	}
	s.closed = true
}

// discard takes a segment out of sight, and its name off the disk. The bytes are free when its last reader has left.
func (t *Tier) discard(s *segment) {
	s.drop(t.now(), t.removeFile(s))
	t.mu.Lock()
	delete(t.segments, s.number)
	t.leaving = append(t.leaving, s)
	t.mu.Unlock()
	t.collect()
}

// removeFile removes the name of a dropped segment. It returns false when it has to be tried again.
func (t *Tier) removeFile(s *segment) bool {
	err := t.fs.Remove(t.path(segmentName(s.number)))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.complain("remove segment", err)
		return false
	}
	return true
}

// readerPatience is how long a reader may stay on a segment that was dropped.
const readerPatience = 60 * time.Second

// collect removes the names of dropped segments, as often as it takes, and forgets those that hold no more space.
func (t *Tier) collect() {
	t.mu.RLock()
	leaving := t.leaving
	t.mu.RUnlock()
	var staying []*segment
	for _, s := range leaving {
		if !s.unlinked && t.removeFile(s) {
			s.unlink()
		}
		if !s.expire(t.now().Add(-readerPatience)) {
			staying = append(staying, s)
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.leaving = staying
}

// used returns the bytes on disk: of segments, of dropped ones that somebody still reads, of the index and of guests.
func (t *Tier) used() int64 {
	t.mu.RLock()
	defer t.mu.RUnlock()
	sum := t.indexBytes.Load() + t.guestBytes.Load()
	for _, s := range t.segments {
		sum += s.size.Load()
	}
	for _, s := range t.leaving {
		sum += s.size.Load()
	}
	return sum
}

// oldest returns the segment that has been there longest, but not the one given; nil for none.
func (t *Tier) oldest(but *segment) (first *segment) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	for _, s := range t.segments {
		if s != but && (first == nil || s.number < first.number) {
			first = s
		}
	}
	return first
}
