package cache

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// holdings returns what Each tells, a line for each.
func (b *bench) holdings() (all []string) {
	b.t.Helper()
	err := b.Each(b.t.Context(), func(h *Holding) bool {
		all = append(all, fmt.Sprintf("%s memory=%t disk=%t %d %q", h.URL, h.Memory, h.Disk, h.Bytes, h.Tags))
		return true
	})
	if err != nil {
		b.t.Error(err)
	}
	slices.Sort(all)
	return all
}

func TestEachTellsOfBothTiersOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		var purges onePurge
		b, end := diskBench(t, StoreConfig{MaxBytes: 4 << 20, Disk: DiskConfig{Path: dir, Size: 64 << 20}}, &purges)
		b.loaded()
		b.origin = func(_ context.Context, n int64, _ *Meta) (*http.Response, error) {
			return replyText("x", "Cache-Control: max-age=600", "Cache-Tag: a,b", "Vary: X-Kind"), nil
		}
		b.get("/old", "X-Kind", "1")
		b.get("/old", "X-Kind", "2")
		if err := b.disk.tier.Sync(t.Context()); err != nil {
			t.Fatal(err)
		}
		origin := b.origin
		end()
		b, end = diskBench(t, StoreConfig{MaxBytes: 4 << 20, Disk: DiskConfig{Path: dir, Size: 64 << 20}}, &purges)
		defer end()
		b.loaded()
		b.origin = origin
		b.get("/new")
		if err := b.disk.tier.Sync(t.Context()); err != nil {
			t.Fatal(err)
		}
		want := []string{
			`example.com/new memory=true disk=true 1 ["a" "b"]`,
			`example.com/old memory=false disk=true 1 ["a" "b"]`,
			`example.com/old memory=false disk=true 1 ["a" "b"]`,
		}
		if got := b.holdings(); !slices.Equal(got, want) {
			t.Errorf("held:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		all := func(*Target) bool { return true }
		if got := b.Count(t.Context(), all, time.Second); got != (Tally{3, 3, true}) {
			t.Errorf("Count = %+v, want 3 objects of 3 bytes, exactly", got)
		}
		old := func(t *Target) bool { return t.URL == "example.com/old" }
		if got := b.Count(t.Context(), old, time.Second); got != (Tally{2, 2, true}) {
			t.Errorf("Count of /old = %+v, want 2 of 2 bytes", got)
		}
		purges.at.Store(1)
		if got := b.holdings(); got != nil {
			t.Errorf("held after a purge of everything:\n%s", strings.Join(got, "\n"))
		}
		if got := b.Count(t.Context(), all, time.Second); got.Objects != 0 {
			t.Errorf("Count = %+v after a purge of everything, want none", got)
		}
	})
}

func TestEachEndsWhenItIsTold(t *testing.T) {
	inBubble(t, noPurges{}, 1<<20, func(t *testing.T, b *bench) {
		b.origin = func(context.Context, int64, *Meta) (*http.Response, error) {
			return replyText("x", "Cache-Control: max-age=600"), nil
		}
		b.get("/1")
		b.get("/2")
		n := 0
		if err := b.Each(t.Context(), func(*Holding) bool { n++; return false }); err != nil || n != 1 {
			t.Errorf("%d objects and %v, want 1 and no error", n, err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := b.Each(ctx, func(*Holding) bool { return true }); !errors.Is(err, context.Canceled) {
			t.Errorf("Each = %v, want that it was cancelled", err)
		}
	})
}

// What was not looked at counts as what was.
func TestAnEstimateScales(t *testing.T) {
	seen := tally{seen: 250, objects: 10, bytes: 1000}
	for _, tt := range []struct {
		all   int64
		whole bool
		want  Tally
	}{
		{250, true, Tally{10, 1000, true}},
		{1000, false, Tally{40, 4000, false}},
		{100, false, Tally{10, 1000, false}}, // fewer than were seen: some have come or gone
	} {
		if got := seen.of(tt.all, tt.whole); got != tt.want {
			t.Errorf("of %d, whole %t: %+v, want %+v", tt.all, tt.whole, got, tt.want)
		}
	}
	if got := (&tally{}).of(1000, false); got != (Tally{}) {
		t.Errorf("of nothing seen: %+v", got)
	}
}

func TestCountOfManyRecordsIsAnEstimate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		b, end := newDiskBench(t, dir, 4<<20)
		b.loaded()
		b.origin = func(_ context.Context, n int64, _ *Meta) (*http.Response, error) {
			return replyText("x", "Cache-Control: max-age=600", fmt.Sprint("Cache-Tag: t", n%2)), nil
		}
		const objects = 4 * samples
		for i := range objects {
			b.get(fmt.Sprint("/", i))
		}
		if err := b.disk.tier.Sync(t.Context()); err != nil {
			t.Fatal(err)
		}
		end()
		b, end = newDiskBench(t, dir, 4<<20)
		defer end()
		b.loaded()
		got := b.Count(t.Context(), func(t *Target) bool { return t.Tags[0] == "t0" }, time.Second)
		if got.Exact || got.Objects < objects/4 || got.Objects > objects*3/4 {
			t.Errorf("Count = %+v, want about %d objects", got, objects/2)
		}
	})
}
