package origin

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// TestBrokenHead: no response is delivered.
func TestBrokenHead(t *testing.T) {
	answer := func(text string) func(*peer) {
		return func(p *peer) {
			p.request()
			p.write(text)
			p.hold()
		}
	}
	for _, row := range []struct {
		name        string
		script      func(*peer)
		errorType   string
		status      int
		unreachable bool
	}{
		{"silent", func(p *peer) { p.request(); p.hold() }, typeResponseTimeout, 504, true},
		{"closed at once", func(p *peer) {}, typeTerminated, 502, true},
		{"closed after the request", func(p *peer) { p.request() }, typeTerminated, 502, true},
		{"reset after the request", func(p *peer) { p.request(); p.reset.Store(true) }, typeTerminated, 502, true},
		{"speaks first", func(p *peer) { p.write("220 mail.test ready\r\n"); p.hold() }, typeProtocol, 502, false},
		{"head trickles", trickle, typeResponseTimeout, 504, false},
		{"head stops", answer("HTTP/1.1 200 OK\r\nServer: x"), typeResponseTimeout, 504, false},
		{"head cut", func(p *peer) { p.request(); p.write("HTTP/1.1 200 OK\r\nServer: x") }, typeResponseIncomplete, 502, false},
		{"head reset", func(p *peer) { p.request(); p.reset.Store(true); p.write("HTTP/1.1 2") }, typeResponseIncomplete, 502, false},
		{"garbage", answer("\x00\x01\x02\x03\x04\x05\x06\x07"), typeProtocol, 502, false},
		{"another protocol", answer("SSH-2.0-OpenSSH\r\n"), typeProtocol, 502, false},
		{"HTTP/0.9", answer("<html>hello</html>"), typeProtocol, 502, false},
		{"HTTP/2 preface", answer("HTTP/2.0 200 OK\r\n\r\n"), typeProtocol, 502, false},
		{"bare LF", answer("HTTP/1.1 200 OK\nContent-Length: 0\n\n"), typeProtocol, 502, false},
		{"length beside chunked", answer("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), typeProtocol, 502, false},
		{"length twice", answer("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok"), typeProtocol, 502, false},
		{"unknown coding", answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"), typeTransferCoding, 502, false},
		{"head too long", answer("HTTP/1.1 200 OK\r\nA: " + strings.Repeat("a", maxHead) + "\r\n\r\n"), typeHeaderSectionSize, 502, false},
		{"too many fields", answer("HTTP/1.1 200 OK\r\n" + strings.Repeat("A: b\r\n", maxHead/6) + "\r\n"), typeHeaderSectionSize, 502, false},
		{"flood of 1xx", answer(strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", maxInterim+1)), typeProtocol, 502, false},
		{"101 to nobody's wish", answer("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"), typeProtocol, 502, false},
		{"overlong in one burst", answer("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokEXTRA"), typeProtocol, 502, false},
		{"two answers in one burst", answer(ok2 + ok2), typeProtocol, 502, false},
		{"bad trailer announced", answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: Content-Length\r\n\r\n0\r\n\r\n"), typeProtocol, 502, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			if overLinks && row.name == "speaks first" {
				t.Skip("a pipe takes nothing until it is read: TestUpstreamSpeaksFirst")
			}
			withOrigin(t, func(t *testing.T, p *Pool, s *scripted) {
				_, _, err := exchangeOnce(p, newRequest(t, "GET", "/", nil))
				failure := wantFailure(t, err, row.errorType, row.status)
				if failure.Unreachable != row.unreachable {
					t.Errorf("unreachable = %t, want %t", failure.Unreachable, row.unreachable)
				}
				if n := s.dials.Load(); n != 1 {
					t.Errorf("%d connections were made, want 1", n)
				}
			}, row.script)
		})
	}
}

const ok2 = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

// trickle sends a byte of a head every second, for ever.
func trickle(p *peer) {
	p.request()
	p.write("HTTP/1.1 200 OK\r\nA: ")
	for {
		<-time.After(second)
		if _, err := io.WriteString(p.Conn, "a"); err != nil {
			return
		}
	}
}

// TestBrokenBody: the head is delivered, and the body ends in an error, not in io.EOF.
func TestBrokenBody(t *testing.T) {
	const chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
	const counted = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"
	const untilClose = "HTTP/1.1 200 OK\r\n\r\n"
	send := func(bursts ...string) func(*peer) {
		return func(p *peer) {
			p.request()
			for _, burst := range bursts {
				p.write(burst)
			}
		}
	}
	thenReset := func(script func(*peer)) func(*peer) {
		return func(p *peer) { p.reset.Store(true); script(p) }
	}
	thenHang := func(script func(*peer)) func(*peer) { return func(p *peer) { script(p); p.hold() } }
	for _, row := range []struct {
		name      string
		script    func(*peer)
		body      string // what came before the error
		errorType string
		status    int
	}{
		{"length cut", send(counted, "12345"), "12345", typeResponseIncomplete, 502},
		{"length cut before the body", send(counted), "", typeResponseIncomplete, 502},
		{"length reset", thenReset(send(counted, "12345")), "12345", typeResponseIncomplete, 502},
		{"length hangs", thenHang(send(counted, "12345")), "12345", typeReadTimeout, 504},
		{"length overlong", send(counted, "12345", "67890!"), "12345", typeProtocol, 502},
		{"chunked cut in a chunk", send(chunked, "5\r\n123"), "123", typeResponseIncomplete, 502},
		{"chunked cut between chunks", send(chunked, "5\r\n12345\r\n"), "12345", typeResponseIncomplete, 502},
		{"chunked cut before the trailers", send(chunked, "5\r\n12345\r\n", "0\r\n"), "12345", typeResponseIncomplete, 502},
		{"chunked reset", thenReset(send(chunked, "5\r\n12345\r\n")), "12345", typeResponseIncomplete, 502},
		{"chunked hangs", thenHang(send(chunked, "5\r\n12345\r\n")), "12345", typeReadTimeout, 504},
		{"chunked overlong", send(chunked, "5\r\n12345\r\n", "0\r\n\r\nHTTP/1.1 200 OK\r\n"), "12345", typeProtocol, 502},
		{"chunk size", thenHang(send(chunked, "5\r\n12345\r\n", "5 5\r\n")), "12345", typeTransferCoding, 502},
		{"chunk longer than its size", thenHang(send(chunked, "5\r\n12345\r\n", "2\r\nabc\r\n")), "12345", typeTransferCoding, 502},
		{"until close, reset", thenReset(send(untilClose, "12345")), "12345", typeResponseIncomplete, 502},
		{"until close, hangs", thenHang(send(untilClose, "12345")), "12345", typeReadTimeout, 504},
	} {
		t.Run(row.name, func(t *testing.T) {
			withOrigin(t, func(t *testing.T, p *Pool, s *scripted) {
				response, body, err := exchangeOnce(p, newRequest(t, "GET", "/", nil))
				failure := wantFailure(t, err, row.errorType, row.status)
				if response == nil || body != row.body {
					t.Errorf("body = %q, want %q", body, row.body)
				}
				if failure.Unreachable {
					t.Error("unreachable, though a head came")
				}
			}, row.script)
		})
	}
}

func TestConnectFailures(t *testing.T) {
	refuse := func(err error) Dialer {
		return func(context.Context, string, string) (net.Conn, error) {
			return nil, &net.OpError{Op: "dial", Err: err}
		}
	}
	hang := func(ctx context.Context, _, _ string) (net.Conn, error) { <-ctx.Done(); return nil, ctx.Err() }
	for _, row := range []struct {
		name      string
		dial      Dialer
		errorType string
		status    int
	}{
		{"refused", refuse(syscall.ECONNREFUSED), typeRefused, 502},
		{"no socket there", refuse(syscall.ENOENT), typeRefused, 502},
		{"host unreachable", refuse(syscall.EHOSTUNREACH), typeUnroutable, 502},
		{"network unreachable", refuse(syscall.ENETUNREACH), typeUnroutable, 502},
		{"no such name", refuse(&net.DNSError{Err: "no such host", IsNotFound: true}), typeDNSError, 502},
		{"name server silent", refuse(&net.DNSError{Err: "timeout", IsTimeout: true}), typeDNSTimeout, 504},
		{"silent", hang, typeConnectTimeout, 504},
		{"out of descriptors", refuse(syscall.EMFILE), typeConnectionLimit, 503},
		{"descriptors of the system", refuse(syscall.ENFILE), typeConnectionLimit, 503},
		{"anything else", refuse(errors.New("odd")), typeUnavailable, 502},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPool(t, testConfig(), row.dial)
				_, err := p.RoundTrip(newRequest(t, "GET", "/", nil))
				if failure := wantFailure(t, err, row.errorType, row.status); !failure.Unreachable {
					t.Error("not unreachable, though there was no connection")
				}
			})
		})
	}
}

