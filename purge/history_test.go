package purge

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"selvage/cache"
)

// numbersOf returns what a page of the history names.
func numbersOf(page []Record) (all []uint64) {
	for _, r := range page {
		all = append(all, r.Number)
	}
	return all
}

func TestHistory(t *testing.T) {
	j := mustOpen(t, journalPath(t))
	var told []uint64
	for i := range 5 {
		told = append(told, mustAdd(t, j, Entry{Kind: cache.Hard, Tags: []string{fmt.Sprint(i)}, By: "ann", Why: "release"}))
		j.Invalidate([]string{"/is-no-history"}, nil)
	}
	slices.Reverse(told)
	for _, tt := range []struct {
		before uint64
		limit  int
		want   []uint64
	}{
		{0, 2, told[:2]},
		{told[1], 2, told[2:4]},
		{told[1] - 1, 9, told[2:]}, // from a number that is no purge's
		{told[4], 9, nil},
		{0, 0, nil},
		{0, -1, nil},
	} {
		if got := numbersOf(j.History(tt.before, tt.limit)); !slices.Equal(got, tt.want) {
			t.Errorf("History(%d, %d) = %d, want %d", tt.before, tt.limit, got, tt.want)
		}
	}
	r, ok := j.Find(told[3])
	if !ok || r.Number != told[3] || r.By != "ann" || r.Why != "release" || !slices.Equal(r.Tags, []string{"1"}) {
		t.Errorf("Find = %+v, %t", r, ok)
	}
	if since := time.Since(r.Time); since < -time.Minute || since > time.Minute {
		t.Errorf("purged %v ago", since)
	}
	if _, ok := j.Find(told[0] + 1); ok {
		t.Error("Find has found a purge that was none")
	}
}

func TestHistorySurvivesARestart(t *testing.T) {
	path := journalPath(t)
	j := mustOpen(t, path)
	everything := Entry{
		Kind: cache.Soft, All: true, Sites: []string{"s"}, Hosts: []string{"h"}, Tags: []string{"t"}, URLs: []string{"u"},
		Prefixes: []string{"p"}, Globs: []string{"*g"}, By: "ann", Why: "release",
	}
	mustAdd(t, j, everything)
	mustAdd(t, j, Entry{Kind: cache.Hard, All: true})
	want := fmt.Sprintf("%+v", j.History(0, 10))
	killed := mustOpen(t, write(t, image(t, j)))
	if got := fmt.Sprintf("%+v", killed.History(0, 10)); got != want {
		t.Errorf("after a kill: %s\nwant %s", got, want)
	}
	mustClose(t, j)
	if got := fmt.Sprintf("%+v", mustOpen(t, path).History(0, 10)); got != want {
		t.Errorf("after a restart: %s\nwant %s", got, want)
	}
}

// The newest are kept, in memory and, with the next purge, in the file.
func TestHistoryIsBounded(t *testing.T) {
	path := journalPath(t)
	j := mustOpen(t, path)
	j.ledger.file.db.NoSync = true
	j.history.most = 3
	var told []uint64
	for i := range 7 {
		told = append(told, mustAdd(t, j, Entry{Kind: cache.Hard, URLs: []string{fmt.Sprint(i)}}))
	}
	if got := numbersOf(j.History(0, 10)); !slices.Equal(got, []uint64{told[6], told[5], told[4]}) {
		t.Errorf("History = %d of %d", got, told)
	}
	mustClose(t, j)
	if got := len(mustOpen(t, path).History(0, 10)); got > 4 {
		t.Errorf("%d purges in the file, want one more than 3 at most", got)
	}
}

func TestHistoryIsBoundedInBytes(t *testing.T) {
	h := history{most: maxRecords}
	r := Record{Entry: Entry{URLs: manyURLs(MaxNames)}}
	for r.Number = range 200 {
		h.add(r)
	}
	if h.bytes > maxHistoryBytes || h.newest() != 199 || len(h.records) < 10 {
		t.Errorf("%d purges of %d bytes, the newest %d", len(h.records), h.bytes, h.newest())
	}
	for range h.records {
		h.bytes -= r.weight()
	}
	if h.bytes != 0 {
		t.Errorf("%d bytes too many are counted", h.bytes)
	}
}

