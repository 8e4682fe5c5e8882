package edge

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// numbered writes the status alone, so that a test knows its lines.
func numbered(dst []byte, r *Result) []byte { return strconv.AppendInt(dst, int64(r.Status), 10) }

// logFile keeps what is written to it, or fails.
type logFile struct {
	mu     sync.Mutex
	writes []string
	closed bool
	accept int   // bytes taken before a failure
	fail   error // nil takes all
	hold   chan struct{}
}

func (f *logFile) Write(p []byte) (int, error) {
	if f.hold != nil {
		<-f.hold
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fail != nil {
		n := min(f.accept, len(p))
		f.writes = append(f.writes, string(p[:n]))
		return n, f.fail
	}
	f.writes = append(f.writes, string(p))
	return len(p), nil
}

func (f *logFile) Close() error {
	f.closed = true
	return nil
}

func (f *logFile) text() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return strings.Join(f.writes, "")
}

// testLog is a log on out, what was lost and what the process log says.
type testLog struct {
	*accessLog
	lost int
	said bytes.Buffer
	stop func()
}

// startLog runs a log until the test ends or stop is called.
func startLog(t *testing.T, encode lineEncoder, open func() (io.WriteCloser, error)) *testLog {
	t.Helper()
	l := &testLog{}
	l.accessLog = newAccessLog(encode, func(lines int) { l.lost += lines }, slog.New(slog.NewTextHandler(&l.said, nil)))
	l.open = open
	if err := l.Reopen(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- l.Run(ctx) }()
	l.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(l.stop)
	return l
}

func always(out io.WriteCloser) func() (io.WriteCloser, error) {
	return func() (io.WriteCloser, error) { return out, nil }
}

func TestLogGathersLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &logFile{}
		l := startLog(t, numbered, always(out))
		l.Record(&Result{Status: 1})
		l.Record(&Result{Status: 2})
		synctest.Wait()
		if got := out.text(); got != "" {
			t.Errorf("at once: %q, want nothing yet", got)
		}
		time.Sleep(gatherLines + 1)
		synctest.Wait()
		l.Record(&Result{Status: 3})
		l.stop()
		if want := []string{"1\n2\n", "3\n"}; strings.Join(out.writes, "|") != strings.Join(want, "|") {
			t.Errorf("writes = %q, want %q", out.writes, want)
		}
		if !out.closed || l.lost != 0 {
			t.Errorf("closed = %v, lost = %d, want true, 0", out.closed, l.lost)
		}
	})
}

func TestLogWritesEarlyWhenMuchIsPending(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &logFile{}
		wide := func(dst []byte, r *Result) []byte { return append(dst, make([]byte, writeAt)...) }
		l := startLog(t, wide, always(out))
		l.Record(&Result{})
		synctest.Wait() // no time passes
		if len(out.text()) != writeAt+1 {
			t.Errorf("%d bytes written at once, want %d", len(out.text()), writeAt+1)
		}
	})
}

func TestLogNeverWaitsAndCountsWhatIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &logFile{hold: make(chan struct{})}
		line := make([]byte, 64<<10)
		l := startLog(t, func(dst []byte, r *Result) []byte { return append(dst, line...) }, always(out))
		l.Record(&Result{})
		time.Sleep(gatherLines)
		synctest.Wait() // Run hangs in Write

		fits := maxPending / (len(line) + 1)
		for range fits + 3 {
			l.Record(&Result{})
		}
		close(out.hold)
		l.stop()
		if l.lost != 3 {
			t.Errorf("lost = %d, want 3", l.lost)
		}
		if want := (fits + 1) * (len(line) + 1); len(out.text()) != want {
			t.Errorf("%d bytes written, want %d", len(out.text()), want)
		}
		if !strings.Contains(l.said.String(), "lines=3") {
			t.Errorf("the process log says %q, want lines=3", l.said.String())
		}
	})
}

func TestLogSurvivesAFailingFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &logFile{fail: errors.New("disk full"), accept: 1}
		l := startLog(t, numbered, always(out))
		write := func(status int) {
			l.Record(&Result{Status: status})
			time.Sleep(gatherLines + 1)
			synctest.Wait()
		}
		write(111)
		write(222)
		out.mu.Lock()
		out.fail = nil
		out.mu.Unlock()
		write(333)
		l.stop()
		// The broken line is ended before the next begins.
		if got := out.text(); !strings.HasSuffix(got, "\n333\n") {
			t.Errorf("file = %q, want a whole last line", got)
		}
		if l.lost != 2 {
			t.Errorf("lost = %d, want 2", l.lost)
		}
		if got := strings.Count(l.said.String(), "access log lines lost"); got != 2 || !strings.Contains(l.said.String(), "disk full") {
			t.Errorf("the process log tells %d times, want 2 (at once, and at the end):\n%s", got, l.said.String())
		}
	})
}

func TestLogReopen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		files := []*logFile{{}, {}}
		opened := 0
		l := startLog(t, numbered, func() (io.WriteCloser, error) {
			if opened == len(files) {
				return nil, errors.New("no such directory")
			}
			opened++
			return files[opened-1], nil
		})
		write := func(status int) {
			l.Record(&Result{Status: status})
			time.Sleep(gatherLines + 1)
			synctest.Wait()
		}
		write(1)
		if err := l.Reopen(); err != nil {
			t.Fatal(err)
		}
		write(2)
		if err := l.Reopen(); err == nil || !strings.Contains(err.Error(), "no such directory") {
			t.Errorf("Reopen = %v, want the reason", err)
		}
		write(3) // to the file that was kept
		if files[0].text() != "1\n" || !files[0].closed || files[1].text() != "2\n3\n" || files[1].closed {
			t.Errorf("files = %+v", files)
		}
	})
}

