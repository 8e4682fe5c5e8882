package origin

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// limited is a pool of one upstream that answers after a second, and takes one request at a time.
func limited(t *testing.T, change func(*Config), test func(t *testing.T, p *Pool)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &scripted{t: t, scripts: []func(*peer){func(p *peer) {
			for p.request() != nil {
				<-time.After(second)
				p.write(ok2)
			}
		}}}
		c := testConfig()
		u := DefaultUpstream()
		u.URL, u.MaxRequests = "http://origin.test", 1
		c.URLs, c.Upstreams = nil, []UpstreamConfig{u}
		c.Queue = QueueConfig{Size: 3, Wait: 10 * second}
		change(&c)
		p := newPool(t, c, s.dial)
		test(t, p)
		p.Close()
		s.running.Wait()
	})
}

// TestQueueIsInOrder: requests beyond the limit wait, and go in the order they came.
func TestQueueIsInOrder(t *testing.T) {
	limited(t, func(*Config) {}, func(t *testing.T, p *Pool) {
		began, ends := time.Now(), make(chan string, 4)
		for i := range 4 {
			go func() {
				_, _, err := exchangeOnce(p, newRequest(t, "GET", "/", nil))
				ends <- fmt.Sprint(i, " after ", time.Since(began), err)
			}()
			synctest.Wait()
		}
		for i := range 4 {
			want := fmt.Sprint(i, " after ", time.Duration(i+1)*second, error(nil))
			if got := <-ends; got != want {
				t.Errorf("ended: %s, want %s", got, want)
			}
		}
		if n := p.upstreams()[0].load.inFlight.Load(); n != 0 {
			t.Errorf("%d in flight at the end, want none", n)
		}
	})
}

// TestQueueIsBounded in length and in time; what does not fit is 503, and another origin's fault.
func TestQueueIsBounded(t *testing.T) {
	limited(t, func(c *Config) { c.Queue.Wait = 1500 * time.Millisecond }, func(t *testing.T, p *Pool) {
		began, ends := time.Now(), make(chan string, 4)
		for range 4 {
			go func() {
				_, _, err := exchangeOnce(p, newRequest(t, "GET", "/", nil))
				ends <- fmt.Sprint(time.Since(began), " ", err != nil)
				if err != nil {
					wantOverload(t, err)
				}
			}()
		}
		synctest.Wait()
		_, err := p.RoundTrip(newRequest(t, "GET", "/", nil))
		wantOverload(t, err)
		for _, want := range []string{"1s false", "1.5s true", "1.5s true", "2s false"} {
			if got := <-ends; got != want {
				t.Errorf("ended %s, want %s", got, want)
			}
		}
	})
}

func wantOverload(t *testing.T, err error) {
	t.Helper()
	var f *Failure
	if !errors.As(err, &f) || f.Type != typeConnectionLimit || f.Status != 503 {
		t.Errorf("error = %v, want %s with 503", err, typeConnectionLimit)
	}
}

// TestQueueIsLeft by those whose client has gone; the next one moves up.
func TestQueueIsLeft(t *testing.T) {
	limited(t, func(*Config) {}, func(t *testing.T, p *Pool) {
		leaving, leave := context.WithCancelCause(t.Context())
		gone := errors.New("gone")
		ends := make(chan error, 2)
		go func() { _, _, err := exchangeOnce(p, newRequest(t, "GET", "/", nil)); ends <- err }()
		synctest.Wait()
		left := make(chan error, 1)
		go func() {
			_, err := p.RoundTrip(newRequest(t, "GET", "/", nil).WithContext(leaving))
			left <- err
		}()
		synctest.Wait()
		go func() { _, _, err := exchangeOnce(p, newRequest(t, "GET", "/", nil)); ends <- err }()
		synctest.Wait()
		leave(gone)
		if err := <-left; err != gone {
			t.Errorf("who left got %v, want the cause", err)
		}
		for range 2 {
			if err := <-ends; err != nil {
				t.Errorf("who stayed got %v", err)
			}
		}
	})
}

// TestQueuePacesByRate: a rate is kept by those who wait, too.
func TestQueuePacesByRate(t *testing.T) {
	limited(t, func(c *Config) { c.Upstreams[0].MaxRequests, c.Upstreams[0].MaxRate = 0, 2 }, func(t *testing.T, p *Pool) {
		began, ends := time.Now(), make(chan time.Duration, 4)
		for range 4 {
			go func() {
				if _, _, err := exchangeOnce(p, newRequest(t, "GET", "/", nil)); err != nil {
					t.Error(err)
				}
				ends <- time.Since(began)
			}()
		}
		for i := range 4 {
			if got, want := <-ends, second+time.Duration(i)*second/2; got != want {
				t.Errorf("answer %d after %v, want %v", i, got, want)
			}
		}
	})
}
