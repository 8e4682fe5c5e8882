package edge

import (
	"bufio"
	"cmp"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"selvage/cache"
	"selvage/origin"
	"selvage/purge"
)

// agreeRows are answers of an origin. Each has a Cache-Control that lets it be stored, unless it has one of its own.
var agreeRows = []struct {
	name   string
	status int
	length int
	fields []string
}{
	{"a page", 200, 1000, []string{`Etag: "one"`, "Content-Type: text/html", "Server: thing"}},
	{"a long page", 200, 70_000, []string{"Last-Modified: Wed, 01 Sep 2010 00:00:00 GMT", "Content-Language: de"}},
	{"nothing but a status", 200, 0, nil},
	{"a status without content", 204, 0, []string{`Etag: "one"`, "X-Empty: "}},
	{"a status without a name", 299, 3, []string{`Etag: W/"one"`}},
	{"not there", 404, 9, []string{"Content-Type: text/plain", "Link: </a>; rel=next", "Link: </b>; rel=prev"}},
	{"an age", 200, 5, []string{"Age: 3", "Expires: 0", `Etag: "one"`}},
	{"old when it comes", 200, 5, []string{"Age: 100", `Etag: "one"`}},
	{"a date of its own", 200, 5, []string{"Date: Fri, 01 Jan 2010 00:00:00 GMT", `Etag: "one"`}},
	{"a cookie", 200, 5, []string{"Set-Cookie: a=b", "Set-Cookie: c=d"}},
	{"for one alone", 200, 5, []string{"Cache-Control: private", `Etag: "one"`}},
	{"several of a kind", 200, 5, []string{"Vary: Accept-Language, Accept-Encoding", "Vary: X-Other", `Etag: "one"`, `Etag: "two"`}},
	{"a redirect to itself", 301, 0, []string{"Location: https://origin.internal/there?x#y", "Location: /relative"}},
	{"a redirect to elsewhere", 308, 2, []string{"Location: http://elsewhere.example/"}},
	{"a redirect to nowhere", 302, 0, []string{"Location: ", "Location: /there", "Content-Location: https://origin.internal/other", "Content-Location: /other"}},
	{"from a shield", 200, 5, []string{"Via: 1.1 shield", "Via: 1.0 other, 2 more", "Cache-Status: Shield; hit", "Alt-Svc: h3"}},
	{"a security policy", 200, 5, []string{"Strict-Transport-Security: max-age=5", "Alt-Svc: h3", "X-Del: a\tb"}},
	{"odd bytes", 200, 5, []string{"X-Obs: \x80\xff", "X-Many:   a  b", "Content-Digest: x", "Accept-Ranges: none"}},
	{"an error", 500, 5, []string{"Cache-Control: no-cache", "Content-Type: text/plain"}},
	{"one to be kept", 503, 5, []string{"Cache-Control: max-age=10", "Retry-After: 5"}},
}

// agreeOrigin answers with the row whose number is in the path, as its mood is.
type agreeOrigin struct {
	variedOrigin
	mood *atomic.Value // of string
}

func (o agreeOrigin) RoundTrip(r *http.Request) (*http.Response, error) {
	number, _ := strconv.Atoi(strings.Split(r.URL.Path, "/")[2])
	row := agreeRows[number]
	resp := response(row.status, strings.NewReader(strings.Repeat("x", row.length)), int64(row.length), row.fields...)
	switch mood := o.mood.Load(); {
	case mood == "failing":
		resp = text(503, "no", "Cache-Control: max-age=0", "X-Why: failing")
	case mood == "confirming" && (r.Header.Get("If-None-Match") != "" || r.Header.Get("If-Modified-Since") != ""):
		resp = text(304, "", "X-Confirmed: yes", "Age: 2")
	case mood == "hinting" && origin.WitnessFrom(r.Context()) != nil: // nobody waits for a fetch in the background, which may be late
		origin.WitnessFrom(r.Context()).Got1xx(103, http.Header{"Link": {"</c>; rel=preload"}, "Age": {"9"}})
	}
	if resp.Header["Cache-Control"] == nil {
		resp.Header.Set("Cache-Control", "max-age=10, stale-while-revalidate=5, stale-if-error=1000")
	}
	resp.Proto = []string{"HTTP/1.1", "HTTP/2.0"}[number%2]
	if r.Method == http.MethodHead {
		resp.Body = http.NoBody
	}
	return resp, nil
}