func TestLogOff(t *testing.T) {
	l, err := openAccessLog(LogConfig{Format: "off", File: "/nowhere/at/all"}, os.Stdout, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	r := &Result{}
	if n := testing.AllocsPerRun(10, func() { l.Record(r) }); n != 0 || l.Reopen() != nil {
		t.Errorf("a log that is off allocates %v times, want 0", n)
	}
}

func TestOpenAccessLog(t *testing.T) {
	name := filepath.Join(t.TempDir(), "access.log")
	if err := os.WriteFile(name, []byte("before\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := openAccessLog(LogConfig{Format: "auto", File: name}, os.Stdout, func(int) {}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	l.Record(exampleResult())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.Run(ctx); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if want := "before\n" + string(appendJSON(nil, exampleResult())) + "\n"; string(got) != want {
		t.Errorf("file = %s, want %s", got, want)
	}
	if _, err := openAccessLog(LogConfig{File: filepath.Join(name, "x")}, os.Stdout, nil, nil); err == nil {
		t.Error("a log inside a file was opened")
	}
}

func TestRecordAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &logFile{}
		l := startLog(t, numbered, always(out))
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for range 1000 {
					l.Record(&Result{Status: 12345})
				}
			})
		}
		wg.Wait()
		l.stop()
		if got := out.text(); got != strings.Repeat("12345\n", 8000) {
			t.Errorf("%d bytes of lines, some mixed up or missing", len(got))
		}
	})
}

// Lines of different connections may change places, those of one do not.
func TestLogKeepsAConnectionsOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &logFile{}
		l := startLog(t, func(dst []byte, r *Result) []byte { return fmt.Appendf(dst, "%d %d", r.Conn, r.Status) }, always(out))
		var wg sync.WaitGroup
		for conn := range uint64(8) {
			wg.Go(func() {
				for i := range 1000 {
					l.Record(&Result{Conn: conn, Status: i})
					if i%100 == int(conn) {
						time.Sleep(gatherLines / 2)
					}
				}
			})
		}
		wg.Wait()
		l.stop()
		next := make([]int, 8)
		for line := range strings.Lines(out.text()) {
			var conn, i int
			if _, err := fmt.Sscanf(line, "%d %d\n", &conn, &i); err != nil || i != next[conn] {
				t.Fatalf("line %q, want %d %d: %v", line, conn, next[conn], err)
			}
			next[conn]++
		}
		for conn, n := range next {
			if n != 1000 {
				t.Errorf("%d lines of connection %d, want 1000", n, conn)
			}
		}
	})
}

// raceDetector says that it is on: pools then lose things at random, so that allocations cannot be counted.
var raceDetector bool

func TestLogRecordAllocatesNothing(t *testing.T) {
	if raceDetector {
		t.Skip("pools forget under the race detector")
	}
	l := newAccessLog(appendJSON, func(int) {}, slog.New(slog.DiscardHandler))
	l.open = always(keptOpen{io.Discard})
	if err := l.Reopen(); err != nil {
		t.Fatal(err)
	}
	hit, full := hitResult(), exampleResult()
	record := func() {
		for range 100 {
			l.Record(hit)
			l.Record(full)
		}
		l.flush()
	}
	record() // buffers grow to what they hold
	record()
	if n := testing.AllocsPerRun(10, record); n != 0 {
		t.Errorf("200 lines allocate %v times, want 0", n)
	}
}

func TestChooseEncoder(t *testing.T) {
	t.Setenv("NO_COLOR", "")
	t.Setenv("TERM", "xterm")
	r := &Result{Status: 200}
	starts := func(format string, terminal bool) string {
		switch line := string(chooseEncoder(format, terminal)(nil, r)); {
		case strings.HasPrefix(line, "{"):
			return "json"
		case strings.HasPrefix(line, "-"):
			return "combined"
		case strings.Contains(line, "\x1b"):
			return "colour"
		default:
			return "text"
		}
	}
	for _, tt := range []struct{ format, off, on string }{
		{"auto", "json", "colour"}, {"json", "json", "json"}, {"text", "text", "colour"}, {"combined", "combined", "combined"},
	} {
		if off, on := starts(tt.format, false), starts(tt.format, true); off != tt.off || on != tt.on {
			t.Errorf("%s: %s off a terminal, %s on one, want %s, %s", tt.format, off, on, tt.off, tt.on)
		}
	}
	t.Setenv("NO_COLOR", "1")
	if got := starts("auto", true); got != "text" {
		t.Errorf("with NO_COLOR: %s, want text", got)
	}
}

// benchLog is a log whose lines go nowhere, until the benchmark ends.
func benchLog(b *testing.B) *accessLog {
	l := newAccessLog(appendJSON, func(int) {}, slog.New(slog.DiscardHandler))
	l.open = always(keptOpen{io.Discard})
	if err := l.Reopen(); err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	var wg sync.WaitGroup
	wg.Go(func() { l.Run(ctx) })
	b.Cleanup(func() {
		cancel()
		wg.Wait()
	})
	b.ReportAllocs()
	return l
}

func BenchmarkLogRecord(b *testing.B) {
	l, r := benchLog(b), hitResult()
	for b.Loop() {
		l.Record(r)
	}
}

func BenchmarkLogRecordParallel(b *testing.B) {
	l := benchLog(b)
	var conns atomic.Uint64
	b.RunParallel(func(pb *testing.PB) {
		r := hitResult()
		for r.Conn = conns.Add(1); pb.Next(); {
			l.Record(r)
		}
	})
}
