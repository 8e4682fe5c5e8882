package purge

import (
	"errors"
	"reflect"
	"testing"
	"time"

	"selvage/cache"
)

var everyKind = marks{{last: 3}, {last: 1 << 40}, {last: 7}}

func TestStateIsReadAsWritten(t *testing.T) {
	want := state{
		identity: [16]byte{1, 15: 16}, reserved: 1 << 50, marked: 1 << 49, all: lasts{1, 2, 3}, floor: lasts{4, 5, 6},
		transaction: 7, sum: 1<<64 - 1,
	}
	got, err := decodeState(want.encode())
	if err != nil || got != want {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
	for i := range stateBytes {
		b := want.encode()
		b[i] ^= 4
		if _, err := decodeState(b); !errors.Is(err, errDamaged) {
			t.Errorf("byte %d altered: %v, want damage", i, err)
		}
	}
}

func FuzzDecodeState(f *testing.F) {
	f.Add((&state{identity: [16]byte{1}, reserved: 2, sum: 3}).encode())
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, err := decodeState(b); err == nil && string(s.encode()) != string(b) {
			t.Errorf("%+v is written as %x, was read from %x", s, s.encode(), b)
		}
	})
}

func FuzzDecodeRow(f *testing.F) {
	f.Add(slotKey(7), (&row{selector: selector{byURL, page.URL}, marks: everyKind}).encode())
	f.Add(slotKey(0), (&row{selector: selector{bySite, ""}}).encode())
	f.Add([]byte{}, []byte{})
	f.Fuzz(func(t *testing.T, key, value []byte) {
		r, err := decodeRow(key, value)
		if err != nil {
			return
		}
		if string(slotKey(r.slot)) != string(key) || string(r.encode()) != string(value) {
			t.Errorf("%+v is written as %x, was read from %x", r, r.encode(), value)
		}
		if r.selector.name == "" {
			t.Error("a row without a name")
		}
	})
}

func FuzzDecodeRecord(f *testing.F) {
	for _, e := range []Entry{
		{Kind: cache.Hard, All: true, By: "uid 1000", Why: "release 7"},
		{Kind: cache.Soft, Tags: []string{"a", "b"}, Hosts: []string{"www.example.com"}},
		{Kind: cache.MustValidate, Sites: []string{"shop"}, URLs: []string{page.URL}},
		{Kind: cache.Hard, Prefixes: []string{"www.example.com/blog/"}, Globs: []string{"*.example.com/*/print?*"}},
		{Kind: cache.Hard, Tags: []string{""}},
	} {
		f.Add(numberKey(7), (&Record{Time: time.UnixMilli(1), Entry: e}).encode())
	}
	f.Fuzz(func(t *testing.T, key, value []byte) {
		r, err := decodeRecord(key, value)
		if err != nil {
			return
		}
		if err := r.check(); err != nil {
			t.Errorf("%+v is read, though Add refuses it: %v", r, err)
		}
		again, err := decodeRecord(numberKey(r.Number), r.encode())
		if err != nil || !reflect.DeepEqual(again, r) {
			t.Errorf("%+v, %v, want %+v", again, err, r)
		}
	})
}
