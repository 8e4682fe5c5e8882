package origin

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// serve answers every request on a connection with the same bytes.
func serve(answer string) func(*peer) {
	return func(p *peer) {
		for p.request() != nil {
			p.write(answer)
		}
	}
}

func TestKeepAlive(t *testing.T) {
	for _, row := range []struct {
		name   string
		method string
		answer string
		dials  int64 // for two exchanges
	}{
		{"length", "GET", ok2, 1},
		{"chunked", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", 1},
		{"HEAD", "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", 1},
		{"304", "GET", "HTTP/1.1 304 Not Modified\r\n\r\n", 1},
		{"close asked for", "GET", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", 2},
		{"HTTP/1.0", "GET", "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", 2},
		{"HTTP/1.0 kept", "GET", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok", 1},
	} {
		t.Run(row.name, func(t *testing.T) {
			withOrigin(t, func(t *testing.T, p *Pool, s *scripted) {
				for range 2 {
					if _, _, err := exchangeOnce(p, newRequest(t, row.method, "/", nil)); err != nil {
						t.Fatal(err)
					}
				}
				if n := s.dials.Load(); n != row.dials {
					t.Errorf("%d connections, want %d", n, row.dials)
				}
			}, serve(row.answer))
		})
	}
}

// TestBodiesTravelApart: an origin that takes a body for the next request must not have its answer to it taken for that to
// a request without a body, whose answer may be stored.
func TestBodiesTravelApart(t *testing.T) {
	const smuggled = "GET /smuggled HTTP/1.1\r\nHost: www.test\r\n\r\n"
	withOrigin(t, func(t *testing.T, p *Pool, s *scripted) {
		wantBody(t, p, newRequest(t, "POST", "/", strings.NewReader(smuggled)), 200, "ok")
		for range 2 {
			wantBody(t, p, newRequest(t, "GET", "/", nil), 200, "ok")
		}
		if n := s.dials.Load(); n != 2 {
			t.Errorf("%d connections, want one with bodies and one without", n)
		}
	}, func(p *peer) {
		p.head()
		p.write(ok2)
		p.head() // the body
		p.head() // were there another
		p.write("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison")
	}, serve(ok2))
}

// TestBodyWithoutMeaning: where a server is likely to ignore a body, the connection ends with it.
func TestBodyWithoutMeaning(t *testing.T) {
	for method, dials := range map[string]int64{"GET": 2, "HEAD": 2, "OPTIONS": 2, "DELETE": 2, "POST": 1, "PUT": 1, "PATCH": 1} {
		t.Run(method, func(t *testing.T) {
			answer := ok2
			if method == "HEAD" {
				answer = strings.TrimSuffix(ok2, "ok")
			}
			withOrigin(t, func(t *testing.T, p *Pool, s *scripted) {
				for range 2 {
					if _, _, err := exchangeOnce(p, newRequest(t, method, "/", strings.NewReader("a"))); err != nil {
						t.Fatal(err)
					}
				}
				if n := s.dials.Load(); n != dials {
					t.Errorf("%d connections for two requests, want %d", n, dials)
				}
			}, serve(answer))
		})
	}
}

// TestBodyWhereNoneMayBe: the head is good and is delivered, the connection is not used again.
func TestBodyWhereNoneMayBe(t *testing.T) {
	for _, row := range []struct {
		name, method, answer string
		status               int
	}{
		{"HEAD", "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison", 200},
		{"HEAD chunked", "HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 200},
		{"204", "GET", "HTTP/1.1 204 No Content\r\n\r\n" + ok2, 204},
		{"304", "GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 6\r\n\r\npoison", 304},
	} {
		t.Run(row.name, func(t *testing.T) {
			withOrigin(t, func(t *testing.T, p *Pool, s *scripted) {
				wantBody(t, p, newRequest(t, row.method, "/", nil), row.status, "")
				wantBody(t, p, newRequest(t, "POST", "/", nil), 200, "ok")
				if n := s.dials.Load(); n != 2 {
					t.Errorf("%d connections, want 2", n)
				}
			}, func(p *peer) { p.request(); p.write(row.answer); p.hold() }, serve(ok2))
		})
	}
}

// TestUnaskedBytes: what comes on an idle connection ends it, and is nobody's answer.
func TestUnaskedBytes(t *testing.T) {
	withOrigin(t, func(t *testing.T, p *Pool, s *scripted) {
		wantBody(t, p, newRequest(t, "GET", "/", nil), 200, "ok")
		<-time.After(2 * second)
		wantBody(t, p, newRequest(t, "GET", "/", nil), 200, "ok")
		if n := s.dials.Load(); n != 2 {
			t.Errorf("%d connections, want 2", n)
		}
	}, func(p *peer) {
		p.request()
		p.write(ok2)
		<-time.After(second)
		p.write("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison")
		p.hold()
	}, serve(ok2))
}

// TestEarlyAnswer: an answer that comes before the request's body is sent is delivered, and the connection is not used again:
// the rest of the body would be the next request (CL.0).
func TestEarlyAnswer(t *testing.T) {
	for _, answer := range []string{
		"HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno",
		"HTTP/1.1 413 Content Too Large\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n",
	} {
		var after string
		withOrigin(t, func(t *testing.T, p *Pool, s *scripted) {
			reader, writer := io.Pipe()
			wantBody(t, p, newRequest(t, "POST", "/", reader), 413, "no")
			writer.Close()
			wantBody(t, p, newRequest(t, "POST", "/", strings.NewReader("a")), 200, "ok")
			if n := s.dials.Load(); n != 2 {
				t.Errorf("%d connections, want 2", n)
			}
		}, func(p *peer) {
			p.head()
			p.write(answer)
			after = p.hold()
		}, serve(ok2))
		if strings.Contains(after, "POST") {
			t.Errorf("the connection was used again: %q", after)
		}
	}
}

// TestEarlyClose: a body that is not wanted is not drained.
func TestEarlyClose(t *testing.T) {
	sent := 0
	withOrigin(t, func(t *testing.T, p *Pool, s *scripted) {
		response, err := p.RoundTrip(newRequest(t, "GET", "/", nil))
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		wantBody(t, p, newRequest(t, "GET", "/", nil), 200, "ok")
	}, func(p *peer) {
		p.request()
		p.write("HTTP/1.1 200 OK\r\nContent-Length: 1048576\r\n\r\n")
		for range 1 << 20 / 1024 {
			if _, err := io.WriteString(p.Conn, strings.Repeat("a", 1024)); err != nil {
				return
			}
			sent++
		}
	}, serve(ok2))
	if sent > 64 {
		t.Errorf("%d KiB were read of a body that was closed", sent)
	}
}

// TestDeadKeptConnection: the origin closes a kept connection just as the next request is written on it.
func TestDeadKeptConnection(t *testing.T) {
	for _, row := range []struct {
		name    string
		request func(t *testing.T) *http.Request
		again   bool
	}{
		{"GET is sent again", func(t *testing.T) *http.Request { return newRequest(t, "GET", "/", nil) }, true},
		{"POST is not", func(t *testing.T) *http.Request { return newRequest(t, "POST", "/", nil) }, false},
		{"POST with a body is not", func(t *testing.T) *http.Request {
			return newRequest(t, "POST", "/", strings.NewReader("a")) // net/http could rewind this one
		}, false},
		{"POST with Idempotency-Key is not", func(t *testing.T) *http.Request {
			r := newRequest(t, "POST", "/", nil)
			r.Header.Set("Idempotency-Key", "1")
			return r
		}, false},
		{"DELETE is not", func(t *testing.T) *http.Request { return newRequest(t, "DELETE", "/", nil) }, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			served := 0
			withOrigin(t, func(t *testing.T, p *Pool, s *scripted) {
				wantBody(t, p, row.request(t), 200, "ok")
				_, _, err := exchangeOnce(p, row.request(t))
				if row.again {
					if err != nil {
						t.Error(err)
					}
					return
				}
				if failure := wantFailure(t, err, typeTerminated, 502); !failure.Unreachable {
					t.Error("not unreachable, though no answer came")
				}
				synctest.Wait()
				if served != 0 {
					t.Error("the request was sent twice")
				}
			}, func(p *peer) {
				p.request()
				p.write(ok2)
				p.request()
			}, func(p *peer) {
				for p.request() != nil {
					served++
					p.write(ok2)
				}
			})
		})
	}
}

// TestGarbageOnKeptConnection: net/http would try a GET again on each kept connection in turn.
func TestGarbageOnKeptConnection(t *testing.T) {
	withOrigin(t, func(t *testing.T, p *Pool, s *scripted) {
		wantBody(t, p, newRequest(t, "GET", "/", nil), 200, "ok")
		_, _, err := exchangeOnce(p, newRequest(t, "GET", "/", nil))
		wantFailure(t, err, typeProtocol, 502)
		if n := s.dials.Load(); n != 1 {
			t.Errorf("%d connections, want 1", n)
		}
	}, func(p *peer) {
		p.request()
		p.write(ok2)
		p.request()
		p.write("garbage\r\n")
		p.hold()
	})
}

// codes is a Witness.
type codes []int

func (c *codes) Got1xx(code int, _ http.Header) { *c = append(*c, code) }

// TestInterimResponses reach the caller's witness.
func TestInterimResponses(t *testing.T) {
	withOrigin(t, func(t *testing.T, p *Pool, _ *scripted) {
		var got codes
		ctx := WithWitness(t.Context(), &got)
		wantBody(t, p, newRequest(t, "GET", "/", nil).WithContext(ctx), 200, "ok")
		if len(got) != 2 || got[0] != 103 || got[1] != 102 {
			t.Errorf("interim responses = %v, want [103 102]", got)
		}
	}, serve("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n"+ok2))
}

// TestNothingIsInvented: http.Transport takes Pragma: no-cache for a Cache-Control that the origin did not send.
func TestNothingIsInvented(t *testing.T) {
	for _, c := range []struct {
		fields, want string
	}{
		{"Pragma: no-cache\r\n", ""},
		{"Pragma: no-cache\r\ncache-control: no-cache\r\n", "no-cache"},
		{"Cache-Control: max-age=5\r\nPragma: no-cache\r\n", "max-age=5"},
	} {
		withOrigin(t, func(t *testing.T, p *Pool, _ *scripted) {
			wantBody(t, p, newRequest(t, "GET", "/", nil), 200, "ok")
			response := wantBody(t, p, newRequest(t, "GET", "/", nil), 200, "ok")
			if got := response.Header.Get("Cache-Control"); got != c.want || response.Header.Get("Pragma") != "no-cache" {
				t.Errorf("%q: Cache-Control %q, want %q, and Pragma as it was", c.fields, got, c.want)
			}
		}, afterOthers("Cache-Control: no-store\r\n", "Cache-Control: no-store\r\n", c.fields))
	}
}

// afterOthers is an origin whose second answer has these fields. Those of the answer before it, and of an interim one, do not count.
func afterOthers(before, interim, fields string) func(*peer) {
	return func(p *peer) {
		p.request()
		p.write("HTTP/1.1 200 OK\r\n" + before + "Content-Length: 2\r\n\r\nok")
		p.request()
		p.write("HTTP/1.1 103 Early Hints\r\n" + interim + "\r\n" +
			"HTTP/1.1 200 OK\r\n" + fields + "Content-Length: 2\r\n\r\nok")
		p.hold()
	}
}

// TestExpect: with Expect: 100-continue the body waits for the origin's word, or for a second.
func TestExpect(t *testing.T) {
	for _, row := range []struct {
		name   string
		script func(*peer)
		status int
	}{
		{"told to go on", func(p *peer) {
			p.head()
			p.write("HTTP/1.1 100 Continue\r\n\r\n")
			p.br.Discard(3)
			p.write(ok2)
			p.hold()
		}, 200},
		{"told nothing", func(p *peer) { p.request(); p.write(ok2); p.hold() }, 200},
		{"refused", func(p *peer) {
			p.head()
			p.write("HTTP/1.1 417 Expectation Failed\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")
			if rest := p.hold(); rest != "" {
				p.t.Errorf("the origin got %q after its refusal", rest)
			}
		}, 417},
	} {
		t.Run(row.name, func(t *testing.T) {
			withOrigin(t, func(t *testing.T, p *Pool, _ *scripted) {
				r := newRequest(t, "POST", "/", strings.NewReader("abc"))
				r.Header.Set("Expect", "100-continue")
				wantBody(t, p, r, row.status, "ok")
			}, row.script)
		})
	}
}

func TestTrailers(t *testing.T) {
	var seen http.Header
	withOrigin(t, func(t *testing.T, p *Pool, _ *scripted) {
		r := newRequest(t, "POST", "/", io.MultiReader(strings.NewReader("abc")))
		r.Trailer = http.Header{"Sum": {"1"}}
		response := wantBody(t, p, r, 200, "ok")
		if got := response.Trailer.Get("Grpc-Status"); got != "0" {
			t.Errorf("trailer = %v, want Grpc-Status: 0", response.Trailer)
		}
	}, func(p *peer) {
		r := p.request()
		seen = r.Trailer
		p.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: Grpc-Status\r\n\r\n2\r\nok\r\n0\r\nGrpc-Status: 0\r\n\r\n")
		p.hold()
	})
	if seen.Get("Sum") != "1" {
		t.Errorf("the origin saw trailers %v, want Sum: 1", seen)
	}
}

// upgradeTo asks for another protocol.
func upgradeTo(t *testing.T) *http.Request {
	r := newRequest(t, "GET", "/", nil)
	r.Header.Set("Connection", "Upgrade")
	r.Header.Set("Upgrade", "echo")
	return r
}

const switching = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"

func TestUpgrade(t *testing.T) {
	echo := func(p *peer) {
		p.request()
		p.write(switching + "hello\n\x00")
		line, _ := p.br.ReadString('\n')
		p.write(line)
		p.hold()
	}
	open := func(t *testing.T, p *Pool, ctx context.Context) io.ReadWriteCloser {
		response, err := p.RoundTrip(upgradeTo(t).WithContext(ctx))
		if err != nil {
			t.Fatal(err)
		}
		return response.Body.(io.ReadWriteCloser)
	}
	t.Run("both ways", func(t *testing.T) {
		withOrigin(t, func(t *testing.T, p *Pool, _ *scripted) {
			rw := open(t, p, t.Context())
			defer rw.Close()
			io.WriteString(rw, "ping\n")
			got := make([]byte, len("hello\n\x00ping\n"))
			if _, err := io.ReadFull(rw, got); err != nil || string(got) != "hello\n\x00ping\n" {
				t.Errorf("read %q, %v", got, err)
			}
		}, echo)
	})
	t.Run("ends with its context", func(t *testing.T) {
		withOrigin(t, func(t *testing.T, p *Pool, _ *scripted) {
			gone := errors.New("drained")
			ctx, cancel := context.WithCancelCause(t.Context())
			rw := open(t, p, ctx)
			defer rw.Close()
			time.AfterFunc(second, func() { cancel(gone) })
			if _, err := io.ReadAll(rw); !errors.Is(err, gone) {
				t.Errorf("error = %v, want %v", err, gone)
			}
		}, echo)
	})
	t.Run("ends after a silence", func(t *testing.T) {
		withOrigin(t, func(t *testing.T, p *Pool, _ *scripted) {
			rw := open(t, p, t.Context())
			defer rw.Close()
			_, err := io.ReadAll(rw)
			wantFailure(t, err, typeReadTimeout, 504)
		}, echo)
	})
	for name, answer := range map[string]string{
		"without Upgrade in the answer": "HTTP/1.1 101 Switching Protocols\r\n\r\n",
		"to another protocol":           "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
		"to a second protocol":          "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo, h2c\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			withOrigin(t, func(t *testing.T, p *Pool, _ *scripted) {
				_, err := p.RoundTrip(upgradeTo(t))
				wantFailure(t, err, typeUpgradeFailed, 502)
			}, func(p *peer) { p.request(); p.write(answer); p.hold() })
		})
	}
	t.Run("declined", func(t *testing.T) {
		withOrigin(t, func(t *testing.T, p *Pool, _ *scripted) {
			wantBody(t, p, upgradeTo(t), 200, "ok")
		}, serve(ok2))
	})
}

