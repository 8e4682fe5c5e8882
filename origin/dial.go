package origin

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"
)

// Dialer makes connections.
type Dialer func(ctx context.Context, network, address string) (net.Conn, error)

// Network is how a Pool reaches upstreams. The zero value is the machine's own; with a Dial alone names are not looked up but
// dialled.
type Network struct {
	Dial     Dialer
	Resolver Resolver

	sockets bool // connections are the kernel's
}

func (n Network) orReal() Network {
	if n.Dial == nil {
		n.sockets = true
		n.Dial = new(net.Dialer).DialContext
		if n.Resolver == nil {
			n.Resolver = net.DefaultResolver
		}
	}
	return n
}

// dial makes a connection without TLS: for HTTP/1, held to strict framing, or for HTTP/2 with prior knowledge.
func (u *upstream) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, u.timeouts.Connect)
	defer cancel()
	c, err := u.connect(ctx)
	if err != nil {
		return nil, connectFailure(u.name, err)
	}
	if u.protocol == protocolHTTP2 {
		return c, nil
	}
	return newConn(c, nil, u.name), nil
}

// dialTLS makes a connection for what the upstream chooses: HTTP/1, held to strict framing above TLS, or HTTP/2, which
// http.Transport knows by the type *tls.Conn.
func (u *upstream) dialTLS(ctx context.Context, _, _ string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, u.timeouts.Connect)
	defer cancel()
	secure, below, err := u.secure(ctx)
	switch {
	case err != nil:
		return nil, connectFailure(u.name, err)
	case secure.ConnectionState().NegotiatedProtocol == "h2":
		return secure, nil
	case u.protocol == protocolHTTP2:
		secure.Close()
		return nil, connectFailure(u.name, handshakeError{errors.New("the upstream does not speak HTTP/2")})
	}
	return newConn(secure, below, u.name), nil
}

// secure connects and shakes hands.
func (u *upstream) secure(ctx context.Context) (*tls.Conn, *wire, error) {
	c, err := u.reach(ctx, nil, nil)
	if err != nil {
		return nil, nil, err
	}
	below := &wire{Conn: c}
	secure := tls.Client(below, u.tls)
	if err := secure.HandshakeContext(ctx); err != nil {
		c.Close()
		return nil, nil, handshakeError{err}
	}
	return secure, below, nil
}

func (u *upstream) connect(ctx context.Context) (net.Conn, error) {
	switch {
	case u.isHere():
		return u.pool.network.Dial(ctx, "unix", u.path)
	case u.addresses == nil: // an address, or a name for the dialer
		return u.pool.network.Dial(ctx, "tcp", u.name)
	}
	all, err := u.addresses.get(ctx)
	if err != nil {
		return nil, err
	}
	_, port, _ := net.SplitHostPort(u.name)
	return dialAny(ctx, u.pool.network.Dial, all, port)
}

// patience is how long an address may be silent before the next is tried beside it (RFC 8305, section 5).
const patience = 250 * time.Millisecond

type dialled struct {
	net.Conn
	err error
}

// dialAny connects to the first address that answers. The next is tried as soon as one fails, or is silent for a while. It
// returns when all attempts have ended; those that come too late are closed.
func dialAny(ctx context.Context, dial Dialer, all []netip.Addr, port string) (net.Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	results, dialling := make(chan dialled, len(all)), sync.WaitGroup{}
	defer func() {
		cancel()
		dialling.Wait()
		close(results)
		for late := range results {
			late.close()
		}
	}()
	silent := time.NewTimer(0)
	defer silent.Stop()
	var first error
	for next, failed := 0, 0; failed < len(all); {
		select {
		case <-silent.C:
		case r := <-results:
			if r.err == nil {
				return r.Conn, nil
			}
			first = firstError(first, r.err)
			failed++
		}
		if next < len(all) {
			address := net.JoinHostPort(all[next].String(), port)
			dialling.Go(func() {
				c, err := dial(ctx, "tcp", address)
				results <- dialled{c, err}
			})
			next++
			silent.Reset(patience)
		}
	}
	return nil, first
}

func firstError(first, err error) error {
	if first != nil {
		return first
	}
	return err
}

func (d dialled) close() {
	if d.err == nil {
		d.Conn.Close()
	}
}
