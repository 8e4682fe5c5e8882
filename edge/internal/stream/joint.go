package stream

import (
	"errors"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// joint is a client and an upstream, and the copies both ways.
type joint struct {
	client, upstream *end
	idle             time.Duration // in which nothing moves either way
	traffic          *Traffic

	began          time.Time
	moved          atomic.Int64 // nanoseconds after began: when the last byte did, either way
	received, sent atomic.Int64 // from the client, and to it

	once  sync.Once
	cause error // that it was cut; nil when both sides have ended
}

// run copies both ways until both sides have ended, or one breaks, or nothing has moved for too long. What was read from the
// client before comes first.
func (j *joint) run(before []byte) error {
	j.began = time.Now()
	var up sync.WaitGroup
	up.Go(func() {
		if err := j.write(j.upstream, before, j.up); err != nil {
			j.cut(err)
			return
		}
		j.move(j.upstream, j.client, j.up)
	})
	j.move(j.client, j.upstream, j.down)
	up.Wait()
	j.client.Close()
	j.upstream.Close()
	return j.cause
}

// cut ends both sides at once. The first cause stays.
func (j *joint) cut(cause error) {
	j.once.Do(func() {
		j.cause = cause
		j.client.reset()
		j.upstream.reset()
	})
}

// up and down count bytes while they move.
func (j *joint) up(n int64) {
	j.received.Add(n)
	j.traffic.Received.Add(n)
	j.touch()
}

func (j *joint) down(n int64) {
	j.sent.Add(n)
	j.traffic.Sent.Add(n)
	j.touch()
}

func (j *joint) touch() { j.moved.Store(int64(time.Since(j.began))) }

// deadline is when the joint will have been idle for too long, if nothing moves.
func (j *joint) deadline() time.Time { return j.began.Add(time.Duration(j.moved.Load()) + j.idle) }

func (j *joint) isIdle() bool { return !time.Now().Before(j.deadline()) }

// move copies in one direction, and passes its end on. A direction that breaks takes the other with it.
func (j *joint) move(to, from *end, count func(int64)) {
	err := from.SetReadDeadline(j.deadline())
	for err == nil {
		var much bool
		much, err = j.relay(to, from, count)
		for much && err == nil {
			much, err = j.splice(to, from, count)
		}
	}
	if err == io.EOF {
		err = from.ended()
	}
	if err == nil {
		err = to.closeWrite()
	}
	if err != nil {
		j.cut(err)
	}
}

// relay copies one read's worth. It reports whether so much has come that the kernel had better do it.
func (j *joint) relay(to, from *end, count func(int64)) (much bool, err error) {
	p, err := from.take()
	defer from.give()
	if len(p) > 0 {
		if err := j.write(to, p, count); err != nil {
			return false, err
		}
	}
	// The deadline is set anew only when it passes, so that a busy connection does not pay for it: by then something may have
	// moved, this way or the other.
	if errors.Is(err, os.ErrDeadlineExceeded) && !j.isIdle() {
		err = from.SetReadDeadline(j.deadline())
	}
	return len(p) == bufSize && to.tcp != nil && from.tcp != nil, err
}

// write writes all of p, with patience for as long as some of it moves.
func (j *joint) write(to *end, p []byte, count func(int64)) error {
	for len(p) > 0 {
		if err := to.patient(j.idle); err != nil {
			return err
		}
		n, err := to.Write(p)
		if n > 0 {
			count(int64(n))
			p = p[n:]
		}
		if err != nil && (n == 0 || !errors.Is(err, os.ErrDeadlineExceeded)) {
			return err
		}
	}
	return nil
}

const (
	spliceSize = 256 << 10   // what one side has to take within the idle time
	lull       = time.Second // in a transfer, after which its pipe is given back
)

// splice has the kernel copy, and reports whether to go on so.
func (j *joint) splice(to, from *end, count func(int64)) (much bool, err error) {
	began := time.Now()
	to.until = began.Add(j.idle)
	if err := errors.Join(to.SetWriteDeadline(to.until), from.SetReadDeadline(began.Add(min(lull, j.idle/2)))); err != nil {
		return false, err
	}
	n, err := to.tcp.ReadFrom(&io.LimitedReader{R: from.tcp, N: spliceSize})
	if n > 0 {
		count(n)
	}
	switch {
	case err == nil && n < spliceSize:
		return false, io.EOF
	case errors.Is(err, os.ErrDeadlineExceeded) && time.Since(began) < j.idle: // a lull: nothing is left in the pipe
		return false, from.SetReadDeadline(j.deadline())
	}
	return true, err
}
