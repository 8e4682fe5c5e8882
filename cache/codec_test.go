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

// readBack reads what a process wrote, as another or the same does at a later time.
func readBack(t *testing.T, m *Meta, by, reader process, now Instant) *Meta {
	t.Helper()
	got := &Meta{}
	if err := readMeta(got, appendMeta(nil, m, by), nil, reader, now); err != nil {
		t.Fatal(err)
	}
	return got
}

func TestMetaSurvivesTheDisk(t *testing.T) {
	then := Moment{Mono: 5e9, Wall: time.Date(2026, 11, 1, 12, 0, 0, 123, time.UTC)}
	m := storedMeta(then)
	later := Moment{Mono: 1e9, Wall: then.Wall.Add(10 * time.Second)} // another process, whose clock has just begun
	got := readBack(t, m, process{1, Moment{}}, process{2, later}, later.Mono)
	if age := got.Age(later.Mono); age != 13*time.Second {
		t.Errorf("age = %v, want the 3 s it came with and the 10 s since", age)
	}
	got.Received = m.Received
	if diff := cmp.Diff(m, got, sameMeta); diff != "" {
		t.Errorf("what was written and what was read differ:\n%s", diff)
	}
	for i := range m.Head.Len() {
		wantName, wantValue := m.Head.Line(i)
		if name, value := got.Head.Line(i); name != wantName || value != wantValue {
			t.Errorf("line %d is %s: %s, want %s: %s", i, name, value, wantName, wantValue)
		}
	}
}

// What a response is worth is counted on the monotonic clock while the process runs, whatever is done to the other one.
func TestClockJumps(t *testing.T) {
	began := Moment{Mono: 1e9, Wall: time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)}
	us, them := process{2, began}, process{1, Moment{}}
	now := began.Mono.Add(30 * time.Second) // when it is read
	const year = 365 * 24 * time.Hour
	for _, c := range []struct {
		name     string
		by       process
		received Moment
		fresh    bool
		age      time.Duration
	}{
		{"received by us, the clock as it was", us, Moment{began.Mono.Add(10 * time.Second), began.Wall.Add(10 * time.Second)}, true, 23 * time.Second},
		{"received by us, the clock set on by an hour before", us, Moment{began.Mono.Add(10 * time.Second), began.Wall.Add(time.Hour)}, true, 23 * time.Second},
		{"received by us, the clock set back by a year before", us, Moment{began.Mono.Add(10 * time.Second), began.Wall.Add(-year)}, true, 23 * time.Second},
		{"there before", them, Moment{77e9, began.Wall.Add(-20 * time.Second)}, true, 53 * time.Second},
		{"there before, an hour old", them, Moment{0, began.Wall.Add(-time.Hour)}, false, time.Hour + 33*time.Second},
		{"there before, from an hour ahead", them, Moment{0, began.Wall.Add(time.Hour)}, false, 3 * time.Second},
		{"there before, from a year ahead", them, Moment{0, began.Wall.Add(year)}, false, 3 * time.Second},
		{"there before, from no time", them, Moment{}, false, 3*time.Second + century},
	} {
		got := readBack(t, storedMeta(c.received), c.by, us, now)
		if fresh := got.TTL(now) > 0; fresh != c.fresh || got.Age(now) != c.age {
			t.Errorf("%s: fresh %v, age %v, want %v, %v", c.name, fresh, got.Age(now), c.fresh, c.age)
		}
	}
}

func FuzzMeta(f *testing.F) {
	now := Moment{Mono: 1e9, Wall: time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)}
	us := process{1, now}
	f.Add(appendMeta(nil, storedMeta(now), us))
	f.Add(appendMeta(nil, storedMeta(now), process{2, now}))
	f.Add(appendMeta(nil, &Meta{}, us))
	f.Add([]byte{metaVersion})
	f.Fuzz(func(t *testing.T, b []byte) {
		m, again := &Meta{}, &Meta{}
		if readMeta(m, b, nil, us, now.Mono) != nil {
			return
		}
		if m.Received > now.Mono {
			t.Errorf("received %v after now", m.Received.Sub(now.Mono))
		}
		for i := range m.Head.Len() {
			m.Head.Line(i)
		}
		if err := readMeta(again, appendMeta(nil, m, us), nil, us, now.Mono); err != nil {
			t.Fatalf("what was read cannot be written and read again: %v", err)
		}
		if diff := cmp.Diff(m, again, sameMeta); diff != "" {
			t.Errorf("read, written and read again, it differs:\n%s", diff)
		}
	})
}
