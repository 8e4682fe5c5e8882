package disk

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

// Any bit of any file flipped, or any file cut anywhere: what is found is true, nothing panics, and the tier goes on.
func TestFlipsAndCuts(t *testing.T) {
	t.Parallel()
	rounds := 8
	if soaking() {
		rounds = 100
	}
	dir, all := filled(t)
	rng := rand.New(rand.NewPCG(3, 4))
	for _, file := range files(t, dir) {
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		for n := range rounds {
			if info.Size() == 0 {
				continue
			}
			at := rng.Int64N(info.Size())
			if n%2 == 0 {
				at = rng.Int64N(min(info.Size(), 16<<10)) // heads and roots
			}
			hurt := clone(t, dir)
			name, what := filepath.Base(file), fmt.Sprintf("bit flipped at %d", at)
			if n%4 == 3 {
				what, err = fmt.Sprintf("cut at %d", at), os.Truncate(filepath.Join(hurt, name), at)
			} else {
				err = flip(filepath.Join(hurt, name), at, rng.IntN(8))
			}
			if err != nil {
				t.Fatal(err)
			}
			endure(t, hurt, name+": "+what, all)
			os.RemoveAll(hurt)
		}
	}
}

func flip(name string, at int64, bit int) error {
	b, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	b[at] ^= 1 << bit
	return os.WriteFile(name, b, 0o600)
}

// endure uses a damaged directory, twice: what was found the first time and is damaged is gone the second.
func endure(t *testing.T, dir, what string, all []Record) {
	t.Helper()
	r := loaded(t, dir, small())
	for _, rec := range all {
		r.get(rec.Name) // checks what it finds
	}
	for _, rec := range all {
		if _, err := r.get(rec.Name); err != nil && err != errAbsent {
			t.Errorf("%s: get %s again: %v", what, rec.Key, err)
		}
	}
	rec, body := record(1000, 30_000)
	r.put(rec, body)
	r.sync()
	r.want(rec)
	if err := r.stop(); err != nil {
		t.Errorf("%s: stop: %v", what, err)
	}
	r = loaded(t, dir, small())
	defer r.stop()
	r.want(rec)
	if report, err := r.Scrub(t.Context(), nil); err != nil || !report.Clean() {
		t.Errorf("%s: scrub after all was read: %+v, error %v", what, report, err)
	}
}

// Every flip within a record is found by Scrub, which tells of that record alone.
func TestScrubFindsEveryFlip(t *testing.T) {
	dir, all := filled(t)
	where := locations(t, dir)
	rng := rand.New(rand.NewPCG(5, 6))
	for range 40 {
		rec := all[rng.IntN(len(all))]
		at := where[rec.Key]
		start := at.offset() - blockHeaderBytes - rec.Length
		end := at.offset() + blockHeaderBytes + int64(len(rec.Key)+len(rec.Head))
		hurt := clone(t, dir)
		offset := start + rng.Int64N(end-start)
		if err := flip(filepath.Join(hurt, segmentName(at.segment())), offset, rng.IntN(8)); err != nil {
			t.Fatal(err)
		}
		r := loaded(t, hurt, small())
		report, err := r.Scrub(t.Context(), nil)
		if err != nil || len(report.Damaged) != 1 || report.Damaged[0] != at {
			t.Errorf("flip at %v of %s: scrub tells of %v, error %v", locate(at.segment(), offset), rec.Key, report.Damaged, err)
		}
		if got := r.Stat().CorruptBlocks; got != 1 {
			t.Errorf("%d corrupt blocks, want 1", got)
		}
		r.absent(rec.Name)
		r.clean()
		r.stop()
		os.RemoveAll(hurt)
	}
}

func TestScrubTellsProgress(t *testing.T) {
	dir, _ := filled(t)
	r := loaded(t, dir, small())
	calls, last, total := 0, int64(0), int64(0)
	if _, err := r.Scrub(t.Context(), func(d, of int64) {
		if d < last || d > of {
			t.Errorf("progress %d of %d after %d", d, of, last)
		}
		calls, last, total = calls+1, d, of
	}); err != nil {
		t.Fatal(err)
	}
	if calls != 40 || last != total {
		t.Errorf("%d calls, the last %d of %d, want 40 and all", calls, last, total)
	}
}
