package edge

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"hash/fnv"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"selvage/cache"
	"selvage/edge/internal/lane"
	"selvage/encode"
	"selvage/purge"
)

// variedOrigin gives each path an answer of its own, always the same: all that a stored head may have.
type variedOrigin struct{}

func (variedOrigin) Host() string { return "origin.internal" }

func (variedOrigin) Owns(u *url.URL, _ string) bool { return u.Host == "origin.internal" }

func (variedOrigin) IsOut() bool { return false }

func (variedOrigin) RoundTrip(r *http.Request) (*http.Response, error) {
	sum := fnv.New64a()
	io.WriteString(sum, r.URL.RequestURI())
	dice := rand.New(rand.NewPCG(sum.Sum64(), 1))
	fields := []string{"Cache-Control: max-age=1000"}
	for _, line := range []string{
		"Via: 1.1 shield", "Via: 1.0 other, 2 more", "Cache-Status: Shield; hit", `Etag: "one"`, `Etag: W/"weak"`,
		"Last-Modified: Tue, 01 Sep 2026 00:00:00 GMT", "Content-Type: text/html", "Content-Language: de", "X-Empty: ",
		"Location: https://origin.internal/there?x#y", "Location: /relative", "Location: http://elsewhere.example/",
		"Link: </a>; rel=next", "Link: </b>; rel=prev", "Server: thing", "Age: 100", "Vary: Accept-Encoding", "X-Del: a\tb",
		"Content-Location: http://origin.internal/other", "Content-Location: /other", "Expires: 0", "Alt-Svc: h3", "Set-Cookie2: x",
		"Content-Encoding: identity",
	} {
		if dice.IntN(3) == 0 {
			fields = append(fields, line)
		}
	}
	status := []int{200, 200, 200, 200, 203, 299, 301, 308, 404, 410, 501, 204}[dice.IntN(12)]
	size := []int{0, 1, 1000, 5000, 20_000, 70_000, 300_000}[dice.IntN(7)]
	if !lane.BodyAllowed(status) {
		size = 0
	}
	return response(status, strings.NewReader(strings.Repeat("0123456789", size/10+1)[:size]), int64(size), fields...), nil
}

// laneEdges are two Edges over one Store that differ in fast_lane alone, and where they listen: for http, and for https with
// HTTP/3 beside it.
func laneEdges(t *testing.T) (on, off *Edge) {
	journal, clock := purge.NewJournal(), cache.SystemClock()
	coding := cache.Encoding{Workshop: encode.NewWorkshop(encode.WorkshopConfig{CPU: 100, Queue: 100}, nil)}
	store, err := cache.NewStore(cache.StoreConfig{MaxBytes: 64 << 20, Encoding: coding}, clock, journal)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	codings := encode.DefaultConfig()
	codings.Dictionary.Match = []string{"/coded/*"}
	start := func(lane string) *Edge {
		conf := DefaultConfig()
		conf.Log.Format, conf.FastLane = "off", lane
		conf.Listeners = []ListenerConfig{{Address: "127.0.0.1:0"}, {Address: "[::1]:0", TLS: &TLSConfig{}}}
		conf.Sites = []SiteConfig{{Hosts: []string{"example.com"}, Origin: "main", Routes: []RouteConfig{
			{Match: MatchConfig{Path: []string{"/changed/*"}}, ResponseHeaders: HeaderConfig{
				Remove: []string{"Server", "etag", "via"}, Set: map[string]string{"X-Set": "1", "Content-Language": "fr", "Age": "7"},
				Add: map[string]string{"Link": "</c>; rel=up", "X-Del": "more"},
			}},
			{Match: MatchConfig{Path: []string{"/elsewhere/*"}}, ResponseHeaders: HeaderConfig{Set: map[string]string{"Alt-Svc": "clear"}}},
			{Match: MatchConfig{Path: []string{"/coded/changed/*"}}, Compress: &codings, ResponseHeaders: HeaderConfig{
				Remove: []string{"Vary", "Server"}, Set: map[string]string{"X-Set": "1"},
			}},
			{Match: MatchConfig{Path: []string{"/coded/*"}}, Compress: &codings},
			{},
		}}}
		return serving(t, Options{
			Config: conf, Pools: map[string]Pool{"main": variedOrigin{}}, Store: store, Journal: journal, Clock: clock,
			Logger: slog.New(slog.DiscardHandler), Certificates: certified(t), ListenPacket: net.ListenPacket,
		})
	}
	return start("on"), start("off")
}

// serving is an Edge that serves to the end of the test.
func serving(t testing.TB, o Options) *Edge {
	e, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- e.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return e
}

// answeredFor is what a client gets to see.
type answeredFor struct {
	Interim []http.Header
	Proto   string
	Status  string
	Header  http.Header
	Length  int64
	Close   bool
	Body    string
}

