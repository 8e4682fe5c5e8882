package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// TestStreams passes connections through the built program: with the kernel's own sockets, since half of what is promised is
// how they end.
func TestStreams(t *testing.T) {
	binary := buildProgram(t)
	for name, test := range map[string]func(*testing.T, string){
		"what goes in comes out": testStreamEcho, "names": testStreamNames, "hostile hellos": testStreamHostile,
		"reload": testStreamReload, "drain": testStreamDrain, "one of two upstreams dies": testStreamUpstreamDies,
	} {
		t.Run(name, func(t *testing.T) { test(t, binary) })
	}
}

// testStreamEcho: bytes and ends go through, and the log and the metrics tell of it.
func testStreamEcho(t *testing.T, binary string) {
	n := startStreams(t, binary, startEcho(t, "a"))
	c := dialStream(t, n.echo, "a")
	wantEcho(t, c, "hello")
	c.CloseWrite()
	if rest, err := io.ReadAll(c); len(rest) > 0 || err != nil {
		t.Errorf("after the end: %q, %v", rest, err)
	}
	n.awaitTimes(`"stream":"echo"`, 1)
	line := regexp.MustCompile(`{"time":"[^"]+","client":"127.0.0.1","proto":"TCP","stream":"echo","origin":"echo","upstream":"` +
		regexp.QuoteMeta(n.echoUpstream[0]) + `","received":5,"bytes":6,"connect_ms":[0-9.]+,"total_ms":[0-9.]+}`)
	if !line.MatchString(n.said.String()) {
		t.Errorf("no line of the log is like %s:\n%s", line, n.said)
	}
	_, metrics := n.ask("/metrics")
	for _, want := range []string{
		`selvage_stream_connections_total{origin="echo",stream="echo"} 1`, `selvage_stream_open{origin="echo",stream="echo"} 0`,
		`selvage_stream_bytes_total{direction="received",origin="echo",stream="echo"} 5`,
		`selvage_stream_bytes_total{direction="sent",origin="echo",stream="echo"} 6`,
	} {
		if !strings.Contains(metrics, want) {
			t.Errorf("the metrics have no %s", want)
		}
	}
	n.stop()
}

// testStreamNames: TLS goes past the node unread, by name; on the sites' address too, where the sites are as they were. The
// upstream is told who the client is.
func testStreamNames(t *testing.T, binary string) {
	n := startStreams(t, binary, startEcho(t, "a"))
	for _, tt := range []struct{ address, name string }{
		{n.names, "mail.example.com"}, {n.names, "MAIL.example.com"}, {n.sites, "vpn.example.com"}, {n.told, "example.com"},
	} {
		got, want, err := n.askSecure(tt.address, tt.name)
		if err != nil || got != want {
			t.Errorf("%s: %q and %v, want %q", tt.name, got, err, want)
		}
	}
	for _, tt := range []struct{ address, name string }{{n.names, "vpn.example.com"}, {n.names, "127.0.0.1"}} {
		if _, _, err := n.askSecure(tt.address, tt.name); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("%s, which no route has (an address is no name): %v, want a reset", tt.name, err)
		}
	}
	if err := askSite(n.sites); err != nil {
		t.Error(err)
	}
	if answer, err := http.Get("http://" + n.sites + "/"); err != nil || answer.StatusCode != http.StatusBadRequest {
		t.Errorf("without TLS, on the address of the sites: %v, %v, want 400", answer, err)
	}
	n.awaitTimes(`"error":"no_route"`, 2)
	n.stop()
}

// askSite asks for the page of the site beside the streams.
func askSite(address string) error {
	config := siteTLS()
	config.ServerName = "www.example.com"
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}, Timeout: longEnough}
	r, err := http.NewRequest("GET", "https://"+address+"/", nil)
	if err != nil {
		return err
	}
	r.Host = "www.example.com"
	response, err := client.Do(r)
	if err != nil {
		return fmt.Errorf("the site: %w", err)
	}
	defer response.Body.Close()
	if body, err := io.ReadAll(response.Body); string(body) != "the site" || err != nil {
		return fmt.Errorf("the site: %s %q, %v", response.Status, body, err)
	}
	return nil
}