// TestRequestBytes: what goes out is what was given.
func TestRequestBytes(t *testing.T) {
	var head strings.Builder
	withOrigin(t, func(t *testing.T, p *Pool, _ *scripted) {
		r := newRequest(t, "GET", "/a%2Fb//c%20d;x=1?q=%zz&&", nil)
		r.Host = "www.example.com"
		before := r.Header.Clone()
		wantBody(t, p, r, 200, "ok")
		if len(r.Header) != len(before) || r.URL.Host != "www.test" {
			t.Error("RoundTrip changed the request it was given")
		}
	}, func(p *peer) {
		tee := bufio.NewReader(io.TeeReader(p.br, &head))
		http.ReadRequest(tee)
		p.write(ok2)
		p.hold()
	})
	const want = "GET /a%2Fb//c%20d;x=1?q=%zz&& HTTP/1.1\r\nHost: www.example.com\r\n\r\n"
	if head.String() != want {
		t.Errorf("sent %q, want %q", head.String(), want)
	}
}

// hints is a Witness that keeps the fields it is told of.
type hints []http.Header

func (h *hints) Got1xx(_ int, header http.Header) { *h = append(*h, header.Clone()) }

// TestConnectionStays: net/http takes Connection out of a head where it says close, and with it the names of the fields that must
// not go on.
func TestConnectionStays(t *testing.T) {
	for _, c := range []struct {
		fields string
		want   []string
	}{
		{"Connection: close, X-Hop\r\n", []string{"close, X-Hop"}},
		{"Connection: X-Hop\r\nConnection: close\r\n", []string{"X-Hop"}},
		{"Connection: X-Hop\r\n", []string{"X-Hop"}},
		{"Connection: close\r\n", nil},
		{"", nil},
	} {
		withOrigin(t, func(t *testing.T, p *Pool, _ *scripted) {
			wantBody(t, p, newRequest(t, "GET", "/", nil), 200, "ok")
			var told hints
			r := newRequest(t, "GET", "/", nil)
			response := wantBody(t, p, r.WithContext(WithWitness(t.Context(), &told)), 200, "ok")
			if got := response.Header["Connection"]; !slices.Equal(got, c.want) {
				t.Errorf("%q: Connection %q, want %q", c.fields, got, c.want)
			}
			if len(told) != 1 || !slices.Equal(told[0]["Connection"], []string{"close, X-Hint"}) {
				t.Errorf("%q: told of %v, want Connection: close, X-Hint", c.fields, told)
			}
		}, afterOthers("Connection: X-Before\r\n", "Connection: close, X-Hint\r\n", c.fields))
	}
}
