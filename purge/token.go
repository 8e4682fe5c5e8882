package purge

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"strings"
)

// TokenHash is all that is kept of a bearer token.
type TokenHash [sha256.Size]byte

// Secrets reads what a configuration only names: env:NAME or file:/path. Its errors do not repeat what was configured, which
// may be the secret itself, put in the wrong place.
type Secrets func(where string) (string, error)

// minTokenBytes makes guessing hopeless even for a token of hexadecimal digits.
const minTokenBytes = 16

// ReadToken returns the hash of the token that is at a place: one that Secrets knows, or sha256:HEX, the hash itself.
func ReadToken(where string, secrets Secrets) (h TokenHash, err error) {
	if digits, ok := strings.CutPrefix(where, "sha256:"); ok {
		b, err := hex.DecodeString(digits)
		if err != nil || len(b) != len(h) {
			return h, fmt.Errorf("is no SHA-256; sha256: wants its %d hexadecimal digits", 2*len(h))
		}
		return TokenHash(b), nil
	}
	text, err := secrets(where)
	if err != nil {
		return h, err
	}
	if text = strings.TrimSpace(text); len(text) < minTokenBytes {
		return h, fmt.Errorf("the token has %d bytes, and needs at least %d", len(text), minTokenBytes)
	}
	return sha256.Sum256([]byte(text)), nil
}

// token is a bearer token and whose it is.
type token struct {
	hash   TokenHash
	caller Caller
}

// findToken returns whose token hashes to h, or nil. It compares in constant time, and with all of them, whichever it is: the
// time taken says nothing. Hashes are compared, so that it says nothing of a token's length either.
func findToken(tokens []token, h TokenHash) *Caller {
	found := -1
	for i := range tokens {
		equal := subtle.ConstantTimeCompare(tokens[i].hash[:], h[:])
		found = subtle.ConstantTimeSelect(equal, i, found)
	}
	if found < 0 {
		return nil
	}
	return &tokens[found].caller
}

// bearer returns the hash of the token in an Authorization field (RFC 6750, section 2.1).
func bearer(authorization string) (h TokenHash, ok bool) {
	scheme, given, _ := strings.Cut(authorization, " ")
	given = strings.TrimSpace(given)
	return sha256.Sum256([]byte(given)), strings.EqualFold(scheme, "Bearer") && given != ""
}
