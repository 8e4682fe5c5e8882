package edge

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"mime"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"selvage/cache"
	"selvage/edge/internal/lane"
	"selvage/encode"
	"selvage/origin"
	"selvage/purge"
)

// stage is an Edge without listeners, and one origin that answers what a test says.
type stage struct {
	*Edge
	t      testing.TB
	asked  []*http.Request
	answer func(r *http.Request) (*http.Response, error)
	isOut  bool
}

func (s *stage) RoundTrip(r *http.Request) (*http.Response, error) {
	s.asked = append(s.asked, r)
	return s.answer(r)
}
func (s *stage) Host() string               { return "" }
func (s *stage) IsOut() bool                { return s.isOut }
func (s *stage) Owns(*url.URL, string) bool { return false }

// onStage runs f in a synctest bubble.
func onStage(t *testing.T, f func(t *testing.T, s *stage), changes ...func(*cache.Config)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &stage{t: t}
		journal, clock := purge.NewJournal(), cache.SystemClock()
		coding := cache.Encoding{Meter: new(encode.Meter), Workshop: encode.NewWorkshop(encode.DefaultWorkshopConfig(), nil)}
		store, err := cache.NewStore(cache.StoreConfig{MaxBytes: 1 << 20, Encoding: coding}, clock, journal) // 128 KiB for fills
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(store.Close)
		policy := cache.DefaultConfig()
		for _, change := range changes {
			change(&policy)
		}
		conf := DefaultConfig()
		conf.Log.Format = "off"
		conf.Sites = []SiteConfig{{Hosts: []string{"example.com"}, Origin: "main", Cache: &policy}}
		s.Edge, err = New(Options{
			Config: conf, Pools: map[string]Pool{"main": s}, Store: store, Journal: journal, Clock: clock,
			Logger: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			t.Fatal(err)
		}
		f(t, s)
	})
}

// received is what a client got.
type received struct {
	*httptest.ResponseRecorder
	aborted bool
}

// get walks one request. Fields are "Name: value".
func (s *stage) get(ctx context.Context, method, path string, fields ...string) (got received) {
	s.t.Helper()
	r := httptest.NewRequestWithContext(ctx, method, path, nil)
	r.Host = "example.com"
	for _, line := range fields {
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Add(name, value)
	}
	got.ResponseRecorder = httptest.NewRecorder()
	defer func() {
		if v := recover(); v != nil {
			if v != http.ErrAbortHandler {
				panic(v)
			}
			got.aborted = true
		}
		synctest.Wait()
	}()
	s.walk(got.ResponseRecorder, r, &lane.Info{})
	return got
}

func (s *stage) ok(path string, fields ...string) received {
	s.t.Helper()
	got := s.get(s.t.Context(), http.MethodGet, path, fields...)
	if got.aborted {
		s.t.Errorf("GET %s: aborted", path)
	}
	return got
}

func response(status int, body io.Reader, length int64, fields ...string) *http.Response {
	h := http.Header{}
	for _, line := range fields {
		name, value, _ := strings.Cut(line, ": ")
		h.Add(name, value)
	}
	return &http.Response{StatusCode: status, Header: h, ContentLength: length, Body: io.NopCloser(body)}
}

func text(status int, body string, fields ...string) *http.Response {
	return response(status, strings.NewReader(body), int64(len(body)), fields...)
}

// slowly gives a body in pieces, a second before each, and ends as end says; nil is EOF.
type slowly struct {
	pieces []string
	end    error
}

func (s *slowly) Read(p []byte) (int, error) {
	time.Sleep(time.Second)
	if len(s.pieces) == 0 {
		if s.end != nil {
			return 0, s.end
		}
		return 0, io.EOF
	}
	n := copy(p, s.pieces[0])
	if s.pieces[0] = s.pieces[0][n:]; s.pieces[0] == "" {
		s.pieces = s.pieces[1:]
	}
	return n, nil
}