// agreePlaces are where rows are asked for.
var agreePlaces = []struct {
	name       string
	host, path string
	listener   int
	fields     string
}{
	{"a plain route", "example.com", "/plain/", 0, ""},
	{"a route with changes", "example.com", "/changed/", 0, ""},
	{"https", "strict.example", "/plain/", 1, ""},
	{"https, and a route with fields for it", "strict.example", "/own/", 1, ""},
	{"a trusted proxy", "strict.example", "/plain/", 2, "X-Forwarded-Proto: https\r\nX-Forwarded-For: 192.0.2.1\r\n"},
}

// longWay is a field that changes nothing, except that the short way is not taken.
const longWay = "CDN-Loop: other\r\n"

// agreeStep is a request, after a time, of an origin in a mood.
type agreeStep struct {
	method, fields string
	later          time.Duration
	mood           string
}

// agreeWalks are what may become of a page, request by request.
var agreeWalks = []struct {
	name  string
	steps []agreeStep
}{
	{"miss, and hits on both ways", []agreeStep{{}, {}, {fields: longWay}, {later: 3 * time.Second}, {fields: longWay}}},
	{"the last answer of a connection", []agreeStep{{fields: "Connection: close\r\n"}, {fields: "Connection: close\r\n"}, {fields: "Connection: close\r\n" + longWay}}},
	{"HEAD", []agreeStep{{method: "HEAD"}, {}, {method: "HEAD"}, {method: "HEAD", fields: longWay}}},
	{"one who has it", []agreeStep{
		{fields: "If-None-Match: \"one\"\r\n"}, {fields: "If-None-Match: \"one\"\r\n"}, {fields: longWay + "If-None-Match: \"two\", \"one\"\r\n"},
		{fields: longWay + "If-Modified-Since: Wed, 01 Sep 2010 00:00:00 GMT\r\n"}, {method: "HEAD", fields: longWay + "If-None-Match: *\r\n"},
	}},
	{"ranges", []agreeStep{{fields: "Range: bytes=1-2\r\n"}, {fields: "Range: bytes=1-2\r\n"}, {fields: "Range: bytes=1000000-\r\n"}}},
	{"validated", []agreeStep{{}, {later: 30 * time.Second, mood: "confirming"}, {}, {fields: longWay}}},
	{"stale while the origin fails", []agreeStep{{}, {later: 100 * time.Second, mood: "failing"}}},
	{"stale while another is fetched", []agreeStep{{}, {later: 12 * time.Second}}},
	{"a failing origin", []agreeStep{{mood: "failing"}, {method: "HEAD", mood: "failing"}}},
	{"hints before the answer", []agreeStep{{mood: "hinting"}}},
	{"another variant", []agreeStep{{fields: "Accept-Language: de\r\n"}, {fields: "Accept-Language: fr\r\n"}}},
	{"an unwilling client", []agreeStep{{fields: "Cache-Control: only-if-cached\r\n"}, {fields: "Cache-Control: no-store\r\n"}}},
}

// TestEveryAnswerAlike: what the lane writes from what is stored has the fields that net/http writes from a map, whatever is answered,
// wherever, and whatever has become of it.
func TestEveryAnswerAlike(t *testing.T) {
	clock, mood := new(handClock), new(atomic.Value)
	on, off := agreeEdge(t, "on", clock, mood), agreeEdge(t, "off", clock, mood)
	for _, place := range agreePlaces {
		with, without := &agreeClient{edge: on, listener: place.listener}, &agreeClient{edge: off, listener: place.listener}
		for i, walk := range agreeWalks {
			for number, row := range agreeRows {
				for n, step := range walk.steps {
					clock.at.Add(int64(step.later))
					mood.Store(step.mood)
					awaitFills(on, off)
					method := cmp.Or(step.method, "GET")
					raw := fmt.Sprintf("%s %s%d/%d HTTP/1.1\r\nHost: %s\r\n%s%s\r\n", method, place.path, number, i, place.host, place.fields, step.fields)
					if diff := gocmp.Diff(without.ask(t, raw, method), with.ask(t, raw, method)); diff != "" {
						t.Errorf("%s, %s, %s, request %d: %q (-off +on):\n%s", row.name, place.name, walk.name, n, raw, diff)
					}
				}
			}
		}
		with.leave()
		without.leave()
	}
}

