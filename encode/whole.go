package encode

import (
	"bytes"
	"context"
	"errors"
)

// ErrUseless is the answer for a body that is hardly smaller when it is encoded.
var ErrUseless = errors.New("encoding does not help")

// Helps reports whether a body of plain bytes is worth keeping as one of coded bytes, which costs room, and the client the
// work of decoding: a twentieth has to be gained, and that has to be more than the fields of the head cost.
func Helps(plain, coded int64) bool { return coded+64 <= plain-plain/20 }

// Append appends src, encoded, to dst.
func Append(dst, src []byte, c Coding, l Level) []byte {
	out := bytes.NewBuffer(dst)
	w := NewWriter(out, c, l, int64(len(src)))
	_, _ = w.Write(src) // a buffer takes everything
	_ = w.Close()
	return out.Bytes()
}

// Keep encodes a whole body at Best, at the pace of p, and returns ErrUseless where that does not help. Only ctx makes it fail
// otherwise.
func (m *Meter) Keep(ctx context.Context, src []byte, c Coding, p *Pace) ([]byte, error) {
	if !m.promises(src) {
		m.addUseless()
		return nil, ErrUseless
	}
	out := bytes.NewBuffer(make([]byte, 0, len(src)/3))
	w := m.NewWriter(out, c, Best, int64(len(src)))
	defer w.Abort()
	for len(src) > 0 {
		n := min(len(src), piece(c, len(src)))
		if _, err := w.Write(src[:n]); err != nil {
			return nil, err
		}
		src = src[n:]
		if err := p.Rest(ctx); err != nil {
			return nil, err
		}
	}
	return out.Bytes(), nil
}

// piece is how much of a body is encoded between two rests.
func piece(c Coding, rest int) int { return 128 << 10 }

// promises tries the cheapest encoder before the dearest.
func (m *Meter) promises(src []byte) bool {
	return Helps(int64(len(src)), int64(len(Append(nil, src, Zstd, Fast))))
}
