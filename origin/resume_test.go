package origin

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

const wholeText = "all of the body"

// givesPart answers like a server of files: with all of the text under a tag, or with the part that is asked for. More is put
// in the head, and sent is what becomes of the body.
func givesPart(tag, more string, sent func(body string) string) deed {
	return func(p *peer, r *http.Request) bool {
		line, body, fields := "200 OK", wholeText, more
		if tag != "" {
			fields += "ETag: " + tag + "\r\n"
		}
		var from int
		if _, err := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &from); err == nil && r.Header.Get("If-Range") == tag {
			line, body = "206 Partial Content", wholeText[from:]
			fields += fmt.Sprintf("Content-Range: bytes %d-%d/%d\r\n", from, len(wholeText)-1, len(wholeText))
		}
		p.write(fmt.Sprintf("HTTP/1.1 %s\r\nContent-Length: %d\r\n%s\r\n", line, len(body), fields))
		if came := sent(body); came != "" {
			p.write(came)
			return came == body
		}
		return false
	}
}

func all(body string) string  { return body }
func none(string) string      { return "" }
func some(body string) string { return body[:3] }

// once does one thing at the first request, and another from then on.
func once(first, then deed) deed {
	asked := false
	return func(p *peer, r *http.Request) bool {
		if asked {
			return then(p, r)
		}
		asked = true
		return first(p, r)
	}
}

// TestBodyGoesOn: one row per sentence of when the body of an answer that breaks off goes on from another upstream.
func TestBodyGoesOn(t *testing.T) {
	const strong, weak = `"1"`, `W/"1"`
	stalls := func(p *peer, r *http.Request) bool {
		givesPart(strong, "", some)(p, r)
		p.hold()
		return false
	}
	lies := func(head string) deed {
		return func(p *peer, r *http.Request) bool {
			p.write("HTTP/1.1 " + head + "\r\n\r\n" + wholeText)
			return false
		}
	}
	for _, row := range []struct {
		name          string
		first, second deed // of a, whose body breaks off, and of b
		want          bool
	}{
		{"the part that is missing, by a strong tag", givesPart(strong, "", some), givesPart(strong, "", all), true},
		{"after silence, too", stalls, givesPart(strong, "", all), true},
		{"as often as there are attempts", givesPart(strong, "", some), once(givesPart(strong, "", some), givesPart(strong, "", all)), true},
		{"a weak tag says nothing of bytes", givesPart(weak, "", some), givesPart(weak, "", all), false},
		{"nor does no tag", givesPart("", "", some), givesPart("", "", all), false},
		{"another representation", givesPart(strong, "", some), givesPart(`"2"`, "", all), false},
		{"an answer that is no part", givesPart(strong, "", some), lies("200 OK\r\nETag: \"1\"\r\nContent-Length: 15"), false},
		{"a part of another representation", givesPart(strong, "", some),
			lies("206 Partial Content\r\nETag: \"2\"\r\nContent-Range: bytes 3-14/15\r\nContent-Length: 12"), false},
		{"another part", givesPart(strong, "", some),
			lies("206 Partial Content\r\nETag: \"1\"\r\nContent-Range: bytes 2-13/15\r\nContent-Length: 12"), false},
		{"a part that is too short", givesPart(strong, "", some),
			lies("206 Partial Content\r\nETag: \"1\"\r\nContent-Range: bytes 3-14/15\r\nContent-Length: 11"), false},
		{"a part of another length", givesPart(strong, "", some),
			lies("206 Partial Content\r\nETag: \"1\"\r\nContent-Range: bytes 3-14/16\r\nContent-Length: 12"), false},
		{"a part in another coding", givesPart(strong, "", some), givesPart(strong, "Content-Encoding: gzip\r\n", all), false},
		{"an error", givesPart(strong, "", some), says(404), false},
		{"before the first byte, the same head without a tag", givesPart("", "A: b\r\n", none), givesPart("", "A: b\r\n", all), true},
		{"but for what tells when it was made", givesPart("", "Date: Mon, 23 Nov 2026 10:00:00 GMT\r\nAge: 2\r\n", none),
			givesPart("", "Date: Mon, 23 Nov 2026 10:00:01 GMT\r\n", all), true},
		{"another head", givesPart("", "A: b\r\n", none), givesPart("", "A: c\r\n", all), false},
		{"another user's", givesPart("", "", none), givesPart("", "Set-Cookie: a=b\r\n", all), false},
	} {
		t.Run(row.name, func(t *testing.T) {
			withFarm(t, "ab", same, func(t *testing.T, p *Pool, f *farm) {
				f.set("a", row.first) // whose turn it is
				f.set("b", row.second)
				response, body, err := exchangeOnce(p, newRequest(t, "GET", "/", nil))
				if response == nil || response.StatusCode != http.StatusOK {
					t.Fatalf("%v, %v", response, err)
				}
				if whole := err == nil && body == wholeText; whole != row.want || !strings.HasPrefix(wholeText, body) {
					t.Errorf("the body is %q, %v, want all of it: %v", body, err, row.want)
				}
				if err != nil {
					wantFailure(t, err, typeResponseIncomplete, 502)
				}
				if n := f.count("a"); n == 0 || n > 2 {
					t.Errorf("a was asked %d times", n)
				}
			})
		})
	}
}

