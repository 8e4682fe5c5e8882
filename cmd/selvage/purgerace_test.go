package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"selvage/cache"
	"selvage/purge"
)

// What cache/purgerace_test.go tries on the Store, on the whole program: sockets, the lane, the handler, both tiers, restarts.
// An origin changes pages, they are purged, and from the answer on no request may get what was there before.
func TestNoClientSeesWhatWasPurged(t *testing.T) {
	requests, purges, restarts := 3_000, 30, 1
	if soaking() {
		requests, purges, restarts = 200_000, 2_000, 20
	}
	s := newPurgedSite(t)
	for range restarts + 1 {
		s.start()
		s.race(requests/(restarts+1), purges/(restarts+1))
		s.end()
	}
	t.Logf("%d requests, %d hits, %d stale, %d aborted, %d purges, %d restarts, %d violations",
		s.requests.Load(), s.hits.Load(), s.stale.Load(), s.aborted.Load(), s.purges.Load(), restarts, s.violations.Load())
	if s.aborted.Load() > s.requests.Load()/100 {
		t.Error("more than one answer in a hundred was aborted")
	}
	if s.hits.Load() == 0 || s.stale.Load() == 0 {
		t.Error("no hits, or no stale answers: the test does not try what it is for")
	}
}

// purgedSite is a site whose pages change, and the node in front of it.
type purgedSite struct {
	t      *testing.T
	folder string
	origin *httptest.Server
	pages  [48]purgedPage

	node    *node
	signals chan os.Signal
	ended   chan error
	client  *http.Client

	requests, hits, stale, aborted, purges, violations atomic.Int64
}

// purgedPage is what the origin has, and the versions below which no answer may be: at all, and unless it is stale.
type purgedPage struct{ version, atLeast, freshAtLeast atomic.Uint64 }

func newPurgedSite(t *testing.T) *purgedSite {
	s := &purgedSite{t: t, folder: t.TempDir()}
	s.origin = httptest.NewServer(s)
	t.Cleanup(s.origin.Close)
	return s
}

func (s *purgedSite) start() {
	s.t.Helper()
	file := filepath.Join(s.folder, "selvage.yaml")
	text := fmt.Sprintf(`
version: 1
memory: 16MiB
disk: {path: %s, size: 64MiB}
listeners: [{address: "127.0.0.1:0"}]
log: {format: "off"}
admin: {socket: %s}
origins: {app: {urls: [%q]}}
sites: [{name: shop, hosts: [example.com], origin: app}]
`, filepath.Join(s.folder, "cache"), filepath.Join(socketFolder(s.t), "admin.sock"), s.origin.URL)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	f, err := LoadFile(file, testMachine())
	if err != nil {
		s.t.Fatal(err)
	}
	if s.node, err = newNode(f, file, testMachine(), slog.New(slog.DiscardHandler), new(sockets)); err != nil {
		s.t.Fatal(err)
	}
	s.signals, s.ended = make(chan os.Signal), make(chan error, 1)
	go func() { s.ended <- s.node.run(s.signals) }()
	s.client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16}}
}

func (s *purgedSite) end() {
	s.t.Helper()
	s.client.CloseIdleConnections()
	s.signals <- os.Interrupt
	if err := <-s.ended; err != nil {
		s.t.Error(err)
	}
}

// ServeHTTP is the origin. A page of many bytes lives on the disk alone.
func (s *purgedSite) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var i int
	fmt.Sscanf(filepath.Base(r.URL.Path), "%d", &i)
	version := s.pages[i].version.Load()
	tag := fmt.Sprintf("%q", fmt.Sprint(version))
	w.Header().Set("Etag", tag)
	w.Header().Set("Cache-Tag", fmt.Sprint("t", i%5))
	w.Header().Set("Cache-Control", []string{"max-age=600", "max-age=600", "max-age=0, stale-while-revalidate=600", "no-cache"}[rand.N(4)])
	if r.Header.Get("If-None-Match") == tag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	io.WriteString(w, strings.Repeat(fmt.Sprintf("%08d", version), pageRepeats(i)))
}

// pageRepeats makes one page of eight too large for memory.
func pageRepeats(i int) int {
	if i%8 == 7 {
		return 32 << 10
	}
	return 1 + i%8*128
}

