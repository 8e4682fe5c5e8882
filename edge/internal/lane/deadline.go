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
	handGrace    = time.Second     // to shake hands
	headGrace    = time.Second     // to send the rest of a head
	regularGrace = 5 * time.Second // to a client that has come back before
)

// Setting the deadline of a socket costs more than looking at the clock. So it may come before the end of the wait: whoever
// is woken by it looks at the clock, and waits on.
const rearmAfter = time.Second

// lookAgain is how long a socket is believed to be empty that was not asked, and within what time a client must have come
// back for us to believe it: for a slower one the second look would cost more than it saves. See socket.go.
const lookAgain = 100 * time.Millisecond

// claim says whose the read deadline is.
type claim uint8

const (
	above     claim = iota // net/http's, or the handler's
	quiet                  // ours: no byte of the next head has come
	begun                  // ours: part of it has
	answering              // nobody's: the lane answers
)

// unknown is the armed of a deadline set from above.
const unknown time.Duration = -1

// rest begins the wait for a head. The first is expected sooner than the next one: nobody connects to be silent.
func (c *conn) rest() {
	srv := c.link.srv
	settings, now := srv.settings.Load(), srv.now()
	if c.work != nil {
		c.work.reset(settings.Limits)
	}
	patience := settings.Idle
	if !c.served {
		patience = settings.Header
	}
	c.link.trust = c.claim == answering && now-c.link.waitingSince() < srv.lookAgain
	c.mu.Lock()
	if srv.draining.Load() && (patience == 0 || patience > idleGrace) {
		patience = idleGrace
	}
	c.claim, c.waitEnd = quiet, 0
	if patience > 0 {
		c.waitEnd = now + patience
	}
	c.remindLocked(now)
	c.mu.Unlock()
	c.link.enter(idle, now)
}

// remind is for a wait that goes on.
func (c *conn) remind() {
	now := c.link.srv.now()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.remindLocked(now)
}

// remindLocked sees to it that the socket wakes us at the end of the wait, or somewhat before.
func (c *conn) remindLocked(now time.Duration) {
	wakeAt, early := c.waitEnd, rearmAfter
	if again := now + c.link.srv.lookAgain; c.link.blind && (wakeAt == 0 || wakeAt > again) {
		wakeAt, early = again, c.link.srv.lookAgain/2
	}
	if wakeAt == 0 || c.armed <= 0 || c.armed > wakeAt || c.armed <= wakeAt-early {
		c.armLocked(wakeAt)
	}
}

// begin notes that a head has begun: from here it has Timeouts.Header to its end.
func (c *conn) begin() {
	if c.claim == begun {
		return
	}
	srv := c.link.srv
	now := srv.now()
	c.mu.Lock()
	c.claim, c.waitEnd = begun, 0
	if patience := srv.settings.Load().Header; patience > 0 {
		c.waitEnd = now + patience
	}
	c.armLocked(c.waitEnd)
	c.mu.Unlock()
	c.link.enter(opening, now)
}

// engage begins to answer.
func (c *conn) engage() {
	if c.claim == answering {
		return
	}
	c.mu.Lock()
	c.claim = answering
	c.mu.Unlock()
	c.link.enter(active, 0)
}

// yield gives the deadline away.
func (c *conn) yield() {
	c.mu.Lock()
	c.claim = above
	c.armLocked(0)
	c.mu.Unlock()
	c.link.enter(active, 0)
}

// armLocked sets the socket's deadline; 0 is none. An error shows at the next Read.
func (c *conn) armLocked(at time.Duration) {
	if c.armed == at {
		return
	}
	deadline := time.Time{}
	if at > 0 {
		deadline = c.link.srv.epoch.Add(at)
	}
	c.armed = at
	_ = c.link.SetReadDeadline(deadline)
}

// expired reports whether a wait that the socket's deadline has ended is over. If it is not, it can go on.
func (c *conn) expired() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.waitEnd > 0 && c.link.srv.now() >= c.waitEnd {
		return true
	}
	c.armed = unknown
	c.armLocked(c.waitEnd)
	return false
}

// cutWait ends the wait for a head at the given time; with heads, also when a part of it has come.
func (c *conn) cutWait(at time.Time, heads bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.claim != quiet && !(heads && c.claim == begun) {
		return false
	}
	if end := at.Sub(c.link.srv.epoch); c.waitEnd == 0 || end < c.waitEnd {
		c.waitEnd = max(end, 1)
		c.armLocked(c.waitEnd)
	}
	return true
}

// SetReadDeadline is net/http's and the handler's. It has no effect on the wait for a head.
func (c *conn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.until = t
	c.rouse()
	if c.claim != above {
		return nil
	}
	c.armed = unknown
	return c.link.SetReadDeadline(t)
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
