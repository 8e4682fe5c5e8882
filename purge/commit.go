package purge

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// blockNumbers are reserved ahead in the file, for invalidations that are in force before they are written. They are to
	// outlast a batch on the busiest node.
	blockNumbers = 1 << 16

	batchDelay = 200 * time.Millisecond // from an invalidation to its being written, at most
	retryDelay = time.Second            // after a write that failed
	quiet      = time.Minute            // between two reports of failed writes
)

var errClosed = errors.New("the purge journal is closed")

// ledger is the way to the file. Every change of the file is one batch: the purges whose Add waits, the rows marked since the
// last batch, and the state. Whoever comes while a batch is being written goes with the next, all with one sync.
//
// An Add takes its number before it is written, and is in force after; an invalidation that comes in between takes a number
// and is in force at once. So that numbers come into force in order, the Adds of a batch are given numbers beyond the block
// that is reserved, and invalidations those of the block.
//
// Locks are taken in this order: writing, order, mu.
type ledger struct {
	log      *slog.Logger
	marks    chan struct{} // holds one when rows have been marked that nobody waits for
	failures atomic.Uint64 // writes that failed

	mu      sync.Mutex
	waiting []*addition // guarded by mu

	writing  sync.Mutex // held by one batch, from its numbers until it is in force
	file     *file      // guarded by writing; nil once closed
	reserved uint64     // guarded by writing: the end of the block, or of what a failed write would have reserved
}

// addition is a purge whose Add waits.
type addition struct {
	record Record // its number is guarded by writing, as are done and err
	done   bool
	err    error
}

// batch is one change of the file.
type batch struct {
	additions []*addition // with numbers beyond all that is in force
	oldest    uint64      // the number of the oldest purge in the history
	rows      []row       // as they were marked when the batch began
	touched   []*row      // the same rows
	state     state       // without the transaction and the sum, which the file knows
}

func newLedger(f *file, log *slog.Logger, reserved uint64) *ledger {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &ledger{log: log, marks: make(chan struct{}, 1), file: f, reserved: reserved}
}

// remind has a batch written soon, by Run.
func (l *ledger) remind() {
	select {
	case l.marks <- struct{}{}:
	default:
	}
}

func (l *ledger) wait(a *addition) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiting = append(l.waiting, a)
}

func (l *ledger) takeWaiting() []*addition {
	l.mu.Lock()
	defer l.mu.Unlock()
	taken := l.waiting
	l.waiting = nil
	return taken
}

// record writes a purge and puts it in force, unless another's batch has taken it along.
func (j *Journal) record(r Record) (uint64, error) {
	l, a := j.ledger, &addition{record: r}
	l.wait(a)
	l.writing.Lock()
	defer l.writing.Unlock()
	if !a.done {
		j.commit()
	}
	return a.record.Number, a.err
}

// commit writes a batch and puts its purges in force, with writing held. If there came more invalidations meanwhile than the
// block has numbers, the purges of the batch would come into force out of order: they get new numbers.
func (j *Journal) commit() error {
	l := j.ledger
	additions := l.takeWaiting()
	for {
		b := j.prepare(additions)
		if err := l.write(b); err != nil {
			j.withdraw(b, err)
			return err
		}
		if j.land(b) {
			return nil
		}
	}
}

func (l *ledger) write(b *batch) error {
	if l.file == nil {
		return errClosed
	}
	err := l.file.write(b)
	if err != nil {
		l.failures.Add(1)
	}
	return err
}

// prepare takes numbers, which are never used again, and what is to be written.
func (j *Journal) prepare(additions []*addition) *batch {
	j.order.Lock()
	defer j.order.Unlock()
	l, newest := j.ledger, j.applied.Load()
	b := &batch{additions: additions, oldest: j.history.oldest()}
	for i, a := range additions {
		a.record.Number = max(l.reserved, j.applied.Load()) + 1 + uint64(i)
		newest = a.record.Number
	}
	l.reserved = max(l.reserved, newest+blockNumbers)
	b.state = state{
		identity: j.identity, reserved: l.reserved, marked: j.history.newest(), all: j.all.lasts(), floor: j.floor.lasts(),
	}
	j.takeUnwrittenOrdered(b)
	return b
}

func (j *Journal) takeUnwrittenOrdered(b *batch) {
	b.touched, j.unwritten = j.unwritten, nil
	b.rows = make([]row, len(b.touched))
	for i, r := range b.touched {
		b.rows[i] = *r
		r.unwritten = false
	}
}

// land puts the purges of a written batch in force, unless their numbers have been passed.
func (j *Journal) land(b *batch) bool {
	j.order.Lock()
	defer j.order.Unlock()
	if len(b.additions) > 0 && j.applied.Load() >= b.additions[0].record.Number {
		return false
	}
	for _, a := range b.additions {
		a.done = true
		j.enterOrdered(a.record)
	}
	return true
}

// withdraw undoes a batch that was not written: its rows go with the next, its purges never come into force.
func (j *Journal) withdraw(b *batch, err error) {
	j.order.Lock()
	defer j.order.Unlock()
	for _, r := range b.touched {
		j.rewriteOrdered(r)
	}
	for _, a := range b.additions {
		a.record.Number, a.err, a.done = 0, fmt.Errorf("write purge: %w", err), true
	}
}

// flush writes what nobody waits for, if an Add has not taken it along.
func (j *Journal) flush() error {
	j.ledger.writing.Lock()
	defer j.ledger.writing.Unlock()
	if !j.pending() {
		return nil
	}
	return j.commit()
}

func (j *Journal) pending() bool {
	j.order.Lock()
	defer j.order.Unlock()
	return len(j.unwritten) > 0
}

// Run writes what Invalidate has put in force, 200 ms later, until ctx ends. What cannot be written is tried again, and
// reported at most once a minute. Purges by Add do not need it.
func (j *Journal) Run(ctx context.Context) error {
	if j.ledger == nil {
		<-ctx.Done()
		return nil
	}
	var reported time.Time
	delay := batchDelay
	for j.awaitMarks(ctx) && pause(ctx, delay) {
		delay = batchDelay
		if err := j.flush(); err != nil {
			delay = retryDelay
			j.ledger.remind()
			reported = j.ledger.report(err, reported)
		}
	}
	return nil
}

// awaitMarks reports whether something is to be written; it is not once ctx has ended.
func (j *Journal) awaitMarks(ctx context.Context) bool {
	select {
	case <-j.ledger.marks:
		return true
	case <-ctx.Done():
		return false
	}
}

// pause reports whether the time has passed before ctx ended.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// report logs a failed write unless it has done so a moment ago, and returns when it did last.
func (l *ledger) report(err error, last time.Time) time.Time {
	if now := time.Now(); last.IsZero() || now.Sub(last) >= quiet {
		l.log.Error("invalidations are in force but not written", "error", err)
		return now
	}
	return last
}

// Close writes what is pending and closes the file. Call it when nobody purges any more, and Run has returned: what comes
// later is an error of Add, and an Invalidate that a restart forgets.
func (j *Journal) Close() error {
	l := j.ledger
	if l == nil {
		return nil
	}
	l.writing.Lock()
	defer l.writing.Unlock()
	if l.file == nil {
		return nil
	}
	var err error
	if j.pending() {
		err = j.commit()
	}
	err = errors.Join(err, l.file.close())
	l.file = nil
	return err
}
