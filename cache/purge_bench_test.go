package cache_test

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"selvage/cache"
	"selvage/purge"
)

// million is a Store with a million objects in memory and on disk, and its journal.
type million struct {
	journal *purge.Journal
	store   *cache.Store
	policy  *cache.Policy
	end     func()
}

const millionObjects = 1_000_000

func newMillion(b *testing.B) *million {
	b.Helper()
	dir := b.TempDir()
	j, err := purge.Open(filepath.Join(dir, "purges"), purge.Options{})
	if err != nil {
		b.Fatal(err)
	}
	s, err := cache.NewStore(cache.StoreConfig{
		MaxBytes: 4 << 30, Disk: cache.DiskConfig{Path: filepath.Join(dir, "cache"), Size: 2 << 30}, Identity: j.Identity(),
	}, cache.SystemClock(), j)
	if err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	m := &million{journal: j, store: s, policy: cache.DefaultConfig().Compile()}
	m.end = func() {
		s.Close()
		stop()
		<-ended
		j.Close()
	}
	s.Loaded()
	for i := range millionObjects {
		m.fill(b, i)
	}
	if n := s.Objects(); n < millionObjects*95/100 {
		b.Fatalf("%d objects are in memory, want a million or nearly", n)
	}
	return m
}

func (m *million) query(i int) *cache.Query {
	q := cache.NewQuery()
	q.Method, q.Host, q.Path = "GET", fmt.Sprintf("h%d.example.com", i%10), fmt.Sprintf("/d%d/page-%d", i/1000, i)
	q.Site, q.Fields = fmt.Sprint("site-", i%5), cache.HeaderFields{}
	q.MakeKey(m.policy, m.store.Seed())
	return &q
}

func (m *million) fill(b *testing.B, i int) {
	a := m.store.Fill(&cache.Fill{
		Query: m.query(i), Policy: m.policy, Begin: m.journal.Applied(),
		Fetch: func(context.Context, *cache.Meta) (*http.Response, error) {
			return respond(200, strings.Repeat("00000001", 64), "Cache-Control: max-age=86400", fmt.Sprintf("Cache-Tag: t%d", i%1000)), nil
		},
	})
	if _, err := read(a.Object, false); err != nil {
		b.Fatal(err)
	}
	a.Release()
}

// What does a purge cost when there is much to purge? And what does it cost a hit?
func BenchmarkAMillionObjects(b *testing.B) {
	if testing.Short() {
		b.Skip("a million takes a minute to make")
	}
	m := newMillion(b)
	defer m.end()
	b.Run("Hit", m.benchmarkHit)
	for _, s := range []struct {
		name  string
		entry purge.Entry
	}{
		{"Site", purge.Entry{Sites: []string{"site-1"}}},
		{"Host", purge.Entry{Hosts: []string{"h1.example.com"}}},
		{"Tag", purge.Entry{Tags: []string{"t7"}}},
		{"URL", purge.Entry{URLs: []string{"h7.example.com/d0/page-7"}}},
		{"Prefix", purge.Entry{Prefixes: []string{"h1.example.com/d1"}}},
		{"Glob", purge.Entry{Globs: []string{"*.example.com/d1*/page-*7"}}},
		{"Everything", purge.Entry{All: true}}, // last, since it leaves no hit
	} {
		s.entry.Kind = cache.Soft
		if !s.entry.All {
			b.Run("HitAfterPurge/"+s.name, func(b *testing.B) { m.benchmarkHitAfter(b, s.entry) })
		}
		b.Run("Count/"+s.name, func(b *testing.B) { m.benchmarkCount(b, s.entry) })
		b.Run("Purge/"+s.name, func(b *testing.B) { m.benchmarkAdd(b, s.entry) })
	}
	b.Run("Each", func(b *testing.B) {
		for b.Loop() {
			m.store.Each(b.Context(), func(*cache.Holding) bool { return true })
		}
	})
	b.Run("Reclaim", m.benchmarkReclaim)
}

func (m *million) benchmarkAdd(b *testing.B, e purge.Entry) {
	for b.Loop() {
		if _, err := m.journal.Add(e); err != nil {
			b.Fatal(err)
		}
	}
}

// benchmarkHit looks up objects when no purge is new.
func (m *million) benchmarkHit(b *testing.B) {
	m.benchmarkLookups(b, func() uint64 { return m.journal.Applied() })
}

// benchmarkHitAfter looks up each object once after a purge of others: that is when the tables are asked.
func (m *million) benchmarkHitAfter(b *testing.B, e purge.Entry) {
	m.benchmarkLookups(b, func() uint64 {
		number, err := m.journal.Add(e)
		if err != nil {
			b.Fatal(err)
		}
		return number
	})
}

func (m *million) benchmarkLookups(b *testing.B, begin func() uint64) {
	const queries = 10_000
	var all [queries]*cache.Query
	for i := range all {
		all[i] = m.query(3 + 10*i)
	}
	now, i, number := cache.SystemClock().Now().Mono, 0, uint64(0)
	for b.Loop() {
		if i%queries == 0 {
			b.StopTimer()
			number = begin()
			b.StartTimer()
		}
		if _, found := m.store.Lookup(all[i%queries], number, now); found.Verdict != cache.Valid || found.Meta == nil {
			b.Fatalf("verdict %v", found.Verdict)
		}
		i++
	}
}

func (m *million) benchmarkCount(b *testing.B, e purge.Entry) {
	match := e.Matcher().Matches
	var t cache.Tally
	for b.Loop() {
		t = m.store.Count(b.Context(), match, 20*time.Millisecond)
	}
	b.ReportMetric(float64(t.Objects), "objects")
}

// benchmarkReclaim purges everything hard and waits until its memory and most of its disk space are free: all but the segment
// that is being written.
func (m *million) benchmarkReclaim(b *testing.B) {
	if b.N > 1 {
		b.Skip("once is enough")
	}
	used := m.store.Disk().Stat().Used
	if _, err := m.journal.Add(purge.Entry{Kind: cache.Hard, All: true}); err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(b.Context())
	defer stop()
	swept := make(chan error, 1)
	go func() { swept <- m.store.Sweep(ctx, m.journal.Changed()) }()
	begun := time.Now()
	for range time.Tick(time.Second) { // the sweep's own pace is what is measured
		left := m.store.Disk().Stat()
		if m.store.Objects() == 0 && left.Records == 0 && left.Used < used/5 || time.Since(begun) > 5*time.Minute {
			b.ReportMetric(float64(used-left.Used)/(1<<20), "MiB-freed")
			b.ReportMetric(time.Since(begun).Seconds(), "seconds")
			break
		}
	}
	stop()
	<-swept
}