// testStreamHostile: clients that never get to the end of a hello are cut, and others notice nothing of them, be they those
// of streams or of the site beside.
func testStreamHostile(t *testing.T, binary string) {
	const hostile = 100
	n := startStreams(t, binary, startEcho(t, "a"))
	hello := clientHello(t)
	var cut sync.WaitGroup
	for i := range hostile {
		c, err := net.Dial("tcp", []string{n.names, n.sites}[i%2])
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.Write(hello[:i*len(hello)/hostile])
		if i%2 == 0 { // the sites have more patience, as without streams
			cut.Go(func() {
				c.SetReadDeadline(time.Now().Add(longEnough))
				if _, err := io.ReadAll(c); !errors.Is(err, syscall.ECONNRESET) {
					t.Errorf("%d bytes of a hello: %v, want a reset", i*len(hello)/hostile, err)
				}
			})
		}
	}
	for range 10 {
		if got, want, err := n.askSecure(n.names, "mail.example.com"); got != want || err != nil {
			t.Errorf("a good client of the stream: %q, %v", got, err)
		}
		if got, want, err := n.askSecure(n.sites, "vpn.example.com"); got != want || err != nil {
			t.Errorf("a good client of the shared stream: %q, %v", got, err)
		}
		if err := askSite(n.sites); err != nil {
			t.Error(err)
		}
	}
	cut.Wait()
	n.awaitTimes(`"error":"hello_timeout"`, hostile/2)
	n.healthy()
}

// testStreamReload: connections that are open stay where they are, new ones go where the new file says.
func testStreamReload(t *testing.T, binary string) {
	first, second := startEcho(t, "first"), startEcho(t, "second")
	n := startStreams(t, binary, first)
	var open []net.Conn
	for range 50 {
		open = append(open, dialStream(t, n.echo, "first"))
	}
	for range 3 {
		n.write(t, "", second)
		n.reload(t)
		for i, c := range open {
			wantEcho(t, c, fmt.Sprint("still ", i))
		}
		dialStream(t, n.echo, "second").Close()
		n.write(t, ", deny: [127.0.0.1]", first)
		n.reload(t)
		c, err := net.Dial("tcp", n.echo)
		if err == nil {
			_, err = c.Read(make([]byte, 1))
			c.Close()
		}
		if !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("who is denied since the reload: %v, want a reset", err)
		}
	}
	for i, c := range open {
		wantEcho(t, c, fmt.Sprint("at last ", i))
		c.Close()
	}
	n.stop()
}

// testStreamDrain: a node that ends lets what is under way finish.
func testStreamDrain(t *testing.T, binary string) {
	n := startStreams(t, binary, startEcho(t, "a"))
	c := dialStream(t, n.echo, "a")
	n.cmd.Process.Signal(syscall.SIGTERM)
	for { // until it accepts no more
		late, err := net.Dial("tcp", n.echo)
		if err != nil {
			break
		}
		late.Close()
	}
	wantEcho(t, c, strings.Repeat("still here", 100_000))
	c.Close()
	<-n.exited
	if code := n.cmd.ProcessState.ExitCode(); code != exitOK {
		t.Errorf("exit code = %d, want 0:\n%s", code, n.said)
	}
}

// testStreamUpstreamDies: of 500 connections those at the upstream that is killed end, visibly; the others live, and every new
// one is served.
func testStreamUpstreamDies(t *testing.T, binary string) {
	const conns = 500
	needDescriptors(t, 3*conns)
	a, b := startUpstream(t), startUpstream(t)
	t.Cleanup(a.kill) // and so they are kept: one that nobody holds is collected, and its process ends with its orders
	t.Cleanup(b.kill)
	n := startStreams(t, binary, a.address(), b.address())
	talk := func(c net.Conn) error { // upstreams of this test speak HTTP, which is only bytes here
		c.SetDeadline(time.Now().Add(longEnough))
		if _, err := io.WriteString(c, "GET /page HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
			return err
		}
		answer := make([]byte, len(bodyOf("/page")))
		for got := ""; !strings.HasSuffix(got, bodyOf("/page")); {
			k, err := c.Read(answer)
			if got += string(answer[:k]); err != nil {
				return err
			}
		}
		return nil
	}
	dial := func(when string) net.Conn {
		c, err := net.Dial("tcp", n.echo)
		if err == nil {
			err = talk(c)
		}
		if err != nil {
			refused := slices.DeleteFunc(strings.SplitAfter(n.said.String(), "\n"), func(line string) bool { return !strings.Contains(line, `"error":`) })
			t.Fatalf("a new connection %s: %v\n%s", when, err, strings.Join(refused, ""))
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	var open []net.Conn
	for range conns {
		open = append(open, dial("while both live"))
	}
	a.kill()
	alive := 0
	for _, c := range open {
		if talk(c) == nil {
			alive++
		}
	}
	if alive != conns/2 {
		t.Errorf("%d of %d connections live on, want half", alive, conns)
	}
	for range conns {
		dial("when one is dead")
	}
	n.healthy()
}
