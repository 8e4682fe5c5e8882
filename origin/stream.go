package origin

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/pires/go-proxyproto"
)

// What a connection begins with, before it is the client's.
const (
	proxyOff = "off"
	proxyV1  = "v1"
	proxyV2  = "v2"
)

// Stream is a connection to an upstream on which something else than HTTP is spoken. It is in flight there, as a request is,
// until Release.
type Stream struct {
	Conn     net.Conn // the network's own, so that the kernel can copy from it and to it
	Upstream string

	exchange *exchange
}

// Release takes the connection out of the upstream's load. Whoever uses it closes it.
func (s *Stream) Release() { s.exchange.end() }

// Connect connects to the upstream that the policy picks for a client that has come from one address to another, either of
// which may be nil. Of the policies hash goes by the client's address, and the latency of least_time is that of connecting.
// When there is no connection another upstream is tried: nothing was sent that must not be sent twice. Attempts, time and the
// budget bound that. The error is a *Failure or the cause of ctx.
func (p *Pool) Connect(ctx context.Context, from, to net.Addr) (*Stream, error) {
	now := time.Now()
	p.budget.request(now)
	p.awaitServices(ctx)
	a := attempts{r: streamRequest(ctx, from), left: p.retry.Attempts, until: now.Add(p.total)}
	a.tried = a.room[:0]
	x, err := p.acquire(&a)
	for x != nil {
		var c net.Conn
		if c, err = x.connect(from, to); err == nil {
			return &Stream{Conn: c, Upstream: x.upstream.name, exchange: x}, nil
		}
		x = p.next(&a, x, nil, err)
	}
	return nil, orUnavailable(err)
}

// streamRequest is what the policies see of a stream: all that is known of it is its client, so every hash is of that.
func streamRequest(ctx context.Context, from net.Addr) *http.Request {
	client := ""
	if from != nil {
		client = (&url.URL{Host: from.String()}).Hostname()
	}
	r := &http.Request{Method: http.MethodConnect, URL: new(url.URL), Host: client, RemoteAddr: client}
	return r.WithContext(ctx)
}

// connect makes the exchange's connection. Whether that works is what the exchange says of its upstream.
func (x *exchange) connect(from, to net.Addr) (net.Conn, error) {
	u := x.upstream
	ctx, cancel := context.WithTimeout(x.context(), u.timeouts.Connect)
	defer cancel()
	c, err := u.reach(ctx, from, to)
	if err != nil {
		err = x.reason(connectFailure(u.name, err))
		x.judgeError(err)
		x.end()
		return nil, err
	}
	now := time.Now()
	x.took = now.Sub(x.began)
	u.pace.observe(x.took, now)
	x.judge(good, "")
	return c, nil
}

// reach connects, and says who the client is, if the upstream wants to be told.
func (u *upstream) reach(ctx context.Context, from, to net.Addr) (net.Conn, error) {
	c, err := u.connect(ctx)
	if err != nil {
		return nil, err
	}
	if err := u.introduce(ctx, c, from, to); err != nil {
		c.Close()
		return nil, fmt.Errorf("PROXY header: %w", err)
	}
	return c, nil
}

// introduce sends a header of the PROXY protocol. Without addresses, or with those of unix sockets, it says that we come on
// our own behalf: to see how the upstream is.
func (u *upstream) introduce(ctx context.Context, c net.Conn, from, to net.Addr) error {
	version, ok := map[string]byte{proxyV1: 1, proxyV2: 2}[u.pool.config.ProxyProtocol]
	if !ok {
		return nil
	}
	if until, ok := ctx.Deadline(); ok {
		if err := c.SetWriteDeadline(until); err != nil {
			return err
		}
	}
	if _, err := proxyproto.HeaderProxyFromAddrs(version, from, to).WriteTo(c); err != nil {
		return err
	}
	return c.SetWriteDeadline(time.Time{})
}
