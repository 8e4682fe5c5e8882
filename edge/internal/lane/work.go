package lane

import "sync"

// work is what a conn needs while something is under way on it. One that waits for a request has none: that is what most
// connections do most of the time.
type work struct {
	in      stash
	head    head
	whole   bool    // the head is
	fault   *fault  // of the head
	verdict Verdict // of the Answerer, on a whole head
	request Request
	out     Writer
}

var works = sync.Pool{New: func() any { return new(work) }}

// found reports whether it is known what to do with the head in the stash.
func (w *work) found() bool { return w.whole || w.fault != nil }

// reset makes w ready for the next head.
func (w *work) reset(limits Limits) {
	w.head.reset(limits)
	w.whole, w.fault = false, nil
}

// take sees to it that c has a work.
func (c *conn) take() {
	if c.work == nil {
		c.work = works.Get().(*work)
		c.work.reset(c.link.srv.settings.Load().Limits)
	}
}

// give gives the work back, if nothing is in it.
func (c *conn) give() {
	w := c.work
	if w == nil || w.in.len() > 0 {
		return
	}
	c.work = nil
	w.in.settle()
	w.out.settle()
	works.Put(w)
}
