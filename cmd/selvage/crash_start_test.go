package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"selvage/cache"
	"selvage/purge"
)

// startWithin is how long a start may take before it serves, whatever there is on the disk: a fifth of a second on a machine that
// has time for it, as it has in a soak.
func startWithin() time.Duration {
	if soaking() {
		return 200 * time.Millisecond
	}
	return longEnough / 2
}

// testStart starts processes on a directory with many records: a million in a soak. They serve at once, and have found all of
// them a moment later.
func testStart(t *testing.T, binary string) {
	records := crashSizes().records
	_, url := newPageOrigin(t)
	g := newProgram(t, binary, url, filepath.Join(t.TempDir(), "cache"), "2GiB")
	fillStopped(t, g.cache, records)
	quickest, loaded := time.Hour, time.Hour
	for range 5 { // other tests may keep the machine busy
		began := time.Now()
		p := g.startReady(t)
		line, _ := p.await(loadedMessage)
		loaded = min(loaded, time.Since(began))
		if line.Records != int64(records) {
			t.Errorf("%d records found, want %d", line.Records, records)
		}
		quickest = min(quickest, p.took)
		p.stop()
		p.healthy()
	}
	if quickest > startWithin() {
		t.Errorf("the quickest start with %d records took %v, want at most %v", records, quickest, startWithin())
	}
	t.Logf("%d records: ready after %v, all found after %v", records, quickest.Round(time.Millisecond), loaded.Round(time.Millisecond))
}

// fillStopped fills a cache directory as a node does.
func fillStopped(t *testing.T, folder string, records int) {
	t.Helper()
	config := cache.DiskConfig{Path: folder, Size: 2 << 30}
	journal, err := openJournal(config, purge.Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer journal.Close()
	store, err := cache.NewStore(cache.StoreConfig{
		MaxBytes: 64 << 20, Disk: config, Identity: journal.Identity(), HighestEpoch: journal.Reserved(),
	}, cache.SystemClock(), journal)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ran := make(chan error)
	go func() { ran <- store.Run(ctx) }()
	policy := cache.DefaultConfig()
	fill := filler{store: store, policy: policy.Compile()}
	for n := range records {
		if err := fill.one(n); err != nil {
			t.Fatal(err)
		}
		if n%5000 == 0 {
			fill.drain()
		}
	}
	store.Close()
	stop()
	if err := <-ran; err != nil {
		t.Fatal(err)
	}
}

// filler puts small responses into a store.
type filler struct {
	store  *cache.Store
	policy *cache.Policy
}

func (f *filler) one(n int) error {
	q := cache.NewQuery()
	q.Method, q.Host, q.Path, q.Site = "GET", pageHost, fmt.Sprintf("/small/%d", n), pageHost
	q.Fields = cache.HeaderFields(http.Header{})
	q.MakeKey(f.policy, f.store.Seed())
	a := f.store.Fill(&cache.Fill{Query: &q, Policy: f.policy, Fetch: func(context.Context, *cache.Meta) (*http.Response, error) {
		h := http.Header{"Cache-Control": {"max-age=86400"}, "Content-Type": {"text/plain"}}
		return &http.Response{StatusCode: 200, Proto: "HTTP/1.1", Header: h, ContentLength: 5, Body: body{strings.NewReader("small")}}, nil
	}})
	a.Release()
	return a.Err
}

type body struct{ *strings.Reader }

func (body) Close() error { return nil }

// drain waits until all is written, or the store would drop what it has no time for.
func (f *filler) drain() {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for f.store.Stats().Filling.Load() > 0 || f.store.Disk().Stat().Queued > 0 {
		<-tick.C
	}
}
