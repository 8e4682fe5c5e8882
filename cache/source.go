package cache

import (
	"errors"
	"fmt"
	"sync/atomic"

	"selvage/cache/internal/disk"
)

// source is where a body is that memory does not hold. Many may read it.
type source struct {
	tier   *disk.Tier
	found  *disk.Found
	parked atomic.Pointer[disk.Entry] // open since the last look-up, for whoever comes first
}

// prepare opens the body for the next reader and checks its first block.
func (s *source) prepare() error {
	if s.parked.Load() != nil {
		return nil // checked for another reader a moment ago
	}
	e, err := s.reopen()
	if err != nil {
		return err
	}
	if err := s.park(e); err != nil {
		e.Close()
		return err
	}
	return nil
}

// park keeps an entry for the next reader, once its first block was found good.
func (s *source) park(e *disk.Entry) error {
	if e.Length > 0 {
		if _, err := e.Block(0); err != nil {
			return err
		}
	}
	if other := s.parked.Swap(e); other != nil {
		other.Close()
	}
	return nil
}

// open gives a reader an entry of its own.
func (s *source) open() (*disk.Entry, error) {
	if e := s.parked.Swap(nil); e != nil {
		return e, nil
	}
	return s.reopen()
}

// reopen opens the body where it was found, or where it has moved since. A newer response may have come meanwhile: its bytes
// under the old head would be nobody's.
func (s *source) reopen() (*disk.Entry, error) {
	e, err := s.tier.Reopen(s.found)
	if !errors.Is(err, disk.ErrGone) {
		return e, err
	}
	ref, ok := s.tier.Lookup(s.found.Name)
	if !ok {
		return nil, disk.ErrGone
	}
	if e, err = s.tier.Open(ref); err != nil {
		return nil, err
	}
	if e.Key != s.found.Key || e.Variant != s.found.Variant || e.Fill != s.found.Fill {
		e.Close()
		return nil, fmt.Errorf("%w: another body has its place", disk.ErrGone)
	}
	return e, nil
}

// Done lets go of what a look-up opened for a reader who did not come.
func (o *Object) Done() {
	if o != nil && o.Own.Body.below != nil {
		o.Own.Body.below.drop()
	}
}

// drop closes an entry that nobody came for.
func (s *source) drop() {
	if e := s.parked.Swap(nil); e != nil {
		e.Close()
	}
}
