package cache

import (
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var sameMeta = cmp.Options{
	cmp.Comparer(func(a, b Head) bool { return string(a.Block()) == string(b.Block()) }),
	cmpopts.EquateEmpty(),
}

func storedMeta(now Moment) *Meta {
	h := http.Header{"Content-Type": {"text/html"}, "Cache-Control": {"max-age=60"}, "Etag": {`"1"`}, "X": {"a", "b"}}
	return &Meta{
		Proto: "HTTP/1.1", Status: 200, Head: RenderHead(h, nil), Vary: []string{"Accept", "X-Kind"}, ETag: `"1"`, Coding: "gzip",
		LastModified: time.Date(2026, 9, 1, 0, 0, 0, 0, time.UTC), Date: now.Wall,
		Received: now.Mono, ReceivedAt: now.Wall, InitialAge: 3 * time.Second, Lifetime: time.Minute,
		WhileRevalidate: time.Second, IfError: 2 * time.Second, Unreachable: time.Hour,
		SharedWithAuth: true, Immutable: true, Tags: []string{"a", "b c"}, Epoch: 77,
	}
}

func TestMetaSurvivesTheDisk(t *testing.T) {
	then := Moment{Mono: 5e9, Wall: time.Date(2026, 11, 1, 12, 0, 0, 123, time.UTC)}
	m := storedMeta(then)
	later := Moment{Mono: 1e9, Wall: then.Wall.Add(10 * time.Second)} // another process, whose clock has just begun
	got, err := readMeta(appendMeta(nil, m), later)
	if err != nil {
		t.Fatal(err)
	}
	if age := got.Age(later.Mono); age != 13*time.Second {
		t.Errorf("age = %v, want the 3 s it came with and the 10 s since", age)
	}
	got.Received = m.Received
	if diff := cmp.Diff(m, got, sameMeta); diff != "" {
		t.Errorf("what was written and what was read differ:\n%s", diff)
	}
}

func TestMetaFromTheFutureIsStale(t *testing.T) {
	now := Moment{Mono: 1e9, Wall: time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)}
	m := storedMeta(Moment{Wall: now.Wall.Add(time.Hour)})
	got, err := readMeta(appendMeta(nil, m), now)
	if err != nil {
		t.Fatal(err)
	}
	if got.TTL(now.Mono) > 0 || got.Age(now.Mono) < 0 {
		t.Errorf("ttl %v, age %v: want stale, and no negative age", got.TTL(now.Mono), got.Age(now.Mono))
	}
}

func FuzzMeta(f *testing.F) {
	now := Moment{Mono: 1e9, Wall: time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)}
	f.Add(appendMeta(nil, storedMeta(now)))
	f.Add(appendMeta(nil, &Meta{}))
	f.Add([]byte{metaVersion})
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := readMeta(b, now)
		if err != nil {
			return
		}
		again, err := readMeta(appendMeta(nil, m), now)
		if err != nil {
			t.Fatalf("what was read cannot be written and read again: %v", err)
		}
		if diff := cmp.Diff(m, again, sameMeta); diff != "" && m.ReceivedAt.Before(now.Wall) {
			t.Errorf("read, written and read again, it differs:\n%s", diff)
		}
	})
}
