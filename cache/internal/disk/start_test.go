package disk

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// Should a segment be back that the index has heard is dropped, what is said of its names in later ones counts.
func TestSegmentThatIsBack(t *testing.T) {
	dir := t.TempDir()
	first := filepath.Join(dir, segmentName(1))
	r := loaded(t, dir, small())
	for n := range 9 { // the last one in the second segment
		rec, body := record(n, 30_000)
		r.put(rec, body)
	}
	r.sync()
	before, err := os.ReadFile(first)
	if err != nil {
		t.Fatal(err)
	}
	r.Remove(name(0))
	r.sync()
	run(t, r, func(w *writer) { w.drop(w.t.oldest(nil)) })
	r.clean()
	r.stop()
	write(t, first, before)
	agree(t, dir, "with a segment that is back")
	r = loaded(t, dir, small())
	r.absent(name(0))
	r.some(name(1))
	r.some(name(8))
}

// A start that has no descriptors waits for them, without a word of what it has found, and loses nothing.
func TestStartWithoutDescriptors(t *testing.T) {
	dir, all := filled(t)
	clock, f := newClock(), &faulty{}
	o := withFaults(clock, f)
	f.set(only(syscall.EMFILE, "open"))
	if _, err := Open(dir, o); !errors.Is(err, syscall.EMFILE) {
		t.Fatalf("open: error %v, want EMFILE: the identity is not to be given up", err)
	}
	indexes := 0
	o.openIndex = func(path string, write bool) (*index, error) {
		if indexes++; indexes == 1 {
			return nil, &fs.PathError{Op: "open", Path: path, Err: syscall.EMFILE}
		}
		return openIndex(path, write)
	}
	f.set(nil)
	r := start(t, dir, o)
	f.set(only(syscall.EMFILE, "open"))
	for range 4 {
		run(t, r, func(*writer) {})
		r.absent(all[0].Name)
		clock.advance(retryPause)
	}
	f.set(nil)
	awaitLoaded(r, clock)
	for _, rec := range all {
		r.want(rec)
	}
	if walked := r.Stat().Walked; walked > 0 {
		t.Errorf("%d segments walked, want all known to the index", walked)
	}
}

// A segment that can never be opened is given up in the end.
func TestSegmentThatCannotBeOpened(t *testing.T) {
	dir, all := filled(t)
	clock, f := newClock(), &faulty{}
	opens := 0
	f.set(func(_ int, what string) error {
		if what != "open" {
			return nil
		}
		if opens++; opens == 1 { // of the identity
			return nil
		}
		return syscall.EMFILE
	})
	r := start(t, dir, withFaults(clock, f))
	awaitLoaded(r, clock)
	if tries := opens - 1; tries == 0 || tries%openTries != 0 {
		t.Errorf("%d tries to open segments, want %d of each", tries, openTries)
	}
	f.set(nil)
	r.absent(all[0].Name)
	r.clean()
}
