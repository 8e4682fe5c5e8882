package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"selvage/origin"
)

// TestUpstreamFailures asks a node for pages that it does not have, while one or two of its three upstreams are killed,
// stopped, slow or broken: every GET is answered, and the operator sees who was out and that it is back. With SELVAGE_SOAK
// each failure comes and goes for a minute.
func TestUpstreamFailures(t *testing.T) {
	binary := buildProgram(t)
	for _, row := range hurts {
		for _, n := range []int{1, 2} {
			t.Run(fmt.Sprint(n, " ", row.name), func(t *testing.T) {
				site := newHurtSite(t, binary)
				visitors := site.visit(8)
				began := time.Now()
				for rounds := 0; rounds == 0 || soaking() && time.Since(began) < time.Minute; rounds++ {
					visitors.await(200)
					for _, u := range site.upstreams[:n] {
						row.hurt(u)
					}
					visitors.await(400)
					site.awaitStates(n, func(s origin.UpstreamStatus) bool { return s.Ejections > 0 || s.State == origin.StateDown })
					for _, u := range site.upstreams[:n] {
						row.heal(u)
					}
					site.awaitStates(n, func(s origin.UpstreamStatus) bool { return s.State == origin.StateUp && s.Returns > 0 })
				}
				visitors.await(200)
				visitors.leave(t)
				site.node.stop()
			})
		}
	}
}

// hurtSite is a node in front of three upstreams, all of them processes.
type hurtSite struct {
	t         *testing.T
	upstreams []*upstreamProcess
	node      *process
}

func newHurtSite(t *testing.T, binary string) *hurtSite {
	t.Helper()
	s := &hurtSite{t: t}
	var urls []string
	for range 3 {
		u := startUpstream(t)
		s.upstreams = append(s.upstreams, u)
		urls = append(urls, `"http://`+u.address+`"`)
	}
	g := newProgram(t, binary, "http://127.0.0.1:1", t.TempDir(), "16MiB")
	text := fmt.Sprintf(`
version: 1
memory: 8MiB
listeners: [{address: "127.0.0.1:0"}]
log: {format: "off"}
admin: {socket: %q}
origins:
  pages:
    urls: [%s]
    check: {kind: http, path: /healthz, interval: 200ms, timeout: 300ms, unhealthy: 2}
    outliers: {eject: 300ms}
    slow_start: 300ms
    timeouts: {connect: 500ms, first_byte: 500ms}
sites: [{default: true, origin: pages}]
`, g.socket(), strings.Join(urls, ", "))
	if err := os.WriteFile(g.config(), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	s.node = g.startReady(t)
	return s
}

// awaitStates waits until the first n upstreams are as wanted.
func (s *hurtSite) awaitStates(n int, wanted func(origin.UpstreamStatus) bool) {
	s.t.Helper()
	for late := time.Now().Add(longEnough); ; {
		_, body := s.node.ask("/v1/origins")
		var all []originStatus
		if err := json.Unmarshal([]byte(body), &all); err != nil {
			s.t.Fatalf("%v in %s", err, body)
		}
		left := n
		for _, u := range all[0].Upstreams[:n] {
			if wanted(u) {
				left--
			}
		}
		if left == 0 {
			return
		}
		if time.Now().After(late) {
			s.t.Fatalf("the upstreams are not what they should be: %s", body)
		}
	}
}

// patrons ask for one page after the other.
type patrons struct {
	leaving chan struct{}
	asking  sync.WaitGroup
	asked   atomic.Int64
	failed  atomic.Int64
	first   sync.Once
	why     error // of the first that failed; read after asking is done
	steps   chan struct{}
}

func (s *hurtSite) visit(n int) *patrons {
	v := &patrons{leaving: make(chan struct{}), steps: make(chan struct{})}
	for i := range n {
		v.asking.Go(func() {
			client := &http.Client{Transport: &http.Transport{}, Timeout: longEnough}
			defer client.CloseIdleConnections()
			for page := 0; v.isHere(); page++ {
				v.note(fetchPage(client, s.node.address, fmt.Sprintf("/%d/%d", i, page)))
			}
		})
	}
	return v
}

// isHere also tells whoever awaits them that there was a step.
func (v *patrons) isHere() bool {
	select {
	case <-v.leaving:
		return false
	case v.steps <- struct{}{}:
	default:
	}
	return true
}

func (v *patrons) note(err error) {
	v.asked.Add(1)
	if err != nil {
		v.failed.Add(1)
		v.first.Do(func() { v.why = err })
	}
}

func fetchPage(client *http.Client, address, path string) error {
	response, err := client.Get("http://" + address + path)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	switch {
	case err != nil:
		return err
	case response.StatusCode != http.StatusOK:
		return fmt.Errorf("GET %s: status = %d (%s), want 200", path, response.StatusCode, response.Header.Get("Proxy-Status"))
	case string(body) != bodyOf(path):
		return fmt.Errorf("GET %s: a body of %d bytes, want %d others", path, len(body), len(bodyOf(path)))
	}
	return nil
}

// await waits until so many more pages were asked for.
func (v *patrons) await(n int64) {
	for until := v.asked.Load() + n; v.asked.Load() < until; {
		<-v.steps
	}
}

// leave ends the visit; nobody may have been disappointed.
func (v *patrons) leave(t *testing.T) {
	t.Helper()
	close(v.leaving)
	v.asking.Wait()
	if n := v.failed.Load(); n > 0 {
		t.Errorf("%d of %d requests failed, the first: %v", n, v.asked.Load(), v.why)
	}
	t.Logf("%d requests", v.asked.Load())
}