// awaitFills waits until what has been answered is stored: a client has all of a page a moment before that.
func awaitFills(all ...*Edge) {
	for _, e := range all {
		for e.store.Stats().Filling.Load() > 0 {
			runtime.Gosched()
		}
	}
}

// handClock is moved by hand.
type handClock struct{ at atomic.Int64 }

func (c *handClock) Now() cache.Moment {
	at := c.at.Load()
	return cache.Moment{Mono: cache.Instant(at), Wall: time.Date(2010, 9, 2, 0, 0, 0, 0, time.UTC).Add(time.Duration(at))}
}

// agreeEdge is an Edge with a Store of its own. It trusts those who come by its third listener.
func agreeEdge(t *testing.T, lane string, clock cache.Clock, mood *atomic.Value) *Edge {
	journal := purge.NewJournal()
	store, err := cache.NewStore(cache.StoreConfig{MaxBytes: 256 << 20}, clock, journal)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	conf := DefaultConfig()
	conf.Log.Format, conf.FastLane = "off", lane
	conf.Listeners = []ListenerConfig{{Address: "[::1]:0"}, {Address: "[::1]:0", TLS: &TLSConfig{}}, {Address: "127.0.0.1:0"}}
	conf.TrustedProxies = []string{"127.0.0.1"}
	routes := []RouteConfig{
		{Match: MatchConfig{Path: []string{"/changed/*"}}, ResponseHeaders: HeaderConfig{
			Remove: []string{"Server", "Etag", "Location"}, Set: map[string]string{"X-Set": "1", "Content-Language": "fr"},
			Add: map[string]string{"Link": "</c>; rel=up", "X-Del": "more", "Vary": "X-Added", "Content-Digest": "y"},
		}},
		{Match: MatchConfig{Path: []string{"/own/*"}}, ResponseHeaders: HeaderConfig{
			Set: map[string]string{"Alt-Svc": "clear", "Strict-Transport-Security": "max-age=1"},
		}},
		{},
	}
	strict, year := HTTPSConfig{}, 365*24*time.Hour
	strict.HSTS.MaxAge = &year
	conf.Sites = []SiteConfig{
		{Hosts: []string{"example.com"}, Origin: "main", Routes: routes},
		{Hosts: []string{"strict.example"}, Origin: "main", Routes: routes, HTTPS: strict},
	}
	return serving(t, Options{
		Config: conf, Pools: map[string]Pool{"main": agreeOrigin{mood: mood}}, Store: store, Journal: journal, Clock: clock,
		Logger: slog.New(slog.DiscardHandler), Certificates: certified(t), ListenPacket: net.ListenPacket,
	})
}

// agreeClient asks at a listener, of which the second has TLS, on one connection for as long as it lasts.
type agreeClient struct {
	edge     *Edge
	listener int
	conn     net.Conn
	in       *bufio.Reader
}

// ask returns an answer without what may differ: the port of HTTP/3, and the time of what nobody has stored.
func (v *agreeClient) ask(t *testing.T, raw, method string) answeredFor {
	t.Helper()
	if v.conn == nil {
		v.arrive(t)
	}
	a := askOn(t, v.conn, v.in, raw, method)
	if a.Close {
		v.leave()
	}
	_, port, _ := net.SplitHostPort(v.edge.Addrs()[v.listener].String())
	for i, line := range a.Header[altSvc] {
		a.Header[altSvc][i] = strings.ReplaceAll(line, port, "port")
	}
	for i, line := range a.Header["Date"] {
		if date, err := http.ParseTime(line); err == nil && time.Since(date) < time.Hour {
			a.Header["Date"][i] = "now"
		}
	}
	return a
}

func (v *agreeClient) arrive(t *testing.T) {
	t.Helper()
	at, err := v.edge.Addrs()[v.listener], error(nil)
	if v.listener == 1 {
		v.conn, err = dialTLS(at)
	} else {
		v.conn, err = net.Dial("tcp", at.String())
	}
	if err != nil {
		t.Fatal(err)
	}
	v.in = bufio.NewReader(v.conn)
}

func (v *agreeClient) leave() {
	if v.conn != nil {
		_ = v.conn.Close() // all that was asked for has come
		v.conn = nil
	}
}
