package origin

import (
	"context"
	"crypto/tls"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cespare/xxhash/v2"
)

// upstream is one server, and the connections kept to it.
type upstream struct {
	address
	pool       *Pool
	backup     bool
	weight     atomic.Int64
	draining   atomic.Bool // it gets no requests, until an operator says otherwise
	seed       uint64      // a hash of the name
	token      string      // of a sticky cookie, "" without
	timeouts   Timeouts
	protocol   string
	tls        *tls.Config
	addresses  *addresses // nil where there is nothing to look up
	checker    *checker   // nil without checks
	folder     *directory // nil unless the upstream is one
	transports atomic.Pointer[transports]

	load     load
	pace     pace
	health   health
	outliers outliers
	reprieve reprieve
	breaker  *breaker
	credit   float64 // of smooth; guarded by balancer.turn

	// Counted since the start.
	answers, failures, checks, failedChecks atomic.Int64
}

// newUpstream makes the upstream at a; uc says the rest of it.
func (p *Pool) newUpstream(uc UpstreamConfig, a address) (u *upstream, err error) {
	c, log := p.config, p.log.With("origin", p.name, "upstream", a.name)
	u = &upstream{
		address: a, pool: p, backup: uc.Backup, seed: xxhash.Sum64String(a.name),
		timeouts: c.Timeouts, protocol: c.Protocol, tls: p.tlsFor(a), breaker: newBreaker(c.Breaker, log),
	}
	u.weight.Store(int64(uc.Weight))
	if p.balance.policy == sticky {
		u.token = p.balance.tie.token(a.name)
	}
	u.health.slowStart, u.health.log = c.SlowStart, log
	u.outliers.OutlierConfig = c.Outliers
	u.load.max, u.load.rate.interval = int64(uc.MaxRequests), newInterval(uc.MaxRate)
	if name := (&url.URL{Host: a.host}).Hostname(); p.network.Resolver != nil && !a.isHere() && !isAddress(name) {
		u.addresses = &addresses{ResolveConfig: c.Resolve, resolver: p.network.Resolver, name: name, log: log, gone: u.renew}
	}
	u.transports.Store(u.newTransports(c))
	if a.isFolder() {
		u.folder, err = openDirectory(a.path)
	} else if c.Check.Kind != checkOff {
		u.checker = newChecker(c.Check, u, c.Host)
	}
	return u, err
}

// run looks after u until ctx ends.
func (u *upstream) run(ctx context.Context) {
	var running sync.WaitGroup
	if u.checker != nil {
		running.Go(func() { u.checker.run(ctx) })
	}
	if u.addresses != nil {
		running.Go(func() { u.addresses.run(ctx) })
	}
	running.Wait()
}

func (u *upstream) roundTrip(x *exchange) (*http.Response, error) {
	u.prepare(x)
	response, err := u.send(x)
	if err == nil && !x.gotHead() {
		response.Body.Close()
		err = context.Canceled
	}
	if err != nil {
		err = x.reason(err)
		x.judgeError(err)
		x.end()
		return nil, err
	}
	now := time.Now()
	x.took = now.Sub(x.began)
	u.pace.observe(x.took, now)
	if isErrorStatus(response.StatusCode) {
		x.judge(bad, "status "+strconv.Itoa(response.StatusCode))
	}
	return x.deliver(response)
}

func (u *upstream) send(x *exchange) (*http.Response, error) {
	if u.folder != nil {
		x.takeOver()
		return u.folder.RoundTrip(&x.outgoing)
	}
	return u.transports.Load().send(x)
}

// isErrorStatus reports whether a status says that the upstream is at fault, rather than the request (RFC 5861, section 4).
func isErrorStatus(status int) bool {
	switch status {
	case http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// prepare makes what goes out of the request. Nothing is added that it does not have, but by the origin's rules.
func (u *upstream) prepare(x *exchange) {
	r, out := x.request, &x.outgoing
	*out, x.target = *r, u.pool.rules.target(u, r.URL)
	out.URL = &x.target
	out.GetBody = nil // a body is never sent twice
	if hasBody(r) {
		out.Body = &upload{ReadCloser: r.Body, x: x}
		// Where content has no meaning (RFC 9110, sections 9.3.1, 9.3.2, 9.3.5 and 9.3.7) servers are likely not to read it.
		out.Close = isSafe(r.Method) || r.Method == http.MethodDelete
	}
	_, hasAgent := r.Header["User-Agent"]
	nominate := r.Header["Te"] != nil && u.speaksHTTP1()
	signer := u.pool.rules.signer
	if !hasAgent || nominate || signer != nil {
		out.Header = maps.Clone(r.Header)
	}
	if nominate { // RFC 9110, section 10.1.4
		out.Header["Connection"] = append(slices.Clip(r.Header["Connection"]), "TE")
	}
	if !hasAgent { // present but empty, or http.Transport puts in its own
		out.Header["User-Agent"] = nil
	}
	if signer != nil {
		signer.sign(out, time.Now())
	}
}

// speaksHTTP1 reports whether the version is known before there is a connection. HTTP/2 has no field Connection, and must not be
// sent one.
func (u *upstream) speaksHTTP1() bool {
	return u.protocol == protocolHTTP1 || u.scheme == "http" && u.protocol != protocolHTTP2
}

func hasBody(r *http.Request) bool { return r.Body != nil && r.Body != http.NoBody }

// deliver gives the answer a body that minds its exchange.
func (x *exchange) deliver(response *http.Response) (*http.Response, error) {
	x.restore(response.Header)
	x.conceal(response.Header)
	x.conceal(response.Trailer) // what is announced; what comes is the body's to look at
	if response.ProtoMajor == 2 && response.ContentLength > 0 && x.method != http.MethodHead {
		response.Body = &promised{response.Body, response.ContentLength}
	}
	if response.StatusCode != http.StatusSwitchingProtocols {
		x.answer = body{response.Body, x, response}
		response.Body = &x.answer
		return response, nil
	}
	rw, why := x.switched(response)
	if why != "" {
		response.Body.Close()
		x.end()
		return nil, x.complete(fault(typeUpgradeFailed, why))
	}
	response.Body = newUpgraded(rw, x)
	return response, nil
}

// conceal applies the origin's rules to the fields of an answer, in whichever section of it they come.
func (x *exchange) conceal(h http.Header) { x.upstream.pool.rules.conceal(h, x.request.Host) }

// switched returns the connection behind a 101, or why there is none. To another protocol than was asked for an upstream may
// not switch (RFC 9110, section 7.8): to h2c, say, whose requests nobody here would see.
func (x *exchange) switched(response *http.Response) (rw io.ReadWriteCloser, why string) {
	rw, ok := response.Body.(io.ReadWriteCloser)
	switch {
	case !ok: // no Upgrade and Connection in it
		return nil, "101 without Upgrade"
	case !strings.EqualFold(response.Header.Get("Upgrade"), x.request.Header.Get("Upgrade")):
		return nil, "101 to a protocol that was not asked for"
	}
	return rw, ""
}
