package encode

import (
	"crypto/sha256"
	"encoding/base64"

	"github.com/dunglas/httpsfv"
)

// Hash names a dictionary by its content.
type Hash [sha256.Size]byte

// HashOf returns the hash of a dictionary.
func HashOf(dictionary []byte) Hash { return sha256.Sum256(dictionary) }

// String is the hash as Available-Dictionary has it: a byte sequence (RFC 9651, section 3.3.5).
func (h Hash) String() string { return ":" + base64.StdEncoding.EncodeToString(h[:]) + ":" }

// ParseAvailable returns the hash in the lines of Available-Dictionary (RFC 9842, section 2.2). More than one member, or what
// is no hash, is no dictionary.
func ParseAvailable(lines []string) (Hash, bool) {
	item, err := httpsfv.UnmarshalItem(lines)
	if err != nil {
		return Hash{}, false
	}
	b, ok := item.Value.([]byte)
	if !ok || len(b) != len(Hash{}) {
		return Hash{}, false
	}
	return Hash(b), true
}

// UseAs returns the value of Use-As-Dictionary for a response that is a dictionary for the paths that p matches (RFC 9842,
// section 2.1).
func UseAs(p Pattern) string { return `match="` + string(p) + `"` }
