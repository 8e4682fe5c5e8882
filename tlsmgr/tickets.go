package tlsmgr

import (
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"sync"
)

// keptSecrets is how many secrets tickets resume under: the newest, and two before it.
const keptSecrets = 3

// secrets are what ticket keys are derived from, newest first. They are made at random and never written down: whoever
// gets hold of a ticket key can read what was sent under its tickets in TLS 1.2 (RFC 5077, section 5.5).
type secrets struct {
	mu     sync.Mutex
	values [][32]byte // guarded by mu; never empty
}

func newSecrets() *secrets {
	s := new(secrets)
	s.rotate()
	return s
}

// rotate puts a new secret before the others, and forgets the oldest.
func (s *secrets) rotate() {
	var fresh [32]byte
	rand.Read(fresh[:]) // it never fails
	s.mu.Lock()
	defer s.mu.Unlock()
	s.values = append([][32]byte{fresh}, s.values[:min(len(s.values), keptSecrets-1)]...)
}

// keys returns the ticket keys of a policy, the one for new tickets first. Two policies have no key in common.
func (s *secrets) keys(policy string) [][32]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([][32]byte, len(s.values))
	for i, secret := range s.values {
		key, err := hkdf.Key(sha256.New, secret[:], nil, "selvage session ticket\x00"+policy, len(out[i]))
		if err != nil {
			panic(err) // only for a key of absurd length
		}
		copy(out[i][:], key)
	}
	return out
}
