package origin

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/cespare/xxhash/v2"
)

// upstream is one address, and the connections kept to it.
//
// Requests with a body have connections of their own. A server that does not read a body it should takes it for the next
// request, and the answer to that for the next exchange's: an attacker's choice, as the body is. It must not become the
// answer to a GET, which may be stored for everybody.
type upstream struct {
	address
	backup    bool
	weight    float64
	seed      uint64 // a hash of the name
	token     string // of a sticky cookie, "" without
	timeouts  Timeouts
	transport *http.Transport
	uploads   *http.Transport
	tls       *tls.Config
	dialer    Dialer
	pool      *Pool

	load     load
	pace     pace
	health   health
	outliers outliers
	breaker  *breaker
	credit   float64 // of smooth; guarded by balancer.turn

	// Counted since the start.
	answers, failures, checks, failedChecks atomic.Int64
}

func newUpstream(p *Pool, uc UpstreamConfig, c Config, roots *x509.CertPool, dial Dialer) *upstream {
	a, _, _ := parseAddress(uc.URL)
	log := p.log.With("origin", p.name, "upstream", a.name)
	u := &upstream{
		address: a, backup: uc.Backup, weight: float64(uc.Weight), seed: xxhash.Sum64String(a.name),
		timeouts: c.Timeouts, dialer: dial, pool: p, breaker: newBreaker(c.Breaker, log),
	}
	if p.balance.policy == sticky {
		u.token = p.balance.tie.token(a.name)
	}
	u.health.slowStart, u.health.log = c.SlowStart, log
	u.outliers.OutlierConfig = c.Outliers
	u.load.max, u.load.rate.interval = int64(uc.MaxRequests), newInterval(uc.MaxRate)
	u.tls = &tls.Config{
		ServerName:         c.TLS.Name,
		RootCAs:            roots,
		InsecureSkipVerify: c.TLS.Insecure,
		NextProtos:         []string{"h2", "http/1.1"},
		ClientSessionCache: tls.NewLRUClientSessionCache(16),
	}
	if u.tls.ServerName == "" {
		u.tls.ServerName = (&url.URL{Host: a.host}).Hostname()
	}
	u.transport = &http.Transport{
		DialContext:         u.dial,
		DialTLSContext:      u.dialTLS,
		ForceAttemptHTTP2:   true,
		DisableCompression:  true, // or it asks for gzip by itself and unpacks silently
		DisableKeepAlives:   c.IdleConns == 0,
		MaxIdleConnsPerHost: c.IdleConns,
		IdleConnTimeout:     c.Timeouts.Idle,
		// The limits of a head are the follower's over HTTP/1; it has to speak first.
		MaxResponseHeaderBytes: 2 * maxHead,
		ReadBufferSize:         maxTrailer, // net/http wants all trailers in its buffer at once
		ExpectContinueTimeout:  time.Second,
		// A silent HTTP/2 connection may be dead, and every new request would go there and wait.
		HTTP2: &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 5 * time.Second},
	}
	u.uploads = u.transport.Clone()
	return u
}

func (u *upstream) roundTrip(r *http.Request, x *exchange) (*http.Response, error) {
	transport := u.transport
	if hasBody(r) {
		transport = u.uploads
	}
	response, err := transport.RoundTrip(u.outgoing(r, x))
	if err != nil {
		err = x.reason(err)
		x.judgeError(err)
		x.end()
		return nil, err
	}
	x.gotHead()
	now := time.Now()
	x.took = now.Sub(x.began)
	u.pace.observe(x.took, now)
	if isErrorStatus(response.StatusCode) {
		x.judge(bad, "status "+strconv.Itoa(response.StatusCode))
	}
	return x.deliver(response)
}

// isErrorStatus reports whether a status says that the upstream is at fault, rather than the request (RFC 5861, section 4).
func isErrorStatus(status int) bool {
	switch status {
	case http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// outgoing is r for this upstream. Nothing is added that r does not have.
func (u *upstream) outgoing(r *http.Request, x *exchange) *http.Request {
	out := r.WithContext(x.traced())
	out.URL = &url.URL{
		Scheme: u.scheme, Host: u.host,
		Path: r.URL.Path, RawPath: r.URL.RawPath, RawQuery: r.URL.RawQuery, ForceQuery: r.URL.ForceQuery,
	}
	out.GetBody = nil // a body is never sent twice
	if hasBody(r) {
		out.Body = &upload{ReadCloser: r.Body, x: x}
		// Where content has no meaning (RFC 9110, sections 9.3.1, 9.3.2, 9.3.5 and 9.3.7) servers are likely not to read it.
		out.Close = isSafe(r.Method) || r.Method == http.MethodDelete
	}
	if _, ok := r.Header["User-Agent"]; !ok { // present but empty, or http.Transport puts in its own
		out.Header = maps.Clone(r.Header)
		out.Header["User-Agent"] = nil
	}
	return out
}

func hasBody(r *http.Request) bool { return r.Body != nil && r.Body != http.NoBody }

// closeIdle closes the connections that no exchange uses.
func (u *upstream) closeIdle() {
	u.transport.CloseIdleConnections()
	u.uploads.CloseIdleConnections()
}

// deliver gives the answer a body that minds its exchange.
func (x *exchange) deliver(response *http.Response) (*http.Response, error) {
	x.dropInvented(response.Header)
	if response.StatusCode != http.StatusSwitchingProtocols {
		response.Body = &body{ReadCloser: response.Body, x: x}
		return response, nil
	}
	rw, ok := response.Body.(io.ReadWriteCloser)
	if !ok { // no Upgrade and Connection in it
		response.Body.Close()
		x.end()
		return nil, x.complete(fault(typeUpgradeFailed, "101 without Upgrade"))
	}
	response.Body = newUpgraded(rw, x)
	return response, nil
}

// dial makes a connection for HTTP/1 without TLS.
func (u *upstream) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, u.timeouts.Connect)
	defer cancel()
	c, err := u.connect(ctx)
	if err != nil {
		return nil, connectFailure(u.name, err)
	}
	return newConn(c, nil, u.name), nil
}

// dialTLS makes a connection for what the upstream chooses: HTTP/1, held to strict framing above TLS, or HTTP/2, which
// http.Transport knows by the type *tls.Conn.
func (u *upstream) dialTLS(ctx context.Context, _, _ string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, u.timeouts.Connect)
	defer cancel()
	c, err := u.connect(ctx)
	if err != nil {
		return nil, connectFailure(u.name, err)
	}
	below := &wire{Conn: c}
	secure := tls.Client(below, u.tls)
	if err := secure.HandshakeContext(ctx); err != nil {
		c.Close()
		return nil, connectFailure(u.name, handshakeError{err})
	}
	if secure.ConnectionState().NegotiatedProtocol == "h2" {
		return secure, nil
	}
	return newConn(secure, below, u.name), nil
}

func (u *upstream) connect(ctx context.Context) (net.Conn, error) {
	if u.isSocket() {
		return u.dialer(ctx, "unix", u.path)
	}
	return u.dialer(ctx, "tcp", hostPort(u.scheme, u.host))
}
