package encode

import (
	"errors"
	"io"

	"github.com/klauspost/compress/zstd"
)

// deltaMagic begins a body in dcz: a skippable frame of Zstandard that holds the dictionary's hash (RFC 9842, section 5).
const deltaMagic = "\x5e\x2a\x4d\x18\x20\x00\x00\x00"

// deltaHead is the length of that frame.
const deltaHead = len(deltaMagic) + len(Hash{})

// deltaBits is the largest window of deltas, as log2. The old body is only within reach as long as it and the new one fit into
// the window together, and 8 MiB is what every client has to have (RFC 9842, section 5).
const deltaBits = 23

// CanDelta reports whether a body of so many bytes can be told as the difference from one of old bytes.
func CanDelta(old, size int64) bool { return old > 0 && size > 0 && old+size <= 1<<deltaBits }

// AppendDelta appends src to dst as dcz has it: as what differs from old, whose hash is h. CanDelta holds for the two.
//
// The encoder is not kept: it would hold on to old and to the tables made of it, which are of use for no other body.
func (m *Meter) AppendDelta(dst, src, old []byte, h Hash, l Level) []byte {
	watch, before := startWatch(), len(dst)
	defer func() { m.add(DCZ, l, int64(len(src)), int64(len(dst)-before), watch.stop()) }()
	dst = append(append(dst, deltaMagic...), h[:]...)
	dst = deltaEncoder(old, len(src), l).EncodeAll(src, dst)
	return dst
}

// deltaEncoder returns an encoder of size bytes whose history is old. The options are in range, so no error is possible.
func deltaEncoder(old []byte, size int, l Level) *zstd.Encoder {
	e, _ := zstd.NewWriter(nil,
		zstd.WithEncoderLevel(deltaEffort(len(old), l)), zstd.WithWindowSize(1<<windowBits(int64(len(old)+size), deltaBits)),
		zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true), zstd.WithEncoderDictRaw(0, old))
	return e
}

// deltaEffort: even Fast, which is a few milliseconds, is not the fastest there is, whose small tables forget most of old. The
// highest effort has tables of 70 MB, for the moment; it gains a tenth where old is large, and nothing else.
func deltaEffort(old int, l Level) zstd.EncoderLevel {
	const large = 256 << 10
	switch {
	case l == Fast:
		return zstd.SpeedDefault
	case old <= large:
		return zstd.SpeedBetterCompression
	default:
		return zstd.SpeedBestCompression
	}
}

// NewDeltaReader decodes dcz that was made with old, as NewReader does.
func NewDeltaReader(r io.Reader, old []byte, limits Limits) (io.ReadCloser, error) {
	d, err := zstd.NewReader(nil, append(zstdLimits(), zstd.WithDecoderDictRaw(0, old))...)
	if err != nil {
		return nil, err
	}
	return &reader{
		decoder: &deltaDecoder{Decoder: d, hash: HashOf(old)}, limits: limits, head: int64(deltaHead), from: source{Reader: r},
	}, nil
}

// errOtherDictionary is the end of a delta to something else.
var errOtherDictionary = errors.New("delta to another dictionary")

// deltaDecoder is a decoder of Zstandard that wants the head of dcz first.
type deltaDecoder struct {
	*zstd.Decoder

	hash Hash
}

func (d *deltaDecoder) Reset(r io.Reader) error {
	head := make([]byte, deltaHead)
	if _, err := io.ReadFull(r, head); err != nil {
		return errors.Join(io.ErrUnexpectedEOF, err)
	}
	if string(head[:len(deltaMagic)]) != deltaMagic || Hash(head[len(deltaMagic):]) != d.hash {
		return errOtherDictionary
	}
	return d.Decoder.Reset(r)
}
