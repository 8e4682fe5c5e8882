package disk

import (
	"errors"
	"log/slog"
	"testing"
)

// A panic of the writer costs the tier, not the process: nobody waits for an answer for ever, nothing is found or taken, it is
// said once, and the next start finds what was written.
func TestPanicPutsTheTierOff(t *testing.T) {
	dir, log := t.TempDir(), &lines{}
	o := small()
	o.Log = slog.New(slog.NewTextHandler(log, nil))
	r := loaded(t, dir, o)
	rec, body := record(1, 1000)
	r.put(rec, body)
	r.sync()
	slow, rest := record(2, 400_000)
	w := begin(t, r, slow)
	feed(t, w, rest, 400_000)

	held := make(chan bool)
	r.queue.offer(0, func(*writer) { <-held; panic("a mistake") })
	synced, committed := make(chan error), make(chan error)
	go func() { synced <- r.Sync(t.Context()) }()
	go func() { committed <- w.Commit(t.Context(), slow) }()
	close(held)
	if err := <-synced; !errors.Is(err, ErrClosed) {
		t.Errorf("sync: error %v, want %v", err, ErrClosed)
	}
	if err := <-committed; !errors.Is(err, ErrClosed) && !errors.Is(err, ErrUnavailable) { // it came before the panic, or after
		t.Errorf("commit: error %v, want %v or %v", err, ErrClosed, ErrUnavailable)
	}
	if _, ok := r.Lookup(rec.Name); ok {
		t.Error("a record is found")
	}
	if r.Put(rec, [][]byte{body}) || r.Freshen(rec.Name, rec) {
		t.Error("a record is taken")
	}
	r.Remove(rec.Name)
	if _, err := r.Begin(1); err == nil {
		t.Error("a body is taken")
	}
	if s := r.Stat(); s.Writable || s.DiskErrors != 1 || s.Queued != 0 {
		t.Errorf("writable %v, %d errors, %d bytes queued, want false, 1 and 0", s.Writable, s.DiskErrors, s.Queued)
	}
	if got := log.count("level=ERROR"); got != 1 || log.count("a mistake") == 0 {
		t.Errorf("said %d times, want once, and what it was", got)
	}
	if err := r.stop(); !errors.Is(err, errPanic) {
		t.Errorf("run: error %v, want %v", err, errPanic)
	}
	r = loaded(t, clone(t, dir), small()) // as another process finds it
	r.want(rec)
	r.absent(slow.Name)
}

// Wherever it happens.
func TestPanicAnywhere(t *testing.T) {
	for what, options := range map[string]func(*Options){
		"while loading": func(o *Options) { o.Trust = func(uint64) bool { panic("a mistake") } },
		"opening the index": func(o *Options) {
			o.openIndex = func(string, bool) (*index, error) { panic("a mistake") }
		},
		"evicting": func(o *Options) { o.Useful = func(*Record) bool { panic("a mistake") } },
	} {
		t.Run(what, func(t *testing.T) {
			o := small()
			options(&o)
			r := loaded(t, t.TempDir(), o)
			for n := 0; n < 1000 && !r.off(); n++ {
				rec, body := record(n, 50_000)
				r.Put(rec, [][]byte{body})
				r.Sync(t.Context())
				r.Lookup(rec.Name)
			}
			if !r.off() {
				t.Fatal("the tier goes on")
			}
			if err := r.stop(); !errors.Is(err, errPanic) {
				t.Errorf("run: error %v, want %v", err, errPanic)
			}
		})
	}
}
