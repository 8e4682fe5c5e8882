package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Errors that a caller may branch on.
var (
	ErrInUse       = errors.New("in use by another process")
	ErrForeign     = errors.New("not a cache directory")
	ErrClosed      = errors.New("disk tier closed")
	ErrUnavailable = errors.New("disk tier unavailable for now")
	ErrTooLarge    = errors.New("too large for the disk tier")
	ErrGone        = errors.New("no longer on disk")

	errFull   = errors.New("queue full")
	errNoRoom = errors.New("no room within the limit")
)

// Sizes of the tier.
const (
	MinLimit = 16 << 20 // the smallest directory: four segments

	minSegment  = 4 << 20
	maxSegment  = 256 << 20
	segmentPart = 32 // segments in a directory between those bounds
	largestPart = 8  // a body is at most this part of the limit
	queueBytes  = 32 << 20
)

// Options say how a Tier behaves. The zero value of all but Limit will do.
type Options struct {
	Limit int64 // bytes of the directory, index included
	FS    FS    // nil: the operating system's
	Log   *slog.Logger
	Now   func() time.Time

	// Existing refuses a directory that holds no cache with a good identity, in place of making it one.
	Existing bool
	// Trust is asked once, when all records found at start are known and before any of them is shown: false drops them
	// all. A highest epoch that the purge journal has never given out means that the journal is not the one that the
	// records were written under. It may not call the Tier.
	Trust func(highestEpoch uint64) bool
	// Useful is asked whether a record is worth being kept when its turn to leave has come, although it was looked up
	// since it was written. It may not call the Tier.
	Useful func(*Record) bool
	// Held reports whether memory above holds a record whose name has that hash: then it may well be wanted, although it is
	// never looked up here.
	Held func(hash uint64) bool

	segmentBytes int64                                         // for tests; 0 is a part of the limit
	openIndex    func(path string, write bool) (*index, error) // for tests
}

// Tier is a cache directory.
type Tier struct {
	// Immutable.
	dir          string
	fs           FS
	log          *slog.Logger
	now          func() time.Time
	options      Options
	segmentBytes int64
	born         uint32 // number of the first segment made by this process; those below were found
	lock         Lock
	loaded       chan struct{} // closed when the records found at start are shown, or dropped
	halted       chan struct{} // closed when a panic has ended the writing

	table *table
	queue *queue

	mu       sync.RWMutex
	identity identity            // name guarded by mu
	segments map[uint32]*segment // guarded by mu
	leaving  []*segment          // guarded by mu; dropped, and still holding space

	ready      atomic.Bool   // records found at start are shown
	resets     atomic.Int64  // that the writer has not come to: nothing is shown meanwhile
	epoch      atomic.Uint64 // the highest of any record
	paused     atomic.Int64  // no writes before this time, in Unix nanoseconds
	complained atomic.Int64  // when a failing disk was last spoken of, likewise
	indexBytes atomic.Int64
	guestBytes atomic.Int64
	counters   counters
}

// Open takes a directory, made if need be, for this process alone. It reads no records: Run does, in the background, and
// look-ups miss until it has. A Tier that is open must be Run, if only with a context that has ended, to let go of the
// directory.
func Open(dir string, o Options) (*Tier, error) {
	if o.Limit < MinLimit && o.segmentBytes == 0 {
		return nil, fmt.Errorf("open disk cache %s: limit of %d bytes, want at least %d", dir, o.Limit, MinLimit)
	}
	t := newTier(dir, o)
	if err := t.open(); err != nil {
		if t.lock != nil {
			t.lock.Close()
		}
		return nil, fmt.Errorf("open disk cache %s: %w", dir, err)
	}
	return t, nil
}

func newTier(dir string, o Options) *Tier {
	t := &Tier{
		dir: filepath.Clean(dir), fs: o.FS, log: o.Log, now: o.Now, options: o, segmentBytes: o.segmentBytes,
		loaded: make(chan struct{}), halted: make(chan struct{}), table: newTable(), queue: newQueue(min(queueBytes, o.Limit/largestPart)),
		segments: make(map[uint32]*segment),
	}
	if t.fs == nil {
		t.fs = system{}
	}
	if t.log == nil {
		t.log = slog.New(slog.DiscardHandler)
	}
	if t.now == nil {
		t.now = time.Now
	}
	if t.segmentBytes == 0 {
		t.segmentBytes = min(max(o.Limit/segmentPart, minSegment), maxSegment)
	}
	if t.options.openIndex == nil {
		t.options.openIndex = openIndex
	}
	return t
}

