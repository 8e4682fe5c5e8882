package origin

import (
	"errors"
	"fmt"
	"os"
	"strings"
)

// readSecret reads env:NAME or file:/path; nil when nothing is given. Its errors do not hold what was given: it may be the
// secret itself, put in the wrong place.
func readSecret(where string, minBytes int) ([]byte, error) {
	kind, place, _ := strings.Cut(where, ":")
	var text string
	switch kind {
	case "":
		return nil, nil
	case "env":
		text = os.Getenv(place)
	case "file":
		b, err := os.ReadFile(place)
		if err != nil {
			return nil, fmt.Errorf("read the secret: %w", err)
		}
		text = string(b)
	default:
		return nil, errors.New("is not where a secret is; write env:NAME or file:/path, never the secret itself")
	}
	if text = strings.TrimSpace(text); len(text) < minBytes {
		return nil, fmt.Errorf("the secret has %d bytes, and needs at least %d", len(text), minBytes)
	}
	return []byte(text), nil
}
