package disk

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// clock is a time that tests move.
type clock struct{ nanos atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.nanos.Store(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).UnixNano())
	return c
}

func (c *clock) now() time.Time              { return time.Unix(0, c.nanos.Load()) }
func (c *clock) advance(d time.Duration)     { c.nanos.Add(int64(d)) }
func withFaults(c *clock, f *faulty) Options { o := small(); o.FS, o.Now = f, c.now; return o }

// awaitLoaded waits until what was found is shown, however often the tier rests before.
func awaitLoaded(r *rig, clock *clock) {
	for {
		select {
		case <-r.Loaded():
			return
		default:
			clock.advance(retryPause)
			run(r.tb, r, func(*writer) {}) // wakes it
		}
	}
}

// play does some of everything with a directory. Errors are expected; wrong bytes are not.
func play(t *testing.T, dir string, f *faulty) {
	t.Helper()
	clock := newClock()
	tier, err := Open(dir, withFaults(clock, f))
	if err != nil {
		return
	}
	r, ctx := running(t, tier), t.Context()
	defer r.stop()
	awaitLoaded(r, clock)
	for n := range 12 {
		rec, body := record(n, 20_000)
		r.Put(rec, [][]byte{body})
		rec.Head = []byte("fresh")
		if n%3 == 0 {
			r.Freshen(rec.Name, rec)
		}
		if n%4 == 0 {
			r.Sync(ctx)
		}
		r.get(name(n / 2))
	}
	rec, body := record(100, 300_000)
	r.stream(rec, body, 50_000)
	r.Remove(name(1))
	r.Sync(ctx)
	for n := range 12 {
		r.get(name(n))
	}
	r.get(name(100))
}

// Whichever call fails, once or from then on: no panic, no wrong byte, a clean end, and afterwards a directory in which all
// that is found is whole.
func TestNthCallFails(t *testing.T) {
	t.Parallel()
	count := &faulty{}
	dir, _ := filled(t)
	play(t, clone(t, dir), count)
	if count.calls < 50 {
		t.Fatalf("%d calls, want many that can fail", count.calls)
	}
	for n := range sample(count.calls, 4) {
		for i, forever := range []bool{false, true} {
			err := faults[(n+2*i)%len(faults)]
			hurt := clone(t, dir)
			play(t, hurt, &faulty{fail: nth(err, n, forever)})
			after(t, hurt, fmt.Sprintf("call %d (for ever: %v): %v", n, forever, err))
			os.RemoveAll(hurt)
		}
	}
}

func clone(t *testing.T, dir string) string {
	t.Helper()
	to := t.TempDir()
	copyFiles(t, dir, to)
	return to
}

// after opens a directory after faults and looks at everything.
func after(t *testing.T, dir, what string) {
	t.Helper()
	r := loaded(t, dir, small())
	defer r.stop()
	for n := range 101 {
		if _, err := r.get(name(n)); err != nil && err != errAbsent {
			t.Errorf("%s: get %s: %v", what, name(n).Key, err)
		}
	}
	if report, err := r.Scrub(t.Context(), nil); err != nil || !report.Clean() {
		t.Errorf("%s: scrub: %+v, error %v", what, report, err)
	}
}

// After a sync that failed, neither the segment nor a record in it is trusted.
func TestFailedSyncDropsTheSegment(t *testing.T) {
	dir, clock, f := t.TempDir(), newClock(), &faulty{}
	r := loaded(t, dir, withFaults(clock, f))
	kept, body := record(1, 240_000) // fills a segment
	r.put(kept, body)
	r.sync()
	lost, body := record(2, 100_000)
	r.put(lost, body)
	f.set(only(syscall.EIO, "sync"))
	if err := r.Sync(t.Context()); !errors.Is(err, syscall.EIO) {
		t.Errorf("sync: error %v, want EIO", err)
	}
	f.set(nil)
	r.absent(lost.Name)
	r.want(kept)
	if names := files(t, dir); len(names) != 4 {
		t.Errorf("files %v, want that of the segment removed", names)
	}
	clock.advance(retryPause)
	again, body := record(2, 1000)
	r.put(again, body)
	r.sync()
	r.want(again)
	r.stop()
	r = loaded(t, dir, small())
	r.want(kept)
	r.want(again)
}

// putTen puts ten records of 100,000 bytes, of which the first and the last are in segments of their own.
func (r *rig) putTen() (first, last Record) {
	r.tb.Helper()
	for n := range 10 {
		rec, body := record(n, 100_000)
		r.put(rec, body)
		if n == 0 {
			first = rec
		}
		last = rec
	}
	r.sync()
	return first, last
}

// A disk without room costs the oldest segment and what was being written, and nothing else stops.
func TestNoSpaceDropsTheOldestSegment(t *testing.T) {
	dir, clock, f := t.TempDir(), newClock(), &faulty{}
	r := loaded(t, dir, withFaults(clock, f))
	first, last := r.putTen()
	f.set(only(syscall.ENOSPC, "write"))
	lost, body := record(50, 1000)
	r.put(lost, body)
	r.sync()
	r.absent(lost.Name)
	r.absent(first.Name)
	r.want(last)
	f.set(nil)
	rec, body := record(51, 1000)
	r.put(rec, body)
	r.sync()
	r.want(rec)
	r.clean()
}

