package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// standIn is the plainest node: it forwards, and has no cache, no log and one metric. What scenarios can say of a proxy
// is tried on it, so that a fault of the runner is not taken for one of Selvage.
type standIn struct {
	servers []*http.Server
	served  chan error
	proxy   *http.Transport
	log     *os.File
	config  string
}

func startStandIn(n *memoryNetwork, config string) (subject, error) {
	_, name, _ := strings.Cut(config, "file: ")
	name, _, _ = strings.Cut(strings.Trim(name, `"`), `"`)
	accessLog, err := os.Create(name)
	if err != nil {
		return nil, err
	}
	s := &standIn{served: make(chan error, 2), proxy: &http.Transport{DialContext: n.Dial, DisableCompression: true}, log: accessLog, config: config}
	proxy := &httputil.ReverseProxy{
		Transport: s.proxy, ErrorLog: log.New(io.Discard, "", 0),
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(&url.URL{Scheme: "http", Host: "main"}) },
	}
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = &toItsEnd{ReadCloser: r.Body}
		proxy.ServeHTTP(flushing{w}, r)
		fmt.Fprintf(accessLog, "{\"method\":%q,\"target\":%q}\n", r.Method, r.RequestURI)
	})
	certificate, err := ownCertificate()
	if err != nil {
		return nil, err
	}
	for _, address := range []string{":80", ":443"} {
		l, err := n.Listen("tcp", address)
		if err != nil {
			return nil, err
		}
		srv := &http.Server{Handler: handler, ErrorLog: log.New(io.Discard, "", 0), TLSConfig: &tls.Config{Certificates: []tls.Certificate{certificate}}}
		s.servers = append(s.servers, srv)
		go func() {
			if address == ":443" {
				s.served <- srv.ServeTLS(l, "", "")
			} else {
				s.served <- srv.Serve(l)
			}
		}()
	}
	return s, nil
}

// flushing sends every write at once. ReverseProxy's own flushing holds a mutex while it writes, and synctest does not count
// waiting for a mutex as waiting.
type flushing struct{ http.ResponseWriter }

func (w flushing) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w flushing) Write(p []byte) (int, error) {
	n, err := w.ResponseWriter.Write(p)
	w.ResponseWriter.(http.Flusher).Flush()
	return n, err
}

// toItsEnd is a request body that nobody reads behind its end: net/http closes it when the answer begins, and the transport,
// which looks whether there is more, would take that for an error.
type toItsEnd struct {
	io.ReadCloser
	whole bool
}

func (b *toItsEnd) Read(p []byte) (int, error) {
	if b.whole {
		return 0, io.EOF
	}
	n, err := b.ReadCloser.Read(p)
	b.whole = err == io.EOF
	return n, err
}

func ownCertificate() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}

func (s *standIn) reload(config string) error {
	if strings.Contains(config, "nonsense") {
		return errors.New("nonsense: unknown key")
	}
	s.config = config
	return nil
}

func (s *standIn) metrics() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "# HELP requests\nrequests{site=\"a\",code=\"200\"} 3\nrequests{site=\"b\",code=\"200\"} 4\n")
	})
}

func (s *standIn) stop() error {
	s.proxy.CloseIdleConnections()
	for _, srv := range s.servers {
		srv.Close()
	}
	for range s.servers {
		<-s.served
	}
	return s.log.Close()
}

// playText plays a scenario given as text against the stand-in.
func playText(t *testing.T, m, text string) (result error) {
	t.Helper()
	sc, err := parseScenario("s.txt", text)
	if err != nil {
		t.Fatal(err)
	}
	logFile := filepath.Join(t.TempDir(), "access.log")
	synctest.Test(t, func(t *testing.T) { result = sc.play(scenarioModes[m], logFile, startStandIn) })
	return result
}

