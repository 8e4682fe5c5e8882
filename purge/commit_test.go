package purge

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.etcd.io/bbolt"
	bberrors "go.etcd.io/bbolt/errors"

	"selvage/cache"
)

// commits returns how many transactions the file has seen; each has been synced.
func commits(t testing.TB, j *Journal) (n int) {
	t.Helper()
	err := j.ledger.file.db.View(func(tx *bbolt.Tx) error {
		n = tx.ID()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// rowsInFile returns what an image has of the tables, and how many purges beside them.
func rowsInFile(t testing.TB, j *Journal) (rows, added int) {
	t.Helper()
	found := mustOpen(t, write(t, image(t, j))).Recovered()
	return found.Rows, found.Added
}

func TestConcurrentAddsShareASync(t *testing.T) {
	const adds = 64
	j := mustOpen(t, journalPath(t))
	before := commits(t, j)
	j.ledger.writing.Lock() // as long as somebody else's batch is being written
	numbers := make([]uint64, adds)
	var wg sync.WaitGroup
	for i := range adds {
		wg.Go(func() { numbers[i] = mustAdd(t, j, Entry{Kind: cache.Hard, URLs: []string{fmt.Sprint(i)}}) })
	}
	for j.ledger.countWaiting() < adds {
		runtime.Gosched()
	}
	j.ledger.writing.Unlock()
	wg.Wait()
	if got := commits(t, j) - before; got != 1 {
		t.Errorf("%d batches for %d purges, want 1", got, adds)
	}
	told := make(map[uint64]bool)
	for i, number := range numbers {
		if told[number] || number > j.Applied() {
			t.Errorf("purge %d has number %d, told before or beyond Applied (%d)", i, number, j.Applied())
		}
		told[number] = true
		expectInForce(t, j, numbered{number, Entry{Kind: cache.Hard, URLs: []string{fmt.Sprint(i)}}})
	}
}

func (l *ledger) countWaiting() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.waiting)
}

// While a purge is being written it is not in force; an invalidation that comes then is, at once.
func TestInvalidateDoesNotWaitForTheFile(t *testing.T) {
	j := mustOpen(t, journalPath(t))
	j.ledger.writing.Lock()
	a := &addition{record: Record{Entry: Entry{Kind: cache.Hard, URLs: []string{"/added"}}}}
	b := j.prepare([]*addition{a})
	number := j.Invalidate([]string{"/invalidated"}, nil)
	expectInForce(t, j, numbered{number, Entry{Kind: cache.MustValidate, URLs: []string{"/invalidated"}}})
	if got := j.Verdict(&cache.Target{URL: "/added"}, 0, j.Applied()); got != cache.Valid {
		t.Errorf("Verdict = %d before the purge was written, want valid", got)
	}
	if err := j.ledger.write(b); err != nil || !j.land(b) {
		t.Fatalf("the batch did not land: %v", err)
	}
	j.ledger.writing.Unlock()
	if a.record.Number <= number {
		t.Errorf("purge %d was in force after invalidation %d", a.record.Number, number)
	}
	expectInForce(t, j, numbered{a.record.Number, a.record.Entry})
}

// An object that was fetched under a higher number would never be asked about a lower one again.
func TestABatchWhoseNumbersWerePassedDoesNotLand(t *testing.T) {
	j := mustOpen(t, journalPath(t))
	j.ledger.writing.Lock()
	a := &addition{record: Record{Entry: Entry{Kind: cache.Hard, URLs: []string{page.URL}}}}
	b := j.prepare([]*addition{a})
	for j.Applied() < b.additions[0].record.Number {
		j.Invalidate([]string{"/many"}, nil)
	}
	if j.land(b) || a.done {
		t.Errorf("batch %d landed when %d was in force", b.additions[0].record.Number, j.Applied())
	}
	j.ledger.writing.Unlock()
}

func TestAddPassedByManyInvalidationsIsInForceWhenAnswered(t *testing.T) {
	j := mustOpen(t, journalPath(t))
	j.ledger.reserved = 0 // no block: the first invalidation passes the purge
	var stop atomic.Bool
	var wg sync.WaitGroup
	wg.Go(func() {
		for !stop.Load() {
			j.Invalidate([]string{"/many"}, nil)
		}
	})
	for range 8 {
		e := Entry{Kind: cache.Hard, URLs: []string{page.URL}}
		epoch := j.Applied()
		number := mustAdd(t, j, e)
		if number <= epoch {
			t.Errorf("Add = %d, though %d was in force before", number, epoch)
		}
		expectInForce(t, j, numbered{number, e})
	}
	stop.Store(true)
	wg.Wait()
}

func manyURLs(n int) (all []string) {
	for i := range n {
		all = append(all, fmt.Sprintf("/%d/%s", i, strings.Repeat("x", maxPlainBytes-10)))
	}
	return all
}

// A full disk: the purge fails and is not in force, invalidations are, and what they did is written when there is room.
func TestAWriteThatFails(t *testing.T) {
	path := journalPath(t)
	j := mustOpen(t, path)
	first := mustAdd(t, j, Entry{Kind: cache.Soft, URLs: []string{"/first"}})
	big := Entry{Kind: cache.Hard, URLs: append(manyURLs(MaxNames-1), page.URL)}
	j.ledger.file.db.MaxSize = 1
	number, err := j.Add(big)
	if number != 0 || !errors.Is(err, bberrors.ErrMaxSizeReached) {
		t.Fatalf("Add = %d, %v, want an error", number, err)
	}
	if got := j.Verdict(page, 0, j.Applied()); got != cache.Valid || j.Applied() != first {
		t.Errorf("after a failed purge: Verdict = %d, Applied = %d, want valid and %d", got, j.Applied(), first)
	}
	invalidated := j.Invalidate(manyURLs(10_000), nil)
	if err := j.flush(); err == nil {
		t.Error("the invalidation was written, want an error")
	}
	j.ledger.file.db.MaxSize = 0
	if err := j.flush(); err != nil {
		t.Errorf("the second attempt: %v", err)
	}
	again := mustAdd(t, j, big)
	if again <= invalidated {
		t.Errorf("Add = %d, want a number after %d", again, invalidated)
	}
	mustClose(t, j)

	j = mustOpen(t, path)
	expectInForce(t, j, numbered{first, Entry{Kind: cache.Soft, URLs: []string{"/first"}}})
	expectInForce(t, j, numbered{again, big})
	if got := j.Recovered(); got.Rows != 10_002 || got.Damage != nil {
		t.Errorf("Recovered = %+v, want 10002 rows", got)
	}
}

// A sync may fail though the file has everything: then the next batches stand on one that counts as failed.
func TestAWriteThatOnlySeemedToFail(t *testing.T) {
	path := journalPath(t)
	j := mustOpen(t, path)
	j.Invalidate([]string{"/1"}, nil)
	var failed uint64
	for range 2 {
		a := &addition{record: Record{Entry: Entry{Kind: cache.Hard, URLs: []string{"/failed"}}}}
		j.ledger.writing.Lock()
		b := j.prepare([]*addition{a})
		if err := j.ledger.write(b); err != nil {
			t.Fatal(err)
		}
		j.withdraw(b, errors.New("sync"))
		j.ledger.writing.Unlock()
		if failed = b.additions[0].record.Number; a.err == nil || a.record.Number != 0 {
			t.Errorf("number %d, error %v, want an error", a.record.Number, a.err)
		}
	}
	j.Invalidate([]string{"/1"}, nil)
	if err := j.flush(); err != nil {
		t.Fatal(err)
	}
	number := mustAdd(t, j, Entry{Kind: cache.Hard, URLs: []string{"/2"}})
	if number <= failed {
		t.Errorf("Add = %d, want a number after %d, which a failed one has used", number, failed)
	}
	j.Invalidate([]string{"/3"}, nil)
	mustClose(t, j)
	if got := mustOpen(t, path).Recovered(); got != (Recovery{Rows: 3}) {
		t.Errorf("Recovered = %+v, want 3 rows", got)
	}
}

// Once bbolt has panicked it may hold its lock for ever.
func TestABrokenFileFailsAtOnce(t *testing.T) {
	path := journalPath(t)
	j := mustOpen(t, path)
	err := j.ledger.file.update(func(*bbolt.Tx) error { panic("page 7: what is this?") })
	if !errors.Is(err, errDamaged) {
		t.Errorf("a panic = %v, want damage", err)
	}
	if _, err := j.Add(Entry{Kind: cache.Hard, All: true}); !errors.Is(err, errDamaged) {
		t.Errorf("Add = %v, want damage", err)
	}
	number := j.Invalidate([]string{page.URL}, nil)
	expectInForce(t, j, numbered{number, Entry{Kind: cache.MustValidate, URLs: []string{page.URL}}})
	if err := j.Close(); !errors.Is(err, errDamaged) {
		t.Errorf("Close = %v, want damage: an invalidation is lost", err)
	}
	mustOpen(t, path) // which another process could do as well
}

func TestClose(t *testing.T) {
	path := journalPath(t)
	j := mustOpen(t, path)
	number := j.Invalidate([]string{page.URL}, nil)
	mustClose(t, j)
	mustClose(t, j)
	if _, err := j.Add(Entry{Kind: cache.Hard, All: true}); !errors.Is(err, errClosed) {
		t.Errorf("Add after Close = %v, want errClosed", err)
	}
	expectInForce(t, mustOpen(t, path), numbered{number, Entry{Kind: cache.MustValidate, URLs: []string{page.URL}}})

	memory := NewJournal()
	if err := memory.Close(); err != nil {
		t.Errorf("Close of a journal in memory: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := memory.Run(ctx); err != nil {
		t.Errorf("Run of a journal in memory: %v", err)
	}
}

// What the rows have need not stand beside them.
func TestTheNextBatchTakesThePurgesIntoTheRows(t *testing.T) {
	j := mustOpen(t, journalPath(t))
	for i := range 5 {
		mustAdd(t, j, Entry{Kind: cache.Hard, URLs: []string{fmt.Sprint(i)}})
		if rows, added := rowsInFile(t, j); rows != i || added != 1 {
			t.Errorf("after %d purges: %d rows and %d purges, want %d and 1", i+1, rows, added, i)
		}
	}
	if err := j.flush(); err != nil {
		t.Fatal(err)
	}
	if rows, added := rowsInFile(t, j); rows != 5 || added != 0 {
		t.Errorf("in the end: %d rows and %d purges, want 5 and none", rows, added)
	}
}

// However many purges there are, the file grows with the rows and the history alone.
func TestTheFileIsBounded(t *testing.T) {
	j := mustOpenRows(t, journalPath(t), 16)
	j.history.most = 50
	j.ledger.file.db.NoSync = true
	size := 0
	for i := range 2000 {
		mustAdd(t, j, Entry{Kind: cache.Hard, URLs: []string{fmt.Sprint("/", i)}})
		if i == 200 {
			size = len(image(t, j))
		}
	}
	if got := len(image(t, j)); got > size {
		t.Errorf("%d bytes, want no more than the %d after 200 purges", got, size)
	}
}

// What is written next has its room on the disk, however full that is by then.
func TestRoomIsSetAsideOnTheDisk(t *testing.T) {
	j := mustOpen(t, journalPath(t))
	f := j.ledger.file
	if err := allocate(f.handle, 1); err != nil {
		t.Skipf("NOT RUN: needs a file system that sets room aside: %v", err)
	}
	f.db.NoSync = true
	for i := range 20 {
		info, err := f.handle.Stat()
		if err != nil {
			t.Fatal(err)
		}
		used, err := f.used()
		if room := info.Sys().(*syscall.Stat_t).Blocks*512 - used; err != nil || room < ahead/2 {
			t.Errorf("after %d purges: %d bytes used, and room for %d more, want %d; %v", i, used, room, ahead/2, err)
		}
		mustAdd(t, j, Entry{Kind: cache.Hard, URLs: urlsOf(i)})
	}
}

// urlsOf are as many as a purge may have, other ones for every number.
func urlsOf(number int) []string {
	all := make([]string, MaxNames)
	for i := range all {
		all[i] = fmt.Sprintf("/%d/%d/%s", number, i, strings.Repeat("x", 100))
	}
	return all
}

// running runs a journal inside the bubble until the returned function is called.
func running(t *testing.T, j *Journal) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := j.Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return func() {
		cancel()
		wg.Wait()
	}
}

func TestRunWritesInvalidationsSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := mustOpen(t, journalPath(t))
		defer j.Close()
		defer running(t, j)()
		before := commits(t, j)
		for i := range 100 {
			j.Invalidate([]string{fmt.Sprint(i)}, nil)
			time.Sleep(time.Millisecond)
		}
		if rows, _ := rowsInFile(t, j); rows != 0 {
			t.Errorf("%d rows written before the delay was over, want none", rows)
		}
		time.Sleep(batchDelay)
		synctest.Wait()
		if rows, _ := rowsInFile(t, j); rows != 100 || commits(t, j) != before+1 {
			t.Errorf("%d rows in %d batches, want 100 in 1", rows, commits(t, j)-before)
		}
		j.Invalidate([]string{"again"}, nil)
		mustAdd(t, j, Entry{Kind: cache.Hard, URLs: []string{"added"}}) // takes it along
		time.Sleep(batchDelay)
		synctest.Wait()
		if rows, added := rowsInFile(t, j); rows != 102 || added != 0 {
			t.Errorf("%d rows and %d purges, want 102 and none", rows, added)
		}
	})
}

func TestRunTriesAgainAndReportsOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		path := journalPath(t)
		j, err := Open(path, Options{Log: slog.New(slog.NewTextHandler(&out, nil))})
		if err != nil {
			t.Fatal(err)
		}
		stop := running(t, j)
		j.ledger.writing.Lock()
		j.ledger.file.broken = errors.New("no space left")
		j.ledger.writing.Unlock()
		j.Invalidate([]string{page.URL}, nil)
		time.Sleep(2*quiet + 10*time.Second)
		synctest.Wait()
		if got := strings.Count(out.String(), "no space left"); got != 3 {
			t.Errorf("%d reports in two minutes and a bit, want 3:\n%s", got, &out)
		}
		j.ledger.writing.Lock()
		j.ledger.file.broken = nil
		j.ledger.writing.Unlock()
		time.Sleep(2 * retryDelay)
		synctest.Wait()
		if rows, _ := rowsInFile(t, j); rows != 1 {
			t.Errorf("%d rows written once there was room, want 1", rows)
		}
		stop()
		mustClose(t, j)
	})
}

func BenchmarkAdd(b *testing.B) {
	add := func(j *Journal, i uint64) {
		if _, err := j.Add(Entry{Kind: cache.Hard, URLs: []string{fmt.Sprint("www.example.com/", i)}}); err != nil {
			b.Error(err)
		}
	}
	b.Run("OneAfterAnother", func(b *testing.B) {
		j, i := mustOpen(b, journalPath(b)), uint64(0)
		b.ReportAllocs()
		for b.Loop() {
			i++
			add(j, i)
		}
	})
	b.Run("Of64AtATime", func(b *testing.B) {
		j := mustOpen(b, journalPath(b))
		var i atomic.Uint64
		b.SetParallelism(64 / runtime.GOMAXPROCS(0))
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				add(j, i.Add(1))
			}
		})
	})
}

func BenchmarkInvalidateWithAFile(b *testing.B) {
	j := mustOpen(b, journalPath(b))
	ctx, cancel := context.WithCancel(b.Context())
	var wg sync.WaitGroup
	wg.Go(func() { j.Run(ctx) })
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		j.Invalidate([]string{fmt.Sprint("www.example.com/", i%100_000)}, nil)
	}
	cancel()
	wg.Wait()
}

func BenchmarkOpenOf100000Rows(b *testing.B) {
	j := mustOpen(b, journalPath(b))
	for i := range 100_000 {
		j.Invalidate([]string{fmt.Sprint("www.example.com/some/page/", i)}, nil)
	}
	path := j.ledger.file.db.Path()
	mustClose(b, j)
	for b.Loop() {
		mustClose(b, mustOpen(b, path))
	}
}
