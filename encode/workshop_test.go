package encode

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// work takes d of the processor, in pieces of a tenth of a second, as far as the pace lets it.
func work(ctx context.Context, p *Pace, d time.Duration) (done time.Duration) {
	const piece = 100 * time.Millisecond
	for ; done < d; done += piece {
		time.Sleep(piece) // in the bubble: what works takes time
		if p.Rest(ctx) != nil {
			return done
		}
	}
	return done
}

func newWorkshop(t *testing.T, c WorkshopConfig, busy func() bool) *Workshop {
	w := NewWorkshop(c, busy)
	t.Cleanup(w.Close)
	return w
}

func TestJobsKeepToTheirShare(t *testing.T) {
	for _, tt := range []struct {
		cpu  int
		took time.Duration // for two jobs of a second each
	}{
		{100, 2 * time.Second}, {50, 4 * time.Second}, {25, 8 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorkshop(t, WorkshopConfig{CPU: tt.cpu, Queue: 2}, nil)
			start := time.Now()
			end := make(chan time.Duration, 2)
			for key := range 2 {
				w.Do(key, func(ctx context.Context, p *Pace) {
					work(ctx, p, time.Second)
					end <- time.Since(start)
				})
			}
			if <-end; <-end != tt.took {
				t.Errorf("%d %%: two seconds of work did not take %v", tt.cpu, tt.took)
			}
		})
	}
}

// A job that never rests is followed by the rest it owes.
func TestWhatDoesNotRestPaysAfterwards(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorkshop(t, WorkshopConfig{CPU: 25, Queue: 2}, nil)
		start := time.Now()
		second := make(chan time.Duration)
		w.Do(1, func(context.Context, *Pace) { time.Sleep(time.Second) })
		w.Do(2, func(context.Context, *Pace) { second <- time.Since(start) })
		if got, want := <-second, 4*time.Second; got != want {
			t.Errorf("the second job began after %v, want %v", got, want)
		}
	})
}

func TestJobsYieldToRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var busy atomic.Bool
		busy.Store(true)
		w := newWorkshop(t, WorkshopConfig{CPU: 50, Queue: 1}, busy.Load)
		var done atomic.Int64
		w.Do(1, func(ctx context.Context, p *Pace) {
			for range 1000 {
				done.Add(int64(work(ctx, p, 100*time.Millisecond)))
			}
		})
		progress := func(d time.Duration) time.Duration {
			before := done.Load()
			time.Sleep(d)
			synctest.Wait()
			return time.Duration(done.Load() - before)
		}
		if got := progress(12 * time.Second); got != time.Second {
			t.Errorf("in 12 s with requests the job had %v of the processor, want 1s: a piece, its rest, ten more", got)
		}
		busy.Store(false)
		progress(12 * time.Second)
		if got := progress(12 * time.Second); got != 6*time.Second {
			t.Errorf("in 12 s without requests the job had %v of the processor, want 6s", got)
		}
	})
}

func TestTheQueueIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorkshop(t, WorkshopConfig{CPU: 100, Queue: 2}, nil)
		var order []int
		job := func(key int) Job {
			return func(context.Context, *Pace) {
				time.Sleep(time.Second)
				order = append(order, key)
			}
		}
		do := func(key int, want bool) {
			t.Helper()
			if got := w.Do(key, job(key)); got != want {
				t.Errorf("Do(%d) = %t, want %t", key, got, want)
			}
		}
		do(1, true)
		synctest.Wait() // 1 runs
		do(2, true)
		do(3, true)
		do(4, false)
		do(1, true) // runs
		do(3, true) // waits
		if got := w.Stats(); got != (WorkshopStats{Queue: 2, Refused: 1}) {
			t.Errorf("stats = %+v", got)
		}
		w.Configure(WorkshopConfig{CPU: 100, Queue: 3})
		do(4, true)
		time.Sleep(time.Minute)
		synctest.Wait()
		do(1, true) // once more, now that it is done
		time.Sleep(time.Minute)
		synctest.Wait()
		if !slices.Equal(order, []int{1, 2, 3, 4, 1}) {
			t.Errorf("jobs were done in order %v", order)
		}
		if got := w.Stats(); got != (WorkshopStats{Finished: 5, Refused: 1}) {
			t.Errorf("stats = %+v", got)
		}
	})
}

func TestCloseWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := NewWorkshop(WorkshopConfig{CPU: 1, Queue: 10}, func() bool { return true })
		ended := false
		w.Do(1, func(ctx context.Context, p *Pace) {
			work(ctx, p, time.Hour)
			time.Sleep(time.Second) // what was begun is ended
			ended = true
		})
		w.Do(2, func(context.Context, *Pace) { t.Error("a job that waited was begun after Close") })
		time.Sleep(time.Minute)
		start := time.Now()
		w.Close()
		if took := time.Since(start); !ended || took > 2*time.Second {
			t.Errorf("Close took %v; the job ended: %t", took, ended)
		}
		if w.Do(3, func(context.Context, *Pace) {}) {
			t.Error("a closed workshop takes a job")
		}
		if got := w.Stats().Queue; got != 0 {
			t.Errorf("%d jobs wait in a closed workshop", got)
		}
		w.Close() // the second time nothing is left to do
	})
}

func TestAPanicEndsTheJobAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorkshop(t, WorkshopConfig{CPU: 100, Queue: 2}, nil)
		w.Do(1, func(context.Context, *Pace) { panic("encoder") })
		synctest.Wait()
		done := make(chan struct{})
		if !w.Do(1, func(context.Context, *Pace) { close(done) }) {
			t.Fatal("the key is still taken")
		}
		<-done
		synctest.Wait()
		if got := w.Stats(); got != (WorkshopStats{Finished: 1, Panicked: 1}) {
			t.Errorf("stats = %+v", got)
		}
	})
}

func TestNoPaceIsNoBound(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var p *Pace
	if err := p.Rest(ctx); err != nil {
		t.Error(err)
	}
	cancel()
	if err := p.Rest(ctx); err != context.Canceled {
		t.Errorf("Rest with an ended context: %v", err)
	}
}
