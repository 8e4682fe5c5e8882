package edge

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"selvage/cache"
	"selvage/edge/internal/lane"
	"selvage/encode"
	"selvage/purge"
)

// withCodings has the stage make codings.
func (s *stage) withCodings(change func(*encode.Config)) {
	s.t.Helper()
	c := encode.DefaultConfig()
	if change != nil {
		change(&c)
	}
	conf := s.conf.Load().Config
	conf.Sites[0].Compress = &c
	if err := s.Reload(conf, map[string]Pool{"main": s}); err != nil {
		s.t.Fatal(err)
	}
}

// content returns what a client makes of an answer.
func (g received) content(t *testing.T) string {
	t.Helper()
	coding, _ := encode.Named(g.Header().Get("Content-Encoding"))
	if coding == encode.Identity {
		return g.Body.String()
	}
	r, err := encode.NewReader(bytes.NewReader(g.Body.Bytes()), coding, encode.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	plain, err := io.ReadAll(r)
	if err != nil {
		t.Fatalf("%d bytes of %v: %v", g.Body.Len(), coding, err)
	}
	return string(plain)
}

// page is worth encoding.
var page = strings.Repeat("<p>a line of a page that says much the same again and again</p>\n", 200)

func TestACodingIsStreamedAndThenKept(t *testing.T) {
	onStage(t, func(t *testing.T, s *stage) {
		s.withCodings(nil)
		s.answer = func(*http.Request) (*http.Response, error) {
			return text(200, page, "Cache-Control: max-age=100", `Etag: "v1"`, "Content-Type: text/html", "Repr-Digest: sha-256=:AAAA:"), nil
		}
		first := s.ok("/a", "Accept-Encoding: gzip, br")
		if got := first.Header(); got.Get("Content-Encoding") != "br" || got.Get("Etag") != `W/"v1"` || got.Get("Accept-Ranges") != "none" ||
			got.Get("Vary") != "Accept-Encoding" || got.Get("Repr-Digest") != "" {
			t.Errorf("first answer: %v", got)
		}
		if first.content(t) != page {
			t.Error("the first answer decodes to something else")
		}
		time.Sleep(time.Second)
		synctest.Wait()
		second := s.ok("/a", "Accept-Encoding: gzip, br")
		if got := second.Header(); got.Get("Content-Encoding") != "br" || !strings.HasPrefix(got.Get("Etag"), `"v1~br~`) || got.Get("Accept-Ranges") != "" {
			t.Errorf("second answer: %v", got)
		}
		if second.content(t) != page || second.Body.Len() >= first.Body.Len() {
			t.Errorf("%d bytes, after %d at first", second.Body.Len(), first.Body.Len())
		}
		if len(s.asked) != 1 || s.asked[0].Header.Get("Accept-Encoding") != "identity" {
			t.Errorf("the origin was asked %d times, first with %v", len(s.asked), s.asked[0].Header)
		}
	})
}

// What is not stored is encoded as long as there is room for an encoder, and each gives its room back.
func TestWithoutRoomAnAnswerGoesOutPlain(t *testing.T) {
	onStage(t, func(t *testing.T, s *stage) {
		s.withCodings(nil)
		s.answer = func(*http.Request) (*http.Response, error) {
			return text(200, page, "Cache-Control: no-store", "Content-Type: text/html"), nil
		}
		room := 0
		for ; s.store.EnterEncoder(); room++ {
		}
		if got := s.ok("/a", "Accept-Encoding: br"); got.Header().Get("Content-Encoding") != "" || got.Header().Get("Vary") != "Accept-Encoding" ||
			got.content(t) != page {
			t.Errorf("without room: %v", got.Header())
		}
		s.store.LeaveEncoder()
		for range 3 {
			s.get(t.Context(), http.MethodHead, "/a", "Accept-Encoding: br")
			if got := s.ok("/a", "Accept-Encoding: br"); got.Header().Get("Content-Encoding") != "br" || got.content(t) != page {
				t.Errorf("with room for one: %v", got.Header())
			}
		}
		for range room - 1 {
			s.store.LeaveEncoder() // panics if one was given back twice
		}
	})
}

// A route's section begins with its site's.
func TestARouteChangesWhatItsSiteSays(t *testing.T) {
	site := encode.DefaultConfig()
	site.Order = []string{"gzip"}
	route := site
	route.Enabled = false
	cfg := SiteConfig{Hosts: []string{"example.com"}, Origin: "main", Compress: &site, Routes: []RouteConfig{
		{Match: MatchConfig{Path: []string{"/raw/*"}}, Compress: &route}, {},
	}}
	compiled := compileSite(&cfg, map[string]Pool{"main": &stage{}}, 1<<20)
	q := cache.NewQuery()
	q.ReduceField("Accept-Encoding", "br, gzip")
	h := http.Header{"Content-Type": {"text/html"}}
	for i, want := range []encode.Coding{encode.Identity, encode.Gzip} {
		if got, varies := compiled.routes[i].policy.Codings.ForOnce(&q, 200, h, -1); got != want || varies != (want != encode.Identity) {
			t.Errorf("route %d: %q, varies %v; want %q", i, got, varies, want)
		}
	}
}

// codedEdge has a page of 16 KiB stored, plain and coded for good.
func codedEdge(t testing.TB) *Edge {
	t.Helper()
	journal, clock := purge.NewJournal(), cache.SystemClock()
	coding := cache.Encoding{Workshop: encode.NewWorkshop(encode.WorkshopConfig{CPU: 100, Queue: 100}, nil)}
	store, err := cache.NewStore(cache.StoreConfig{MaxBytes: 1 << 20, Encoding: coding}, clock, journal)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	origin := &stage{answer: func(*http.Request) (*http.Response, error) {
		return text(200, strings.Repeat(page, 2)[:16<<10], "Cache-Control: max-age=3600", "Content-Type: text/html", `Etag: "v1"`), nil
	}}
	conf, codings := DefaultConfig(), encode.DefaultConfig()
	conf.Log.Format = "off"
	conf.Sites = []SiteConfig{{Hosts: []string{"example.com"}, Origin: "main", Compress: &codings}}
	e, err := New(Options{
		Config: conf, Pools: map[string]Pool{"main": origin}, Store: store, Journal: journal, Clock: clock,
		Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	for kept := false; !kept; { // asked until the coding is there for good
		fillFor(e, codedRequest)
		r := parsed(t, codedRequest)
		h := e.hit(&r)
		if h.read() {
			o := h.store.Peek(&h.q, h.begin, h.start.Mono)
			kept = o != nil && o.Choose(&h.q, h.route.policy).Final
		}
	}
	return e
}

const (
	plainRequest = "GET / HTTP/1.1\r\nHost: example.com\r\nUser-Agent: curl/8\r\nAccept: */*\r\n\r\n"
	codedRequest = "GET / HTTP/1.1\r\nHost: example.com\r\nUser-Agent: curl/8\r\nAccept: */*\r\nAccept-Encoding: gzip, deflate, br\r\n\r\n"
)

func parsed(t testing.TB, raw string) lane.Request {
	t.Helper()
	r, _, ok := lane.ParseRequest(laneInfo(false), []byte(raw), hitLimits)
	if !ok {
		t.Fatal("not for the lane")
	}
	return r
}

func TestCodedHitAllocatesNothing(t *testing.T) {
	if raceDetector {
		t.Skip("pools forget under the race detector")
	}
	e := codedEdge(t)
	for _, raw := range []string{plainRequest, codedRequest, strings.Replace(codedRequest, "Accept:", "If-None-Match: W/\"v1\"\r\nAccept:", 1)} {
		r := parsed(t, raw)
		var w lane.Writer
		if n := testing.AllocsPerRun(1000, func() {
			if e.answerHit(&r, &w) != lane.Answered {
				t.Fatal("no hit")
			}
			w.Gather(w.Buffer()[:0])
		}); n != 0 {
			t.Errorf("%q: %v allocations for a hit, want 0", raw, n)
		}
	}
}

// A stored coding costs what plain bytes cost, and there are fewer of them.
func BenchmarkLaneHit16KB(b *testing.B)      { benchmarkLane(b, plainRequest) }
func BenchmarkLaneHitCoded16KB(b *testing.B) { benchmarkLane(b, codedRequest) }

func benchmarkLane(b *testing.B, raw string) {
	e, r := codedEdge(b), parsed(b, raw)
	var w lane.Writer
	b.ReportAllocs()
	for b.Loop() {
		if e.answerHit(&r, &w) != lane.Answered {
			b.Fatal("no hit")
		}
		w.Gather(w.Buffer()[:0])
	}
}
