package lane

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// registry knows every open link. It bounds their number: a listener that has accepted one too many waits in admit, and
// the rest stay in the kernel's queue.
type registry struct {
	waiting atomic.Int32 // listeners in admit

	mu      sync.Mutex
	changed *sync.Cond // a link left or became idle, the bound changed, or close was called
	// guarded by mu
	links   map[*link]struct{}
	max     int
	shaking int // handshakes under way
	hurried int // of those, how many were told to end
	evicted int // links told to leave and not yet gone
	closing bool
}

func newRegistry(maxLinks int) *registry {
	r := &registry{links: make(map[*link]struct{}), max: maxLinks}
	r.changed = sync.NewCond(&r.mu)
	return r
}

// admit registers l as soon as there is room. When all places are taken the connection whose grace ends first makes way: of
// those that are alike, the one that has been waiting longest. Handshakes may hold half of the places: those that never end
// must not shut everyone out. When they do, the one that has taken longest makes way. False: the
// server closes, and there is no room. What has been accepted by then is served: its client knows of no other.
func (r *registry) admit(l *link) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	// Counted before the first look: a connection that becomes idle afterwards sees it and wakes us.
	r.waiting.Add(1)
	defer r.waiting.Add(-1)
	for !r.roomLocked(l) {
		switch {
		case r.closing:
			return false
		case len(r.links)-r.evicted >= r.max:
			r.evictLocked()
		case l.info.Secure && r.shaking-r.hurried >= r.handshakesLocked():
			r.hurryLocked()
		}
		r.changed.Wait()
	}
	r.enterLocked(l)
	return true
}

// enterLocked also sets the time of a handshake: later, it might be after hurryLocked has.
func (r *registry) enterLocked(l *link) {
	r.links[l] = struct{}{}
	if !l.info.Secure {
		return
	}
	r.shaking++
	if d := l.srv.settings.Load().Handshake; d > 0 && l.http3 == nil {
		_ = l.SetDeadline(time.Now().Add(d)) // an error shows in the handshake
	}
}

// admitNow registers a connection of HTTP/3 if there is room, and for its handshake more than the last half of it. If not, a
// connection makes way for whoever comes next.
func (r *registry) admitNow(l *link) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closing || !r.roomLocked(l) || 2*r.shaking > r.handshakesLocked() {
		if len(r.links)-r.evicted >= r.max {
			r.evictLocked()
		}
		return false
	}
	r.enterLocked(l)
	return true
}

// full reports whether there is no place left.
func (r *registry) full() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.links) >= r.max
}

func (r *registry) roomLocked(l *link) bool {
	if len(r.links) >= r.max {
		return false
	}
	return !l.info.Secure || r.shaking < r.handshakesLocked()
}

// handshakesLocked is how many there may be at once.
func (r *registry) handshakesLocked() int { return max(1, r.max/2) }

// shaken notes the end of a handshake.
func (r *registry) shaken(l *link) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.shaking--
	if l.hurried {
		l.hurried = false
		r.hurried--
	}
	r.changed.Broadcast()
}

// hurryLocked has the handshake that has taken longest end when its grace does. Those of HTTP/3 cannot be told to; they leave
// room for others from the start.
func (r *registry) hurryLocked() {
	var first *link
	for l := range r.links {
		if phase(l.phase.Load()) == handshaking && l.http3 == nil && !l.hurried && (first == nil || l.waitingSince() < first.waitingSince()) {
			first = l
		}
	}
	if first != nil && first.cutWait(first.srv.epoch.Add(first.waitingSince()+handGrace), true) {
		first.hurried = true
		r.hurried++
	}
}

// evictLocked cuts the connection whose grace ends first, if there is one, at that end.
func (r *registry) evictLocked() {
	for {
		first, end := r.firstToLeaveLocked()
		if first == nil {
			return
		}
		// Marked first: a request that comes at the same moment must find the mark to take it off.
		first.evicted.Store(true)
		r.evicted++
		if first.cutWait(end, true) {
			return
		}
		r.spareLocked(first)
		if !first.phase.CompareAndSwap(int32(idle), int32(active)) {
			first.phase.CompareAndSwap(int32(opening), int32(active))
		}
	}
}

func (r *registry) firstToLeaveLocked() (first *link, end time.Time) {
	for l := range r.links {
		if at, ok := l.graceEnd(); ok && !l.evicted.Load() && (first == nil || at.Before(end)) {
			first, end = l, at
		}
	}
	return first, end
}

// spare takes back that l was told to leave: a request came first.
func (r *registry) spare(l *link) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.spareLocked(l)
	r.changed.Broadcast()
}

func (r *registry) spareLocked(l *link) {
	if l.evicted.Swap(false) {
		r.evicted--
	}
}

// relieve cuts one idle connection: accept found no descriptor.
func (r *registry) relieve() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.evictLocked()
}

func (r *registry) remove(l *link) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.links[l]; !ok {
		return
	}
	delete(r.links, l)
	r.spareLocked(l)
	r.changed.Broadcast()
}

// idled wakes the listeners that wait for a connection to make way.
func (r *registry) idled() {
	if r.waiting.Load() > 0 {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.changed.Broadcast()
	}
}

func (r *registry) resize(maxLinks int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.max = maxLinks
	r.changed.Broadcast()
}

// close lets nobody wait for room any more.
func (r *registry) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closing = true
	r.changed.Broadcast()
}

// hasten lets every connection on which nothing is under way end at the given time.
func (r *registry) hasten(at time.Time) {
	for _, l := range r.all() {
		l.cutIdle(at)
	}
}

// drop closes every link. One on which something is under way shows a reset: a clean end might say that all has come.
func (r *registry) drop() {
	for _, l := range r.all() {
		if now := phase(l.phase.Load()); now == active || now == tunnel {
			l.discard()
		}
		_ = l.Close() // they are being given up
	}
}

func (r *registry) all() []*link {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make([]*link, 0, len(r.links))
	for l := range r.links {
		all = append(all, l)
	}
	return all
}

// http3 returns the connections that speak HTTP/3, or shake hands to do so.
func (r *registry) http3() (all []*http3Conn) {
	for _, l := range r.all() {
		if l.http3 != nil {
			all = append(all, l.http3)
		}
	}
	return all
}

// drained waits until no link is left, and reports whether that came before the end of ctx.
func (r *registry) drained(ctx context.Context) bool {
	defer context.AfterFunc(ctx, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.changed.Broadcast()
	})()
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.links) > 0 && ctx.Err() == nil {
		r.changed.Wait()
	}
	return len(r.links) == 0
}

func (r *registry) count() (n [tunnel + 1]int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for l := range r.links {
		n[l.phase.Load()]++
	}
	return n
}
