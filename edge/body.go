package edge

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"

	"selvage/cache"
	"selvage/edge/internal/lane"
)

// requestBody holds a client's body to the limits: its size, the time between two reads, and its average rate.
type requestBody struct {
	io.ReadCloser
	r     *http.Request
	out   *http.ResponseController
	limit int64 // 0 is none
	gap   time.Duration
	rate  int64 // bytes per second after the first gap
	now   func() time.Time
	named []string // in Connection

	whole bool // the end was read

	mu    sync.Mutex // the transport reads while the handler asks for the fault
	begin time.Time
	read  int64
	err   error
}

var (
	errBodyTooLarge = errors.New("body larger than this site takes")
	errBodyTooSlow  = errors.New("body slower than this site waits for")
)

func newRequestBody(x *exchange) *requestBody {
	b := &requestBody{
		ReadCloser: x.r.Body, r: x.r, out: http.NewResponseController(x.w), limit: x.conf.limits.Body,
		gap: x.conf.timeouts.Body, rate: x.conf.timeouts.BodyRate, now: time.Now, named: slices.Collect(nominated(x.r.Header)),
	}
	b.dropTrailers() // that are announced
	return b
}

// Read never looks behind the end that it has told: by then the answer may be on its way, and net/http has closed the body. The
// transport looks again, and an error would cost it the connection on which the answer comes.
func (b *requestBody) Read(p []byte) (int, error) {
	if b.whole {
		return 0, io.EOF
	}
	now := b.now()
	if b.begin.IsZero() {
		b.begin = now
	}
	b.out.SetReadDeadline(b.deadline(now))
	n, err := b.ReadCloser.Read(p)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.read += int64(n)
	switch {
	case b.limit > 0 && b.read > b.limit:
		b.err = errBodyTooLarge
	case errors.Is(err, os.ErrDeadlineExceeded):
		b.err = errBodyTooSlow
	case err != nil && err != io.EOF:
		b.err = err
	case err == io.EOF:
		b.whole = true
		b.out.SetReadDeadline(time.Time{})
		b.dropTrailers() // that have come
	}
	if b.err != nil {
		return 0, b.err
	}
	return n, err
}

// dropTrailers removes what may not come behind a body: fields that would have been judged, or removed, in the head.
func (b *requestBody) dropTrailers() {
	maps.DeleteFunc(b.r.Trailer, func(name string, _ []string) bool {
		return slices.Contains(b.named, name) || cache.HopByHop(name) || name == "Cookie" || withheld(name) ||
			slices.Contains(sensitive, name) || hasAnyPrefix(name, sensitivePrefixes)
	})
}

// deadline is when the next bytes must be here: within the gap, and soon enough to keep up the rate.
func (b *requestBody) deadline(now time.Time) time.Time {
	end := now.Add(b.gap)
	if b.rate > 0 {
		due := b.begin.Add(b.gap + time.Duration(float64(b.read)/float64(b.rate)*float64(time.Second)))
		if due.Before(end) {
			return due
		}
	}
	return end
}

// fault says what was wrong with the body, if anything: a status and why.
func (b *requestBody) fault() (status int, why string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.err == nil:
		return 0, ""
	case errors.Is(b.err, errBodyTooLarge):
		return http.StatusRequestEntityTooLarge, b.err.Error()
	case errors.Is(b.err, errBodyTooSlow):
		return http.StatusRequestTimeout, b.err.Error()
	case errors.Is(b.err, lane.ErrMalformedBody):
		return http.StatusBadRequest, "the body's framing is malformed"
	}
	return http.StatusBadRequest, fmt.Sprintf("the body ended early: %v", b.err)
}

// bufferPool keeps buffers of one size.
type bufferPool struct{ sync.Pool }

func newBufferPool(size int) *bufferPool {
	return &bufferPool{sync.Pool{New: func() any { b := make([]byte, size); return &b }}}
}

func (p *bufferPool) get() *[]byte  { return p.Get().(*[]byte) }
func (p *bufferPool) put(b *[]byte) { p.Put(b) }
