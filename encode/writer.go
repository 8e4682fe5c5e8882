package encode

import (
	"io"
	"time"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// Writer is one encoder at work, for one goroutine. Close or Abort must be called, and ends its life: the encoder goes back to
// its pool.
type Writer struct {
	*machine // nil once closed

	coding Coding
	level  Level
	in     int64
	watch  stopwatch     // while it is at work
	busy   time.Duration // on a processor
	meter  *Meter
}

// NewWriter returns an encoder of c, which is Gzip, Brotli or Zstd, onto w, which is to take at once what it is given: a Fast
// encoder has one of a few places meanwhile. size is the exact length of what will be written, or -1 where nobody knows: it lets
// the window fit, and Zstandard says it to the decoder.
func NewWriter(w io.Writer, c Coding, l Level, size int64) *Writer {
	return (*Meter)(nil).NewWriter(w, c, l, size)
}

// NewWriter is NewWriter with m counting.
func (m *Meter) NewWriter(w io.Writer, c Coding, l Level, size int64) *Writer {
	return &Writer{machine: borrow(w, c, l, size), coding: c, level: l, meter: m}
}

// Write encodes p. What the destination gets of it now is up to the encoder.
func (w *Writer) Write(p []byte) (int, error) {
	if w.machine == nil {
		return 0, io.ErrClosedPipe
	}
	w.begin()
	defer w.end()
	n, err := w.encoder.Write(p)
	w.in += int64(n)
	return n, err
}

// Flush makes all that was written decodable by who has what the destination got.
func (w *Writer) Flush() error {
	if w.machine == nil {
		return io.ErrClosedPipe
	}
	w.begin()
	defer w.end()
	return w.encoder.Flush()
}

// Close ends the stream and gives the encoder back. It does nothing the second time.
func (w *Writer) Close() error {
	if w.machine == nil {
		return nil
	}
	defer w.Abort()
	w.begin()
	defer w.end()
	return w.encoder.Close()
}

// Abort gives the encoder back and leaves the stream without an end, so that nobody takes what was written for the whole.
func (w *Writer) Abort() {
	if w.machine == nil {
		return
	}
	w.meter.add(w.coding, w.level, w.in, w.to.written, w.busy)
	w.machine.giveBack()
	w.machine = nil
}

// begin waits for a place to work, if others wait for what they do.
func (w *Writer) begin() {
	if w.level == Fast {
		turns.enter()
	}
	w.watch = startWatch()
}

func (w *Writer) end() {
	w.busy += w.watch.stop()
	if w.level == Fast {
		turns.leave()
	}
}

// machine is an encoder between two bodies or at one of them.
type machine struct {
	encoder encoder
	kind    kind
	to      destination
}

// encoder is what the three libraries have in common.
type encoder interface {
	io.WriteCloser
	Flush() error
	Reset(io.Writer)
}

// borrow takes a machine from its pool, or makes one.
func borrow(w io.Writer, c Coding, l Level, size int64) *machine {
	k := kindFor(c, l, size)
	m, ok := k.pool().Get().(*machine)
	if !ok {
		m = &machine{kind: k, encoder: k.make()}
	}
	m.to = destination{Writer: w}
	if z, ok := m.encoder.(*zstd.Encoder); ok {
		z.ResetContentSize(&m.to, size)
	} else {
		m.encoder.Reset(&m.to)
	}
	return m
}

func (m *machine) giveBack() {
	m.to = destination{}
	m.kind.pool().Put(m)
}

// make returns a new encoder. The options are constants and in range, so no error is possible.
func (k kind) make() encoder {
	switch k.coding {
	case Gzip:
		e, _ := gzip.NewWriterLevel(io.Discard, k.effort)
		return e
	case Brotli:
		return brotli.NewWriterOptions(io.Discard, brotli.WriterOptions{Quality: k.effort, LGWin: k.bits})
	default:
		e, _ := zstd.NewWriter(nil, zstdOptions(k)...)
		return e
	}
}

func zstdOptions(k kind) []zstd.EOption {
	return []zstd.EOption{
		zstd.WithEncoderLevel(zstd.EncoderLevel(k.effort)), zstd.WithWindowSize(1 << k.bits),
		zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true),
	}
}

// destination is where an encoder writes. It counts.
type destination struct {
	io.Writer

	written int64
}

func (d *destination) Write(p []byte) (int, error) {
	n, err := d.Writer.Write(p)
	d.written += int64(n)
	return n, err
}
