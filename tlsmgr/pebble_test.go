package tlsmgr

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"selvage/testdata/acmeca"
)

// startCA starts a real ACME CA.
func startCA(t *testing.T, rules acmeca.Rules) *acmeca.CA {
	t.Helper()
	rules.Setenv = t.Setenv
	ca, err := acmeca.Start(rules)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(ca.Close)
	return ca
}

// account is the configuration of who orders from ca.
func account(t *testing.T, ca *acmeca.CA) ACMEConfig {
	t.Helper()
	c := DefaultConfig().ACME
	c.Directory, c.AcceptTerms, c.CA = ca.Directory, true, filepath.Join(t.TempDir(), "acme.pem")
	write(t, c.CA, ca.Trust)
	return c
}

func listenLoopback(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func port(l net.Listener) int { return l.Addr().(*net.TCPAddr).Port }

// closedPort is one on which nobody answers.
func closedPort(t *testing.T) int {
	t.Helper()
	l := listenLoopback(t)
	defer l.Close()
	return port(l)
}

// edgeNode is what a node is to a CA: a listener with TLS, and one that answers challenges over http.
type edgeNode struct {
	*Manager
	t    *testing.T
	log  *logbook
	tls  net.Listener
	stop func()
}

// ports are those that a CA has to know before there is a node.
type ports struct{ http, tls net.Listener }

func listenBoth(t *testing.T) ports { return ports{listenLoopback(t), listenLoopback(t)} }

// startEdge runs a Manager behind sockets: a CA is no part of a bubble.
func startEdge(t *testing.T, at ports, c ACMEConfig, storage Storage, sites ...Site) *edgeNode {
	t.Helper()
	e := &edgeNode{t: t, log: new(logbook), tls: at.tls}
	o := options(Listener{}, sites...)
	o.Config.ACME, o.Storage = c, storage
	o.Logger = slog.New(slog.NewTextHandler(e.log, nil))
	o.Secret = func(where string) (string, error) { return where, nil }
	e.Manager = newManager(t, o)
	config, err := e.TLS(":443")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	secure := &http.Server{Handler: http.NotFoundHandler(), ErrorLog: log.New(io.Discard, "", 0)}
	plain := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, _ := net.SplitHostPort(r.Host)
		answer, ok := e.Challenge(r.Context(), host, strings.TrimPrefix(r.URL.Path, "/.well-known/acme-challenge/"))
		if !ok {
			w.WriteHeader(http.StatusNotFound)
		}
		io.WriteString(w, answer)
	})}
	serving.Go(func() { _ = secure.Serve(tls.NewListener(at.tls, config)) })
	serving.Go(func() { _ = plain.Serve(at.http) })
	ctx, cancel := context.WithCancel(context.Background())
	serving.Go(func() { _ = e.Run(ctx) })
	e.stop = sync.OnceFunc(func() {
		cancel()
		secure.Close()
		plain.Close()
		serving.Wait()
	})
	t.Cleanup(e.stop)
	return e
}

// get shakes hands with the node as a client that trusts the CA.
func (e *edgeNode) get(ca *acmeca.CA, name string) (*x509.Certificate, error) {
	c, err := tls.Dial("tcp", e.tls.Addr().String(), &tls.Config{ServerName: name, RootCAs: ca.Roots})
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return c.ConnectionState().PeerCertificates[0], nil
}

// status returns what is said of a name.
func (e *edgeNode) status(name string) Status {
	for _, s := range e.Certificates() {
		if s.Name == name {
			return s
		}
	}
	return Status{}
}
