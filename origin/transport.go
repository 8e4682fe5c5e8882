package origin

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"time"
)

// What is spoken with upstreams.
const (
	protocolAuto  = "auto"
	protocolHTTP1 = "http1"
	protocolHTTP2 = "http2"
)

// transports keep the connections to an upstream: links those of plain HTTP/1, where nothing else is needed.
//
// Requests with a body have connections of their own. A server that does not read a body it should takes it for the next
// request, and the answer to that for the next exchange's: an attacker's choice, as the body is. It must not become the
// answer to a GET, which may be stored for everybody.
type transports struct {
	plain, uploads *http.Transport
	links          *links // nil where they cannot be used
}

func (t *transports) send(x *exchange) (*http.Response, error) {
	switch r := &x.outgoing; {
	case hasBody(r):
		return t.uploads.RoundTrip(r.WithContext(x.traced()))
	case t.links == nil || x.upgrade || r.Method == http.MethodConnect:
		return t.plain.RoundTrip(r.WithContext(x.traced()))
	}
	return t.links.roundTrip(x)
}

// closeIdle closes the connections that no exchange uses; until the next request, the others are closed when they are idle.
func (t *transports) closeIdle() {
	t.plain.CloseIdleConnections()
	t.uploads.CloseIdleConnections()
	if t.links != nil {
		t.links.close()
	}
}

func (u *upstream) newTransports(c Config) *transports {
	plain := &http.Transport{
		DialContext:         u.dial,
		DialTLSContext:      u.dialTLS,
		Protocols:           protocolsOf(c.Protocol, u.scheme),
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
	return &transports{plain: plain, uploads: plain.Clone(), links: u.newLinks(c)}
}

// newLinks returns nil where links cannot be used: over TLS an upstream may choose HTTP/2, and only a socket tells without a
// Read whether something has come.
func (u *upstream) newLinks(c Config) *links {
	if u.scheme != "http" || c.Protocol == protocolHTTP2 || c.IdleConns == 0 || !u.pool.network.sockets {
		return nil
	}
	return &links{upstream: u, max: c.IdleConns, patience: c.Timeouts.Idle}
}

// protocolsOf says what http.Transport may speak: over TLS the upstream chooses, without it HTTP/2 takes prior knowledge.
func protocolsOf(protocol, scheme string) *http.Protocols {
	p := new(http.Protocols)
	p.SetHTTP1(protocol != protocolHTTP2)
	p.SetHTTP2(protocol != protocolHTTP1 && scheme == "https")
	p.SetUnencryptedHTTP2(protocol == protocolHTTP2 && scheme == "http")
	return p
}

// renew has requests make new connections: those there are lead to an address that is no longer the upstream's. They end
// with what is in flight on them.
func (u *upstream) renew() { u.transports.Swap(u.newTransports(u.pool.config)).closeIdle() }

// tlsConfig is that of all upstreams but for the name.
func (c Config) tlsConfig() (*tls.Config, error) {
	roots, err := c.TLS.roots()
	if err != nil {
		return nil, err
	}
	own, err := c.TLS.certificates()
	if err != nil {
		return nil, err
	}
	protocols := []string{"h2", "http/1.1"}
	switch c.Protocol {
	case protocolHTTP1:
		protocols = protocols[1:]
	case protocolHTTP2:
		protocols = protocols[:1]
	}
	return &tls.Config{
		ServerName: c.TLS.Name, RootCAs: roots, Certificates: own, InsecureSkipVerify: c.TLS.Insecure, NextProtos: protocols,
	}, nil
}

// tlsFor is the pool's configuration for an upstream. Sessions are the upstream's own.
func (p *Pool) tlsFor(a address) *tls.Config {
	t := p.tls.Clone()
	t.ClientSessionCache = tls.NewLRUClientSessionCache(16)
	if a.scheme == schemeTCP {
		t.NextProtos = nil // what is spoken there is the client's affair
	}
	if t.ServerName == "" {
		t.ServerName = (&url.URL{Host: a.host}).Hostname()
	}
	return t
}

// roots returns the certificates to trust, nil for the system's.
func (t TLSConfig) roots() (*x509.CertPool, error) {
	if t.CA == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(t.CA)
	if err != nil {
		return nil, fmt.Errorf("read certificates: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, errors.New("read certificates: none in " + t.CA)
	}
	return roots, nil
}

// certificates returns the one that says to upstreams who we are, or none.
func (t TLSConfig) certificates() ([]tls.Certificate, error) {
	if t.Cert == "" && t.Key == "" {
		return nil, nil
	}
	own, err := tls.LoadX509KeyPair(t.Cert, t.Key)
	if err != nil {
		return nil, fmt.Errorf("read the client certificate: %w", err)
	}
	return []tls.Certificate{own}, nil
}