func TestRangesOfAStoredResponse(t *testing.T) {
	const modified = "Thu, 01 Jan 1998 00:00:00 GMT"
	for _, c := range []struct {
		name, method string
		fields       []string
		status       int
		contentRange string
		body         string
	}{
		{"first bytes", "GET", []string{"Range: bytes=0-3"}, 206, "bytes 0-3/10", "0123"},
		{"to the end", "GET", []string{"Range: bytes=7-"}, 206, "bytes 7-9/10", "789"},
		{"suffix", "GET", []string{"Range: bytes=-2"}, 206, "bytes 8-9/10", "89"},
		{"suffix longer than the body", "GET", []string{"Range: bytes=-20"}, 206, "bytes 0-9/10", "0123456789"},
		{"beyond the end", "GET", []string{"Range: bytes=10-"}, 416, "bytes */10", ""},
		{"last before first is ignored", "GET", []string{"Range: bytes=3-2"}, 200, "", "0123456789"},
		{"unknown unit is ignored", "GET", []string{"Range: lines=0-1"}, 200, "", "0123456789"},
		{"overlapping are joined", "GET", []string{"Range: bytes=0-3,2-5"}, 206, "bytes 0-5/10", "012345"},
		{"one of two beyond the end", "GET", []string{"Range: bytes=0-1,20-30"}, 206, "bytes 0-1/10", "01"},
		{"HEAD has no ranges", "HEAD", []string{"Range: bytes=0-3"}, 200, "", ""},
		{"If-Range that matches", "GET", []string{"Range: bytes=0-3", `If-Range: "1"`}, 206, "bytes 0-3/10", "0123"},
		{"If-Range of another", "GET", []string{"Range: bytes=0-3", `If-Range: "2"`}, 200, "", "0123456789"},
		{"If-Range by date", "GET", []string{"Range: bytes=0-3", "If-Range: " + modified}, 206, "bytes 0-3/10", "0123"},
		{"a precondition comes first", "GET", []string{"Range: bytes=0-3", `If-None-Match: "1"`}, 304, "", ""},
		{"a precondition that fails", "GET", []string{"Range: bytes=0-3", `If-None-Match: "2"`}, 206, "bytes 0-3/10", "0123"},
	} {
		t.Run(c.name, func(t *testing.T) {
			onStage(t, func(t *testing.T, s *stage) {
				s.answer = func(*http.Request) (*http.Response, error) {
					return text(200, "0123456789", "Cache-Control: max-age=60", `Etag: "1"`, "Last-Modified: "+modified), nil
				}
				s.ok("/a")
				got := s.get(t.Context(), c.method, "/a", c.fields...)
				if got.Code != c.status || got.Header().Get("Content-Range") != c.contentRange {
					t.Errorf("%d %q, want %d %q", got.Code, got.Header().Get("Content-Range"), c.status, c.contentRange)
				}
				body := got.Body.String()
				if c.status != 416 && body != c.body {
					t.Errorf("body %q, want %q", body, c.body)
				}
				if length := got.Header().Get("Content-Length"); c.method == "GET" && c.status != 304 && length != strconv.Itoa(len(body)) {
					t.Errorf("Content-Length: %s with %d bytes", length, len(body))
				}
				if len(s.asked) != 1 {
					t.Errorf("the origin was asked %d times, want once", len(s.asked))
				}
			})
		})
	}
}

func TestSeveralRangesAreSentInParts(t *testing.T) {
	onStage(t, func(t *testing.T, s *stage) {
		s.answer = func(*http.Request) (*http.Response, error) {
			return text(200, "0123456789", "Cache-Control: max-age=60", "Content-Type: text/css"), nil
		}
		s.ok("/a")
		got := s.ok("/a", "Range: bytes=8-,0-1")
		kind, params, err := mime.ParseMediaType(got.Header().Get("Content-Type"))
		if got.Code != 206 || kind != "multipart/byteranges" || err != nil || got.Header().Get("Content-Range") != "" {
			t.Fatalf("%d %v", got.Code, got.Header())
		}
		if length := got.Header().Get("Content-Length"); length != strconv.Itoa(got.Body.Len()) {
			t.Errorf("Content-Length: %s with %d bytes", length, got.Body.Len())
		}
		parts := multipart.NewReader(got.Body, params["boundary"])
		for _, want := range [][2]string{{"bytes 8-9/10", "89"}, {"bytes 0-1/10", "01"}} {
			part, err := parts.NextPart()
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(part)
			if h := part.Header; h.Get("Content-Range") != want[0] || h.Get("Content-Type") != "text/css" || string(body) != want[1] {
				t.Errorf("%v %q, want %v of text/css", h, body, want)
			}
		}
		if _, err := parts.NextPart(); err != io.EOF {
			t.Errorf("after the last part: %v, want EOF", err)
		}
	})
}