// Every kind of statement, saying what is true of a plain proxy.
var truths = map[string]string{
	"fields and body": `
origin GET /a
    200
    X-Colour: red
    Last-Modified: $start-1h

    first line
    second line
then
    404
GET /a
    expect 200
    expect X-Colour: red
    expect X-Colour ~ re
    expect X-Colour !~ blue
    expect no X-Shape
    expect body ~ second
    expect Date: $now
    expect Last-Modified: Fri, 31 Dec 1999 23:00:00 GMT
GET /a
    Cookie: x=y
    expect 404
    expect empty body
origin saw 2 GET /a
    Cookie: x=y
    Host: main
    no Range
origin saw 2 requests
origin saw 1 connections
log has method=GET target=/a
log has no method=POST
metric requests{code="200"} is 7
metric requests{site="b"} is 4
`,
	"time": `
origin /slow
    wait 2s
    200
    text one
    wait 3s
    text two
start c1: GET /slow
    expect head after 2s
    expect first byte after 2s
    expect end after 5s
    expect body onetwo
peek c1
    expect waiting
advance 3s
peek c1
    expect unfinished
    expect body one
wait c1
`,
	"bodies": `
origin POST /echo
    200
    echo body
origin GET /big
    200
    ranges
    pattern 1MiB b
origin GET /chunks
    200
    pattern 10
    pattern 20
    trailer X-Sum: 7
POST /echo
    pattern 300KiB
    expect body pattern 300KiB
POST /echo
    chunked
    text ab
    wait 1s
    text cd
    expect body abcd
    expect end after 1s
GET /big
    expect body pattern 1MiB b
GET /big
    Range: bytes=100-199
    expect 206
    expect Content-Range: bytes 100-199/1048576
    expect body pattern 100-199 b
GET /chunks
    expect body pattern 30
    expect trailer X-Sum: 7
origin saw 2 POST /echo
    body abcd
`,
	"conditions": `
origin GET /a when X-Lang: de
    200
    text hallo
origin GET /a
    200
    ETag: "1"
    conditional
    text hello
GET /a
    expect body hello
GET /a
    X-Lang: de
    expect body hallo
GET /a
    If-None-Match: "0", W/"1"
    expect 304
    expect ETag: "1"
GET /a?b=c
    expect 200
HEAD /a
    expect Content-Length: 5
    expect empty body
origin saw 1 GET /a?b=c
`,
	"faults": `
origin GET /short
    200
    length 100
    text abc
    close
origin GET /close
    close
origin GET /reset
    reset
origin GET /hang
    hang
GET /short
    expect 200
    expect aborted
    expect body abc
GET /close
    expect 502
GET /reset
    expect 502
start c1: GET /hang
advance 1h
peek c1
    expect waiting
c1 leaves
origin saw 1 GET /hang
    aborted
origin down
GET /short
    expect 502
origin up
GET /short
    expect aborted
`,
	"interim": `
origin GET /a
    interim 103 Link: </a.css>; rel=preload
    200
    text hello
GET /a
    expect interim 103 Link: </a.css>; rel=preload
    expect 200
`,
	"rows of clients": `
origin GET /a
    wait 1s
    200
    text hello
start c1..c20: GET /a
    X-Name: $client
wait c1..c20
    expect body hello
    expect end after 1s
origin saw 20 GET /a
    X-Name ~ c
`,
	"reload": `
reload
    other: true
reload refused cache
    nonsense: true
`,
}