// A disk that somebody else keeps full costs one segment, and is then left alone for a while.
func TestADiskKeptFullCostsOneSegment(t *testing.T) {
	clock, f := newClock(), &faulty{}
	r := loaded(t, t.TempDir(), withFaults(clock, f))
	first, last := r.putTen()
	f.set(only(syscall.ENOSPC, "write"))
	for n := range 8 {
		rec, body := record(50+n, 1000)
		r.Put(rec, [][]byte{body})
		run(t, r, func(w *writer) { w.flush() })
		if want := n == 0; r.available() != want {
			t.Errorf("after %d failures: writes may be tried: %v, want %v", n+1, !want, want)
		}
	}
	r.absent(first.Name)
	r.want(last)
	f.set(nil)
	clock.advance(retryPause)
	rec, body := record(60, 1000)
	r.put(rec, body)
	r.sync()
	r.want(rec)
	r.clean()
}

func TestStreamOnAFullDiskFailsAlone(t *testing.T) {
	clock, f := newClock(), &faulty{}
	r := loaded(t, t.TempDir(), withFaults(clock, f))
	rec, body := record(1, 400_000)
	w := begin(t, r, rec)
	body = feed(t, w, body, 200_000)
	r.sync()
	f.set(only(syscall.ENOSPC, "write"))
	body = feed(t, w, body, 100_000)
	r.sync()
	f.set(nil)
	if err := w.Append(t.Context(), body); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("append: error %v, want ENOSPC", err)
	}
	if w.Commit(t.Context(), rec) == nil {
		t.Error("commit of a body that is not whole: no error")
	}
	r.absent(rec.Name)
	rec, body = record(2, 400_000)
	if err := r.stream(rec, body, 50_000); err != nil {
		t.Errorf("the next stream: %v", err)
	}
	r.want(rec)
}

// A disk that fails is left alone for a while: reads go on, writes are refused, and it is said once a minute.
func TestFailingDiskIsReadOnly(t *testing.T) {
	for _, fault := range []error{syscall.EIO, syscall.EROFS, syscall.EMFILE} {
		clock, f, log := newClock(), &faulty{}, &lines{}
		o := withFaults(clock, f)
		o.Log = slog.New(slog.NewTextHandler(log, nil))
		r := loaded(t, t.TempDir(), o)
		rec, body := record(1, 1000)
		r.put(rec, body)
		r.sync()
		f.set(only(fault, "write", "create", "sync", "rename", "syncdir"))
		for range 20 {
			other, body := record(2, 1000)
			r.Put(other, [][]byte{body})
			run(t, r, func(w *writer) { w.flush() })
			r.want(rec)
			clock.advance(retryPause / 2)
		}
		if s := r.Stat(); s.DiskErrors < 5 || s.Dropped < 10 {
			t.Errorf("%v: %d errors, %d dropped, want the disk tried again and again", fault, s.DiskErrors, s.Dropped)
		}
		if got := log.count("cannot use the disk"); got != 1 {
			t.Errorf("%v: said %d times within a minute, want once", fault, got)
		}
		f.set(nil)
		clock.advance(time.Minute)
		other, body := record(2, 1000)
		r.put(other, body)
		r.sync()
		r.want(other)
		r.want(rec)
	}
}

// What was not kept is counted, and said at most once a minute.
func TestDroppedRecordsAreTold(t *testing.T) {
	clock, log := newClock(), &lines{}
	o := small()
	o.Now, o.Log = clock.now, slog.New(slog.NewTextHandler(log, nil))
	r := loaded(t, t.TempDir(), o)
	held, entered := make(chan bool), make(chan bool)
	r.queue.offer(0, func(*writer) { close(entered); <-held })
	<-entered
	for n := range 100 { // more than the queue has room for
		rec, body := record(n, 100_000)
		r.Put(rec, [][]byte{body})
	}
	close(held)
	for range 10 {
		run(t, r, func(w *writer) { w.tick() })
		clock.advance(time.Second)
	}
	rec, _ := record(1, 10)
	r.Put(rec, nil) // not the length that it says
	for range 60 {
		run(t, r, func(w *writer) { w.tick() })
		clock.advance(time.Second)
	}
	if dropped := r.Stat().Dropped; dropped < 90 || dropped > 98 {
		t.Errorf("%d records of 101 were dropped, want those beyond 500 KiB", dropped)
	}
	if got := log.count("did not keep some records"); got != 2 || log.count("records=1\n") != 1 {
		t.Errorf("said %d times in a minute and ten seconds, want twice, the second time of one record", got)
	}
}

// lines is a log that can be counted.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) count(what string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), what)
}