func TestRangesWhileABodyArrives(t *testing.T) {
	for _, c := range []struct {
		name   string
		length int64
		after  time.Duration
	}{
		{"of known length: when its bytes are here", 10, 2 * time.Second},
		{"of unknown length: at the end", -1, 4 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			onStage(t, func(t *testing.T, s *stage) {
				s.answer = func(*http.Request) (*http.Response, error) {
					return response(200, &slowly{pieces: []string{"0123", "4567", "89"}}, c.length, "Cache-Control: max-age=60"), nil
				}
				begin := time.Now()
				got := s.ok("/a", "Range: bytes=5-6")
				if took := time.Since(begin); got.Code != 206 || got.Body.String() != "56" || took != c.after {
					t.Errorf("%d %q after %v, want 206 56 after %v", got.Code, got.Body, took, c.after)
				}
			})
		})
	}
}

func TestRangeOfWhatTurnsOutTooLargePasses(t *testing.T) {
	big := strings.Repeat("0123456789abcdef", 64<<10) // 1 MiB
	onStage(t, func(t *testing.T, s *stage) {
		s.answer = func(r *http.Request) (*http.Response, error) {
			if r.Header.Get("Range") != "" {
				return text(206, "0123", "Content-Range: bytes 0-3/1048576"), nil
			}
			return response(200, strings.NewReader(big), -1, "Cache-Control: max-age=60"), nil
		}
		got := s.ok("/a", "Range: bytes=0-3")
		if got.Code != 206 || got.Body.String() != "0123" {
			t.Errorf("%d with %d bytes, want 206 with the four asked for", got.Code, got.Body.Len())
		}
		if status := got.Header().Get("Cache-Status"); status != "Selvage; fwd=partial; fwd-status=206; detail=range" {
			t.Errorf("Cache-Status: %s", status)
		}
		if n := s.store.Stats().Filling.Load(); n != 0 {
			t.Errorf("%d fills go on with nobody reading", n)
		}
	})
}

