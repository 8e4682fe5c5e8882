package main

import (
	"bufio"
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"
)

// scriptedAsk is a request to be made, and what is expected of its answer.
type scriptedAsk struct {
	what           string // for failures
	method, target string
	host           string
	message        *message      // fields and body
	raw            []byte        // instead of all of the above
	next           bool          // ask nothing: read the next answer on the connection
	same           bool          // on the connection there is, whatever host it was made for
	read           int           // bytes to read at a time; 0: as they come
	every          time.Duration // pause between reads; 0: until the client resumes
	expect         []expectation
}

// scriptedClient is one client: an address, a way to speak, and one connection that it keeps, over TLS for as long as it asks
// for one host.
type scriptedClient struct {
	name    string
	from    netip.Addr
	over    string // http, https or h2
	network *memoryNetwork
	expand  func(string) string

	wire wire
	host string // that the wire was made for
	last *exchange
	etag string         // of the last answer that had one
	wg   sync.WaitGroup // exchanges under way

	dictionary []byte // content of the last answer that was one
}

// wire is a client's connection.
type wire interface {
	// exchange makes the request and reads the answer into x, to its end.
	exchange(a *scriptedAsk, x *exchange)
	// finished reports that the node has closed.
	finished() bool
	// leave closes it, whatever is under way.
	leave()
}

// begin starts an exchange. A connection that the node has closed meanwhile is replaced.
func (c *scriptedClient) begin(ctx context.Context, a *scriptedAsk) (*exchange, error) {
	if c.last != nil && !c.last.snapshot().done {
		return nil, fmt.Errorf("client %s is still busy with %s", c.name, c.last.ask.what)
	}
	if c.wire != nil && !a.next && (c.wire.finished() || c.over != "http" && a.host != c.host && !a.same) {
		c.wire.leave()
		c.wire = nil
	}
	if c.wire == nil {
		w, err := c.connect(ctx, a.host)
		if err != nil {
			return nil, err
		}
		c.wire, c.host = w, a.host
	}
	if c.last != nil {
		c.remember(c.last.snapshot())
	}
	x := newExchange(a)
	x.out.dictionary = c.dictionary
	c.last = x
	w := c.wire
	c.wg.Go(func() { w.exchange(a, x) })
	return x, nil
}

// remember keeps of an answer what later requests may be about.
func (c *scriptedClient) remember(o *outcome) {
	c.etag = cmp.Or(o.header.Get("Etag"), c.etag)
	if o.header.Get("Use-As-Dictionary") != "" {
		if content, err := o.content(); err == nil {
			c.dictionary = content
		}
	}
}

// leave hangs up.
func (c *scriptedClient) leave() {
	if c.last != nil {
		c.resume()
	}
	if c.wire != nil {
		c.wire.leave()
		c.wire = nil
	}
	c.wg.Wait()
}

// resume lets a client read on that stopped reading.
func (c *scriptedClient) resume() {
	select {
	case <-c.last.release:
	default:
		close(c.last.release)
	}
}

func (c *scriptedClient) connect(ctx context.Context, host string) (wire, error) {
	if c.over == "h2" {
		return newStreamWire(c, host), nil
	}
	port := map[string]string{"http": ":80", "https": ":443"}[c.over]
	raw, err := c.network.dialFrom(ctx, c.from, "tcp", port)
	if err != nil {
		return nil, err
	}
	w := &lineWire{client: c, raw: raw, conn: raw}
	if c.over == "https" {
		if w.conn, err = encrypt(ctx, raw, host, "http/1.1"); err != nil {
			return nil, err
		}
	}
	w.in = bufio.NewReader(w.conn)
	return w, nil
}

// encrypt makes a TLS connection. The certificate is the node's own making, and not what is tested here.
func encrypt(ctx context.Context, raw net.Conn, host, proto string) (*tls.Conn, error) {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	conn := tls.Client(raw, &tls.Config{ServerName: name, NextProtos: []string{proto}, InsecureSkipVerify: true})
	if err := conn.HandshakeContext(ctx); err != nil {
		raw.Close()
		return nil, err
	}
	return conn, nil
}
