package main

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestUpstreamFailures asks a node for pages that it does not have, while one or two of its three upstreams are killed,
// stopped, slow or broken: every GET is answered, and the operator sees in the metrics who was out and that it is back. With
// SELVAGE_SOAK each failure comes and goes for a minute.
func TestUpstreamFailures(t *testing.T) {
	binary := buildProgram(t)
	for _, row := range hurts {
		for _, n := range []int{1, 2} {
			t.Run(fmt.Sprint(n, " ", row.name), func(t *testing.T) {
				site := newHurtSite(t, binary, row.kind)
				site.visit(8)
				began, rounds := time.Now(), 0
				for ; rounds == 0 || soaking() && time.Since(began) < time.Minute; rounds++ {
					site.visitors.await(200)
					before := site.states(n)
					for _, u := range site.upstreams[:n] {
						row.hurt(u)
					}
					site.visitors.await(400)
					site.await(before, func(was, is upstreamFigures) bool { return is.up == 0 || is.ejections > was.ejections })
					for _, u := range site.upstreams[:n] {
						row.heal(u)
					}
					site.await(before, func(was, is upstreamFigures) bool { return is.weight == 1 && is.returns > was.returns })
				}
				site.visitors.await(200)
				site.visitors.leave(t)
				site.logTells()
				t.Logf("%d rounds, %+v", rounds, site.states(n))
				site.node.stop()
			})
		}
	}
}

// TestNameServerFails: while it knows none of the names, the last addresses serve (for a minute with SELVAGE_SOAK), and nobody is
// ejected. When it is back, what has changed is followed.
func TestNameServerFails(t *testing.T) {
	site := newHurtSite(t, "selvage", named) // this test binary stands in for the program
	site.visit(8)
	site.visitors.await(200)
	site.zone.fail(true)
	began := time.Now()
	for looks := 0; looks < 20 || soaking() && time.Since(began) < time.Minute; looks++ {
		<-site.zone.asked
	}
	site.visitors.await(200)
	for i, s := range site.states(3) {
		if s.up != 1 || s.ejections != 0 {
			t.Errorf("upstream %d while no name is known: %+v, want it up and never ejected", i, s)
		}
	}
	moved := site.upstreams[0]
	before := site.states(1)
	moved.kill()
	site.await(before, func(was, is upstreamFigures) bool { return is.up == 0 })
	moved.move()
	site.zone.fail(false)
	site.await(before, func(was, is upstreamFigures) bool { return is.weight == 1 && is.returns > was.returns })
	site.visitors.leave(t)
	site.node.stop()
}

// upstreamKind is how upstreams are known to the node.
type upstreamKind int

const (
	plain     upstreamKind = iota // by address
	certified                     // by address, over TLS
	named                         // by a name in a zone of the test's own
)

// hurtSite is a node in front of three upstreams, all of them processes.
type hurtSite struct {
	t         *testing.T
	zone      *zone
	upstreams []*upstreamProcess
	node      *process
	socket    string // of its admin side
	visitors  *patrons
}

func newHurtSite(t *testing.T, binary string, kind upstreamKind) *hurtSite {
	t.Helper()
	s := &hurtSite{t: t}
	g := newProgram(t, binary, "http://127.0.0.1:1", t.TempDir(), "16MiB")
	s.socket = g.socket()
	more := ""
	switch kind {
	case certified:
		folder := writeUpstreamCertificates(t)
		more = fmt.Sprintf("tls: {ca: %q, name: %s}", folder+"/ca.pem", upstreamName)
		s.startUpstreams(func(u *upstreamProcess) { u.folder, u.certified = folder, "valid" })
	case named:
		s.zone = startZone(t)
		g.asks(s.zone)
		more = "resolve: {interval: 200ms}"
		s.startUpstreams(func(u *upstreamProcess) {
			u.zone, u.name = s.zone, fmt.Sprintf("upstream-%s.test", u.port)
			s.zone.lead(u.name, u.ip)
		})
	default:
		s.startUpstreams(func(*upstreamProcess) {})
	}
	writeFile(t, g.config(), []byte(s.configuration(more)))
	s.node = g.startReady(t)
	return s
}

// startUpstreams starts three, after each was prepared.
func (s *hurtSite) startUpstreams(prepare func(*upstreamProcess)) {
	for range 3 {
		u := newUpstream(s.t)
		prepare(u)
		u.start()
		s.t.Cleanup(u.kill)
		s.upstreams = append(s.upstreams, u)
	}
}

// configuration is the node's; more is about the origin.
func (s *hurtSite) configuration(more string) string {
	var urls []string
	for _, u := range s.upstreams {
		urls = append(urls, strconv.Quote(u.url()))
	}
	return fmt.Sprintf(`
version: 1
memory: 8MiB
listeners: [{address: "127.0.0.1:0"}]
log: {format: "off"}
admin: {socket: %q}
origins:
  pages:
    urls: [%s]
    check: {kind: http, path: /healthz, interval: 200ms, timeout: 600ms, unhealthy: 3}
    outliers: {eject: 300ms}
    slow_start: 300ms
    timeouts: {connect: 1s, first_byte: 1s}
    %s
sites: [{default: true, origin: pages, error_pages: {offline: {body: back soon}}}]
`, s.socket, strings.Join(urls, ", "), more)
}

// upstreamFigures is what the node's metrics say of an upstream.
type upstreamFigures struct{ up, weight, ejections, returns float64 }

// states are those of the first n upstreams.
func (s *hurtSite) states(n int) []upstreamFigures {
	s.t.Helper()
	_, text := s.node.ask("/metrics")
	all := make([]upstreamFigures, n)
	for i, u := range s.upstreams[:n] {
		_, name, _ := strings.Cut(u.url(), "://")
		for metric, value := range map[string]*float64{
			"up": &all[i].up, "weight": &all[i].weight, "ejections_total": &all[i].ejections, "returns_total": &all[i].returns,
		} {
			series := fmt.Sprintf("\nselvage_upstream_%s{origin=\"pages\",upstream=%q} ", metric, name)
			_, after, found := strings.Cut(text, series)
			if !found {
				s.t.Fatalf("no %s in the metrics:\n%s", series, text)
			}
			line, _, _ := strings.Cut(after, "\n")
			var err error
			if *value, err = strconv.ParseFloat(line, 64); err != nil {
				s.t.Fatal(err)
			}
		}
	}
	return all
}

// await waits until every upstream of before has become what is wanted, and looks again after some requests.
func (s *hurtSite) await(before []upstreamFigures, wanted func(was, is upstreamFigures) bool) {
	s.t.Helper()
	for late := time.Now().Add(longEnough); ; s.visitors.await(20) {
		now, left := s.states(len(before)), len(before)
		for i := range now {
			if wanted(before[i], now[i]) {
				left--
			}
		}
		if left == 0 {
			return
		}
		if time.Now().After(late) {
			s.t.Fatalf("the upstreams are not what they should be: %+v, before %+v", now, before)
		}
	}
}

// logTells: the log has a line for every ejection and every return that the metrics count.
func (s *hurtSite) logTells() {
	s.t.Helper()
	var all upstreamFigures
	for _, u := range s.states(3) {
		all.ejections += u.ejections
		all.returns += u.returns
	}
	for text, want := range map[string]float64{`"upstream ejected"`: all.ejections, `"upstream is back"`: all.returns} {
		if got := s.node.said.count(text); float64(got) != want {
			s.t.Errorf("the log says %s %d times, the metrics %v", text, got, want)
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

// visit has n patrons ask.
func (s *hurtSite) visit(n int) {
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
	s.visitors = v
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