// TestUploadStalls: the origin takes no more of a request's body.
func TestUploadStalls(t *testing.T) {
	withOrigin(t, func(t *testing.T, p *Pool, _ *scripted) {
		_, err := p.RoundTrip(newRequest(t, "POST", "/", io.LimitReader(endless{}, 1<<20)))
		wantFailure(t, err, typeWriteTimeout, 504)
	}, func(p *peer) {
		p.head()
		<-time.After(time.Hour)
	})
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

// TestSlowUpload: a client may take longer over its body than any limit of the origin's.
func TestSlowUpload(t *testing.T) {
	withOrigin(t, func(t *testing.T, p *Pool, _ *scripted) {
		reader, writer := io.Pipe()
		go func() {
			for range 4 {
				<-time.After(time.Minute)
				io.WriteString(writer, "abc")
			}
			writer.Close()
		}()
		wantBody(t, p, newRequest(t, "POST", "/", reader), 200, "ok")
	}, func(p *peer) {
		p.request()
		p.write(ok2)
		p.hold()
	})
}

// TestBrokenUpload: an error of the client's body is the client's, not the origin's.
func TestBrokenUpload(t *testing.T) {
	broken := errors.New("client went away")
	withOrigin(t, func(t *testing.T, p *Pool, _ *scripted) {
		body := io.MultiReader(strings.NewReader("abc"), failingReader{broken})
		_, err := p.RoundTrip(newRequest(t, "POST", "/", body))
		if !errors.Is(err, broken) {
			t.Fatalf("error = %v, want %v", err, broken)
		}
		if failure := (*Failure)(nil); errors.As(err, &failure) {
			t.Errorf("error = %v, a Failure of the origin's", err)
		}
	}, func(p *peer) { p.request() })
}

type failingReader struct{ err error }

func (r failingReader) Read([]byte) (int, error) { return 0, r.err }

// TestCancel: the caller's context ends an exchange wherever it is, and its cause is the error.
func TestCancel(t *testing.T) {
	gone := errors.New("nobody waits any more")
	for _, row := range []struct {
		name   string
		script func(*peer)
	}{
		{"before the head", func(p *peer) { p.request(); p.hold() }},
		{"in the body", func(p *peer) { p.request(); p.write("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab"); p.hold() }},
	} {
		t.Run(row.name, func(t *testing.T) {
			withOrigin(t, func(t *testing.T, p *Pool, s *scripted) {
				ctx, cancel := context.WithCancelCause(t.Context())
				time.AfterFunc(second, func() { cancel(gone) })
				_, _, err := exchangeOnce(p, newRequest(t, "GET", "/", nil).WithContext(ctx))
				if !errors.Is(err, gone) {
					t.Errorf("error = %v, want %v", err, gone)
				}
			}, row.script)
		})
	}
}

// TestUploadDuringAnswer: once the answer has begun, an upload that moves does not hide that the answer does not.
func TestUploadDuringAnswer(t *testing.T) {
	withOrigin(t, func(t *testing.T, p *Pool, _ *scripted) {
		reader, writer := io.Pipe()
		defer writer.Close()
		time.AfterFunc(second, func() { io.WriteString(writer, "abc") })
		_, body, err := exchangeOnce(p, newRequest(t, "POST", "/", reader))
		wantFailure(t, err, typeReadTimeout, 504)
		if body != "ab" {
			t.Errorf("body = %q, want ab", body)
		}
	}, func(p *peer) {
		p.head()
		p.write("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab")
		p.hold()
	})
}

// TestGap: limits between two bytes, and who may lift them.
func TestGap(t *testing.T) {
	slow := func(p *peer) {
		p.request()
		p.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
		for range 2 {
			<-time.After(8 * second)
			p.write("x")
		}
		p.hold()
	}
	t.Run("passes", func(t *testing.T) {
		withOrigin(t, func(t *testing.T, p *Pool, _ *scripted) {
			_, _, err := exchangeOnce(p, newRequest(t, "GET", "/", nil))
			wantFailure(t, err, typeReadTimeout, 504)
		}, slow)
	})
	t.Run("lifted by the request", func(t *testing.T) {
		withOrigin(t, func(t *testing.T, p *Pool, _ *scripted) {
			r := newRequest(t, "GET", "/", nil)
			wantBody(t, p, r.WithContext(WithGap(t.Context(), 0)), 200, "xx")
		}, slow)
	})
	t.Run("widened after the head", func(t *testing.T) {
		withOrigin(t, func(t *testing.T, p *Pool, _ *scripted) {
			response, err := p.RoundTrip(newRequest(t, "GET", "/", nil))
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			SetGap(response, 9*second)
			if body, err := io.ReadAll(response.Body); err != nil || string(body) != "xx" {
				t.Errorf("body = %q, %v; want xx", body, err)
			}
		}, slow)
	})
	t.Run("a slow reader is not the origin's fault", func(t *testing.T) {
		withOrigin(t, func(t *testing.T, p *Pool, _ *scripted) {
			response, err := p.RoundTrip(newRequest(t, "GET", "/", nil))
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			<-time.After(time.Hour)
			if body, err := io.ReadAll(response.Body); err != nil || string(body) != "ok" {
				t.Errorf("body = %q, %v; want ok", body, err)
			}
		}, func(p *peer) { p.request(); p.write(ok2); p.hold() })
	})
}
