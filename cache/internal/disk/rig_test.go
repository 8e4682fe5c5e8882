package disk

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

// rig is a Tier that runs.
type rig struct {
	*Tier
	tb      testing.TB
	stopRun context.CancelFunc
	ended   chan error
}

// soaking reports whether all is tried of what a test otherwise tries a sample of: SELVAGE_SOAK=1, which `make soak` sets.
func soaking() bool { return os.Getenv("SELVAGE_SOAK") != "" }

// sample are the numbers from 1 to count, or one in so many of them, other ones every time.
func sample(count, in int) iter.Seq[int] {
	if soaking() {
		in = 1
	}
	return func(yield func(int) bool) {
		for n := 1 + rand.IntN(in); n <= count && yield(n); n += in {
		}
	}
}

// small are options with segments so small that tests fill many.
func small() Options { return Options{Limit: 4 << 20, segmentBytes: 256 << 10} }

// start opens a directory and runs it until the test ends, or stop.
func start(tb testing.TB, dir string, o Options) *rig {
	tb.Helper()
	tier, err := Open(dir, talking(tb, o))
	if err != nil {
		tb.Fatal(err)
	}
	return running(tb, tier)
}

// talking has a tier's log read beside the test's.
func talking(tb testing.TB, o Options) Options {
	if testing.Verbose() && o.Log == nil {
		o.Log = slog.New(slog.NewTextHandler(tb.Output(), nil))
	}
	return o
}

// running runs a tier until the test ends, or stop.
func running(tb testing.TB, tier *Tier) *rig {
	ctx, stop := context.WithCancel(context.Background())
	r := &rig{Tier: tier, tb: tb, stopRun: stop, ended: make(chan error, 1)}
	go func() { r.ended <- tier.Run(ctx) }()
	tb.Cleanup(func() { r.stop() })
	return r
}

// loaded is start, and waits until what was found is shown.
func loaded(tb testing.TB, dir string, o Options) *rig {
	tb.Helper()
	r := start(tb, dir, o)
	<-r.Loaded()
	return r
}

func (r *rig) stop() error {
	r.stopRun()
	err := <-r.ended
	r.ended <- err
	return err
}

func (r *rig) sync() {
	r.tb.Helper()
	if err := r.Sync(r.tb.Context()); err != nil {
		r.tb.Fatal(err)
	}
}

// name returns the name of the n-th key.
func name(n int) Name {
	key := fmt.Sprintf("key-%d", n)
	return Name{Hash: uint64(n) * 0x9E3779B97F4A7C15, Key: key}
}

// record returns a record of the n-th key with a body that only this fill has.
func record(n int, length int) (Record, []byte) {
	fill := NewFill()
	r := Record{Name: name(n), Fill: fill, Epoch: uint64(n), Head: fmt.Appendf(nil, "head-%d-%d", n, fill), Length: int64(length)}
	return r, bodyOf(fill, length)
}

// bodyOf returns the body of a fill: every eight bytes of it tell which, and where.
func bodyOf(fill uint64, length int) []byte {
	b := make([]byte, 0, length+8)
	for n := uint64(0); len(b) < length; n++ {
		b = binary.LittleEndian.AppendUint64(b, fill*0x9E3779B97F4A7C15+n)
	}
	return b[:length]
}

// put puts a record, after what is queued if there is no room.
func (r *rig) put(rec Record, body []byte) {
	r.tb.Helper()
	if r.queue.waiting()+rec.weight()+rec.Length > r.queue.limit {
		r.sync()
	}
	if !r.Put(rec, [][]byte{body}) {
		r.tb.Fatalf("put %s: dropped", rec.Key)
	}
}

// stream puts a record as a body that comes in pieces.
func (r *rig) stream(rec Record, body []byte, piece int) error {
	w, err := r.Begin(rec.Fill)
	if err != nil {
		return err
	}
	defer w.Abort()
	for ; len(body) > 0; body = body[min(piece, len(body)):] {
		if err := w.Append(r.tb.Context(), body[:min(piece, len(body))]); err != nil {
			return err
		}
	}
	return w.Commit(r.tb.Context(), rec)
}

var errAbsent = errors.New("not there")

// get reads a record whole and checks that it is true: what some record of the name has been, with the body of its fill.
func (r *rig) get(n Name) (Record, error) {
	ref, ok := r.Lookup(n)
	if !ok {
		return Record{}, errAbsent
	}
	e, err := r.Open(ref)
	if err != nil {
		return Record{}, err
	}
	defer e.Close()
	if e.Key != n.Key || e.Variant != n.Variant {
		r.tb.Errorf("get %s: found %s", n.Key, e.Key)
	}
	return e.Record, r.check(e)
}

// check reads the body of an entry. A wrong byte fails the test, whatever error comes later.
func (r *rig) check(e *Entry) error {
	want := bodyOf(e.Fill, int(e.Length))
	for at := int64(0); ; {
		b, err := e.Block(at)
		if err == io.EOF {
			if at != e.Length {
				r.tb.Errorf("%s: body ends at %d, want %d", e.Key, at, e.Length)
			}
			return nil
		}
		if err != nil {
			return err
		}
		if !bytes.Equal(b, want[at:at+int64(len(b))]) {
			r.tb.Errorf("%s: wrong bytes in the block at %d", e.Key, at)
		}
		at += int64(len(b))
	}
}

// want fails the test unless the record is there as it is.
func (r *rig) want(rec Record) {
	r.tb.Helper()
	got, err := r.get(rec.Name)
	if err != nil {
		r.tb.Errorf("get %s: %v", rec.Key, err)
		return
	}
	if got.Fill != rec.Fill || got.Epoch != rec.Epoch || !bytes.Equal(got.Head, rec.Head) || got.Length != rec.Length {
		r.tb.Errorf("get %s: got %s of fill %x, want %s of %x", rec.Key, got.Head, got.Fill, rec.Head, rec.Fill)
	}
}

// absent fails the test unless nothing is found.
func (r *rig) absent(n Name) {
	r.tb.Helper()
	if _, err := r.get(n); err != errAbsent {
		r.tb.Errorf("get %s: error %v, want that it is not there", n.Key, err)
	}
}

// clean fails the test unless Scrub finds nothing.
func (r *rig) clean() Report {
	r.tb.Helper()
	report, err := r.Scrub(r.tb.Context(), nil)
	if err != nil {
		r.tb.Fatalf("scrub: %v", err)
	}
	if !report.Clean() {
		r.tb.Errorf("scrub: %+v, want nothing wrong", report)
	}
	return report
}

// onDisk returns the bytes of all files in a directory.
func onDisk(tb testing.TB, dir string) (sum int64) {
	tb.Helper()
	for _, name := range files(tb, dir) {
		if info, err := os.Lstat(name); err == nil {
			sum += info.Size()
		}
	}
	return sum
}

func files(tb testing.TB, dir string) []string {
	tb.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		tb.Fatal(err)
	}
	return names
}
