package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// What is forgotten while the disk takes nothing is said there as soon as it takes something: without the index nothing else
// would keep it forgotten.
func TestForgottenWhileTheDiskTakesNothing(t *testing.T) {
	for _, fault := range faults {
		dir, clock, f := t.TempDir(), newClock(), &faulty{}
		r := loaded(t, dir, withFaults(clock, f))
		for n := range 3 {
			rec, body := record(n, 1000)
			r.put(rec, body)
		}
		r.sync()
		f.set(only(fault, "create", "write"))
		lost, body := record(3, 1000)
		r.put(lost, body)
		run(t, r, func(w *writer) { w.flush() }) // fails, and the disk is left alone
		r.Remove(name(0))
		r.Remove(name(1))
		r.Sync(t.Context())
		f.set(nil)
		clock.advance(retryPause)
		again, body := record(1, 1000)
		r.put(again, body)
		r.sync()
		r.stop()
		agree(t, dir, fmt.Sprintf("%v: after a clean end", fault))
		r = loaded(t, dir, small())
		r.absent(name(0))
		r.want(again)
		r.some(name(2))
		r.stop()
	}
}

// A sync that fails takes a segment with it. What its records have superseded stays so, and what it said of forgotten names.
func TestFailedSyncBringsNothingBack(t *testing.T) {
	dir, clock, f := t.TempDir(), newClock(), &faulty{}
	r := loaded(t, dir, withFaults(clock, f))
	for n := range 8 { // the first segment
		rec, body := record(n, 30_000)
		r.put(rec, body)
	}
	r.clean()
	newer, body := record(0, 100_000)
	r.put(newer, body)
	r.Remove(name(1))
	f.set(only(syscall.EIO, "sync"))
	if r.Sync(t.Context()) == nil {
		t.Error("sync: no error")
	}
	f.set(nil)
	clock.advance(retryPause)
	r.sync()
	r.stop()
	agree(t, dir, "after a sync that failed")
	r = loaded(t, dir, small())
	r.absent(name(0))
	r.absent(name(1))
	r.some(name(2))
}

// A segment that was dropped and cannot be removed is cut, so that the next start finds nothing in it.
func TestSegmentThatCannotBeRemovedIsCut(t *testing.T) {
	dir, f := t.TempDir(), &faulty{}
	r := loaded(t, dir, withFaults(newClock(), f))
	rec, body := record(1, 1000)
	r.put(rec, body)
	r.sync()
	e := open(t, r, rec.Name)
	f.set(only(syscall.EACCES, "remove"))
	run(t, r, func(w *writer) { w.drop(w.current) })
	if err := r.check(e); err != nil {
		t.Errorf("a reader that was there before: %v", err)
	}
	e.Close()
	r.stop()
	left := filepath.Join(dir, segmentName(1))
	if info, err := os.Stat(left); err != nil || info.Size() != 0 {
		t.Errorf("left of the segment: %v, error %v, want a name and no bytes", info, err)
	}
	r = loaded(t, dir, small())
	r.absent(rec.Name)
	r.clean()
	if _, err := os.Stat(left); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the file that was cut: error %v, want it removed", err)
	}
}
