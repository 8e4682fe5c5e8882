package lane

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestReplies: a handler is answered for as by net/http, whatever it does with its ResponseWriter, and so is one that gives its
// head in the form of a message.
func TestReplies(t *testing.T) {
	fields := func(pairs ...string) func(http.Header) {
		return func(h http.Header) {
			for i := 0; i < len(pairs); i += 2 {
				h.Add(pairs[i], pairs[i+1])
			}
		}
	}
	for name, row := range map[string]struct {
		set    func(http.Header)
		status int
		pieces []string
		after  func(w http.ResponseWriter)
	}{
		"a length, and the body in pieces":   {fields("Content-Length", "5"), 200, []string{"he", "", "llo"}, nil},
		"no length":                          {fields(), 200, []string{"he", "llo"}, flush},
		"a long body without a length":       {fields(), 200, []string{repeat("x", 5000), "y", repeat("z", 100000)}, flush},
		"no status":                          {fields("Content-Length", "2"), 0, []string{"ok"}, nil},
		"no word at all":                     {nil, 0, nil, nil},
		"more than the length":               {fields("Content-Length", "2"), 200, []string{"ok", "more"}, nil},
		"204":                                {fields("Content-Length", "2"), 204, []string{"no"}, nil},
		"304 with a length":                  {fields("Content-Length", "2", "Etag", `"a"`), 304, []string{"no"}, nil},
		"304 with a type":                    {fields("Content-Type", "text/x", "Etag", `"a"`), 304, nil, nil},
		"a length before an interim head":    {fields("Content-Length", "2"), 103, []string{"ok"}, nil},
		"a status without a name":            {fields("Content-Length", "0"), 299, nil, nil},
		"a status over 500":                  {fields("Content-Length", "0"), 599, nil, nil},
		"a second status":                    {fields("Content-Length", "0"), 404, nil, func(w http.ResponseWriter) { w.WriteHeader(500) }},
		"values with line ends":              {fields("Content-Length", "0", "A", "b\r\nc: d", "E", " f "), 200, nil, nil},
		"a name that is none":                {fields("Content-Length", "0", "A b", "c", "", "d"), 200, nil, nil},
		"several values, in order":           {fields("Content-Length", "0", "B", "2", "A", "1", "B", "1"), 200, nil, nil},
		"a date of its own":                  {fields("Content-Length", "0", "Date", "then"), 200, nil, nil},
		"a type of its own":                  {fields("Content-Length", "1", "Content-Type", "text/x"), 200, []string{"x"}, nil},
		"the end of the connection":          {fields("Content-Length", "2", "Connection", "close"), 200, []string{"ok"}, nil},
		"trailers":                           {fields("Trailer", "Sum"), 200, []string{repeat("x", 3000)}, trail("Sum", "3000")},
		"a field behind the head":            {fields("Content-Length", "2"), 200, []string{"ok"}, func(w http.ResponseWriter) { w.Header().Set("Late", "1") }},
		"flushed before the first byte":      {func(h http.Header) { h.Set("Content-Length", "0") }, 200, nil, flush},
		"too short for its length":           {fields("Content-Length", "9"), 200, []string{"short"}, flush},
		"an answer that breaks off":          {fields("Content-Length", "9"), 200, []string{"short"}, abort},
		"one without a length that does too": {fields(), 200, []string{"short"}, abort},
	} {
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			synctest.Test(t, func(t *testing.T) {
				gathers := false
				handler := func(w http.ResponseWriter, _ *http.Request) {
					w.Header()["Content-Type"] = nil
					if row.set != nil {
						row.set(w.Header())
					}
					switch {
					case gathers && row.status >= 200 && w.Header().Get("Connection") == "":
						gatherMessage(w.(*Reply), row.status)
					case row.status > 0:
						w.WriteHeader(row.status)
					}
					for _, p := range row.pieces {
						_, err := io.WriteString(w, p)
						w.Header().Add(http.TrailerPrefix+"Errors", fmt.Sprint(err != nil))
					}
					w.Header().Del(http.TrailerPrefix + "Errors")
					if row.after != nil {
						row.after(w)
					}
				}
				var got [3]string
				for i, change := range []func(*Config){nil, byNetHTTP, nil} {
					gathers = i == 2
					r := newRig(t, handler, change).start(nil)
					c := r.l.dial()
					send(t, c, method+" / HTTP/1.1\r\nHost: a\r\n\r\n"+method+" /2 HTTP/1.1\r\nHost: a\r\n\r\n")
					_ = c.CloseWrite()
					got[i] = transcript(c, method)
					_ = c.Close()
				}
				if got[0] != got[1] {
					t.Errorf("%s %s:\n%s-- by net/http:\n%s", method, name, got[0], got[1])
				}
				if got[2] != got[1] {
					t.Errorf("%s %s, its head gathered:\n%s-- by net/http:\n%s", method, name, got[2], got[1])
				}
			})
		}
	}
}

