package origin

import (
	"context"
	"errors"
	"log/slog"

	"github.com/sony/gobreaker/v2"
)

// breaker stops asking an upstream that fails, whatever becomes of the requests: an origin that breaks down under load must
// not be kept down by it. A nil breaker lets everything through.
type breaker struct {
	*gobreaker.TwoStepCircuitBreaker[struct{}]
	probes uint32
}

// How a request ends for its breaker, besides well.
var (
	errBad       = errors.New("the upstream failed")
	errNoVerdict = errors.New("it says nothing of the upstream")
)

func newBreaker(c BreakerConfig, log *slog.Logger) *breaker {
	if c.Failures == 0 {
		return nil
	}
	return &breaker{
		probes: uint32(c.Probes),
		TwoStepCircuitBreaker: gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
			MaxRequests: uint32(c.Probes),
			Timeout:     c.Pause,
			ReadyToTrip: func(n gobreaker.Counts) bool { return n.ConsecutiveFailures >= uint32(c.Failures) },
			IsExcluded:  func(err error) bool { return err == errNoVerdict },
			OnStateChange: func(_ string, _, to gobreaker.State) {
				log.Log(context.Background(), levelOf(to), "circuit breaker of the upstream is "+to.String())
			},
		}),
	}
}

func levelOf(s gobreaker.State) slog.Level {
	if s == gobreaker.StateOpen {
		return slog.LevelWarn
	}
	return slog.LevelInfo
}

// lets reports whether begin would succeed now.
func (b *breaker) lets() bool {
	if b == nil {
		return true
	}
	switch b.State() {
	case gobreaker.StateClosed:
		return true
	case gobreaker.StateHalfOpen:
		return b.Counts().Requests < b.probes
	}
	return false
}

// begin lets a request through or not. What it returns has to be called with the request's end.
func (b *breaker) begin() (end func(error), ok bool) {
	if b == nil {
		return nil, true
	}
	end, err := b.Allow()
	return end, err == nil
}