func TestBodiesThatEndBadlyAreAborted(t *testing.T) {
	reset := &origin.Failure{Type: "http_response_incomplete", Status: 502}
	for name, control := range map[string]string{"stored": "max-age=60", "not stored": "no-store"} {
		for how, make := range map[string]func() *http.Response{
			"reset": func() *http.Response {
				return response(200, &slowly{[]string{"half"}, reset}, -1, "Cache-Control: "+control)
			},
			"truncated": func() *http.Response {
				return response(200, &slowly{[]string{"half"}, reset}, 10, "Cache-Control: "+control)
			},
		} {
			t.Run(name+"/"+how, func(t *testing.T) {
				onStage(t, func(t *testing.T, s *stage) {
					s.answer = func(*http.Request) (*http.Response, error) { return make(), nil }
					got := s.get(t.Context(), "GET", "/a")
					if !got.aborted || got.Body.String() != "half" {
						t.Errorf("aborted %v with %q, want it aborted after half", got.aborted, got.Body)
					}
					if n := s.store.Objects(); n != 0 {
						t.Errorf("%d objects stored", n)
					}
				})
			})
		}
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// hanging is a body that does not come until stop is closed, and then fails.
func hanging(stop <-chan struct{}) io.Reader {
	return readerFunc(func([]byte) (int, error) {
		<-stop
		return 0, io.ErrUnexpectedEOF
	})
}

func TestHandlerEndsWhenItsClientLeaves(t *testing.T) {
	for _, c := range []struct {
		name   string
		length int64
		fields []string
	}{
		{"waiting for a body's next bytes", 3600, nil},
		{"waiting for a body's length", -1, []string{"Range: bytes=0-0"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			onStage(t, func(t *testing.T, s *stage) {
				stop := make(chan struct{})
				defer close(stop)
				s.answer = func(*http.Request) (*http.Response, error) {
					return response(200, hanging(stop), c.length, "Cache-Control: max-age=60"), nil
				}
				ctx, leave := context.WithTimeout(t.Context(), time.Second)
				defer leave()
				begin := time.Now()
				got := s.get(ctx, "GET", "/a", c.fields...)
				if took := time.Since(begin); !got.aborted || took != time.Second {
					t.Errorf("aborted %v after %v, want it to end with the client", got.aborted, took)
				}
			})
		})
	}
}

func TestErrorsOfFills(t *testing.T) {
	for _, c := range []struct {
		name   string
		err    error
		status int
		proxy  string
	}{
		{"refused", &origin.Failure{Type: "connection_refused", Status: 502, Unreachable: true}, 502, "connection_refused"},
		{"a time-out", &origin.Failure{Type: "http_response_timeout", Status: 504, Unreachable: true}, 504, "http_response_timeout"},
		{"another", errors.New("odd"), 502, "proxy_internal_error"},
	} {
		t.Run(c.name, func(t *testing.T) {
			onStage(t, func(t *testing.T, s *stage) {
				s.answer = func(*http.Request) (*http.Response, error) { return nil, c.err }
				got := s.ok("/a")
				if got.Code != c.status || got.Header().Get("Proxy-Status") != "Selvage; error="+c.proxy {
					t.Errorf("%d, Proxy-Status: %s, want %d %s", got.Code, got.Header().Get("Proxy-Status"), c.status, c.proxy)
				}
				if len(s.asked) != 1 || got.Header().Get("Cache-Control") != "no-store" {
					t.Errorf("asked %d times, want once: retries are the pool's; Cache-Control %q", len(s.asked), got.Header().Get("Cache-Control"))
				}
			})
		})
	}
}

func TestNoRoomForAFillIsSaid(t *testing.T) {
	onStage(t, func(t *testing.T, s *stage) {
		stop := make(chan struct{})
		defer close(stop)
		s.answer = func(*http.Request) (*http.Response, error) {
			return response(200, hanging(stop), 10, "Cache-Control: max-age=60"), nil
		}
		ctx, leave := context.WithCancel(t.Context())
		leave()
		for i := range 8 { // each of which takes 16 KiB
			s.get(ctx, "GET", "/"+strconv.Itoa(i))
		}
		got := s.ok("/other")
		if got.Code != 503 || got.Header().Get("Retry-After") == "" {
			t.Errorf("%d, Retry-After %q, want 503 and when to come back", got.Code, got.Header().Get("Retry-After"))
		}
		if status := got.Header().Get("Cache-Status"); status != "Selvage; fwd=uri-miss" {
			t.Errorf("Cache-Status: %s", status)
		}
	})
}

func TestFillsRequestIsBuilt(t *testing.T) {
	for _, c := range []struct {
		name, cookies string
		sent          []string
		want          map[string]string // "" is absent
	}{
		{"conditions and ranges", "keep",
			[]string{"Range: bytes=0-1", `If-Range: "1"`, `If-None-Match: "1"`, "If-Modified-Since: x", `If-Match: "1"`, "If-Unmodified-Since: x"},
			map[string]string{"Range": "", "If-Range": "", "If-None-Match": "", "If-Modified-Since": "", "If-Match": "", "If-Unmodified-Since": ""}},
		{"codings become a class", "keep", []string{"Accept-Encoding: gzip;q=0.5, deflate, br"}, map[string]string{"Accept-Encoding": "br, gzip"}},
		{"no known coding", "keep", []string{"Accept-Encoding: deflate"}, map[string]string{"Accept-Encoding": ""}},
		{"cookies kept", "keep", []string{"Cookie: a=1"}, map[string]string{"Cookie": "a=1"}},
		{"cookies stripped", "strip", []string{"Cookie: a=1"}, map[string]string{"Cookie": ""}},
		{"the client's wishes", "keep", []string{"Cache-Control: no-cache", "Pragma: no-cache"}, map[string]string{"Cache-Control": "", "Pragma": ""}},
		{"what others may act on", "keep", []string{"X-Forwarded-Host: evil", "X-Original-Url: /x", "X_Real_Ip: 1", "Proxy: x"},
			map[string]string{"X-Forwarded-Host": "example.com", "X-Original-Url": "", "X_Real_Ip": "", "Proxy": ""}},
		{"the rest", "keep", []string{"Accept-Language: de", "User-Agent: x"}, map[string]string{"Accept-Language": "de", "User-Agent": "x", "Via": "1.1 Selvage"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			onStage(t, func(t *testing.T, s *stage) {
				s.answer = func(*http.Request) (*http.Response, error) {
					return text(200, "0123", "Cache-Control: max-age=60"), nil
				}
				s.ok("/a?b=c", c.sent...)
				r := s.asked[0]
				if r.Method != "GET" || r.URL.RequestURI() != "/a?b=c" || r.Host != "example.com" {
					t.Errorf("asked %s %s of %s", r.Method, r.URL.RequestURI(), r.Host)
				}
				for name, want := range c.want {
					if got := r.Header.Get(name); got != want {
						t.Errorf("%s: %q, want %q", name, got, want)
					}
				}
			}, func(p *cache.Config) { p.RequestCookies = c.cookies })
		})
	}
}

func TestCacheStatusOfEveryWay(t *testing.T) {
	const stale = "Cache-Control: max-age=10, stale-if-error=100"
	down := &origin.Failure{Type: "connection_refused", Status: 502, Unreachable: true}
	first := func() (*http.Response, error) { return text(200, "hello", stale, `Etag: "1"`), nil }
	for _, c := range []struct {
		name   string
		second func() (*http.Response, error) // after 20 s
		fields []string
		code   int
		want   string
		age    string
	}{
		{"validated", func() (*http.Response, error) { return text(304, "", stale, `Etag: "1"`), nil }, nil, 200,
			"Selvage; fwd=stale; fwd-status=304; stored", ""},
		{"replaced", func() (*http.Response, error) { return text(200, "new", stale), nil }, nil, 200,
			"Selvage; fwd=stale; fwd-status=200; stored", ""},
		{"turned private", func() (*http.Response, error) { return text(200, "new", "Cache-Control: private"), nil }, nil, 200,
			"Selvage; fwd=stale; fwd-status=200; detail=origin-private", ""},
		{"an error", func() (*http.Response, error) { return text(503, "sorry"), nil }, nil, 200,
			"Selvage; fwd=stale; fwd-status=503; ttl=-10; detail=stale-if-error", "20"},
		{"no answer", func() (*http.Response, error) { return nil, down }, nil, 200,
			"Selvage; fwd=stale; ttl=-10; detail=stale-if-error", "20"},
		{"an unasked 206", func() (*http.Response, error) { return text(206, "he"), nil }, nil, 200,
			"Selvage; fwd=stale; fwd-status=206; ttl=-10; detail=stale-if-error", "20"},
		{"another status", func() (*http.Response, error) { return text(404, "no"), nil }, nil, 404,
			"Selvage; fwd=stale; fwd-status=404; detail=no-freshness", ""},
		{"only if cached", nil, []string{"Cache-Control: only-if-cached"}, 504,
			"Selvage; detail=only-if-cached", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			onStage(t, func(t *testing.T, s *stage) {
				s.answer = func(*http.Request) (*http.Response, error) {
					if len(s.asked) == 1 {
						return first()
					}
					return c.second()
				}
				if got := s.ok("/a").Header().Get("Cache-Status"); got != "Selvage; fwd=uri-miss; fwd-status=200; stored" {
					t.Errorf("miss: %s", got)
				}
				time.Sleep(5 * time.Second)
				if h := s.ok("/a").Header(); h.Get("Cache-Status") != "Selvage; hit; ttl=5" || h.Get("Age") != "5" {
					t.Errorf("hit: %s, age %s", h.Get("Cache-Status"), h.Get("Age"))
				}
				time.Sleep(15 * time.Second)
				got := s.ok("/a", c.fields...)
				if h := got.Header(); got.Code != c.code || h.Get("Cache-Status") != c.want || h.Get("Age") != c.age {
					t.Errorf("%d, Cache-Status: %s, Age: %q, want %d %s %q", got.Code, h.Get("Cache-Status"), h.Get("Age"), c.code, c.want, c.age)
				}
			})
		})
	}
}
