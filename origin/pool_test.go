package origin

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
)

// several is a pool of three scripted upstreams a, b and c; dial says what becomes of a connection to each.
func several(t *testing.T, s *scripted, dial func(address string) error) (*Pool, *[]string) {
	c := testConfig()
	c.URLs = []string{"http://a.test", "http://b.test:81", "http://c.test"}
	var asked []string
	p := newPool(t, c, func(ctx context.Context, network, address string) (net.Conn, error) {
		asked = append(asked, address)
		if err := dial(address); err != nil {
			return nil, &net.OpError{Op: "dial", Err: err}
		}
		return s.dial(ctx, network, address)
	})
	return p, &asked
}

func TestRoundRobin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &scripted{t: t, scripts: []func(*peer){serve(ok2)}}
		p, _ := several(t, s, func(string) error { return nil })
		var got []string
		for range 6 {
			response := wantBody(t, p, newRequest(t, "GET", "/", nil), 200, "ok")
			got = append(got, Upstream(response))
		}
		want := []string{"a.test:80", "b.test:81", "c.test:80", "a.test:80", "b.test:81", "c.test:80"}
		if !slices.Equal(got, want) {
			t.Errorf("upstreams = %v, want %v", got, want)
		}
		p.Close()
		s.running.Wait()
	})
}

// TestNextUpstream: while there is no connection, the next upstream gets the request, its body untouched.
func TestNextUpstream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		body := &closeCounter{Reader: strings.NewReader("abc")}
		s := &scripted{t: t, scripts: []func(*peer){func(p *peer) {
			r := p.request()
			if sent, _ := io.ReadAll(r.Body); string(sent) != "abc" {
				t.Errorf("body = %q, want abc", sent)
			}
			p.write(ok2)
			p.hold()
		}}}
		p, asked := several(t, s, func(address string) error {
			if address != "c.test:80" {
				return syscall.ECONNREFUSED
			}
			return nil
		})
		response := wantBody(t, p, newRequest(t, "POST", "/", body), 200, "ok")
		if got := Upstream(response); got != "c.test:80" {
			t.Errorf("upstream = %s, want c.test:80", got)
		}
		if want := []string{"a.test:80", "b.test:81", "c.test:80"}; !slices.Equal(*asked, want) {
			t.Errorf("asked %v, want %v", *asked, want)
		}
		p.Close()
		s.running.Wait()
		if body.closed != 1 {
			t.Errorf("the body was closed %d times, want 1", body.closed)
		}
	})
}

// TestNoUpstream: each is asked once, the last failure is told, and the body is closed.
func TestNoUpstream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, asked := several(t, nil, func(string) error { return syscall.ECONNREFUSED })
		body := &closeCounter{Reader: strings.NewReader("abc")}
		_, err := p.RoundTrip(newRequest(t, "POST", "/", body))
		failure := wantFailure(t, err, typeRefused, 502)
		if len(*asked) != 3 || failure.Upstream != "c.test:80" || body.closed != 1 {
			t.Errorf("asked %v, failed at %s, body closed %d times", *asked, failure.Upstream, body.closed)
		}
	})
}

type closeCounter struct {
	io.Reader
	closed int
}

func (c *closeCounter) Close() error { c.closed++; return nil }

// TestInvalidRequest: what net/http refuses to send is no failure of the origin's.
func TestInvalidRequest(t *testing.T) {
	p := newPool(t, testConfig(), func(context.Context, string, string) (net.Conn, error) {
		t.Error("a connection was made")
		return nil, syscall.ECONNREFUSED
	})
	r := newRequest(t, "GET", "/", nil)
	r.Header["A"] = []string{"b\r\nc"}
	_, err := p.RoundTrip(r)
	if failure := (*Failure)(nil); err == nil || errors.As(err, &failure) {
		t.Errorf("error = %v, want one that is not a Failure", err)
	}
}

func TestOwns(t *testing.T) {
	c := testConfig()
	c.URLs = []string{"http://origin.test:8080", "https://secure.test", "http://[::1]:81", "unix:/run/app.sock"}
	c.Host = "www.example.com"
	p := newPool(t, c, nil)
	for text, want := range map[string]bool{
		"http://origin.test:8080/a":    true,
		"http://ORIGIN.test.:8080":     true,
		"https://origin.test:8080/":    true, // the address is what counts
		"http://origin.test/":          false,
		"https://secure.test/":         true,
		"https://secure.test:443/":     true,
		"http://secure.test/":          false,
		"http://[::1]:81/":             true,
		"http://www.example.com/":      true,
		"https://www.example.com/":     true,
		"https://www.example.com:444/": false,
		"http://example.com/":          false,
		"http://localhost/":            false, // what a socket's requests carry is no address
		"http://site.test:8080/":       true,  // the host asked for, at an upstream's port
		"http://site.test/":            false,
		"https://site.test/":           true, // the second upstream's scheme and port
		"ftp://origin.test:8080/":      false,
		"/relative":                    false,
		"//origin.test:8080/":          false,
	} {
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Owns(u, "site.test"); got != want {
			t.Errorf("Owns(%s) = %t, want %t", text, got, want)
		}
	}
	if got := p.Host(); got != "www.example.com" {
		t.Errorf("Host() = %q, want www.example.com", got)
	}
}

// TestUnixSocket needs the kernel's.
func TestUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	c := patientConfig()
	c.URLs = []string{"unix:" + path}
	p := newPool(t, c, nil)
	defer p.Close()
	_, err := p.RoundTrip(newRequest(t, "GET", "/", nil))
	wantFailure(t, err, typeRefused, 502)

	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Host) })}
	defer server.Close()
	go server.Serve(l)
	response := wantBody(t, p, newRequest(t, "GET", "/", nil), 200, "www.test")
	if got := Upstream(response); got != "unix:"+path {
		t.Errorf("upstream = %s, want unix:%s", got, path)
	}
}

func TestInsecureIsLogged(t *testing.T) {
	c := testConfig()
	c.URLs = []string{"https://a.test", "https://b.test"}
	c.TLS.Insecure = true
	var log bytes.Buffer
	if _, err := New("shop", c, Network{}, slog.New(slog.NewTextHandler(&log, nil))); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(log.String(), "not verified"); n != 1 || !strings.Contains(log.String(), "shop") {
		t.Errorf("log = %q, want one line that names the origin", log.String())
	}
}