// gatherMessage gives the head that is set up in the form of a message.
func gatherMessage(w *Reply, status int) {
	h := w.Header()
	length, err := strconv.ParseInt(h.Get("Content-Length"), 10, 64)
	if err != nil {
		length = -1
	}
	if status == http.StatusNotModified {
		h.Del("Content-Type")
	}
	head := bytes.NewBuffer(w.Buffer())
	fmt.Fprintf(head, "HTTP/1.1 %d %s\r\nDate: then\r\n", status, cmp.Or(http.StatusText(status), "status code "+strconv.Itoa(status)))
	_ = h.WriteSubset(head, map[string]bool{"Content-Length": true, "Date": true}) // a buffer takes everything
	w.Gather(head.Bytes(), status, length)
}

func flush(w http.ResponseWriter) { _ = http.NewResponseController(w).Flush() }

func trail(name, value string) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) { w.Header().Set(http.TrailerPrefix+name, value) }
}

func abort(w http.ResponseWriter) {
	flush(w)
	panic(http.ErrAbortHandler)
}

// transcript reads answers to the end of the connection and says what a client makes of them.
func transcript(c net.Conn, method string) string {
	var out strings.Builder
	in := bufio.NewReader(c)
	for {
		answer, err := http.ReadResponse(in, &http.Request{Method: method})
		if err != nil {
			fmt.Fprintf(&out, "%v\n", err)
			return out.String()
		}
		body, err := io.ReadAll(answer.Body)
		fmt.Fprintf(&out, "%s, close %v, length %d, dates %d, %q, %d bytes %.20q, %v, trailer %q\n",
			answer.Status, answer.Close, answer.ContentLength, len(answer.Header["Date"]),
			slices.Sorted(maps.Keys(answer.Header)), len(body), body, err, answer.Trailer)
		for _, name := range slices.Sorted(maps.Keys(answer.Header)) {
			if values := answer.Header[name]; len(values) > 1 || name == "A" || name == "E" {
				fmt.Fprintf(&out, "  %q\n", values)
			}
		}
	}
}

// TestInterimReplies leave at once, with their own fields.
func TestInterimReplies(t *testing.T) {
	for name, change := range map[string]func(*Config){"lane": nil, "net/http": byNetHTTP} {
		synctest.Test(t, func(t *testing.T) {
			goOn := make(chan bool)
			c := newRig(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Link", "</a>; rel=preload")
				w.WriteHeader(103)
				<-goOn
				clear(w.Header())
				w.Header().Set("Content-Length", "2")
				_, _ = io.WriteString(w, "ok")
			}, change).start(nil).l.dial()
			defer c.Close()
			send(t, c, get)
			in := bufio.NewReader(c)
			early, err := http.ReadResponse(in, nil)
			if err != nil || early.StatusCode != 103 || early.Header.Get("Link") == "" {
				t.Errorf("%s: %+v, %v; want 103 with a Link", name, early, err)
			}
			close(goOn)
			if answer, body := readAnswer(t, in); answer.StatusCode != 200 || body != "ok" || answer.Header.Get("Link") != "" {
				t.Errorf("%s: %v %q %v", name, answer.StatusCode, body, answer.Header)
			}
		})
	}
}

