package encode

import (
	"bytes"
	stdgzip "compress/gzip"
	"errors"
	"io"
	"os/exec"
	"sync"
	"testing"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"
)

// made are the codings there are encoders for.
var made = []Coding{Gzip, Brotli, Zstd}

// bodies are what every coding has to carry, by name.
func bodies() map[string][]byte {
	text := prose(3 << 20)
	return map[string][]byte{
		"empty":      {},
		"one byte":   {'x'},
		"line":       []byte("Hello, world.\n"),
		"64KiB":      text[:64<<10],
		"65520":      text[:65520], // just fits Brotli's window of 64 KiB
		"1MB":        text[:1e6],
		"3MiB":       text, // more than any Fast window
		"zeros":      make([]byte, 1<<20),
		"random":     noise(300_000),
		"gzip in it": Append(nil, text, Gzip, Fast),
	}
}

// plainly decodes with what this package has no part in: gzip of the standard library, the others' own readers.
func plainly(c Coding, coded []byte) ([]byte, error) {
	switch c {
	case Gzip:
		r, err := stdgzip.NewReader(bytes.NewReader(coded))
		if err != nil {
			return nil, err
		}
		return io.ReadAll(r)
	case Brotli:
		return io.ReadAll(brotli.NewReader(bytes.NewReader(coded)))
	default:
		r, err := zstd.NewReader(bytes.NewReader(coded))
		if err != nil {
			return nil, err
		}
		defer r.Close()
		return io.ReadAll(r)
	}
}

func TestEveryBodyComesBack(t *testing.T) {
	for name, src := range bodies() {
		for _, c := range made {
			for l := range Level(levels) {
				if len(src) > 100_000 && (raceDetector || c == Brotli && l == Best) {
					continue // takes seconds
				}
				coded := Append([]byte("before"), src, c, l)
				got, err := plainly(c, bytes.TrimPrefix(coded, []byte("before")))
				if err != nil || !bytes.Equal(got, src) {
					t.Errorf("%s, %v, %v: %d bytes came back as %d, %v", name, c, l, len(src), len(got), err)
				}
			}
		}
	}
}

// Whoever streams does not know the length, and writes what comes.
func TestStreamsOfUnknownLength(t *testing.T) {
	src := prose(700_000)
	for _, c := range made {
		var out bytes.Buffer
		w := NewWriter(&out, c, Fast, -1)
		for part := range sliced(src, 1777) {
			if _, err := w.Write(part); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if got, err := plainly(c, out.Bytes()); err != nil || !bytes.Equal(got, src) {
			t.Errorf("%v: %d bytes came back as %d, %v", c, len(src), len(got), err)
		}
	}
}

func sliced(b []byte, n int) func(func([]byte) bool) {
	return func(yield func([]byte) bool) {
		for len(b) > 0 {
			part := b[:min(n, len(b))]
			if !yield(part) {
				return
			}
			b = b[len(part):]
		}
	}
}

// After a Flush, who has what was sent can decode what was written; before, the encoder may hold it.
func TestFlushSendsAll(t *testing.T) {
	for _, c := range made {
		t.Run(c.String(), func(t *testing.T) {
			from, to := io.Pipe()
			w := NewWriter(to, c, Fast, -1)
			r, err := NewReader(from, c, Limits{})
			if err != nil {
				t.Fatal(err)
			}
			var writing sync.WaitGroup
			writing.Go(func() {
				defer to.Close()
				for _, line := range []string{"one\n", "two\n"} {
					_, _ = io.WriteString(w, line)
					_ = w.Flush()
				}
				_ = w.Close()
			})
			defer writing.Wait()
			defer from.Close()
			line := make([]byte, 4)
			for _, want := range []string{"one\n", "two\n"} {
				if _, err := io.ReadFull(r, line); err != nil || string(line) != want {
					t.Fatalf("read %q, %v, want %q", line, err, want)
				}
			}
			if n, err := r.Read(line); n != 0 || err != io.EOF {
				t.Errorf("read %d, %v after the end", n, err)
			}
		})
	}
}

// What was cut short must not look whole.
func TestAbortLeavesNoEnd(t *testing.T) {
	for _, c := range made {
		var out bytes.Buffer
		w := NewWriter(&out, c, Fast, -1)
		_, _ = w.Write(prose(100_000))
		_ = w.Flush()
		w.Abort()
		if _, err := plainly(c, out.Bytes()); err == nil {
			t.Errorf("%v: a body without its end decodes", c)
		}
		if _, err := w.Write([]byte("more")); err != io.ErrClosedPipe {
			t.Errorf("%v: Write after Abort: %v", c, err)
		}
		if err := w.Flush(); err != io.ErrClosedPipe {
			t.Errorf("%v: Flush after Abort: %v", c, err)
		}
		if err := w.Close(); err != nil {
			t.Errorf("%v: Close after Abort: %v", c, err)
		}
	}
}

// An encoder that was left in mid-body, or whose destination failed, begins anew.
func TestPooledEncodersForget(t *testing.T) {
	src := prose(200_000)
	for _, c := range made {
		for range 4 {
			w := NewWriter(io.Discard, c, Fast, -1)
			_, _ = w.Write(noise(90_000))
			w.Abort()
			w = NewWriter(broken{}, c, Fast, -1)
			_, err := w.Write(src)
			if err = errors.Join(err, w.Close()); !errors.Is(err, errBroken) {
				t.Errorf("%v: writing to a broken destination: %v", c, err)
			}
			var out bytes.Buffer
			w = NewWriter(&out, c, Fast, -1)
			_, _ = w.Write(src)
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			if got, err := plainly(c, out.Bytes()); err != nil || !bytes.Equal(got, src) {
				t.Errorf("%v: %d bytes came back as %d, %v", c, len(src), len(got), err)
			}
		}
	}
}

var errBroken = errors.New("broken")

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errBroken }

