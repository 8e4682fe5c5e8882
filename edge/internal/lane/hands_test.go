package lane

import (
	"sync"
	"testing"
	"testing/synctest"
)

// TestHands: handshakes at once have a goroutine each; some of these wait for the next ones, and all end when the server closes.
func TestHands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newRig(t, echo, nil).Server
		var begun, over sync.WaitGroup
		release := make(chan struct{})
		for range 3 * idleHands {
			begun.Add(1)
			over.Add(1)
			s.shake(func() { begun.Done(); <-release; over.Done() })
		}
		begun.Wait()
		close(release)
		over.Wait()
		synctest.Wait()
		if n := s.resting.Load(); n != idleHands {
			t.Errorf("%d wait, want %d", n, idleHands)
		}
		over.Add(1)
		held := make(chan struct{})
		s.shake(func() { over.Done(); <-held })
		over.Wait()
		if n := s.resting.Load(); n != idleHands-1 {
			t.Errorf("with one at work %d wait, want %d: it has been one of them", n, idleHands-1)
		}
		close(held)
		close(s.done)
		s.hands.Wait()
	})
}