// askOn asks on a connection, whose answers are read from in.
func askOn(t *testing.T, c net.Conn, in *bufio.Reader, raw, method string) (got answeredFor) {
	t.Helper()
	if _, err := io.WriteString(c, raw); err != nil {
		t.Fatal(err)
	}
	for {
		resp, err := http.ReadResponse(in, &http.Request{Method: method})
		if err != nil {
			t.Fatalf("answer to %q: %v", raw, err)
		}
		if resp.StatusCode < 200 {
			got.Interim = append(got.Interim, resp.Header)
			continue
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatalf("body of the answer to %q: %v", raw, err)
		}
		return answeredFor{got.Interim, resp.Proto, resp.Status, resp.Header, resp.ContentLength, resp.Close, string(body)}
	}
}

// ask returns an answer without what may differ.
func ask(t *testing.T, e *Edge, raw, method string, secure bool) answeredFor {
	t.Helper()
	c, err := dial(e, secure)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	a := askOn(t, c, bufio.NewReader(c), raw, method)
	for _, name := range []string{"Age", "Cache-Status", "Alt-Svc"} {
		if strings.HasPrefix(a.Header.Get(name), "clear") {
			continue
		}
		if values := a.Header[name]; len(values) > 0 {
			values[len(values)-1] = "ours"
		}
	}
	return a
}

func dial(e *Edge, secure bool) (net.Conn, error) {
	if !secure {
		return net.Dial("tcp", e.Addrs()[0].String())
	}
	return dialTLS(e.Addrs()[1])
}

func dialTLS(to net.Addr) (net.Conn, error) {
	return tls.Dial("tcp", to.String(), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}})
}

// Both lanes give the same answer to the same bytes, whatever head is stored, whatever the route changes in it, and
// whatever preconditions the client has.
func TestBothLanesAnswerAlike(t *testing.T) {
	on, off := laneEdges(t)
	dice := rand.New(rand.NewPCG(1, 2))
	taken := 0
	for i := range 400 {
		method := []string{"GET", "GET", "HEAD"}[dice.IntN(3)]
		path := []string{"/plain/", "/changed/", "/elsewhere/", "/coded/", "/coded/changed/"}[dice.IntN(5)]
		secure := i%8 == 0 // handshakes take their time
		raw := fmt.Sprintf("%s %s%d HTTP/1.1\r\nHost: example.com\r\n", method, path, i)
		for _, line := range []string{
			`If-None-Match: "one"`, `If-None-Match: "two", W/"weak"`, "If-Modified-Since: Tue, 01 Sep 2026 00:00:00 GMT",
			"Accept-Encoding: gzip", "Accept-Encoding: zstd;q=0.5, identity;q=0.1", "Cache-Control: no-transform", `If-None-Match: "one~gzip~AAAAAAAAAAE"`,
			"User-Agent: a", "Connection: keep-alive", "Cookie: a=b", "Connection: close",
		} {
			if dice.IntN(4) == 0 {
				raw += line + "\r\n"
			}
		}
		raw += "\r\n"
		ask(t, off, strings.Replace(raw, "HEAD", "GET", 1), "GET", secure)
		off.keepCoding(t, raw, secure)
		before := on.answeredBelow(raw, secure)
		if diff := cmp.Diff(ask(t, off, raw, method, secure), ask(t, on, raw, method, secure)); diff != "" {
			t.Errorf("%q (-off +on):\n%s", raw, diff)
		}
		if before {
			taken++
		}
	}
	if taken < 150 {
		t.Errorf("the lane took %d requests of 400: this proves little", taken)
	}
}

// keepCoding asks until the coding that the request wants is there for good: until then the answer may change at any moment.
func (e *Edge) keepCoding(t *testing.T, raw string, secure bool) {
	t.Helper()
	plain := strings.Replace(raw, "HEAD", "GET", 1)
	lines := strings.SplitAfter(plain, "\r\n")
	plain = strings.Join(slices.DeleteFunc(lines, func(l string) bool { return strings.HasPrefix(l, "If-") }), "")
	for late := time.Now().Add(time.Minute); time.Now().Before(late); {
		r, _, ok := lane.ParseRequest(laneInfo(secure), []byte(plain), hitLimits)
		if !ok {
			return
		}
		h := e.hit(&r)
		if !h.read() {
			return
		}
		o := h.store.Peek(&h.q, h.begin, h.start.Mono)
		if o == nil || o.Choose(&h.q, h.route.policy).Final {
			return
		}
		ask(t, e, plain, "GET", secure)
	}
	t.Fatalf("%q: no coding is kept", plain)
}

// answeredBelow reports whether a request is one that the lane answers.
func (e *Edge) answeredBelow(raw string, secure bool) bool {
	r, _, ok := lane.ParseRequest(laneInfo(secure), []byte(raw), hitLimits)
	if !ok {
		return false
	}
	h := e.hit(&r)
	return h.read() && h.store.Peek(&h.q, h.begin, h.start.Mono) != nil
}
