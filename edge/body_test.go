package edge

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"selvage/edge/internal/lane"
)

// upload is a client's body: so many bytes every so often, up to its size. It keeps the read deadline as a connection does.
type upload struct {
	http.ResponseWriter
	size, each int
	every      time.Duration
	end        error
	deadline   time.Time
}

func (u *upload) SetReadDeadline(t time.Time) error {
	u.deadline = t
	return nil
}

func (u *upload) Read(p []byte) (int, error) {
	if left := time.Until(u.deadline); !u.deadline.IsZero() && left < u.every {
		time.Sleep(left)
		return 0, os.ErrDeadlineExceeded
	}
	time.Sleep(u.every)
	if u.size == 0 {
		return 0, u.end
	}
	n := min(u.size, u.each, len(p))
	u.size -= n
	return n, nil
}

func (u *upload) Close() error { return nil }

func TestRequestBodyIsHeldToItsLimits(t *testing.T) {
	const s = time.Second
	for _, c := range []struct {
		name   string
		upload upload
		limit  int64
		status int
		why    string
		took   time.Duration
	}{
		{"at once", upload{size: 1000, each: 1000, end: io.EOF}, 0, 0, "", 0},
		{"as large as may be", upload{size: 1000, each: 100, end: io.EOF}, 1000, 0, "", 0},
		{"a byte more", upload{size: 1001, each: 100, end: io.EOF}, 1000, 413, "larger", 0},
		{"slow, and at the rate", upload{size: 2000, each: 200, every: 2 * s, end: io.EOF}, 0, 0, "", 22 * s},
		{"one gap too long", upload{size: 1000, each: 1000, every: 11 * s, end: io.EOF}, 0, 408, "slower", 10 * s},
		// 10 bytes a second where 100 are wanted: due is 10 s after the beginning, and a tenth of a second for every 10 bytes.
		{"below the rate", upload{size: 1000, each: 10, every: s, end: io.EOF}, 0, 408, "slower", 10*s + 1000*time.Millisecond},
		{"malformed chunks", upload{size: 10, each: 10, end: lane.ErrMalformedBody}, 0, 400, "framing", 0},
		{"cut", upload{size: 10, each: 10, end: io.ErrUnexpectedEOF}, 0, 400, "ended early", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				u := c.upload
				u.ResponseWriter = httptest.NewRecorder()
				b := &requestBody{
					ReadCloser: &u, r: &http.Request{}, out: http.NewResponseController(&u), limit: c.limit, gap: 10 * s, rate: 100, now: time.Now,
				}
				begin := time.Now()
				n, err := io.Copy(io.Discard, b)
				if (err == nil) != (c.status == 0) || err == nil && n != int64(c.upload.size) {
					t.Errorf("%d bytes, %v", n, err)
				}
				status, why := b.fault()
				if status != c.status || !strings.Contains(why, c.why) {
					t.Errorf("%d %q, want %d %q", status, why, c.status, c.why)
				}
				if took := time.Since(begin); took.Truncate(s) != c.took {
					t.Errorf("it took %v, want %v", took, c.took)
				}
				if err == nil && !u.deadline.IsZero() {
					t.Error("a deadline stays behind for the next request")
				}
				if _, again := b.Read(make([]byte, 1)); c.status == 413 && !errors.Is(again, errBodyTooLarge) {
					t.Errorf("reading on: %v", again)
				}
			})
		})
	}
}

// closing is a body that net/http has closed when its end was read.
type closing struct{ io.Reader }

func (c *closing) Read(p []byte) (n int, err error) {
	if c.Reader == nil {
		return 0, http.ErrBodyReadAfterClose
	}
	if n, err = c.Reader.Read(p); err == io.EOF {
		c.Reader = nil
	}
	return n, err
}

func (c *closing) Close() error { return nil }

// A transport that reads behind the end, to be sure that it is one, finds it there, although the answer has begun.
func TestRequestBodyEndsForGood(t *testing.T) {
	b := requestBody{
		ReadCloser: &closing{strings.NewReader("x")}, r: &http.Request{}, now: time.Now,
		out: http.NewResponseController(httptest.NewRecorder()),
	}
	if got, err := io.ReadAll(&b); string(got) != "x" || err != nil {
		t.Fatalf("read %q, %v", got, err)
	}
	if n, err := b.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("behind the end: %d, %v; want the end", n, err)
	}
	if status, why := b.fault(); status != 0 {
		t.Errorf("fault %d %s of a body that came whole", status, why)
	}
}