func TestManyAtOnce(t *testing.T) {
	src := prose(30_000)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for j := range 12 {
				c, part := made[(i+j)%len(made)], src[i*j*100:]
				r, err := NewReader(bytes.NewReader(Append(nil, part, c, Fast)), c, DefaultLimits())
				if err != nil {
					t.Error(err)
					return
				}
				if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, part) {
					t.Errorf("%v: %d bytes came back as %d, %v", c, len(part), len(got), err)
				}
				_ = r.Close()
			}
		})
	}
	all.Wait()
}

// The reference tools read what we write. Those that are not installed are said.
func TestToolsDecode(t *testing.T) {
	src := prose(100_000)
	for _, c := range made {
		tool := map[Coding]string{Gzip: "gzip", Brotli: "brotli", Zstd: "zstd"}[c]
		if _, err := exec.LookPath(tool); err != nil {
			t.Logf("NOT RUN: %s: not installed", tool)
			continue
		}
		for l := range Level(levels) {
			cmd := exec.Command(tool, "-dc")
			cmd.Stdin = bytes.NewReader(Append(nil, src, c, l))
			if got, err := cmd.Output(); err != nil || !bytes.Equal(got, src) {
				t.Errorf("%s on %v: %d bytes came back as %d, %v", tool, l, len(src), len(got), err)
			}
		}
	}
}

func FuzzRoundTrip(f *testing.F) {
	f.Add([]byte("Hello, world.\n"), uint8(0), uint16(3))
	f.Add(prose(5000), uint8(1), uint16(700))
	f.Add(noise(300), uint8(2), uint16(1))
	f.Fuzz(func(t *testing.T, src []byte, which uint8, step uint16) {
		c := made[int(which)%len(made)]
		var out bytes.Buffer
		w := NewWriter(&out, c, Fast, -1)
		for part := range sliced(src, int(step)+1) {
			_, _ = w.Write(part)
			_ = w.Flush()
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if got, err := plainly(c, out.Bytes()); err != nil || !bytes.Equal(got, src) {
			t.Errorf("%v: %q came back as %q, %v", c, src, got, err)
		}
	})
}