// A purge that could not be written is not history, whether its batch has reached the file or not.
func TestAPurgeThatFailedIsNotHistory(t *testing.T) {
	path := journalPath(t)
	j := mustOpen(t, path)
	j.ledger.writing.Lock()
	a := &addition{record: Record{Time: now(), Entry: Entry{Kind: cache.Hard, All: true}}}
	b := j.prepare([]*addition{a})
	if err := j.ledger.write(b); err != nil { // the pages are there,
		t.Fatal(err)
	}
	failed := a.record.Number
	j.withdraw(b, errClosed) // but the sync has failed
	j.ledger.writing.Unlock()
	last := mustAdd(t, j, Entry{Kind: cache.Soft, URLs: []string{"/a"}})
	mustClose(t, j)
	j = mustOpen(t, path)
	if got := numbersOf(j.History(0, 10)); !slices.Equal(got, []uint64{last}) {
		t.Errorf("History = %d, want %d alone, without %d", got, last, failed)
	}
	if got := j.Verdict(page, 0, j.Applied()); got != cache.Valid {
		t.Errorf("Verdict = %v by a purge that failed, want valid", got)
	}
}

func TestMatcher(t *testing.T) {
	for _, tt := range []struct {
		entry Entry
		want  bool
	}{
		{Entry{Kind: cache.Soft, All: true}, true},
		{Entry{Kind: cache.Soft, Tags: []string{"front"}}, true},
		{Entry{Kind: cache.Soft, Prefixes: []string{"www.example.com/"}}, true},
		{Entry{Kind: cache.Soft, Globs: []string{"*?b=*"}}, true},
		{Entry{Kind: cache.Soft, URLs: []string{"www.example.com/a"}, Tags: []string{"x"}}, false},
		{Entry{}, false},
	} {
		if got := tt.entry.Matcher().Matches(page); got != tt.want {
			t.Errorf("%+v takes the page: %t, want %t", tt.entry, got, tt.want)
		}
	}
}

func TestStatsCountPurgesByKindAndSelector(t *testing.T) {
	j := NewJournal()
	mustAdd(t, j, Entry{Kind: cache.Hard, URLs: []string{"/a", "/b"}, Globs: []string{"*"}})
	mustAdd(t, j, Entry{Kind: cache.Soft, All: true})
	j.Invalidate([]string{"/a"}, []string{"group"})
	got := make(map[string]uint64)
	s := j.Stats()
	for _, c := range s.Counts {
		if c.Purges > 0 {
			got[c.Kind.String()+" "+c.Selector] = c.Purges
		}
	}
	want := map[string]uint64{"hard url": 1, "hard glob": 1, "soft all": 1, "must-validate url": 1, "must-validate tag": 1}
	if fmt.Sprint(got) != fmt.Sprint(want) || s.Rows != 4 || s.Globs != 1 || s.Records != 2 {
		t.Errorf("%v in %+v, want %v, 4 rows, 1 glob and 2 records", got, s, want)
	}
}

func TestChangedTellsOfHardPurges(t *testing.T) {
	j := NewJournal()
	told := func() bool {
		select {
		case <-j.Changed():
			return true
		default:
			return false
		}
	}
	mustAdd(t, j, Entry{Kind: cache.Soft, All: true})
	if told() {
		t.Error("a soft purge leaves nothing to reclaim")
	}
	mustAdd(t, j, Entry{Kind: cache.Hard, URLs: []string{"/a"}})
	mustAdd(t, j, Entry{Kind: cache.Hard, URLs: []string{"/b"}})
	if !told() || told() {
		t.Error("two hard purges are told of otherwise than once")
	}
}
