package disk

import (
	"testing"
	"time"
)

// benchmarked returns a tier with so many records.
func benchmarked(b *testing.B, records, length int) *rig {
	b.Helper()
	r := loaded(b, b.TempDir(), Options{Limit: 4 << 30})
	for n := range records {
		rec, body := record(n, length)
		r.put(rec, body)
	}
	r.sync()
	return r
}

// What does a look-up cost that 100,000 records do not disturb?
func BenchmarkLookup(b *testing.B) {
	r := benchmarked(b, 100_000, 100)
	names := make([]Name, 1024)
	for n := range names {
		names[n] = name(n * 97)
	}
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		if _, ok := r.Lookup(names[n%len(names)]); !ok {
			b.Fatal("not there")
		}
		n++
	}
}

func BenchmarkRead1K(b *testing.B)  { benchmarkRead(b, 1<<10) }
func BenchmarkRead32K(b *testing.B) { benchmarkRead(b, 32<<10) }
func BenchmarkRead1M(b *testing.B)  { benchmarkRead(b, 1<<20) }

// What does a record cost from look-up to the last checked byte, from the page cache?
func benchmarkRead(b *testing.B, length int) {
	r := benchmarked(b, 100, length)
	b.SetBytes(int64(length))
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		ref, _ := r.Lookup(name(n % 100))
		e, err := r.Open(ref)
		if err != nil {
			b.Fatal(err)
		}
		for at := int64(0); at < e.Length; {
			p, err := e.Block(at)
			if err != nil {
				b.Fatal(err)
			}
			at += int64(len(p))
		}
		e.Close()
		n++
	}
}

func BenchmarkPut1K(b *testing.B)  { benchmarkPut(b, 1<<10) }
func BenchmarkPut32K(b *testing.B) { benchmarkPut(b, 32<<10) }

// How many records a second can be put, written and synced?
func benchmarkPut(b *testing.B, length int) {
	r := loaded(b, b.TempDir(), Options{Limit: 1 << 30})
	rec, body := record(0, length)
	b.SetBytes(int64(length))
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		rec.Name, rec.Fill = name(n%100_000), uint64(n+1)
		r.put(rec, body)
		n++
	}
	r.sync()
}

// How long does a start with a million records take: until Open returns, and until they are found?
func BenchmarkStart1M(b *testing.B) {
	dir := b.TempDir()
	o := Options{Limit: 4 << 30}
	r := loaded(b, dir, o)
	for n := range 1_000_000 {
		rec, body := record(n, 100)
		r.put(rec, body)
	}
	r.stop()
	var opened, found time.Duration
	for b.Loop() {
		begin := time.Now()
		r := start(b, dir, o)
		opened += time.Since(begin)
		<-r.Loaded()
		found += time.Since(begin)
		if got := r.Stat().Records; got != 1_000_000 {
			b.Fatalf("%d records, want a million", got)
		}
		r.stop()
	}
	b.ReportMetric(float64(opened.Milliseconds())/float64(b.N), "ms-to-open")
	b.ReportMetric(float64(found.Milliseconds())/float64(b.N), "ms-to-loaded")
}
