package edge

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"selvage/cache"
	"selvage/edge/internal/lane"
	"selvage/encode"
	"selvage/purge"
)

// hitEdge is an Edge whose sites have something of all that a request can be told apart by.
func hitEdge(t testing.TB) *Edge {
	t.Helper()
	journal, clock := purge.NewJournal(), cache.SystemClock()
	store, err := cache.NewStore(cache.StoreConfig{MaxBytes: 1 << 20}, clock, journal)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	origin := &stage{answer: func(r *http.Request) (*http.Response, error) {
		return response(200, io.NopCloser(strings.NewReader(strings.Repeat("x", 1024))), 1024,
			"Cache-Control: public, max-age=3600", "Content-Type: application/octet-stream", `Etag: "1024-0"`,
			"Last-Modified: Tue, 01 Sep 2026 00:00:00 GMT", "Vary: Accept-Encoding"), nil
	}}
	keyed := cache.DefaultConfig()
	keyed.Key.Headers, keyed.Key.Cookies = []string{"X-Variant"}, []string{"lang"}
	keyed.Bypass.Cookies = []string{"session*"}
	sorted := cache.DefaultConfig()
	sorted.Key.Query.Sort, sorted.ClientDirectives = true, "honour"
	conf := DefaultConfig()
	conf.Log.Format = "off"
	conf.Sites = []SiteConfig{
		{Hosts: []string{"example.com", "*.example.com"}, Origin: "main", Routes: []RouteConfig{
			{Name: "mobile", Match: MatchConfig{Headers: map[string]string{"X-Device": "mobile"}}},
			{Match: MatchConfig{Path: []string{"/keyed/*"}}, Cache: &keyed},
			{Match: MatchConfig{Path: []string{"*.css"}}, Cache: &sorted},
			{Match: MatchConfig{Path: []string{"/old"}}, Redirect: &RedirectConfig{To: "/new"}},
			{},
		}},
		{Name: "rest", Default: true, Origin: "main"},
	}
	e, err := New(Options{
		Config: conf, Pools: map[string]Pool{"main": origin}, Store: store, Journal: journal, Clock: clock,
		Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

var hitLimits = lane.Limits{RequestLine: 16 << 10, Head: 64 << 10, Fields: 128}

// laneInfo is a connection from addr.
func laneInfo(secure bool) *lane.Info {
	return &lane.Info{ID: 1, Secure: secure, Remote: &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 4711}, Peer: netip.MustParseAddr("192.0.2.1")}
}

// hit is a request on its short way, about to be read.
func (e *Edge) hit(r *lane.Request) *hit {
	return &hit{transaction: transaction{Edge: e, conf: e.conf.Load(), conn: r.Info}, r: r}
}

// checkSameQuery has both ways read one request. What the short way takes, the long way must take for the same.
func checkSameQuery(t *testing.T, e *Edge, raw []byte, secure bool) (taken bool) {
	t.Helper()
	info := laneInfo(secure)
	lr, length, ok := lane.ParseRequest(info, raw, hitLimits)
	if !ok {
		return false
	}
	in := bytes.NewReader(raw)
	buffered := bufio.NewReader(in)
	r, err := http.ReadRequest(buffered)
	if err != nil {
		t.Fatalf("net/http refuses %q: %v", raw, err)
	}
	if consumed := len(raw) - in.Len() - buffered.Buffered(); consumed != length {
		t.Fatalf("net/http takes %d bytes of %q, the lane %d", consumed, raw, length)
	}
	r.RemoteAddr = info.Remote.String()
	if secure {
		r.TLS = &tls.ConnectionState{}
	}
	short := e.hit(&lr)
	if !short.read() {
		return false
	}
	long := &exchange{transaction: transaction{Edge: e, conf: e.conf.Load(), conn: info}, w: httptest.NewRecorder(), r: r}
	if !long.read() {
		t.Fatalf("the long way refuses %q: %d %s", raw, long.res.Status, long.res.Error)
	}
	if short.route != long.route || short.site != long.site {
		t.Errorf("route of %q: %s/%s, the long way %s/%s", raw, short.site.name, short.route.name, long.site.name, long.route.name)
	}
	if diff := cmp.Diff(factsOf(&long.q), factsOf(&short.q), cmpopts.IgnoreUnexported(cache.Query{})); diff != "" && !short.fields.doubt {
		t.Errorf("Query of %q (-long +short):\n%s", raw, diff)
	}
	return true
}

// facts are what rules may see of a Query.
type facts struct {
	Query    cache.Query
	Prefers  encode.Coding
	Variants []string
}

func factsOf(q *cache.Query) facts {
	var variants []string
	for _, vary := range [][]string{
		{"Accept-Encoding"}, {"Accept-Language", "X-Device"}, {"Cookie"}, {"Cache-Control", "Pragma"}, {"Host"}, {"X_Under"},
		{"X-Real-Ip"}, {"Te", "Connection"}, {"User-Agent", "Referer"},
	} {
		variants = append(variants, cache.VariantKey(q, vary))
	}
	plain := *q
	plain.Fields = nil
	return facts{plain, q.Prefer([]encode.Coding{encode.Brotli, encode.Zstd, encode.Gzip}), variants}
}

var sameQueryCases = []struct {
	raw   string
	taken bool
}{
	{"GET / HTTP/1.1\r\nHost: example.com\r\n\r\n", true},
	{"HEAD /a/../b?x=1&utm_source=y HTTP/1.1\r\nHost: EXAMPLE.com:80\r\n\r\n", true},
	{"GET /%7Ea;p?b=1&a=2 HTTP/1.1\r\nHost: www.example.com.\r\nConnection: keep-alive\r\n\r\n", true},
	{"GET /x.css?b=1&a=2 HTTP/1.1\r\nHost: example.com\r\nCache-Control: max-age=5\r\n\r\n", true},
	{"GET /keyed/a HTTP/1.1\r\nHost: example.com\r\nX-Variant: a\r\nx-variant: b\r\nCookie: lang=de; a=b\r\nCookie: lang=fr\r\n\r\n", true},
	{"GET / HTTP/1.1\r\nHost: other.example\r\nAccept-Encoding: gzip, br;q=0\r\naccept-encoding: zstd\r\n\r\n", true},
	{"GET / HTTP/1.1\r\nHost: example.com\r\nX-Device: mobile\r\nAccept-Language: de, en;q=0.5\r\n\r\n", true},
	{"GET / HTTP/1.1\r\nHost: example.com\r\nIf-None-Match: \"a\"\r\nIf-Modified-Since: Tue, 01 Sep 2026 00:00:00 GMT\r\n\r\n", true},
	{"GET / HTTP/1.1\r\nHost: example.com\r\nX-Real-IP: 1.2.3.4\r\nX_Under: 1\r\nTE: trailers\r\n\r\n", true},
	{"GET / HTTP/1.1\r\nHost: example.com\r\nAuthorization: x\r\nUser-Agent:\r\nReferer: \t \r\n\r\n", true},
	{"GET /? HTTP/1.1\r\nHost: example.com\r\n\r\n", true},

	{"GET / HTTP/1.1\r\nHost: example.com\r\nPragma: no-cache\r\n\r\n", false},
	{"GET / HTTP/1.1\r\nHost: example.com\r\nRange: bytes=0-1\r\n\r\n", false},
	{"GET / HTTP/1.1\r\nHost: example.com\r\nCDN-Loop: a\r\n\r\n", false},
	{"GET / HTTP/1.1\r\nHost: example.com\r\nConnection: keep-alive, close\r\n\r\n", false},
	{"GET / HTTP/1.1\r\nHost: example.com\r\nConnection: x-variant\r\n\r\n", false},
	{"GET / HTTP/1.1\r\nHost: example.com\r\nUpgrade: websocket\r\n\r\n", false},
	{"GET / HTTP/1.1\r\nHost: example.com\r\nExpect: 100-continue\r\n\r\n", false},
	{"GET / HTTP/1.1\r\nHost: example.com\r\nContent-Length: 0\r\n\r\n", false},
	{"GET / HTTP/1.1\r\nHost: example.com\r\nIf-Match: \"a\"\r\n\r\n", false},
	{"GET / HTTP/1.0\r\nHost: example.com\r\n\r\n", false},
	{"GET http://example.com/ HTTP/1.1\r\nHost: example.com\r\n\r\n", false},
	{"POST / HTTP/1.1\r\nHost: example.com\r\n\r\n", false},
	{"get / HTTP/1.1\r\nHost: example.com\r\n\r\n", false},
	{"GET /old HTTP/1.1\r\nHost: example.com\r\n\r\n", false},
	{"GET /../a HTTP/1.1\r\nHost: example.com\r\n\r\n", false},
}

func TestBothWaysReadTheSame(t *testing.T) {
	e := hitEdge(t)
	for _, c := range sameQueryCases {
		if taken := checkSameQuery(t, e, []byte(c.raw), false); taken != c.taken {
			t.Errorf("%q: taken = %v, want %v", c.raw, taken, c.taken)
		}
	}
}

// What the short way takes, net/http takes, of the same length, and the long way reduces to the same Query.
func FuzzBothWaysReadTheSame(f *testing.F) {
	for _, c := range sameQueryCases {
		f.Add([]byte(c.raw), true)
		f.Add([]byte(c.raw), false)
	}
	e := hitEdge(f)
	f.Fuzz(func(t *testing.T, raw []byte, secure bool) { checkSameQuery(t, e, raw, secure) })
}

// fillFor has the object of a request stored.
func fillFor(e *Edge, raw string) {
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(raw)))
	if err != nil {
		panic(err)
	}
	r.RemoteAddr = "192.0.2.1:4711"
	e.walk(httptest.NewRecorder(), r, &lane.Info{})
}

