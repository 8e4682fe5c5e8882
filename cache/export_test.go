package cache

// ReadEpochsLate has s take the epoch of an object when its answer is here, in place of before the origin was asked: so most
// caches do it that know when something was stored and when it was purged.
func (s *Store) ReadEpochsLate() { s.lateEpoch = true }

// Loaded waits until what is on the disk is found.
func (s *Store) Loaded() {
	if s.disk != nil {
		<-s.disk.tier.Loaded()
	}
}
