package edge

import (
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
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

// closedBehindItsEnd is a body that net/http closes as the answer begins.
type closedBehindItsEnd struct {
	io.Reader
	ended bool
}

func (b *closedBehindItsEnd) Read(p []byte) (int, error) {
	if b.ended {
		return 0, http.ErrBodyReadAfterClose
	}
	n, err := b.Reader.Read(p)
	b.ended = err == io.EOF
	return n, err
}

func (b *closedBehindItsEnd) Close() error { return nil }

// The transport looks behind the end of a request's body, maybe when the answer has begun: that is no fault of the request,
// and must not cost the connection on which the rest of the answer comes.
func TestNobodyReadsBehindTheEndOfABody(t *testing.T) {
	r := httptest.NewRequest(http.MethodPost, "/", &closedBehindItsEnd{Reader: strings.NewReader("hello")})
	w := &upload{ResponseWriter: httptest.NewRecorder()}
	b := &requestBody{ReadCloser: r.Body, r: r, out: http.NewResponseController(w), now: time.Now, gap: time.Minute}
	if got, err := io.ReadAll(b); string(got) != "hello" || err != nil {
		t.Fatalf("body = %q, %v", got, err)
	}
	if n, err := b.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("a read behind the end: %d, %v, want EOF", n, err)
	}
	if status, why := b.fault(); status != 0 {
		t.Errorf("fault: %d %s", status, why)
	}
}

// TestTrailersOfRequests: those that the connection is concerned with, and those that rules would have to see in the head, go no
// further, announced or not (RFC 9110, sections 6.5.1 and 7.6.1).
func TestTrailersOfRequests(t *testing.T) {
	onStage(t, func(t *testing.T, s *stage) {
		r := httptest.NewRequest("POST", "/", nil)
		r.Host, r.ContentLength = "example.com", -1
		r.Header.Set("Connection", "x-near, X-Late")
		r.Trailer = http.Header{"X-Near": nil, "X-Far": nil, "X-Real-Ip": nil}
		r.Body = io.NopCloser(readerFunc(func([]byte) (int, error) {
			r.Trailer = http.Header{"X-Near": {"1"}, "X-Late": {"1"}, "X-Far": {"1"}, "X-Real-Ip": {"1"}, "Keep-Alive": {"1"}}
			return 0, io.EOF
		}))
		var announced []string
		s.answer = func(out *http.Request) (*http.Response, error) {
			announced = slices.Collect(maps.Keys(out.Trailer))
			_, err := io.ReadAll(out.Body)
			return text(200, "hello"), err
		}
		w := httptest.NewRecorder()
		s.walk(w, r, &lane.Info{})
		if got := slices.Collect(maps.Keys(r.Trailer)); w.Code != 200 || len(got) != 1 || got[0] != "X-Far" {
			t.Errorf("%d, trailers %v, want X-Far", w.Code, got)
		}
		if len(announced) != 1 || announced[0] != "X-Far" {
			t.Errorf("announced %v, want X-Far", announced)
		}
	})
}
