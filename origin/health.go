package origin

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// health is what is believed of an upstream: by its checks, and by the answers it gives. It is well until shown otherwise.
type health struct {
	slowStart time.Duration
	log       *slog.Logger // names the origin and the upstream

	// sick is false while nothing keeps requests away, so that who picks need not look closer.
	sick atomic.Bool

	mu       sync.Mutex // guards the following
	down     bool       // by its checks
	ejected  time.Time  // until then, by its answers; zero while it is not
	returned time.Time  // when it last came back: slow start; zero once that is over
	why      string     // it is down or ejected

	ejections atomic.Int64
	returns   atomic.Int64
}

// firstShare is what a returned upstream begins with.
const firstShare = 0.1

// share is the part of its weight that an upstream gets now: 0 while it is down or ejected, all when it is well, and between
// the two a growing part after it has come back, with cold caches and empty pools.
func (h *health) share(now time.Time) float64 {
	if !h.sick.Load() {
		return 1
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.ejected.IsZero() && !now.Before(h.ejected) {
		h.ejected = time.Time{}
		h.comeBackLocked(now)
	}
	if h.down || !h.ejected.IsZero() {
		return 0
	}
	back := now.Sub(h.returned)
	if h.slowStart == 0 || back >= h.slowStart {
		h.returned = time.Time{}
		h.sick.Store(false)
		return 1
	}
	return max(firstShare, back.Seconds()/h.slowStart.Seconds())
}

// comeBackLocked ends one reason to keep away, perhaps not the last.
func (h *health) comeBackLocked(now time.Time) {
	if h.down || !h.ejected.IsZero() {
		return
	}
	h.returned, h.why = now, ""
	h.returns.Add(1)
	h.log.Info("upstream is back")
}

// checked notes what a series of checks has come to.
func (h *health) checked(well bool, why string, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if well == !h.down {
		return
	}
	h.down = !well
	if well {
		h.comeBackLocked(now)
		return
	}
	h.why = why
	h.sick.Store(true)
	h.log.Warn("upstream is down", "why", why)
}

// eject keeps requests away until a time.
func (h *health) eject(until time.Time, why string, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ejected, h.why = until, why
	h.sick.Store(true)
	h.ejections.Add(1)
	h.log.Warn("upstream ejected", "why", why, "for", until.Sub(now))
}

// pardon has an ejected upstream back before its time.
func (h *health) pardon(now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.ejected.IsZero() {
		h.ejected = time.Time{}
		h.comeBackLocked(now)
	}
}

// isEjected reports whether its answers keep requests away.
func (h *health) isEjected(now time.Time) bool {
	if !h.sick.Load() {
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return now.Before(h.ejected)
}

// State of an upstream, as it is told.
const (
	StateUp       = "up"
	StateStarting = "starting" // back, with a growing share
	StateDown     = "down"     // by its checks
	StateEjected  = "ejected"  // by its answers
	StateOpen     = "open"     // by its circuit breaker
	StateDraining = "draining" // by an operator
)

func (h *health) state(now time.Time) (state, why string) {
	share := h.share(now)
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.down:
		return StateDown, h.why
	case !h.ejected.IsZero():
		return StateEjected, h.why
	case share < 1:
		return StateStarting, ""
	}
	return StateUp, ""
}
