package origin

import (
	"context"
	"slices"
	"sync"
	"time"
)

// links keeps the connections to an upstream on which no exchange is under way.
//
// Nobody reads those: what comes on one, the upstream's end of it too, is seen when it is to be used again (conn.writable), or
// when the idle are looked through.
type links struct {
	upstream *upstream
	max      int
	patience time.Duration // with an idle connection; 0 is without end

	mu    sync.Mutex
	idle  []*link     // guarded by mu; the one used last comes last
	sweep *time.Timer // guarded by mu; nil while none is idle
	shut  bool        // guarded by mu: until the next request none is kept
}

// sweepEvery is how often the idle are looked through.
const sweepEvery = 5 * time.Second

// take returns the connection that was used last, or a new one.
func (l *links) take(x *exchange) (*link, error) {
	if k := l.pop(); k != nil {
		return k, nil
	}
	return l.dial(x)
}

func (l *links) dial(x *exchange) (*link, error) {
	ctx, cancel := context.WithCancelCause(x.caller)
	defer cancel(nil)
	x.bind(func() { cancel(x.cause()) })
	c, err := l.upstream.dial(ctx, "", "")
	if err != nil {
		return nil, err
	}
	return newLink(l, c.(*conn)), nil
}

func (l *links) pop() *link {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.shut = false
	n := len(l.idle)
	if n == 0 {
		return nil
	}
	k := l.idle[n-1]
	l.idle[n-1] = nil
	l.idle = l.idle[:n-1]
	return k
}

// put keeps a connection whose answer has ended.
func (l *links) put(k *link) {
	l.mu.Lock()
	defer l.mu.Unlock()
	k.since = time.Now()
	if l.shut || len(l.idle) >= l.max || l.upstream.pool.isClosed() {
		k.Close()
		return
	}
	l.idle = append(l.idle, k)
	if l.sweep == nil {
		l.sweep = time.AfterFunc(sweepEvery, l.lookThrough)
	}
}

// lookThrough closes what was idle for too long, and what the upstream has closed or written to.
func (l *links) lookThrough() {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	l.idle = slices.DeleteFunc(l.idle, func(k *link) bool {
		over := l.patience > 0 && now.Sub(k.since) >= l.patience || hasInput(k.socket)
		if over {
			k.Close()
		}
		return over
	})
	if l.sweep = nil; len(l.idle) > 0 {
		l.sweep = time.AfterFunc(sweepEvery, l.lookThrough)
	}
}

// close closes the idle. Until the next request, the others are closed when they are idle.
func (l *links) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, k := range l.idle {
		k.Close()
	}
	l.idle, l.shut = nil, true
	if l.sweep != nil {
		l.sweep.Stop()
		l.sweep = nil
	}
}
