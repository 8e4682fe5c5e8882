package main

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quic-go/quic-go/http3"
)

// TestReloadUnderLoad: while visitors come by every version of HTTP, over connections that stay and over new ones, the file
// changes again and again: certificates, sites, routes, limits. Not one request fails. SELVAGE_SOAK=1 keeps at it for half a
// minute.
func TestReloadUnderLoad(t *testing.T) {
	reloads, until := 10, time.Now()
	if soaking() {
		until = time.Now().Add(30 * time.Second)
	}
	r := &reloading{steps: make(chan struct{}), g: newProgram(t, buildProgram(t), "http://127.0.0.1:1", t.TempDir(), "16MiB")}
	r.write(t, 0)
	r.node = r.g.startReady(t)
	config := func() *tls.Config { return &tls.Config{ServerName: "site.test", InsecureSkipVerify: true} }
	third := &http3.Transport{TLSClientConfig: config()}
	defer third.Close()
	visitors := map[string]http.RoundTripper{
		"HTTP/1.1, kept":    &http.Transport{TLSClientConfig: config()},
		"HTTP/1.1, anew":    &http.Transport{TLSClientConfig: config(), DisableKeepAlives: true},
		"HTTP/2, kept":      &http.Transport{TLSClientConfig: config(), ForceAttemptHTTP2: true},
		"HTTP/3, kept":      third,
		"HTTP/1.1, resumed": &http.Transport{TLSClientConfig: withTickets(config()), DisableKeepAlives: true},
	}
	var visiting sync.WaitGroup
	for name, client := range visitors {
		visiting.Go(func() { r.visit(t, name, client) })
	}
	go func() {
		visiting.Wait()
		close(r.steps)
	}()
	for i := 1; !r.over.Load() && (i <= reloads || time.Now().Before(until)); i++ {
		r.write(t, i)
		answer, err := r.node.admin.Post("http://admin/v1/reload", "application/json", strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(answer.Body)
		answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			t.Fatalf("reload %d: %s %s", i, answer.Status, body)
		}
		r.await(int64(20 * len(visitors))) // visits
	}
	r.over.Store(true)
	for range r.steps { // until all have left
	}
	t.Logf("%d requests", r.asked.Load())
}

// reloading is a program whose file changes, and who visits it.
type reloading struct {
	g     *program
	node  *process
	over  atomic.Bool
	asked atomic.Int64
	steps chan struct{} // has something whenever a visitor asks; closed when all have left
}

// write writes the file for the i-th time. The site's certificate is made by its issuer, so that another makes another.
func (r *reloading) write(t *testing.T, i int) {
	t.Helper()
	issuer := []string{"internal", "self_signed"}[i%2]
	text := fmt.Sprintf(`
version: 1
memory: 8MiB
listeners: [{address: "127.0.0.1:0", tls: {}}]
limits: {fields: %d}
log: {format: "off"}
tls: {state: %q}
admin: {socket: %q}
sites:
  - {hosts: [site.test], tls: {issuer: %s}, routes: [{respond: {body: "page %d"}}]}
  - {hosts: [site-%d.test], tls: {issuer: internal}, routes: [{respond: {body: other}}]}
`, 100+i%2, r.g.cache, r.g.socket(), issuer, i, i)
	writeFile(t, r.g.config(), []byte(text))
}

// visit asks for one page after the other.
func (r *reloading) visit(t *testing.T, name string, client http.RoundTripper) {
	for !r.over.Load() {
		r.asked.Add(1)
		select {
		case r.steps <- struct{}{}:
		default:
		}
		if err := r.ask(client); err != nil {
			t.Errorf("%s: %v", name, err)
			r.over.Store(true)
		}
	}
}

func (r *reloading) ask(client http.RoundTripper) error {
	request, err := http.NewRequest("GET", "https://"+r.node.address+"/", nil)
	if err != nil {
		return err
	}
	request.Host = "site.test"
	response, err := client.RoundTrip(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && !strings.HasPrefix(string(body), "page ") {
		err = fmt.Errorf("%s %q", response.Status, body)
	}
	return err
}

// await waits until so many more pages were asked for.
func (r *reloading) await(n int64) {
	for until := r.asked.Load() + n; r.asked.Load() < until && !r.over.Load(); {
		<-r.steps
	}
}

func withTickets(c *tls.Config) *tls.Config {
	c.ClientSessionCache = tls.NewLRUClientSessionCache(10)
	return c
}
