package encode

import (
	"math/bits"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// kind is what two encoders must have in common to be one another's replacement.
type kind struct {
	coding Coding
	effort int // the library's level
	bits   int // log2 of the window
}

// Bounds of windows, as log2.
const (
	minBits     = 16
	maxFastBits = 20
	maxBestBits = 23 // RFC 9659, section 3: a Zstandard window of 8 MiB is what every client has to have
	gzipBits    = 15
)

// Brotli at 11 takes seconds for a megabyte, so larger bodies are content with less.
const (
	maxQuality11 = 1 << 20
)

// kindFor says which encoder is for a body of size bytes, -1 for an unknown number.
func kindFor(c Coding, l Level, size int64) kind {
	k := kind{coding: c, bits: windowBits(l, size)}
	switch {
	case c == Gzip && l == Fast:
		return kind{coding: Gzip, effort: 1, bits: gzipBits}
	case c == Gzip:
		return kind{coding: Gzip, effort: 9, bits: gzipBits}
	case c == Brotli && l == Fast:
		k.effort = 4
	case c == Brotli && size >= 0 && size <= maxQuality11:
		k.effort = 11
	case c == Brotli:
		k.effort = 9
	case l == Fast:
		k.effort = int(zstd.SpeedFastest)
	default:
		k.effort = int(zstd.SpeedBestCompression)
	}
	return k
}

// windowBits returns the smallest window in which a whole body fits, within bounds. A window of Brotli lacks 16 bytes
// (RFC 7932, section 9.1).
func windowBits(l Level, size int64) int {
	most := maxFastBits
	if l == Best {
		most = maxBestBits
	}
	if size < 0 {
		return most
	}
	return max(minBits, min(bits.Len64(uint64(size)+16-1), most))
}

// pools by kind. There are few: at most 8 windows of two codings at two or three levels.
var pools sync.Map

func (k kind) pool() *sync.Pool {
	if p, ok := pools.Load(k); ok {
		return p.(*sync.Pool)
	}
	p, _ := pools.LoadOrStore(k, new(sync.Pool))
	return p.(*sync.Pool)
}
