package encode

import (
	"bytes"
	"errors"
	"io"
	"runtime"
	"slices"
	"testing"
	"testing/iotest"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"
)

func decode(t testing.TB, coded []byte, c Coding, limits Limits) ([]byte, error) {
	t.Helper()
	r, err := NewReader(bytes.NewReader(coded), c, limits)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	return io.ReadAll(r)
}

func TestReadersReadWhatWritersWrite(t *testing.T) {
	src := prose(400_000)
	for _, c := range made {
		coded := Append(nil, src, c, Fast)
		for name, r := range map[string]io.Reader{
			"whole":        bytes.NewReader(coded),
			"byte by byte": iotest.OneByteReader(bytes.NewReader(coded)),
			"end at once":  iotest.DataErrReader(bytes.NewReader(coded)),
		} {
			d, err := NewReader(r, c, DefaultLimits())
			if err != nil {
				t.Fatal(err)
			}
			if err := iotest.TestReader(d, src); err != nil {
				t.Errorf("%v, %s: %v", c, name, err)
			}
			_ = d.Close()
		}
	}
}

func TestNoReader(t *testing.T) {
	for _, c := range []Coding{Identity, DCB, DCZ} {
		if _, err := NewReader(nil, c, Limits{}); err == nil {
			t.Errorf("NewReader of %v: no error", c)
		}
	}
}

// An input that ends too early is never the end of the body, wherever it is cut.
func TestCutShort(t *testing.T) {
	src := prose(20_000)
	for _, c := range made {
		coded := Append(nil, src, c, Fast)
		for n := 0; n < len(coded); n += 1 + n/50 {
			if _, err := decode(t, coded[:n], c, Limits{}); !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Fatalf("%v: the first %d of %d bytes decode with error %v", c, n, len(coded), err)
			}
		}
	}
}

// Of gzip the library itself takes these for the end.
func TestCutShortInAHead(t *testing.T) {
	head := "\x1f\x8b\x08\x18\x00\x00\x00\x00\x00\x03name\x00comment\x00"
	whole := Append(nil, []byte("one"), Gzip, Fast)
	for _, before := range [][]byte{nil, whole} {
		for n := 1; n <= len(head); n++ {
			coded := append(bytes.Clone(before), head[:n]...)
			if _, err := decode(t, coded, Gzip, Limits{}); !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("%d bytes, then %q: %v", len(before), head[:n], err)
			}
		}
	}
}

func TestDamage(t *testing.T) {
	for _, c := range made {
		coded := Append(nil, noise(5000), c, Fast)
		if _, err := decode(t, append(bytes.Clone(coded), "garbage"...), c, Limits{}); err == nil {
			t.Errorf("%v: garbage after the end decodes", c)
		}
		if c == Brotli {
			continue // has no checksum
		}
		coded[len(coded)/2] ^= 1
		if _, err := decode(t, coded, c, Limits{}); err == nil {
			t.Errorf("%v: a flipped bit decodes", c)
		}
	}
}

// RFC 1952, section 2.2, and RFC 8878, section 3: one after the other is one body.
func TestConcatenation(t *testing.T) {
	one, two := prose(1000), noise(1000)
	for _, c := range []Coding{Gzip, Zstd} {
		coded := Append(Append(nil, one, c, Fast), two, c, Best)
		if got, err := decode(t, coded, c, Limits{}); err != nil || !bytes.Equal(got, append(bytes.Clone(one), two...)) {
			t.Errorf("%v: %d and %d bytes came back as %d, %v", c, len(one), len(two), len(got), err)
		}
	}
}

func TestLimits(t *testing.T) {
	zeros := make([]byte, 2<<20) // shrink a thousandfold
	text := prose(2 << 20)
	for _, c := range made {
		for _, tt := range []struct {
			name   string
			src    []byte
			limits Limits
			want   error
		}{
			{"no limit", zeros, Limits{}, nil},
			{"as many as allowed", zeros, Limits{Bytes: 2 << 20}, nil},
			{"one more than allowed", zeros, Limits{Bytes: 2<<20 - 1}, ErrTooLarge},
			{"a ratio beyond text", zeros, Limits{Ratio: 100}, ErrTooLarge},
			{"a ratio as of text", text, Limits{Ratio: 100}, nil},
			{"a ratio, but little of it", zeros[:ratioFloor], Limits{Ratio: 1}, nil},
		} {
			_, err := decode(t, Append(nil, tt.src, c, Fast), c, tt.limits)
			if !errors.Is(err, tt.want) {
				t.Errorf("%v, %s: %v, want %v", c, tt.name, err, tt.want)
			}
		}
	}
}