func pagePath(i int) string { return fmt.Sprintf("/d%d/%d", i%3, i) }

func (s *purgedSite) race(requests, purges int) {
	var left atomic.Int64
	left.Store(int64(requests))
	turns := make(chan struct{}, 1)
	var clients, purger sync.WaitGroup
	for range 4 {
		clients.Go(func() {
			for n := left.Add(-1); n >= 0; n = left.Add(-1) {
				s.visit(rand.N(len(s.pages)))
				if n%int64(requests/purges) == 0 {
					turns <- struct{}{}
				}
			}
		})
	}
	purger.Go(func() {
		for range turns {
			s.purge()
		}
	})
	clients.Wait()
	close(turns)
	purger.Wait()
}

func (s *purgedSite) visit(i int) {
	p := &s.pages[i]
	atLeast, freshAtLeast := p.atLeast.Load(), p.freshAtLeast.Load()
	version, status, err := s.get(pagePath(i))
	s.requests.Add(1)
	stale := strings.Contains(status, "hit; ttl=-") || strings.Contains(status, "hit; ttl=0")
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		s.aborted.Add(1) // whoever shares a validation of what is on the disk alone may find it gone by a purge
	case err != nil:
		s.t.Errorf("GET %s: %v", pagePath(i), err)
	case version < atLeast || version < freshAtLeast && !stale:
		if s.violations.Add(1) <= 3 {
			s.t.Errorf("GET %s: version %d, want %d, or fresh %d: %s", pagePath(i), version, atLeast, freshAtLeast, status)
		}
	case stale:
		s.stale.Add(1)
	case strings.Contains(status, "hit"):
		s.hits.Add(1)
	}
}

var errTorn = errors.New("a body of more than one version")

func (s *purgedSite) get(path string) (version uint64, status string, err error) {
	r, err := http.NewRequestWithContext(s.t.Context(), "GET", "http://"+s.node.edge.Addrs()[0].String()+path, nil)
	if err != nil {
		return 0, "", err
	}
	r.Host = "example.com"
	response, err := s.client.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, "", err
	}
	if _, err := fmt.Sscanf(string(body[:min(8, len(body))]), "%d", &version); err != nil {
		return 0, "", err
	}
	if string(body) != strings.Repeat(string(body[:8]), len(body)/8) {
		return 0, "", errTorn
	}
	return version, response.Header.Get("Cache-Status"), nil
}

// purge changes what one selector takes, purges it, and raises the model.
func (s *purgedSite) purge() {
	kind, i := []cache.Verdict{cache.Hard, cache.MustValidate, cache.Soft}[rand.N(3)], rand.N(len(s.pages))
	url, folder := "example.com"+pagePath(i), fmt.Sprintf("example.com/d%d/", i%3)
	same := func(modulus int) func(int) bool { return func(j int) bool { return j%modulus == i%modulus } }
	choices := []struct {
		entry purge.Entry
		takes func(int) bool
	}{
		{purge.Entry{URLs: []string{url}}, func(j int) bool { return j == i }},
		{purge.Entry{Prefixes: []string{folder}}, same(3)},
		{purge.Entry{Globs: []string{"*.com/d*" + url[len(folder)-1:]}}, func(j int) bool { return j == i }},
		{purge.Entry{Tags: []string{fmt.Sprint("t", i%5)}}, same(5)},
		{purge.Entry{Hosts: []string{"example.com"}}, same(1)},
		{purge.Entry{Sites: []string{"shop"}}, same(1)},
		{purge.Entry{All: true}, same(1)},
	}
	c := choices[min(rand.N(len(choices)), rand.N(len(choices)))]
	c.entry.Kind = kind
	var versions [len(s.pages)]uint64
	for j := range s.pages {
		if c.takes(j) {
			versions[j] = s.pages[j].version.Add(1)
		}
	}
	if _, err := s.node.journal.Add(c.entry); err != nil {
		s.t.Error(err)
		return
	}
	for j, version := range versions {
		if kind != cache.Soft {
			raiseTo(&s.pages[j].atLeast, version)
		}
		raiseTo(&s.pages[j].freshAtLeast, version)
	}
	s.purges.Add(1)
}

func raiseTo(n *atomic.Uint64, least uint64) {
	if n.Load() < least { // there is one purger
		n.Store(least)
	}
}
