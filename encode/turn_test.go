package encode

import (
	"bytes"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestAsManyWorkAsThereArePlaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stile := turnstile{places: make(chan struct{}, 2)}
		var now, most atomic.Int64
		for range 6 {
			go func() {
				stile.enter()
				defer stile.leave()
				most.Store(max(most.Load(), now.Add(1)))
				time.Sleep(time.Second)
				now.Add(-1)
			}()
		}
		synctest.Wait()
		if n := stile.waiting.Load(); n != 4 || now.Load() != 2 {
			t.Errorf("%d work and %d wait, want 2 and 4", now.Load(), n)
		}
		time.Sleep(time.Minute)
		if most.Load() != 2 || stile.waiting.Load() != 0 {
			t.Errorf("%d worked at once, %d wait still", most.Load(), stile.waiting.Load())
		}
	})
}

// A place that others had to wait for says nothing of now, when nobody does.
func TestBehindIsWhoWaitsLong(t *testing.T) {
	for _, test := range []struct {
		why   string
		piece time.Duration
		after time.Duration
		want  bool
	}{
		{"short pieces", longWait / 4, longWait, false},
		{"nobody has waited yet", 4 * longWait, longWait, false},
		{"long pieces", 4 * longWait, 5 * longWait, true},
		{"all is done", 4 * longWait, time.Minute, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			stile := turnstile{places: make(chan struct{}, 1)}
			for range 8 {
				go func() {
					stile.enter()
					defer stile.leave()
					time.Sleep(test.piece)
				}()
				synctest.Wait()
			}
			time.Sleep(test.after)
			if got := stile.slow(); got != test.want {
				t.Errorf("%s: slow = %v, want %v", test.why, got, test.want)
			}
			time.Sleep(time.Minute)
		})
	}
}

// Who waits for a client takes turns; what is made in the background has the workshop's share, and does not.
func TestFastEncodersTakeTurns(t *testing.T) {
	for range cap(turns.places) {
		turns.enter()
	}
	src := prose(10_000)
	kept := Append(nil, src, Gzip, Best)
	fast := make(chan []byte)
	go func() { fast <- Append(nil, src, Gzip, Fast) }()
	for turns.waiting.Load() == 0 {
		runtime.Gosched()
	}
	for range cap(turns.places) {
		turns.leave()
	}
	for l, coded := range map[Level][]byte{Fast: <-fast, Best: kept} {
		if got, err := plainly(Gzip, coded); err != nil || !bytes.Equal(got, src) {
			t.Errorf("%v: %d bytes came back as %d, %v", l, len(src), len(got), err)
		}
	}
}
