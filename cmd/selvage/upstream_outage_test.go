package main

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestEveryUpstreamIsOut kills all three: what is stored is served, stale as it is, without a word to anybody; what is not
// gets the offline page; and both end when one is back.
func TestEveryUpstreamIsOut(t *testing.T) {
	site := newHurtSite(t, buildProgram(t), plain)
	defer site.node.stop()
	if status, body, _ := site.get("/kept/page"); status != http.StatusOK || body != bodyOf("/kept/page") {
		t.Fatalf("GET /kept/page: status = %d, want 200", status)
	}
	c, _, stderr := testConsole()
	if code := run([]string{"purge", "--soft", "--all", "--socket", site.socket}, c); code != exitOK {
		t.Fatalf("purge: %s", stderr)
	}
	for _, u := range site.upstreams {
		u.kill()
	}
	site.node.awaitTimes(`"upstream is down"`, 3) // by their checks, so that it lasts
	if !site.isOut() {
		t.Error("the metrics do not say that the origin is out")
	}
	status, body, h := site.get("/kept/page")
	if status != http.StatusOK || body != bodyOf("/kept/page") || h.Get("Cache-Status") != "Selvage; hit; ttl=0; detail=stale-outage" {
		t.Errorf("GET /kept/page, all being out: status = %d, %s", status, h)
	}
	status, body, h = site.get("/unknown")
	if status != http.StatusServiceUnavailable || body != "back soon" || h.Get("Retry-After") == "" || h.Get("Cache-Control") != "no-store" {
		t.Errorf("GET /unknown, all being out: status = %d, %q, %s", status, body, h)
	}
	site.upstreams[1].start()
	site.until("it is back", func() bool {
		status, _, _ := site.get("/unknown")
		return status == http.StatusOK && !site.isOut()
	})
	if status, _, h := site.get("/kept/page"); status != http.StatusOK || strings.Contains(h.Get("Cache-Status"), "stale-outage") {
		t.Errorf("GET /kept/page, one being back: status = %d, %s", status, h)
	}
}

func (s *hurtSite) get(path string) (status int, body string, h http.Header) {
	s.t.Helper()
	response, err := http.Get("http://" + s.node.address + path)
	if err != nil {
		s.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return response.StatusCode, string(text), response.Header
}

// isOut is what the metrics say of the origin.
func (s *hurtSite) isOut() bool {
	_, text := s.node.ask("/metrics")
	return strings.Contains(text, "\nselvage_origin_out{origin=\"pages\"} 1\n")
}

// until asks over and over; each question takes its time.
func (s *hurtSite) until(what string, holds func() bool) {
	s.t.Helper()
	for late := time.Now().Add(longEnough); !holds(); {
		if time.Now().After(late) {
			s.t.Fatalf("it never happens that %s:\n%s", what, s.node.said)
		}
	}
}
