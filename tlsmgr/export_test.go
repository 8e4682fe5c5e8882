package tlsmgr

import "time"

// tryNow makes the next attempt due.
func (o *orders) tryNow(name string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	s := o.subjects[name]
	s.next = time.Now()
	if s.settled == nil {
		s.settled = make(chan struct{})
	}
	o.nudge()
}