func TestScenarioTruths(t *testing.T) {
	for name, text := range truths {
		for m := range scenarioModes {
			t.Run(name+"/"+m, func(t *testing.T) {
				if err := playText(t, m, text); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// What only HTTP/1.1 has: raw bytes, an open connection, a tunnel, an unread buffer.
var lineTruths = map[string]string{
	"raw": `
origin GET /a
    200
    text hello
raw
    GET /a HTTP/1.1\r\nHost: a\r\n\r\n
    GET /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n
    expect body hello
answer
    expect body hello
    expect closed
raw
    nonsense\r\n\r\n
    expect 400
    expect closed
`,
	"tunnel": `
origin GET /chat
    101
    Connection: Upgrade
    Upgrade: echo
    tunnel
c1: GET /chat
    Connection: Upgrade
    Upgrade: echo
    expect 101
c1 sends hello\r\n
c1 receives hello\r\n
`,
	"slow reader": `
origin GET /big
    200
    pattern 1MiB
start c1: GET /big
    read 1KiB
peek c1
    expect unfinished
    expect body pattern 1KiB
c1 resumes
wait c1
    expect body pattern 1MiB
start c2: GET /big
    read 64KiB every 1s
wait c2
    expect end after 15s
`,
	"https": `
client c1 over https
client c1 from 198.51.100.7
origin GET /a
    200
    text hello
c1: GET /a
    expect body hello
    expect open
origin saw 1 GET /a
`,
}

func TestScenarioLineTruths(t *testing.T) {
	for name, text := range lineTruths {
		t.Run(name, func(t *testing.T) {
			if err := playText(t, "h1", text); err != nil {
				t.Error(err)
			}
		})
	}
}

// What is not so is said with file, line and both values.
func TestScenarioFailures(t *testing.T) {
	const origin = "origin GET /a\n    200\n    X-Colour: red\n    text hello\n" // lines 1 to 4
	rows := []struct{ text, want string }{
		{"GET /a\n    expect 404", "s.txt:6: GET /a: status = 200, want 404"},
		{"GET /a\n    expect X-Colour: blue", `s.txt:6: GET /a: X-Colour = "red", want "blue"`},
		{"GET /a\n    expect X-Colour ~ blue", `s.txt:6: GET /a: X-Colour = "red", want "blue" in it`},
		{"GET /a\n    expect X-Shape: round", `s.txt:6: GET /a: no X-Shape, want "round"`},
		{"GET /a\n    expect no X-Colour", `s.txt:6: GET /a: X-Colour = "red", want none`},
		{"GET /a\n    expect body bye", `s.txt:6: GET /a: body = "hello", want "bye"`},
		{"GET /a\n    expect aborted", "s.txt:6: GET /a: ended well after 5 bytes, want it aborted"},
		{"GET /a\n    expect no answer", "s.txt:6: GET /a: status = 200, want no answer"},
		{"GET /a\n    expect closed", "s.txt:6: GET /a: connection closed = false, want true"},
		{"GET /a\n    expect end after 1s", "s.txt:6: GET /a: end after 0s, want it after 1s"},
		{"GET /a\n    expect interim 103", "s.txt:6: GET /a: interim responses = [], want 103"},
		{"GET /a\n    expect parts 2", `s.txt:6: GET /a: Content-Type = "text/plain; charset=utf-8", want multipart/byteranges`},
		{"start c1: GET /a\npeek c1\n    expect waiting", "s.txt:7: c1: GET /a: status = 200, error <nil>; want it waiting for a head"},
		{"GET /a\norigin saw 2 GET /a", "s.txt:6: origin main saw 1 GET /a, want 2 (it saw GET /a)"},
		{"GET /a\norigin saw 1 GET /a\n    Range: x", `s.txt:7: origin main, GET /a: no Range, want "x"`},
		{"origin saw 0 GET /a\n    no Range", "s.txt:6: origin main saw no GET /a"},
		{"GET /a\nlog has method=POST", "s.txt:6: log has method=POST = false, want true; it is\n{\"method\":\"GET\",\"target\":\"/a\"}\n"},
		{"metric requests is 1", "s.txt:5: metric requests = 7, want 1"},
		{"reload refused\n    fine: true", "s.txt:5: reload = nil, want it refused"},
		{"reload\n    nonsense: true", "s.txt:5: reload: nonsense: unknown key"},
		{"GET /b", "s.txt: origin main has no answer to GET /b"},
		{"origin GET /a\n    200\n    length 9\n    text abc\n    close\nGET /a", "s.txt:10: GET /a: broken off after 3 bytes: unexpected EOF"},
		{"start c1: GET /a\n    read 1\nc1: GET /a", "s.txt:7: GET /a: client c1 is still busy with GET /a"},
	}
	for _, row := range rows {
		err := playText(t, "h1", origin+row.text)
		if err == nil || err.Error() != row.want {
			t.Errorf("%q:\n got %v\nwant %s", row.text, err, row.want)
		}
	}
}

// What cannot be understood is said when the file is read.
func TestScenarioSyntax(t *testing.T) {
	rows := []struct{ text, want string }{
		{"    expect 200", "s.txt:1: indented, but under no statement"},
		{"GET /a\n  expect 200", "s.txt:2: indented by other than four spaces"},
		{"jump high", `s.txt:1: "jump high": no such statement`},
		{"c1 dances", `s.txt:1: "c1 dances": no such statement`},
		{"GET", `s.txt:1: "GET": want METHOD /target`},
		{"GET /a\n    expect nonsense", `s.txt:2: "nonsense": no such expectation`},
		{"GET /a\n    nonsense", `s.txt:2: "nonsense": no such keyword`},
		{"GET /a\n    200", `s.txt:2: "200": a request has no status`},
		{"origin GET /a\n    pattern 10XB", `s.txt:2: "10XB" is no size such as 100, 64KiB or 10MiB`},
		{"origin main", `s.txt:1: "origin main": says nothing of the origin`},
		{"then\n    200", `s.txt:1: "then": then stands alone, after an origin's answer`},
		{"advance soon", `s.txt:1: "advance soon": advance wants a duration such as 30s`},
		{"modes h9", `s.txt:1: no mode "h9"`},
		{"wait c1\n    200", `s.txt:2: "200": want an expectation`},
		{"start c9..c1: GET /a", `s.txt:1: "c9..c1": want a row of clients such as c1..c50`},
	}
	for _, row := range rows {
		_, err := parseScenario("s.txt", row.text)
		if err == nil || err.Error() != row.want {
			t.Errorf("%q:\n got %v\nwant %s", row.text, err, row.want)
		}
	}
}

// Every scenario can be read, and begins with a line of prose that says what it shows.
func TestScenariosAreReadable(t *testing.T) {
	for _, file := range scenarioFiles(t) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(string(text), "# ") {
			t.Errorf("%s:1: want a line of prose that says what it shows", file)
		}
		if _, err := parseScenario(file, string(text)); err != nil {
			t.Error(err)
		}
	}
}

func TestPattern(t *testing.T) {
	whole := pattern('a', 0, 100)
	if got := string(whole[:32]); got != "00000000000000a\n00000000000010a\n" {
		t.Errorf("pattern begins %q", got)
	}
	if got := pattern('a', 37, 21); string(got) != string(whole[37:58]) {
		t.Errorf("pattern from 37 = %q, want %q", got, whole[37:58])
	}
}
