package encode

import "strings"

// Coding is a content coding (RFC 9110, section 8.4.1).
type Coding uint8

// The codings there are. DCB and DCZ need a dictionary that the client names (RFC 9842); DCB has a name only: there is neither
// an encoder nor a decoder for it here.
const (
	Identity Coding = iota
	Gzip
	Brotli
	Zstd
	DCB
	DCZ

	codings = iota
)

var tokens = [codings]string{Identity: "", Gzip: "gzip", Brotli: "br", Zstd: "zstd", DCB: "dcb", DCZ: "dcz"}

// String is the coding's token in Content-Encoding, where Identity has none.
func (c Coding) String() string { return tokens[c] }

// Named returns the coding that a token of Accept-Encoding or Content-Encoding names. Tokens are case-insensitive, and x-gzip
// is gzip (RFC 9110, section 8.4.1.3).
func Named(token string) (Coding, bool) {
	for c := Gzip; c < codings; c++ {
		if strings.EqualFold(token, tokens[c]) {
			return c, true
		}
	}
	if strings.EqualFold(token, "x-gzip") {
		return Gzip, true
	}
	return Identity, strings.EqualFold(token, "identity")
}

// Level is how much effort an encoder makes.
type Level uint8

const (
	// Fast is for a client that waits.
	Fast Level = iota
	// Best is for what is made once, in the background, and kept.
	Best

	levels = iota
)

// String names the level in messages.
func (l Level) String() string { return [levels]string{"fast", "best"}[l] }