func TestReadAfterTheEnd(t *testing.T) {
	for _, c := range made {
		r, err := NewReader(bytes.NewReader(Append(nil, []byte("x"), c, Fast)), c, Limits{})
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.ReadAll(r)
		_ = r.Close()
		if n, err := r.Read(make([]byte, 1)); n != 0 || err != io.EOF {
			t.Errorf("%v: Read after the end and Close = %d, %v", c, n, err)
		}
		if err := r.Close(); err != nil {
			t.Errorf("%v: second Close: %v", c, err)
		}
	}
}

// A window that the client could not be asked to have is refused, before its memory is taken.
func TestLargeWindowsAreRefused(t *testing.T) {
	var out bytes.Buffer
	e, err := zstd.NewWriter(&out, zstd.WithWindowSize(64<<20))
	if err != nil {
		t.Fatal(err)
	}
	_, _ = e.Write(make([]byte, 20<<20))
	_ = e.Close()
	if _, err := decode(t, out.Bytes(), Zstd, Limits{}); !errors.Is(err, zstd.ErrWindowSizeExceeded) {
		t.Errorf("a window of 64 MiB: %v", err)
	}
	largeWindow := []byte{0x11, 0x1e, 0x03} // 2^30, as Large Window Brotli has it
	if _, err := decode(t, largeWindow, Brotli, Limits{}); err == nil {
		t.Error("Large Window Brotli: no error")
	}
}

// 1 GiB of zeros is what a few KiB decode to. They are refused by either limit; and were there none, they would pass through a
// window. The allowance is for Brotli's of 16 MiB, which grows by copying.
func TestBombs(t *testing.T) {
	const allowed = 64 << 20
	size := 1 << 30
	if raceDetector {
		size = 64 << 20
	}
	for _, c := range made {
		bomb := bombOf(t, c, size)
		for _, limits := range []Limits{{Bytes: 32 << 20}, {Ratio: 100}, DefaultLimits(), {}} {
			n, grown, err := defuse(t, bomb, c, limits)
			t.Logf("%v of %d bytes with %+v: %d bytes, %v; %d KiB more in use", c, len(bomb), limits, n, err, grown>>10)
			if limits == (Limits{}) {
				if err != nil || n != int64(size) {
					t.Errorf("%v without limits: %d bytes, %v, want %d", c, n, err, size)
				}
			} else if !errors.Is(err, ErrTooLarge) {
				t.Errorf("%v with %+v: %d bytes, %v, want %v", c, limits, n, err, ErrTooLarge)
			}
			if grown > allowed {
				t.Errorf("%v with %+v: %d MiB more in use, want at most %d", c, limits, grown>>20, allowed>>20)
			}
		}
	}
}

// bombOf returns size zeros. They are encoded once for all: gzip has members, Zstandard frames, and Brotli parts between two
// flushes, all of which may be repeated.
func bombOf(t *testing.T, c Coding, size int) []byte {
	t.Helper()
	part := make([]byte, 16<<20)
	times := size / len(part)
	if c != Brotli {
		return bytes.Repeat(Append(nil, part, c, Best), times)
	}
	var out bytes.Buffer
	w := brotli.NewWriterOptions(&out, brotli.WriterOptions{Quality: 1, LGWin: 24})
	next := func(step func() error) []byte {
		out.Reset()
		_, _ = w.Write(part)
		if err := step(); err != nil {
			t.Fatal(err)
		}
		return bytes.Clone(out.Bytes())
	}
	return slices.Concat(next(w.Flush), bytes.Repeat(next(w.Flush), times-2), next(w.Close))
}

// defuse decodes a bomb and returns how many bytes came out, and how much more memory was in use at its end.
func defuse(t *testing.T, bomb []byte, c Coding, limits Limits) (n int64, grown int64, err error) {
	t.Helper()
	r, err := NewReader(bytes.NewReader(bomb), c, limits)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	n, err = io.Copy(io.Discard, struct{ io.Reader }{r})
	runtime.ReadMemStats(&after)
	return n, int64(after.HeapAlloc) - int64(before.HeapAlloc), err
}

// Whatever comes, a decoder neither panics nor exceeds its limits, and what it does decode the libraries decode the same.
func FuzzReader(f *testing.F) {
	for which, c := range made {
		coded := Append(nil, prose(600), c, Fast)
		f.Add(coded, uint8(which))
		f.Add(coded[:len(coded)/2], uint8(which))
		f.Add(Append(nil, make([]byte, 100_000), c, Best), uint8(which))
	}
	f.Fuzz(func(t *testing.T, coded []byte, which uint8) {
		const limit = 1 << 20
		c := made[int(which)%len(made)]
		got, err := decode(t, coded, c, Limits{Bytes: limit})
		if len(got) > limit+64<<10 {
			t.Fatalf("%v: %d bytes decoded to %d", c, len(coded), len(got))
		}
		if err != nil {
			return
		}
		if want, err := plainly(c, coded); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%v: %x decodes to %q, and by itself to %q, %v", c, coded, got, want, err)
		}
	})
}
