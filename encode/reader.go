package encode

import (
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"
)

// ErrTooLarge is the end of a body that decodes to more than its Limits allow.
var ErrTooLarge = errors.New("decoded body is too large")

// Limits bound what a decoder makes of a body.
type Limits struct {
	// Bytes is the most that may come out; 0 is no bound.
	Bytes int64
	// Ratio is how many times the input may come out, beyond the first MiB; 0 is no bound.
	Ratio int64
}

// DefaultLimits suit bodies that are decoded as they stream: there is text with a ratio of 200, and zeros have 1032 in gzip.
func DefaultLimits() Limits { return Limits{Bytes: 1 << 30, Ratio: 250} }

// ratioFloor is what any input may decode to.
const ratioFloor = 1 << 20

// NewReader returns a decoder of c. Close gives it back, and leaves r alone. An input that ends too early, an empty one among
// them, is io.ErrUnexpectedEOF. An error here means that there is no decoder for c.
func NewReader(r io.Reader, c Coding, limits Limits) (io.ReadCloser, error) {
	if c < Gzip || c > Zstd {
		return nil, fmt.Errorf("no decoder for %q", c)
	}
	d, ok := decoders[c].Get().(decoder)
	if !ok {
		d = newDecoder(c)
	}
	return &reader{decoder: d, pool: &decoders[c], limits: limits, from: source{Reader: r}}, nil
}

// reader is one decoder at work.
type reader struct {
	decoder // nil once closed

	pool    *sync.Pool // nil: it is not kept
	limits  Limits
	head    int64 // bytes of input that are not yet a body
	from    source
	out     int64
	started bool
	err     error // of the last Read: a decoder is not asked again
}

// decoder is what the three libraries have in common. Reset of gzip reads the head.
type decoder interface {
	io.Reader
	Reset(io.Reader) error
}

// decoders are kept by coding. What they hold is bounded by windows: 32 KiB for gzip, 16 MiB for Brotli (RFC 7932, section
// 9.1; larger ones are refused), 8 MiB for Zstandard (RFC 9659, section 3).
var decoders [codings]sync.Pool

func newDecoder(c Coding) decoder {
	switch c {
	case Gzip:
		return newMembers()
	case Brotli:
		return new(brotli.Reader)
	default:
		d, _ := zstd.NewReader(nil, zstdLimits()...) // the options are constants and in range
		return d
	}
}

// zstdLimits bound a decoder's memory, and keep it from starting goroutines.
func zstdLimits() []zstd.DOption {
	return []zstd.DOption{
		zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxWindow(1 << bestZstdBits), zstd.WithDecodeBuffersBelow(0),
	}
}

// Read decodes.
func (r *reader) Read(p []byte) (n int, err error) {
	if r.err != nil {
		return 0, r.err
	}
	n, err = r.decode(p)
	r.out += int64(n)
	switch {
	case r.tooLarge():
		err = ErrTooLarge
	case err == io.EOF && r.from.read <= r.head:
		err = io.ErrUnexpectedEOF
	}
	r.err = err
	return n, err
}

// decode begins with the head. A decoder that has neither bytes nor an error, as that of Brotli at its end, is asked again.
func (r *reader) decode(p []byte) (n int, err error) {
	if !r.started {
		r.started = true
		err = r.Reset(&r.from)
	}
	for n == 0 && err == nil && len(p) > 0 {
		n, err = r.decoder.Read(p)
	}
	return n, err
}

func (r *reader) tooLarge() bool {
	l := r.limits
	return l.Bytes > 0 && r.out > l.Bytes || l.Ratio > 0 && r.out > ratioFloor && r.out/l.Ratio > r.from.read
}

// Close gives the decoder back. It does nothing the second time.
func (r *reader) Close() error {
	if r.decoder == nil {
		return nil
	}
	if r.err == nil {
		r.err = io.ErrClosedPipe
	}
	_ = r.Reset(nothing{}) // lets go of the input; that it is empty is no news
	if r.pool != nil {
		r.pool.Put(r.decoder)
	}
	r.decoder = nil
	return nil
}

// source counts what a decoder reads.
type source struct {
	io.Reader

	read int64
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p)
	s.read += int64(n)
	return n, err
}

// nothing is what a decoder in its pool reads.
type nothing struct{}

func (nothing) Read([]byte) (int, error) { return 0, io.EOF }
