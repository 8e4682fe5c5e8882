package encode

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// deploy returns two versions of a bundle that have most in common.
func deploy() (old, next []byte) {
	text := prose(400_000)
	return text[:350_000], slices.Concat([]byte("/* next */"), text[:100_000], text[104_000:300_000], text[350_000:360_000])
}

func undelta(t testing.TB, coded, old []byte, limits Limits) ([]byte, error) {
	t.Helper()
	r, err := NewDeltaReader(bytes.NewReader(coded), old, limits)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	return io.ReadAll(r)
}

func TestDeltasComeBack(t *testing.T) {
	old, next := deploy()
	for name, tt := range map[string]struct{ old, next []byte }{
		"a new version":     {old, next},
		"nothing new":       {old, old},
		"nothing in common": {noise(5000), next},
		"a small one":       {old, []byte("tiny")},
		"from a small one":  {[]byte("tiny"), next},
		"a whole window":    {noise(4 << 20), slices.Concat([]byte("x"), noise(4 << 20)[1:])},
	} {
		if !CanDelta(int64(len(tt.old)), int64(len(tt.next))) {
			t.Fatalf("%s: CanDelta says no", name)
		}
		if raceDetector && len(tt.old) > 1<<20 {
			continue
		}
		for l := range Level(levels) {
			coded := (*Meter)(nil).AppendDelta([]byte("before"), tt.next, tt.old, HashOf(tt.old), l)
			coded = bytes.TrimPrefix(coded, []byte("before"))
			if got, err := undelta(t, coded, tt.old, Limits{}); err != nil || !bytes.Equal(got, tt.next) {
				t.Errorf("%s, %v: %d bytes came back as %d, %v", name, l, len(tt.next), len(got), err)
			}
			decodeByTool(t, coded, tt.old, tt.next)
		}
	}
}

