package edge

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"selvage/cache"
)

// sharedText is what several goroutines write.
type sharedText struct {
	mu   sync.Mutex
	text bytes.Buffer // guarded by mu
}

func (s *sharedText) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *sharedText) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// TestFreezesEndByThemselves: requests know at once, the log at the same moment, in whatever order they began.
func TestFreezesEndByThemselves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log sharedText
		f := newFreezes(cache.SystemClock(), slog.New(slog.NewTextHandler(&log, nil)))
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			f.run(ctx)
		}()
		is := func(site string, want bool) {
			t.Helper()
			synctest.Wait()
			if _, got := f.of(site); got != want || (f.left(site, f.clock.Now().Mono) > 0) != want {
				t.Errorf("%s is frozen: %v, want %v", site, got, want)
			}
			if got := strings.Contains(log.String(), `msg="site thawed: its time is over" site=`+site); got == want {
				t.Errorf("the end of %s is logged: %v, want %v\n%s", site, got, !want, &log)
			}
		}
		f.begin("slow", time.Hour, "")
		f.begin("quick", time.Second, "because")
		is("slow", true)
		is("quick", true)
		<-time.After(time.Second)
		is("quick", false)
		is("slow", true)
		f.begin("slow", time.Minute, "") // shorter than it had
		<-time.After(time.Minute)
		is("slow", false)
		if !strings.Contains(log.String(), "why=because") {
			t.Errorf("the log does not say why:\n%s", &log)
		}
		f.begin("again", time.Hour, "")
		if !f.end("again") || f.end("again") {
			t.Error("a thaw ends what there is, once")
		}
		stop()
		<-done
	})
}

// TestFreezeAsksNothing: what is fresh is an ordinary hit, what is stale is served, what is not stored is told for how long.
func TestFreezeAsksNothing(t *testing.T) {
	onStage(t, func(t *testing.T, s *stage) {
		s.answer = func(*http.Request) (*http.Response, error) {
			return text(200, "hello", "Cache-Control: max-age=10"), nil
		}
		s.ok("/a")
		if _, err := s.Freeze("example.com", time.Hour, ""); err != nil {
			t.Fatal(err)
		}
		if got := s.ok("/a"); got.Header().Get("Cache-Status") != "Selvage; hit; ttl=10" {
			t.Errorf("fresh: %s", got.Header())
		}
		<-time.After(11 * time.Second)
		if got := s.ok("/a"); got.Header().Get("Cache-Status") != "Selvage; hit; ttl=-1; detail=frozen" {
			t.Errorf("stale: %s", got.Header())
		}
		if got := s.ok("/b"); got.Code != 503 || got.Header().Get("Retry-After") != "3589" {
			t.Errorf("not stored: %d %s", got.Code, got.Header())
		}
		if len(s.asked) != 1 {
			t.Errorf("the origin was asked %d times, want once", len(s.asked))
		}
	})
}

// TestOutageAsksBehindOnce: a crowd that gets what is stale has the origin asked once, not once for each.
func TestOutageAsksBehindOnce(t *testing.T) {
	onStage(t, func(t *testing.T, s *stage) {
		s.answer = func(*http.Request) (*http.Response, error) {
			return text(200, "hello", "Cache-Control: max-age=10"), nil
		}
		s.ok("/a")
		<-time.After(time.Hour)
		s.isOut = true
		s.answer = func(*http.Request) (*http.Response, error) { return nil, errors.New("gone") }
		for range 5 {
			if got := s.ok("/a"); got.Code != 200 {
				t.Errorf("status = %d, want 200", got.Code)
			}
		}
		if len(s.asked) != 2 {
			t.Errorf("the origin was asked %d times, want twice", len(s.asked))
		}
	})
}
