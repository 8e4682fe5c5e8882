package lane

// idleHands is how many goroutines wait for the next handshake at most.
const idleHands = 16

// shake has a goroutine shake hands: one that has done so before, if there is one. A handshake needs a deep stack, and to grow
// that from the smallest is a thirtieth of what a handshake costs.
func (s *Server) shake(hands func()) {
	select {
	case s.next <- hands:
	default:
		s.hands.Go(func() {
			for hands != nil {
				hands()
				hands = nil // it holds a connection
				hands = s.nextHands()
			}
		})
	}
}

// nextHands waits for the next handshake, unless there are enough who do or the server closes; then it returns nil.
func (s *Server) nextHands() func() {
	defer s.resting.Add(-1)
	if s.resting.Add(1) > idleHands {
		return nil
	}
	select {
	case hands := <-s.next:
		return hands
	case <-s.done:
		return nil
	}
}
