package origin

import (
	"sync"
	"sync/atomic"
	"time"
)

// budget bounds retries by what is asked at all: when everything fails, asking again only makes it worse. In any ten seconds
// they are at most a share of the requests, or a small number, where that is more.
type budget struct {
	share   float64 // of the requests
	reserve int

	mu      sync.Mutex
	seconds [10]moment // guarded by mu

	made, refused atomic.Int64
}

// moment is what happened in one second.
type moment struct {
	at                int64 // Unix time
	requests, retries int
}

// request counts a request, however often it will be sent.
func (b *budget) request(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.nowLocked(now).requests++
}

// retry reports whether a request may be sent once more, and if so counts that.
func (b *budget) retry(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	current := b.nowLocked(now)
	requests, retries := 0, 0
	for _, s := range b.seconds {
		if s.at > current.at-int64(len(b.seconds)) {
			requests, retries = requests+s.requests, retries+s.retries
		}
	}
	if retries >= b.reserve && float64(retries+1) > b.share*float64(requests) {
		b.refused.Add(1)
		return false
	}
	current.retries++
	b.made.Add(1)
	return true
}

// nowLocked returns the current second.
func (b *budget) nowLocked(now time.Time) *moment {
	at := now.Unix()
	s := &b.seconds[at%int64(len(b.seconds))]
	if s.at != at {
		*s = moment{at: at}
	}
	return s
}