// TestWhoseBodyDoesNotGoOn: what may not be asked twice, what the policy does not allow, and what nobody waits for.
func TestWhoseBodyDoesNotGoOn(t *testing.T) {
	ranged := func(r *http.Request) { r.Header.Set("Range", "bytes=0-20") }
	for _, row := range []struct {
		name   string
		method string
		change func(*http.Request)
		config func(*Config)
	}{
		{"a POST", "POST", nil, same},
		{"a part", "GET", ranged, same},
		{"one attempt", "GET", nil, func(c *Config) { c.Retry.Attempts = 1 }},
		{"no budget", "GET", nil, func(c *Config) { c.Retry.Budget, c.Retry.Reserve = 0, 0 }},
	} {
		t.Run(row.name, func(t *testing.T) {
			withFarm(t, "ab", row.config, func(t *testing.T, p *Pool, f *farm) {
				f.set("a", givesPart(`"1"`, "", some))
				f.set("b", givesPart(`"1"`, "", all))
				r := newRequest(t, row.method, "/", nil)
				if row.change != nil {
					row.change(r)
				}
				_, body, err := exchangeOnce(p, r)
				if len(body) != 3 {
					t.Errorf("the body is %q, want three bytes", body)
				}
				wantFailure(t, err, typeResponseIncomplete, 502)
				if n := f.count("b"); n != 0 {
					t.Errorf("b was asked %d times", n)
				}
			})
		})
	}
}

// TestBodyIsClosedMeanwhile: once a body is closed that looks for its rest, the rest is not wanted any more, and nothing is left of
// either, nor waited for.
func TestBodyIsClosedMeanwhile(t *testing.T) {
	withFarm(t, "ab", same, func(t *testing.T, p *Pool, f *farm) {
		f.set("a", givesPart(`"1"`, "", some))
		f.set("b", hangs)
		closed := closeInRead(t, p) // a has broken off, b thinks
		if waited := time.Since(closed); waited != 0 {
			t.Errorf("the read ended after %v", waited)
		}
		if n := f.count("b"); n != 1 {
			t.Errorf("b was asked %d times, want once", n)
		}
	})
}

// TestClosedBodyDoesNotGoOn: an end that the reader made is no reason to ask another upstream, and not the first one's fault.
func TestClosedBodyDoesNotGoOn(t *testing.T) {
	withFarm(t, "ab", same, func(t *testing.T, p *Pool, f *farm) {
		f.set("a", func(r *peer, request *http.Request) bool {
			givesPart(`"1"`, "", some)(r, request)
			return hangs(r, request)
		})
		closeInRead(t, p)
		if n := f.count("b"); n != 0 {
			t.Errorf("b was asked %d times", n)
		}
	})
}

// TestReaderWhoLeavesIsNoFailure: what a Read finds that waits while its body is closed is not the upstream's doing.
func TestReaderWhoLeavesIsNoFailure(t *testing.T) {
	overLinks = true
	defer func() { overLinks = false }()
	synctest.Test(t, func(t *testing.T) {
		s := &scripted{t: t, scripts: []func(*peer){func(p *peer) {
			p.request()
			p.write("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")
			p.hold()
		}}}
		p := newPool(t, testConfig(), func(ctx context.Context, network, address string) (net.Conn, error) {
			c, err := s.dial(ctx, network, address)
			return noticed{c}, err
		})
		defer p.Close()
		closeInRead(t, p)
		if u := p.Status().Upstreams[0]; u.Failures != 0 {
			t.Errorf("the upstream has %d failures", u.Failures)
		}
		s.running.Wait()
	})
}

// noticed is a connection whose end everybody has noticed when Close returns.
type noticed struct{ net.Conn }

func (c noticed) Close() error {
	err := c.Conn.Close()
	synctest.Wait()
	return err
}

// closeInRead closes a body while a Read of it waits, and returns when. Nothing may be left in flight.
func closeInRead(t *testing.T, p *Pool) (closed time.Time) {
	t.Helper()
	response, err := p.RoundTrip(newRequest(t, "GET", "/", nil))
	if err != nil {
		t.Fatal(err)
	}
	read := make(chan error)
	go func() {
		_, err := io.ReadAll(response.Body)
		read <- err
	}()
	synctest.Wait()
	closed = time.Now()
	response.Body.Close()
	if err := <-read; err == nil {
		t.Error("the body came to an end")
	}
	for _, u := range p.Status().Upstreams {
		if u.InFlight != 0 {
			t.Errorf("%s has %d requests in flight", u.Upstream, u.InFlight)
		}
	}
	return closed
}

// TestDrainedUpstreamIsNotAskedForTheRest: whoever drains the only upstream to restart it has no more requests sent there.
func TestDrainedUpstreamIsNotAskedForTheRest(t *testing.T) {
	withFarm(t, "a", same, func(t *testing.T, p *Pool, f *farm) {
		f.set("a", func(r *peer, request *http.Request) bool {
			drain := true
			if err := p.Change("a.test:80", Change{Drain: &drain}); err != nil {
				t.Error(err)
			}
			return givesPart(`"1"`, "", some)(r, request)
		})
		_, _, err := exchangeOnce(p, newRequest(t, "GET", "/", nil))
		wantFailure(t, err, typeResponseIncomplete, 502)
		if n := f.count("a"); n != 1 {
			t.Errorf("a was asked %d times, want once", n)
		}
	})
}