// decodeByTool has the reference decoder do it: the head is a frame that it skips.
func decodeByTool(t *testing.T, coded, old, want []byte) {
	t.Helper()
	if _, err := exec.LookPath("zstd"); err != nil {
		t.Logf("NOT RUN: zstd -D: not installed")
		return
	}
	name := filepath.Join(t.TempDir(), "old")
	if err := os.WriteFile(name, old, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("zstd", "-dc", "-D", name)
	cmd.Stdin = bytes.NewReader(coded)
	if got, err := cmd.Output(); err != nil || !bytes.Equal(got, want) {
		t.Errorf("zstd -D: %d bytes came back as %d, %v", len(want), len(got), err)
	}
}

// RFC 9842, section 5: eight fixed bytes, the SHA-256 of the dictionary, then Zstandard. The head is a skippable frame.
func TestDeltaHead(t *testing.T) {
	old, next := deploy()
	coded := (*Meter)(nil).AppendDelta(nil, next, old, HashOf(old), Best)
	sum := sha256.Sum256(old)
	want := append([]byte{0x5e, 0x2a, 0x4d, 0x18, 0x20, 0, 0, 0}, sum[:]...)
	if !bytes.HasPrefix(coded, want) {
		t.Errorf("the head is %x, want %x", coded[:len(want)], want)
	}
	var h zstd.Header
	if err := h.Decode(coded); err != nil || !h.Skippable || h.SkippableSize != 32 {
		t.Errorf("the head as Zstandard sees it: %+v, %v", h, err)
	}
	err := h.Decode(coded[len(want):])
	if err != nil || h.DictionaryID != 0 || h.WindowSize > 8<<20 || h.FrameContentSize != uint64(len(next)) {
		t.Errorf("the frame: %+v, %v", h, err)
	}
}

// The gain is what it is all for, and is lost unnoticed when the window is too small for both versions.
func TestDeltasAreSmall(t *testing.T) {
	if raceDetector {
		t.Skip("one goroutine, and large bodies")
	}
	old, next := deploy()
	large := noise(3 << 20) // in which nothing helps but the old version
	for _, tt := range []struct {
		name      string
		old, next []byte
		level     Level
		most      int
	}{
		{"a new version", old, next, Fast, len(next) / 20},
		{"a new version", old, next, Best, len(next) / 20},
		{"nothing new", old, old, Fast, 200},
		{"nothing new", old, old, Best, 200},
		{"far back in a large one", large, slices.Concat(large[1<<20:], large[:1<<20]), Best, 1000},
	} {
		if got := len((*Meter)(nil).AppendDelta(nil, tt.next, tt.old, HashOf(tt.old), tt.level)); got > tt.most {
			t.Errorf("%s, %v: %d bytes as %d, want at most %d", tt.name, tt.level, len(tt.next), got, tt.most)
		}
	}
}

func TestCanDelta(t *testing.T) {
	for _, tt := range []struct {
		old, size int64
		want      bool
	}{
		{1, 1, true}, {4 << 20, 4 << 20, true}, {4 << 20, 4<<20 + 1, false}, {0, 1, false}, {1, 0, false}, {8 << 20, 1, false},
	} {
		if got := CanDelta(tt.old, tt.size); got != tt.want {
			t.Errorf("CanDelta(%d, %d) = %t, want %t", tt.old, tt.size, got, tt.want)
		}
	}
}

func TestDeltasToSomethingElse(t *testing.T) {
	old, next := deploy()
	coded := (*Meter)(nil).AppendDelta(nil, next, old, HashOf(old), Fast)
	if _, err := undelta(t, coded, next, Limits{}); !errors.Is(err, errOtherDictionary) {
		t.Errorf("with another dictionary: %v, want %v", err, errOtherDictionary)
	}
	if _, err := undelta(t, coded[deltaHead:], old, Limits{}); !errors.Is(err, errOtherDictionary) {
		t.Errorf("without the head: %v, want %v", err, errOtherDictionary)
	}
	if _, err := undelta(t, coded, old, Limits{Bytes: int64(len(next)) - 1}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("beyond the limit: %v, want %v", err, ErrTooLarge)
	}
	for n := 0; n < len(coded); n += 1 + n/20 {
		if _, err := undelta(t, coded[:n], old, Limits{}); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("the first %d of %d bytes: %v, want %v", n, len(coded), err, io.ErrUnexpectedEOF)
		}
	}
}

func FuzzDelta(f *testing.F) {
	old, next := deploy()
	f.Add(old[:2000], next[:2100])
	f.Add([]byte("x"), []byte("xx"))
	f.Add([]byte("0123456789"), bytes.Repeat([]byte("0123456789"), 300))
	f.Fuzz(func(t *testing.T, old, next []byte) {
		if !CanDelta(int64(len(old)), int64(len(next))) {
			return
		}
		for l := range Level(levels) {
			coded := (*Meter)(nil).AppendDelta(nil, next, old, HashOf(old), l)
			if got, err := undelta(t, coded, old, Limits{}); err != nil || !bytes.Equal(got, next) {
				t.Errorf("%v: %q came back as %q, %v", l, next, got, err)
			}
		}
	})
}

// Whatever comes, a decoder neither panics nor exceeds its limits.
func FuzzDeltaReader(f *testing.F) {
	old, next := deploy()
	old, next = old[:1000], next[:1200]
	f.Add((*Meter)(nil).AppendDelta(nil, next, old, HashOf(old), Fast)[deltaHead:])
	f.Add((*Meter)(nil).AppendDelta(nil, make([]byte, 5000), old, HashOf(old), Best)[deltaHead:])
	h := HashOf(old)
	f.Fuzz(func(t *testing.T, frames []byte) {
		const limit = 1 << 20
		coded := slices.Concat([]byte(deltaMagic), h[:], frames)
		if got, _ := undelta(t, coded, old, Limits{Bytes: limit}); len(got) > limit+64<<10 {
			t.Fatalf("%d bytes decoded to %d", len(coded), len(got))
		}
	})
}
