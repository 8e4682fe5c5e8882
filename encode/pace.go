package encode

import (
	"context"
	"sync/atomic"
	"time"
)

// Pace keeps a job to a share of one processor. nil knows no bounds.
type Pace struct {
	share *atomic.Int64 // in percent
	busy  func() bool   // may be nil

	since time.Time // owned by the job: when it began to work, or went on after a rest
}

// While requests want the processor, a rest goes on. After ten of them in a row it ends all the same: a node that is always
// busy is the one that gains most from small bodies.
const (
	busyRest  = 20 * time.Millisecond
	busyRests = 10
)

func (p *Pace) begin() { p.since = time.Now() }

// Rest waits as long as the work since the last one asks for. It returns an error when ctx ends.
func (p *Pace) Rest(ctx context.Context) error {
	if p == nil {
		return ctx.Err()
	}
	share := time.Duration(p.share.Load())
	worked := time.Since(p.since)
	err := sleep(ctx, worked*(100-share)/share)
	for i := 0; i < busyRests && err == nil && p.busy != nil && p.busy(); i++ {
		err = sleep(ctx, max(busyRest, worked))
	}
	p.begin()
	return err
}

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
