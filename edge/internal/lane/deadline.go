package lane

import (
	"errors"
	"time"
)

// The read deadline of a conn. Ours while it waits for a head, of whoever sets it from above at all other times.

// idleGrace is how long a connection may be idle at least, when its place is wanted or the server drains. A request that
// crosses our decision on the wire is still served.
const idleGrace = 250 * time.Millisecond

// Longer ones, when a place is wanted.
const (
	headGrace    = time.Second     // to send the rest of a head
	regularGrace = 5 * time.Second // to a client that has come back before
)

// await makes the deadline ours. The first head is expected sooner than the next one: nobody connects to be silent.
func (c *conn) await() {
	settings := c.link.srv.settings.Load()
	c.head.reset(settings.Limits)
	patience := settings.Idle
	if !c.served {
		patience = settings.Header
	}
	c.mu.Lock()
	c.waiting, c.quiet = true, true
	if c.link.srv.draining.Load() && (patience == 0 || patience > idleGrace) {
		patience = idleGrace
	}
	c.expectLocked(patience)
	c.mu.Unlock()
	c.link.enter(idle)
}

// begin notes that a head has begun: from here it has Timeouts.Header to its end.
func (c *conn) begin() {
	c.mu.Lock()
	began := c.quiet
	if c.quiet = false; began {
		c.expectLocked(c.link.srv.settings.Load().Header)
	}
	c.mu.Unlock()
	if began {
		c.link.enter(opening)
	}
}

// yield gives the deadline away.
func (c *conn) yield() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting, c.quiet = false, false
	c.expectLocked(0)
}

// expectLocked sets the deadline; 0 is none. An error shows at the next Read.
func (c *conn) expectLocked(patience time.Duration) {
	deadline := time.Time{}
	if patience > 0 {
		deadline = time.Now().Add(patience)
	}
	_ = c.stream.SetReadDeadline(deadline)
}

// cutWait ends the wait for a head at the given time; with heads, also when a part of it has come.
func (c *conn) cutWait(at time.Time, heads bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return (c.quiet || heads && c.waiting) && c.stream.SetReadDeadline(at) == nil
}

// SetReadDeadline is net/http's and the handler's. It has no effect on the wait for a head.
func (c *conn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.until = t
	c.rouse()
	if c.waiting {
		return nil
	}
	return c.stream.SetReadDeadline(t)
}

// SetDeadline sets both deadlines; of the write deadline see link.SetWriteDeadline.
func (c *conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.stream.SetWriteDeadline(t))
}

// rouse wakes block.
func (c *conn) rouse() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}
