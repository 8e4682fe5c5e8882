package purge

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// A burst at once, then so many a second; a pause fills the bucket to the burst and no further.
func TestLimiter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, r := newLimiter(), rate{perSecond: 2, burst: 3}
		taken := func() (n int) {
			for l.take("a", 1, r) == 0 {
				n++
			}
			return n
		}
		for _, row := range []struct {
			pause time.Duration
			want  int
		}{{0, 3}, {0, 0}, {500 * time.Millisecond, 1}, {time.Second, 2}, {time.Hour, 3}} {
			time.Sleep(row.pause)
			if got := taken(); got != row.want {
				t.Errorf("after %v: taken %d times, want %d", row.pause, got, row.want)
			}
		}
		if wait := l.take("a", 1, r); wait != 500*time.Millisecond {
			t.Errorf("wait = %v, want 500ms", wait)
		}
		if wait := l.take("a", 3, r); wait != 1500*time.Millisecond {
			t.Errorf("wait for three = %v, want 1.5s", wait)
		}
		if wait := l.take("b", 3, r); wait != 0 {
			t.Errorf("another name waits %v", wait)
		}
		if wait := l.take("a", 1000, rate{}); wait != 0 {
			t.Errorf("without a rate: wait = %v", wait)
		}
	})
}

// However many names come, few buckets are kept, and the ones that are in use first.
func TestLimiterIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, r := newLimiter(), rate{perSecond: 1, burst: 1}
		for i := range 3 * maxBuckets {
			l.take(fmt.Sprint(i), 1, r)
		}
		if len(l.buckets) > maxBuckets {
			t.Errorf("%d buckets, want %d at most", len(l.buckets), maxBuckets)
		}
		time.Sleep(time.Minute)
		l.take("busy", 1, r)
		for i := range maxBuckets {
			l.take(fmt.Sprint("another ", i), 1, r)
		}
		if l.take("busy", 1, r) == 0 {
			t.Error("a bucket in use was forgotten before those that were full again")
		}
	})
}
