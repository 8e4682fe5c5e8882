package disk

import (
	"errors"
	"fmt"
	"runtime/debug"
)

var errPanic = errors.New("disk tier stopped by a panic")

// survive runs the writer. A panic in it, which is a mistake of ours, costs the tier and not the node: nothing is found and
// nothing taken from then on. What is on disk stays as a killed process leaves it, for the next start.
func (w *writer) survive(run func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: %v", errPanic, r)
			w.t.halt(err, debug.Stack())
		}
	}()
	return run()
}

// halt puts the tier out of use. The directory stays ours, and so do the files: an index in mid-transaction cannot be closed.
func (t *Tier) halt(err error, stack []byte) {
	t.counters.diskErrors.Add(1)
	t.log.Error("disk cache is off until the next start; serving goes on without it", "dir", t.dir, "error", err, "stack", string(stack))
	t.queue.abandon()
	close(t.halted)
	select {
	case <-t.loaded:
	default:
		close(t.loaded)
	}
}

// off reports whether the tier was halted.
func (t *Tier) off() bool {
	select {
	case <-t.halted:
		return true
	default:
		return false
	}
}
