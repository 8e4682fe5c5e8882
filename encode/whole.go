package encode

import (
	"bytes"
	"context"
	"errors"
	"io"
)

// ErrUseless is the answer for a body that is hardly smaller when it is encoded.
var ErrUseless = errors.New("encoding does not help")

// Helps reports whether a body of so many bytes is worth having in so many coded ones too, which take room here and work
// there: a twentieth must be gained, and more than the fields cost that tell of it.
func Helps(plain, coded int64) bool { return coded <= plain-plain/20-64 }

// Append appends src, encoded, to dst.
func Append(dst, src []byte, c Coding, l Level) []byte {
	out := bytes.NewBuffer(dst)
	w := NewWriter(out, c, l, int64(len(src)))
	_, _ = w.Write(src) // a buffer takes everything
	_ = w.Close()
	return out.Bytes()
}

// Keep encodes a body at Best, at the pace of p. It returns ErrUseless where that does not help, and else fails only with ctx.
// The body and the result are in memory as a whole.
func (m *Meter) Keep(ctx context.Context, src []byte, c Coding, p *Pace) ([]byte, error) {
	if c == Brotli && !m.promises(src) {
		m.addUseless()
		return nil, ErrUseless
	}
	out := bytes.NewBuffer(make([]byte, 0, len(src)/4))
	if err := m.encode(ctx, out, src, c, p); err != nil {
		return nil, err
	}
	if !Helps(int64(len(src)), int64(out.Len())) {
		m.addUseless()
		return nil, ErrUseless
	}
	return bytes.Clone(out.Bytes()), nil // without the room the buffer has left: it is kept
}

// encode writes src in pieces, between which p rests.
func (m *Meter) encode(ctx context.Context, out io.Writer, src []byte, c Coding, p *Pace) error {
	w := m.NewWriter(out, c, Best, int64(len(src)))
	defer w.Abort()
	size := pieceOf(c, int64(len(src)))
	for len(src) > 0 {
		n := min(len(src), size)
		if _, err := w.Write(src[:n]); err != nil {
			return err
		}
		src = src[n:]
		if err := p.Rest(ctx); err != nil {
			return err
		}
	}
	return w.Close()
}

// pieceOf is how much of a body is encoded at a time: what takes tenths of a second. Brotli at 10 and 11 takes blocks of
// 256 KiB; below, it looks at the size of the first piece to decide how much memory it takes for a large body.
func pieceOf(c Coding, size int64) int {
	if c == Brotli && brotliQuality(size) >= 10 {
		return 256 << 10
	}
	return 1 << 20
}

// promises has the cheapest encoder try before Brotli, the dearest, works for seconds.
func (m *Meter) promises(src []byte) bool {
	const soonDone = 64 << 10
	if len(src) <= soonDone {
		return true
	}
	watch := startWatch()
	defer func() { m.addTrial(Brotli, Best, watch.stop()) }()
	trial := borrow(io.Discard, Zstd, Fast, int64(len(src)))
	defer trial.giveBack()
	_, _ = trial.encoder.Write(src) // nothing is refused by io.Discard
	_ = trial.encoder.Close()
	return Helps(int64(len(src)), trial.to.written)
}
