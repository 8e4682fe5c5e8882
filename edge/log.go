package edge

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime"
	"sync"
	"time"

	"golang.org/x/term"
)

// accessLog writes one line for each Result. Record never waits: lines gather in memory, bounded, and Run writes them in
// batches. When the writer falls behind, or fails, lines are lost, and counted, and the process log says how many.
//
// A line holds the target with its query and the Referer, as access logs do, and the client's address. A site whose URLs
// carry secrets has them in the log. No other field of the request but User-Agent is in it, and none of the response.
type accessLog struct {
	encode       lineEncoder // nil: off
	encodeStream streamEncoder
	open         func() (io.WriteCloser, error)
	lost         func(lines int) // counts, for the metrics; called by Run
	say          *slog.Logger

	wake chan struct{} // a first line is pending
	full chan struct{} // enough is pending for a write

	queues []lineQueue // a connection's is the one at its number

	outMu sync.Mutex
	out   io.WriteCloser // guarded by outMu
	torn  bool           // guarded by outMu: the last write ended within a line

	// owned by Run
	unsaid  int   // lost and not yet told
	failure error // of the last write that lost some
	saidAt  time.Time
}

// The bounds of the access log. A second of 50,000 requests is about 15 MiB of lines.
const (
	writeAt     = 256 << 10              // of one queue
	gatherLines = 100 * time.Millisecond // a line is written at most this much later
	sayLostGap  = 10 * time.Second
	maxLineKept = 64 << 10 // larger encoding buffers are not pooled
)

// lineEncoder appends the line for r, without a newline at its end.
type lineEncoder func(dst []byte, r *Result) []byte

// openAccessLog opens the log that cfg asks for. stdout is what the file "-" means; closing the log leaves it open. lost
// counts lines that were not written.
func openAccessLog(cfg LogConfig, stdout *os.File, lost func(lines int), say *slog.Logger) (*accessLog, error) {
	toStdout := cfg.File == "-" || cfg.File == ""
	terminal := toStdout && term.IsTerminal(int(stdout.Fd()))
	l := newAccessLog(chooseEncoder(cfg.Format, terminal), lost, say)
	l.encodeStream = streamEncoderFor(cfg.Format, terminal)
	if terminal || cfg.Format == "text" { // somebody reads along, and wants all in order
		l.queues = l.queues[:1]
	}
	l.open = func() (io.WriteCloser, error) {
		if toStdout {
			return keptOpen{stdout}, nil
		}
		return os.OpenFile(cfg.File, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o640)
	}
	if l.encode == nil {
		return l, nil
	}
	return l, l.Reopen()
}

func newAccessLog(encode lineEncoder, lost func(lines int), say *slog.Logger) *accessLog {
	return &accessLog{
		encode: encode, lost: lost, say: say, wake: make(chan struct{}, 1), full: make(chan struct{}, 1),
		queues: make([]lineQueue, min(runtime.GOMAXPROCS(0), maxLogQueues)),
	}
}

// keptOpen is a file that is not ours to close.
type keptOpen struct{ io.Writer }

func (keptOpen) Close() error { return nil }

func chooseEncoder(format string, terminal bool) lineEncoder {
	switch format {
	case "off":
		return nil
	case "json":
		return appendJSON
	case "combined":
		return appendCombined
	case "text":
		return textEncoder(terminal && wantsColour())
	}
	if terminal {
		return textEncoder(wantsColour())
	}
	return appendJSON
}

// wantsColour follows no-color.org.
func wantsColour() bool { return os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" }

var lineBuffers = sync.Pool{New: func() any { return new([]byte) }}

// Record notes r. It does not keep it.
func (l *accessLog) Record(r *Result) {
	if l.encode == nil {
		return
	}
	buf := lineBuffers.Get().(*[]byte)
	line := append(l.encode((*buf)[:0], r), '\n')
	l.enqueue(line, r.Conn)
	if cap(line) <= maxLineKept {
		*buf = line
		lineBuffers.Put(buf)
	}
}

func (l *accessLog) enqueue(line []byte, conn uint64) {
	pending, first := l.queues[conn%uint64(len(l.queues))].put(line)
	if first {
		signal(l.wake)
	}
	if pending >= writeAt {
		signal(l.full)
	}
}

// signal leaves a token for who waits on c, unless there is one.
func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Run writes lines until ctx ends, then the rest, and closes the file. Its owner ends it after the last Record.
func (l *accessLog) Run(ctx context.Context) error {
	defer l.close()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-l.wake:
			l.gather(ctx)
			l.flush()
		}
	}
	l.flush()
	l.sayLost()
	return nil
}

// gather waits for more lines to come, so that many share one write.
func (l *accessLog) gather(ctx context.Context) {
	timer := time.NewTimer(gatherLines)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-l.full:
	case <-timer.C:
	}
}

// flush writes what is pending. Called by Run only.
func (l *accessLog) flush() {
	for i := range l.queues {
		batch, lines, lost := l.queues[i].take()
		if err := l.write(batch); err != nil {
			lost += lines
			l.failure = err
		}
		if lost > 0 {
			l.lost(lost)
			l.unsaid += lost
		}
	}
	if time.Since(l.saidAt) >= sayLostGap {
		l.sayLost()
	}
}

func (l *accessLog) sayLost() {
	if l.unsaid == 0 {
		return
	}
	attrs := []any{"lines", l.unsaid}
	if l.failure != nil {
		attrs = append(attrs, "error", l.failure)
	}
	l.say.Warn("access log lines lost", attrs...)
	l.unsaid, l.failure, l.saidAt = 0, nil, time.Now()
}

// write ends a line that an earlier write broke off, so that it spoils no other.
func (l *accessLog) write(batch []byte) error {
	if len(batch) == 0 {
		return nil
	}
	l.outMu.Lock()
	defer l.outMu.Unlock()
	if l.torn {
		if _, err := l.out.Write([]byte{'\n'}); err != nil {
			return err
		}
		l.torn = false
	}
	n, err := l.out.Write(batch)
	l.torn = n > 0 && batch[n-1] != '\n'
	return err
}

// Reopen opens the file anew, after something has moved it away. When it cannot be opened the old one is kept.
func (l *accessLog) Reopen() error {
	if l.encode == nil {
		return nil
	}
	out, err := l.open()
	if err != nil {
		return fmt.Errorf("open access log: %w", err)
	}
	l.outMu.Lock()
	defer l.outMu.Unlock()
	if l.out != nil {
		l.out.Close()
	}
	l.out, l.torn = out, false
	return nil
}

func (l *accessLog) close() {
	l.outMu.Lock()
	defer l.outMu.Unlock()
	if l.out != nil {
		l.out.Close()
	}
}