// TestClientLeavesWhileItIsServed: the handler is told, though not at once; one that ends its side behind further requests has not
// left, and what it has sent ahead is answered.
func TestClientLeavesWhileItIsServed(t *testing.T) {
	for _, config := range []*tls.Config{nil, serverTLS()} {
		synctest.Test(t, func(t *testing.T) {
			told := make(chan time.Duration, 1)
			r := newRig(t, func(w http.ResponseWriter, r *http.Request) {
				begin := time.Now()
				select {
				case <-r.Context().Done():
					told <- time.Since(begin)
				case <-time.After(10 * watchAfter):
				}
				echo(w, r)
			}, nil).start(config)
			connect := func() stream {
				raw := r.l.dial()
				if config == nil {
					return raw
				}
				return clientTLS(raw, "http/1.1")
			}
			c := connect()
			send(t, c, get)
			_ = c.Close()
			if after := <-told; after != watchAfter {
				t.Errorf("told after %v, want %v", after, watchAfter)
			}
			c = connect()
			send(t, c, get+get+get)
			_ = c.CloseWrite()
			if got := readStatuses(t, bufio.NewReader(c)); !slices.Equal(got, []int{200, 200, 200}) {
				t.Errorf("slow requests sent ahead: %v, want three answers", got)
			}
			_ = c.Close()
		})
	}
}

// TestServedOneAfterTheOther: fast and slow ones, of which the latter are watched, on one connection, and at last one for net/http.
func TestServedOneAfterTheOther(t *testing.T) {
	for _, config := range []*tls.Config{nil, serverTLS()} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, func(w http.ResponseWriter, r *http.Request) {
				if r.RequestURI == "/slow" {
					time.Sleep(3 * watchAfter)
				}
				echo(w, r)
			}, nil).start(config)
			raw := r.l.dial()
			var c net.Conn = raw
			if config != nil {
				c = clientTLS(raw, "http/1.1")
			}
			defer raw.Close()
			in := bufio.NewReader(c)
			for i := range 12 {
				method, target := "GET", []string{"/fast", "/slow"}[i%2]
				if i > 8 {
					method = "POST"
				}
				send(t, c, method+" "+target+" HTTP/1.1\r\nHost: a\r\n\r\n")
				if i%3 == 0 {
					advance(watchAfter + time.Millisecond)
				}
				if _, body := readAnswer(t, in); body != method+" "+target+` a "" map[]` {
					t.Errorf("request %d: %q", i, body)
				}
				if i%4 == 0 {
					advance(testTimeouts.Idle - time.Second) // no deadline is left over
				}
			}
		})
	}
}

// TestShutdownGivesUpOnWhatIsServed: a handler is told even where nobody reads from the client, who has sent too much ahead or has
// ended its side behind further requests, and so holds up nothing.
func TestShutdownGivesUpOnWhatIsServed(t *testing.T) {
	for name, row := range map[string]struct {
		ahead string
		ends  bool
	}{"a full stash": {repeat(get, maxStash/len(get)+1), false}, "the end behind requests": {get, true}} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, nil).start(nil)
			c := r.l.dial()
			defer c.Close()
			send(t, c, get)
			advance(2 * watchAfter)
			send(t, c, row.ahead)
			if row.ends {
				_ = c.CloseWrite()
			}
			synctest.Wait()
			begin := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if err, took := r.Shutdown(ctx), time.Since(begin); err == nil || took != time.Second {
				t.Errorf("%s: given up after %v, %v; want to after a second", name, took, err)
			}
		})
	}
}

// TestShutdownWaitsForNoHandlerForEver: not for one that waits for others, and so not for its client.
func TestShutdownWaitsForNoHandlerForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		defer close(release)
		r := newRig(t, func(http.ResponseWriter, *http.Request) { <-release }, nil).start(nil)
		c := r.l.dial()
		defer c.Close()
		send(t, c, get)
		synctest.Wait()
		begin := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err, took := r.Shutdown(ctx), time.Since(begin); err == nil || took != time.Second {
			t.Errorf("given up after %v, %v; want to after a second", took, err)
		}
	})
}

// TestHandlerPanicsHere: its connection ends, and no other; what it has written is not taken for whole.
func TestHandlerPanicsHere(t *testing.T) {
	for _, gone := range []any{"a bug", http.ErrAbortHandler} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, func(w http.ResponseWriter, r *http.Request) {
				if r.RequestURI == "/panic" {
					_, _ = io.WriteString(w, "half")
					panic(gone)
				}
				echo(w, r)
			}, nil).start(nil)
			other, c := r.l.dial(), r.l.dial()
			defer other.Close()
			defer c.Close()
			send(t, c, "GET /panic HTTP/1.1\r\nHost: a\r\n\r\n"+get)
			if got := transcript(c, http.MethodGet); strings.Contains(got, "<nil>") {
				t.Errorf("after a panic: %s", got)
			}
			send(t, other, get)
			readAnswer(t, bufio.NewReader(other))
		})
	}
}
