package encode

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestKeep(t *testing.T) {
	text := prose(80_000)
	for _, tt := range []struct {
		name string
		src  []byte
		want error
	}{
		{"text", text, nil},
		{"more than Brotli is at its best for", bytes.Repeat([]byte("0123456789"), 900_000), nil},
		{"noise", noise(200_000), ErrUseless},
		{"a little noise", noise(2000), ErrUseless},
		{"a few words", []byte("Hello, world. Hello, world."), ErrUseless},
		{"nothing", nil, ErrUseless},
	} {
		for _, c := range made {
			m := new(Meter)
			coded, err := m.Keep(t.Context(), tt.src, c, nil)
			if !errors.Is(err, tt.want) {
				t.Errorf("%s, %v: %v, want %v", tt.name, c, err, tt.want)
			}
			if useless := m.Stats().Useless; useless != 0 != (tt.want != nil) {
				t.Errorf("%s, %v: %d useless were counted", tt.name, c, useless)
			}
			if tt.want != nil {
				continue
			}
			if got, err := plainly(c, coded); err != nil || !bytes.Equal(got, tt.src) {
				t.Errorf("%s, %v: %d bytes came back as %d, %v", tt.name, c, len(tt.src), len(got), err)
			}
		}
	}
}

// Brotli's seconds are not spent on what does not get smaller.
func TestNoiseIsSeenBeforeTheDearEncoder(t *testing.T) {
	m := new(Meter)
	_, _ = m.Keep(t.Context(), noise(1<<20), Brotli, nil)
	for _, f := range m.Stats().Flows {
		if f.Bodies != 0 {
			t.Errorf("%v worked on noise for %v", f.Coding, f.CPU)
		}
	}
}

func TestHelps(t *testing.T) {
	for _, tt := range []struct {
		plain, coded int64
		want         bool
	}{
		{100_000, 94_936, true},
		{100_000, 94_937, false},
		{1000, 886, true},
		{1000, 887, false},
		{64, 0, false},
		{0, 20, false},
		{1000, 2000, false},
	} {
		if got := Helps(tt.plain, tt.coded); got != tt.want {
			t.Errorf("Helps(%d, %d) = %t, want %t", tt.plain, tt.coded, got, tt.want)
		}
	}
}

// Between two pieces the work can be ended.
func TestKeepEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range made {
		m := new(Meter)
		if _, err := m.Keep(ctx, prose(3<<20), c, nil); !errors.Is(err, context.Canceled) {
			t.Errorf("%v: %v, want %v", c, err, context.Canceled)
		}
		for _, f := range m.Stats().Flows {
			if most := int64(pieceOf(c, 3<<20)); f.In > most {
				t.Errorf("%v went on for %d bytes, want at most %d", c, f.In, most)
			}
		}
	}
}

func TestKeepRestsBetweenPieces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		busy := 0
		w := newWorkshop(t, WorkshopConfig{CPU: 100, Queue: 1}, func() bool { busy++; return true })
		done := make(chan int)
		w.Do(1, func(ctx context.Context, p *Pace) {
			if _, err := (*Meter)(nil).Keep(ctx, prose(3<<20), Gzip, p); err != nil {
				t.Error(err)
			}
			done <- busy
		})
		start := time.Now()
		if got, want := <-done, 3*busyRests; got != want || time.Since(start) != 3*busyRests*busyRest {
			t.Errorf("three pieces were interrupted by %d rests, %v together, want %d", got, time.Since(start), want)
		}
	})
}

func TestMeter(t *testing.T) {
	m := new(Meter)
	text := prose(10_000)
	w := m.NewWriter(new(bytes.Buffer), Gzip, Fast, -1)
	_, _ = w.Write(text)
	_ = w.Close()
	w.Abort() // once is enough
	coded, err := m.Keep(t.Context(), text, Zstd, nil)
	if err != nil {
		t.Fatal(err)
	}
	delta := m.AppendDelta([]byte("before"), text, text[:9000], HashOf(text[:9000]), Best)
	type row struct {
		Coding      Coding
		Level       Level
		Bodies, In  int64
		Out         int64
		TookNothing bool
	}
	var got []row
	for _, f := range m.Stats().Flows {
		if f.Bodies > 0 {
			got = append(got, row{f.Coding, f.Level, f.Bodies, f.In, f.Out, f.CPU <= 0})
		}
	}
	want := []row{
		{Gzip, Fast, 1, 10_000, int64(len(Append(nil, text, Gzip, Fast))), false},
		{Zstd, Best, 1, 10_000, int64(len(coded)), false},
		{DCZ, Best, 1, 10_000, int64(len(delta) - len("before")), false},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("flows (-want +got):\n%s", diff)
	}
	if n, want := len(m.Stats().Flows), levels*4; n != want {
		t.Errorf("%d flows, want %d from the start", n, want)
	}
}