func TestUnreadableRecordIsAMiss(t *testing.T) {
	f := &faulty{}
	r := loaded(t, t.TempDir(), withFaults(newClock(), f))
	rec, body := record(1, 200_000)
	r.put(rec, body)
	r.sync()
	f.set(only(syscall.EIO, "read"))
	if _, err := r.get(rec.Name); !errors.Is(err, syscall.EIO) {
		t.Errorf("error %v, want EIO", err)
	}
	f.set(nil)
	r.absent(rec.Name)
}

// An index that fails while running is given up, and written anew from memory.
func TestLostIndexIsWrittenAnew(t *testing.T) {
	dir, clock := t.TempDir(), newClock()
	o := small()
	o.Now = clock.now
	r := loaded(t, dir, o)
	rec, body := record(1, 1000)
	r.put(rec, body)
	r.clean()
	run(t, r, func(w *writer) { w.index.db.Close() })
	other, body := record(2, 1000)
	r.put(other, body)
	if r.Sync(t.Context()) == nil {
		t.Error("sync with a closed index: no error")
	}
	if _, err := os.Stat(filepath.Join(dir, indexName)); err == nil {
		t.Error("the lost index is still there")
	}
	r.want(rec)
	r.want(other)
	clock.advance(indexRetry)
	run(t, r, func(w *writer) { w.tick() })
	r.clean()
	r.stop()
	r = loaded(t, dir, small())
	if r.Stat().Walked > 0 {
		t.Error("segments were read at start, want all of them in the index")
	}
	r.want(rec)
	r.want(other)
}

// bbolt trusts its file. When somebody overwrites it under a running process, bbolt panics, and that too costs the index alone.
func TestIndexOverwrittenWhileRunning(t *testing.T) {
	for _, with := range []byte{0x00, 0x5A, 0xFF} {
		dir, clock := t.TempDir(), newClock()
		o := small()
		o.Now = clock.now
		r := loaded(t, dir, o)
		var all []Record
		for n := range 50 {
			rec, body := record(n, 10_000)
			r.put(rec, body)
			all = append(all, rec)
		}
		r.clean()
		run(t, r, func(*writer) { overwriteTail(t, filepath.Join(dir, indexName), with) })
		for n := range 20 {
			r.Remove(name(n))
			rec, body := record(100+n, 10_000)
			r.put(rec, body)
			all = append(all, rec)
		}
		if r.Sync(t.Context()) == nil {
			t.Errorf("overwritten with %x: sync: no error", with)
		}
		clock.advance(indexRetry + retryPause)
		run(t, r, func(w *writer) { w.tick() })
		r.clean()
		for _, rec := range all[20:] {
			r.want(rec)
		}
		if r.off() {
			t.Errorf("overwritten with %x: the tier is off", with)
		}
	}
}

// overwriteTail overwrites all of a bbolt file but its roots.
func overwriteTail(t *testing.T, name string, with byte) {
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		t.Error(err)
		return
	}
	defer f.Close()
	info, _ := f.Stat()
	start := int64(2 * os.Getpagesize())
	if _, err := f.WriteAt(bytes.Repeat([]byte{with}, int(info.Size()-start)), start); err != nil {
		t.Error(err)
	}
}

// A clock set back by a year must not make a pause of seconds one of a year.
func TestPauseEndsWhenTheClockIsSetBack(t *testing.T) {
	clock, f := newClock(), &faulty{}
	r := loaded(t, t.TempDir(), withFaults(clock, f))
	f.set(only(syscall.EIO, "write"))
	rec, body := record(1, 1000)
	r.put(rec, body)
	run(t, r, func(w *writer) { w.flush() })
	if r.Put(rec, [][]byte{body}) {
		t.Error("a put right after an error was taken")
	}
	f.set(nil)
	clock.advance(-365 * 24 * time.Hour)
	r.put(rec, body)
	r.sync()
	r.want(rec)
}

// A write that fails while room is made costs what was being written, and the segment that was to take it. The tier goes on.
func TestFailedWriteWhileRoomIsMade(t *testing.T) {
	clock, f := newClock(), &faulty{}
	r := loaded(t, t.TempDir(), withFaults(clock, f))
	for n := range 150 { // more than there is room for
		rec, body := record(n, 30_000)
		r.put(rec, body)
		r.sync()
		r.Lookup(rec.Name) // so that it is worth being moved
	}
	writes, evicted := 0, r.Stat().Evicted
	f.set(func(_ int, what string) error {
		if what != "write" || r.Stat().Evicted == evicted { // until what leaves with a segment is moved
			return nil
		}
		if writes++; writes == 1 {
			return syscall.EIO
		}
		return nil
	})
	for n := range 4 {
		rec, body := record(150+n, 200_000)
		r.stream(rec, body, 50_000)
	}
	if writes == 0 || r.off() {
		t.Fatalf("%d writes while room was made; the tier is off: %v", writes, r.off())
	}
	f.set(nil)
	clock.advance(retryPause)
	rec, body := record(200, 1000)
	r.put(rec, body)
	r.sync()
	r.want(rec)
	r.clean()
}