const hitRequest = "GET /b/1024/0 HTTP/1.1\r\nHost: example.com\r\nUser-Agent: curl/8\r\nAccept: */*\r\nAccept-Encoding: gzip, deflate, br\r\n\r\n"

func TestHitAllocatesNothing(t *testing.T) {
	if raceDetector {
		t.Skip("pools forget under the race detector")
	}
	e := hitEdge(t)
	fillFor(e, hitRequest)
	r, _, ok := lane.ParseRequest(laneInfo(false), []byte(hitRequest), hitLimits)
	if !ok {
		t.Fatal("not for the lane")
	}
	var w lane.Writer
	if n := testing.AllocsPerRun(1000, func() {
		if e.answerHit(&r, &w) != lane.Answered {
			t.Fatal("no hit")
		}
		w.Gather(w.Buffer()[:0])
	}); n != 0 {
		t.Errorf("%v allocations for a hit, want 0", n)
	}
}

// ticking is a clock that every look moves on by a second.
type ticking struct{ at *cache.Instant }

func (c ticking) Now() cache.Moment {
	*c.at = c.at.Add(time.Second)
	return cache.Moment{Mono: *c.at}
}

// A client that takes its time with an answer shows in the log, whether the answer is large, or broken off.
func TestHitTellsHowLongItTook(t *testing.T) {
	e := hitEdge(t)
	e.clock = ticking{new(cache.Instant)}
	for _, row := range []struct {
		rule    string
		bytes   int64
		aborted bool
		want    time.Duration
	}{
		{"what is gathered has left when its head has", atOnce, false, time.Second},
		{"more may have waited for the client", atOnce + 1, false, 2 * time.Second},
		{"so may what was broken off", 0, true, 2 * time.Second},
	} {
		h := &hit{transaction: transaction{Edge: e}, start: e.clock.Now()}
		h.res = Result{Bytes: row.bytes, Aborted: row.aborted, First: h.clock.Now().Mono.Sub(h.start.Mono)}
		if h.finish(); h.res.Total != row.want {
			t.Errorf("%s: total = %v, want %v", row.rule, h.res.Total, row.want)
		}
	}
}

// What of a hit in the lane is the edge's and the cache's; the connection's part comes on top.
func BenchmarkLaneHit1KB(b *testing.B) {
	e := hitEdge(b)
	fillFor(e, hitRequest)
	r, _, _ := lane.ParseRequest(laneInfo(false), []byte(hitRequest), hitLimits)
	var w lane.Writer
	b.ReportAllocs()
	for b.Loop() {
		if e.answerHit(&r, &w) != lane.Answered {
			b.Fatal("no hit")
		}
		w.Gather(w.Buffer()[:0])
	}
}
