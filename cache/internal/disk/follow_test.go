package disk

import (
	"bytes"
	"io"
	"syscall"
	"testing"
)

// follow reads what has landed of a body, and says where that ends.
func follow(t *testing.T, w *Writer, want []byte) (int64, error) {
	t.Helper()
	f := w.Follow()
	defer f.Close()
	for at := int64(0); ; {
		b, err := f.Block(at)
		if err != nil {
			return at, err
		}
		if !bytes.Equal(b, want[at:at+int64(len(b))]) {
			t.Fatalf("wrong bytes in the block at %d", at)
		}
		at += int64(len(b))
	}
}

// What has landed of a body can be read before its end has come, and after.
func TestFollowABodyUnderWay(t *testing.T) {
	r := loaded(t, t.TempDir(), small())
	rec, body := record(1, 500_000) // over two segments
	w, rest := begin(t, r, rec), body
	for len(rest) > 0 {
		rest = feed(t, w, rest, 90_000)
		run(t, r, func(w *writer) { w.flush() })
		came := int64(len(body) - len(rest))
		if landed := w.Landed(); landed != came/blockBytes*blockBytes {
			t.Errorf("%d bytes have landed of %d, want all whole blocks", landed, came)
		}
		if n, err := follow(t, w, body); n != w.Landed() || err != io.EOF {
			t.Errorf("%d bytes, %v, want the %d that have landed", n, err, w.Landed())
		}
	}
	late := w.Follow()
	if _, err := late.Block(0); err != nil {
		t.Errorf("first block: %v", err)
	}
	commitTo(t, w, rec)
	if n, err := follow(t, w, body); n != rec.Length || err != io.EOF {
		t.Errorf("after the commit: %d bytes, %v, want all", n, err)
	}
	late.Close()
	r.want(rec)
	r.clean()
}

func TestFollowedBodyEnds(t *testing.T) {
	for what, end := range map[string]func(t *testing.T, r *rig, w *Writer, f *faulty){
		"aborted": func(_ *testing.T, _ *rig, w *Writer, _ *faulty) { w.Abort() },
		"evicted": func(_ *testing.T, r *rig, _ *Writer, _ *faulty) {
			for n := 10; n < 200; n++ {
				other, body := record(n, 30_000)
				r.put(other, body)
			}
		},
		"on a disk that fails": func(t *testing.T, r *rig, w *Writer, f *faulty) {
			f.set(only(syscall.EIO, "write"))
			feed(t, w, bodyOf(1, 100_000), 100_000)
		},
	} {
		t.Run(what, func(t *testing.T) {
			f := &faulty{}
			r := loaded(t, t.TempDir(), withFaults(newClock(), f))
			rec, body := record(1, 400_000)
			w := begin(t, r, rec)
			feed(t, w, body, 200_000)
			r.sync()
			reader := w.Follow()
			defer reader.Close()
			end(t, r, w, f)
			run(t, r, func(w *writer) { w.flush() })
			if _, err := reader.Block(0); err == nil || err == io.EOF {
				t.Errorf("a block of a body that will never be: error %v", err)
			}
		})
	}
}

func TestFollowerFindsDamage(t *testing.T) {
	dir := t.TempDir()
	r := loaded(t, dir, small())
	rec, body := record(1, 200_000)
	w := begin(t, r, rec)
	feed(t, w, body, 200_000)
	r.sync()
	at, _ := w.fill.landing.find(1)
	run(t, r, func(w *writer) {
		one := []byte{0}
		w.current.file.ReadAt(one, at.offset()+1000)
		one[0] ^= 1
		w.current.file.WriteAt(one, at.offset()+1000)
	})
	if n, err := follow(t, w, body); n != blockBytes || err == nil || err == io.EOF {
		t.Errorf("%d bytes, %v, want the first block and damage", n, err)
	}
	if got := r.Stat().CorruptBlocks; got != 1 {
		t.Errorf("%d corrupt blocks, want 1", got)
	}
}
