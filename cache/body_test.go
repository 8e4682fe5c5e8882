package cache

import (
	"maps"
	"testing"
	"testing/synctest"
	"time"
)

// Every reader of a crowd is told of the first bytes at once, and of those that follow closely together, a moment later.
func TestACrowdIsToldAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBody(-1)
		defer b.Release()
		begin := time.Now()
		reads := make([]map[time.Duration]int, crowd) // bytes by when they were read
		for i := range reads {
			reads[i] = map[time.Duration]int{}
			go func() {
				r := b.NewReader(0)
				defer r.Close()
				for {
					p, wait, err := r.Next(1 << 20)
					switch {
					case err != nil:
						return
					case wait != nil:
						<-wait
					default:
						reads[i][time.Since(begin)] += len(p)
					}
				}
			}()
		}
		synctest.Wait()
		time.Sleep(time.Second)
		b.append(make([]byte, 10))
		synctest.Wait()
		for range 5 {
			b.append(make([]byte, 10))
			synctest.Wait()
		}
		time.Sleep(time.Second)
		b.finish(nil)
		synctest.Wait()
		want := map[time.Duration]int{time.Second: 10, time.Second + crowdPause: 50}
		for i, got := range reads {
			if !maps.Equal(got, want) {
				t.Errorf("reader %d: %v, want %v", i, got, want)
			}
		}
	})
}
