package main

import (
	"context"
	"flag"
	"net"
	"os"
	"sync"
	"testing"

	"github.com/miekg/dns"
)

// zone is a name server of the test's own: an address for each name, which may change, and times when it knows none.
type zone struct {
	t       *testing.T
	address string

	mu      sync.Mutex
	names   map[string]net.IP // guarded by mu
	failing bool              // guarded by mu: NXDOMAIN for all
	asked   chan struct{}     // holds one: that it was asked
}

func startZone(t *testing.T) *zone {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	z := &zone{t: t, address: l.Addr().String(), names: make(map[string]net.IP), asked: make(chan struct{}, 1)}
	started, ended := make(chan struct{}), make(chan error)
	server := &dns.Server{Listener: l, Handler: z, NotifyStartedFunc: func() { close(started) }}
	go func() { ended <- server.ActivateAndServe() }()
	<-started
	t.Cleanup(func() {
		server.Shutdown()
		<-ended
	})
	return z
}

// lead has a name stand for an address.
func (z *zone) lead(name, ip string) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.names[dns.Fqdn(name)] = net.ParseIP(ip)
}

func (z *zone) fail(failing bool) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.failing = failing
}

// ServeDNS answers with what it knows now.
func (z *zone) ServeDNS(w dns.ResponseWriter, question *dns.Msg) {
	z.mu.Lock()
	q := question.Question[0]
	ip, failing := z.names[q.Name], z.failing
	z.mu.Unlock()
	answer := new(dns.Msg).SetReply(question)
	switch {
	case ip == nil, failing:
		answer.SetRcode(question, dns.RcodeNameError)
	case q.Qtype == dns.TypeA:
		header := dns.RR_Header{Name: q.Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 1}
		answer.Answer = []dns.RR{&dns.A{Hdr: header, A: ip}}
	}
	_ = w.WriteMsg(answer)
	select {
	case z.asked <- struct{}{}:
	default:
	}
}

// resolverVariable has a process of this test binary ask the name server at the address in it.
const resolverVariable = "SELVAGE_TEST_RESOLVER"

// asks makes the program one that asks the zone. The built one asks whom the machine asks, so this test binary stands in for
// it.
func (g *program) asks(z *zone) {
	z.t.Setenv(resolverVariable, z.address)
	g.wrap = []string{os.Args[0], "-test.run=^TestActAsProgram$", "--"}
}

// TestActAsProgram is the program, but for the resolver.
func TestActAsProgram(t *testing.T) {
	address := os.Getenv(resolverVariable)
	if address == "" || flag.NArg() == 0 {
		t.Skip("it is what TestUpstreamFailures and TestNameServerFails start")
	}
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", address)
	}}
	os.Exit(run(flag.Args()[1:], thisConsole())) // the first is the built one's name
}
