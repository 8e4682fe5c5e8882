package encode

import (
	"math/bits"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// kind is what two encoders must have in common to take one another's place.
type kind struct {
	coding Coding
	effort int // the library's level
	bits   int // log2 of the window
}

// Windows, as log2. A Fast encoder is one of many, and its window is most of what it holds; going from 256 KiB to 1 MiB gains
// two percent. Of Best ones there is one at a time. Decoders need as much.
const (
	leastBits      = 16
	gzipBits       = 15 // all there is (RFC 1951, section 2)
	fastBrotliBits = 18
	fastZstdBits   = 19
	bestBrotliBits = 22
	bestZstdBits   = 23 // what every client has to have (RFC 9659, section 3)
)

// FastRoom is what a Fast encoder holds at most, but for that of a delta.
const FastRoom = 1300 << 10

// ReaderRoom is what a decoder of c holds at most: its window, and what is around it.
func ReaderRoom(c Coding) int64 {
	switch c {
	case Gzip:
		return 64 << 10
	case Brotli:
		return 17 << 20
	default:
		return 9 << 20
	}
}

// Brotli at 11 takes some two seconds of a processor for a MiB, 10 a quarter of that for 2 % more bytes, 9 a fiftieth for 10 %
// more. No body that is kept is to take longer than five seconds.
const (
	maxBrotli11 = 2 << 20
	maxBrotli10 = 8 << 20
)

// kindFor says which encoder is for a body of size bytes, -1 for an unknown number. The levels are those of the table in
// testdata/bench/README.md.
func kindFor(c Coding, l Level, size int64) kind {
	switch {
	case c == Gzip && l == Fast:
		return kind{c, 1, gzipBits}
	case c == Gzip:
		return kind{c, 9, gzipBits}
	case c == Brotli && l == Fast:
		return kind{c, 3, windowBits(size, fastBrotliBits)}
	case c == Brotli:
		return kind{c, brotliQuality(size), windowBits(size, bestBrotliBits)}
	case l == Fast:
		return kind{c, int(zstd.SpeedFastest), windowBits(size, fastZstdBits)}
	default:
		return kind{c, int(zstd.SpeedBestCompression), windowBits(size, bestZstdBits)}
	}
}

func brotliQuality(size int64) int {
	switch {
	case size >= 0 && size <= maxBrotli11:
		return 11
	case size >= 0 && size <= maxBrotli10:
		return 10
	default:
		return 9
	}
}

// windowBits returns the smallest window that holds a body of size bytes, or most. A window of Brotli lacks 16 bytes (RFC 7932,
// section 9.1).
func windowBits(size int64, most int) int {
	if size < 0 {
		return most
	}
	return max(leastBits, min(bits.Len64(uint64(size)+16-1), most))
}

// pools of machines, by kind. There are few kinds: eight windows at most, of two codings at four efforts.
var pools sync.Map

func (k kind) pool() *sync.Pool {
	if p, ok := pools.Load(k); ok {
		return p.(*sync.Pool)
	}
	p, _ := pools.LoadOrStore(k, new(sync.Pool))
	return p.(*sync.Pool)
}
