package encode

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"testing"
)

// What does a body of 64 KiB cost, from a pool that is warm?
func BenchmarkEncode64KB(b *testing.B) {
	src := prose(64 << 10)
	for _, c := range made {
		for l := range Level(levels) {
			b.Run(fmt.Sprint(c, "/", l), func(b *testing.B) {
				b.SetBytes(int64(len(src)))
				b.ReportAllocs()
				for b.Loop() {
					w := NewWriter(io.Discard, c, l, int64(len(src)))
					_, _ = w.Write(src)
					_ = w.Close()
				}
			})
		}
	}
}

// What does a delta cost?
func BenchmarkDelta300KB(b *testing.B) {
	old := prose(300_000)
	src := slices.Concat(old[:100_000], noise(500), old[110_000:])
	for l := range Level(levels) {
		b.Run(l.String(), func(b *testing.B) {
			b.SetBytes(int64(len(src)))
			b.ReportAllocs()
			var delta []byte
			for b.Loop() {
				delta = (*Meter)(nil).AppendDelta(delta[:0], src, old, HashOf(old), l)
			}
			b.ReportMetric(float64(len(delta)), "bytes")
		})
	}
}

// What does decoding cost, from a pool that is warm?
func BenchmarkDecode64KB(b *testing.B) {
	src := prose(64 << 10)
	for _, c := range made {
		b.Run(c.String(), func(b *testing.B) {
			coded := Append(nil, src, c, Best)
			b.SetBytes(int64(len(src)))
			b.ReportAllocs()
			for b.Loop() {
				r, err := NewReader(bytes.NewReader(coded), c, DefaultLimits())
				if err != nil {
					b.Fatal(err)
				}
				if n, err := io.Copy(io.Discard, r); n != int64(len(src)) || err != nil {
					b.Fatal(n, err)
				}
				_ = r.Close()
			}
		})
	}
}