func (t *Tier) open() error {
	if t.options.Existing {
		if _, err := t.readIdentity(); err != nil {
			return err
		}
	}
	if err := t.prepare(); err != nil {
		return err
	}
	entries, err := t.fs.ReadDir(t.dir)
	if err != nil {
		return err
	}
	if err := checkOurs(entries); err != nil {
		return err
	}
	if t.lock, err = t.fs.Lock(t.path(lockName)); err != nil {
		return err
	}
	if t.fs, err = own(t.fs, t.path(lockName), t.lock); err != nil {
		return err
	}
	if err := t.fs.Chmod(t.dir, 0o700); err != nil {
		return err
	}
	// What was there may have changed until the lock was ours.
	if entries, err = t.fs.ReadDir(t.dir); err != nil {
		return err
	}
	if err := t.identify(); err != nil {
		return err
	}
	t.register(entries)
	t.countGuests()
	return nil
}

// prepare makes the directory, or sees that it is one.
func (t *Tier) prepare() error {
	info, err := t.fs.Lstat(t.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return t.fs.Mkdir(t.dir, 0o700)
	}
	switch {
	case err != nil:
		return err
	case info.Mode()&fs.ModeSymlink != 0:
		return errors.New("a symbolic link; name the directory itself")
	case !info.IsDir():
		return errors.New("not a directory")
	}
	return nil
}

// checkOurs refuses a directory that has no identity and holds what we have not put there: whoever named it has made a
// mistake that would cost them their files.
func checkOurs(entries []fs.DirEntry) error {
	var strange string
	for _, e := range entries {
		name := strings.TrimSuffix(e.Name(), freshSuffix)
		_, isSegment := segmentNumber(name)
		switch {
		case e.Name() == identityName:
			return nil
		case isSegment, name == identityName, name == lockName, name == indexName, name == "lost+found":
		case slices.Contains(guests, name):
		default:
			strange = e.Name()
		}
	}
	if strange != "" {
		return fmt.Errorf("%w: it holds %q", ErrForeign, strange)
	}
	return nil
}

// guests may share the directory, and what they take is not the tier's: the purge journal, also one that was put aside.
var guests = []string{"purges", "purges.damaged"}

// countGuests notes what the guests take.
func (t *Tier) countGuests() {
	sum := int64(0)
	for _, name := range guests {
		if info, err := t.fs.Lstat(t.path(name)); err == nil {
			sum += info.Size()
		}
	}
	t.guestBytes.Store(sum)
}

// register notes the segments that are there, unread, and removes what has no place among them.
func (t *Tier) register(entries []fs.DirEntry) {
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), freshSuffix) {
			t.fs.Remove(t.path(e.Name()))
		}
		number, ok := segmentNumber(e.Name())
		if !ok {
			continue
		}
		t.born = max(t.born, number)
		if !e.Type().IsRegular() { // a link is removed, not what it points to
			t.log.Warn("disk cache refuses what is no file in place of a segment", "dir", t.dir, "name", e.Name())
			t.fs.Remove(t.path(e.Name()))
			continue
		}
		s := &segment{number: number}
		if info, err := e.Info(); err == nil {
			s.size.Store(info.Size())
		}
		t.segments[number] = s
	}
	t.born++
}

// Loaded is closed once the records found at start are shown, or have been dropped.
func (t *Tier) Loaded() <-chan struct{} { return t.loaded }

// HighestEpoch returns the highest epoch of any record there has been. Until Loaded it knows of this process's own only.
func (t *Tier) HighestEpoch() uint64 { return t.epoch.Load() }

func (t *Tier) noteEpoch(epoch uint64) {
	for old := t.epoch.Load(); epoch > old && !t.epoch.CompareAndSwap(old, epoch); {
		old = t.epoch.Load()
	}
}

// MaxBody is the largest body that is kept.
func (t *Tier) MaxBody() int64 { return t.options.Limit / largestPart }

// retryPause is how long no write is tried after one has failed.
const retryPause = 5 * time.Second

// pause stops writing for a while: reads go on, and nothing new is kept.
func (t *Tier) pause(what string, err error) {
	t.paused.Store(t.now().Add(retryPause).UnixNano())
	t.complain(what, err)
}

// available reports whether writes may be tried. A pause that seems to last longer than one does was begun before the clock
// was set back.
func (t *Tier) available() bool {
	if t.off() {
		return false
	}
	left := t.paused.Load() - t.now().UnixNano()
	return left <= 0 || left > int64(retryPause)
}

// complain logs an error of the disk, at most once a minute.
func (t *Tier) complain(what string, err error) {
	t.counters.diskErrors.Add(1)
	now, last := t.now().UnixNano(), t.complained.Load()
	if last != 0 && now-last < int64(time.Minute) && now >= last {
		return
	}
	if t.complained.CompareAndSwap(last, now) {
		t.log.Error("disk cache cannot use the disk; serving goes on without it where it must", "what", what, "error", err)
	}
}
