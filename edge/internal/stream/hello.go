package stream

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
)

// maxHello is far above any ClientHello, those with post-quantum keys and a long ticket included.
const maxHello = 16 << 10

// ReadHello reads a ClientHello (RFC 8446, section 4.1.2), and returns the name that it asks for (RFC 6066, section 3), "" for
// none, and all that was read, with what may have come behind it. It is crypto/tls that reads, so that in what is a
// ClientHello we are of one mind with the servers of our own sites. It is stopped before its first answer.
func ReadHello(from io.Reader) (name string, read []byte, err error) {
	l := &listening{from: io.LimitedReader{R: from, N: maxHello}}
	err = tls.Server(l, &tls.Config{GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		name = hello.ServerName
		return nil, errHeard
	}}).HandshakeContext(context.Background())
	switch {
	case errors.Is(err, errHeard):
		return name, l.read, nil
	case l.failure != nil:
		return "", l.read, l.failure
	case l.from.N == 0:
		return "", l.read, errHelloSize
	}
	return "", l.read, errNoHello
}

var (
	errHeard     = errors.New("the ClientHello is read")
	errHelloSize = errors.New("the ClientHello is too large")
	errNoHello   = errors.New("no ClientHello")
)

// listening is a connection that keeps what is read from it, and sends nothing.
type listening struct {
	net.Conn // nil: of a conn, crypto/tls uses no more than this before its first answer
	from     io.LimitedReader
	read     []byte
	failure  error // of the connection
}

func (l *listening) Read(p []byte) (int, error) {
	n, err := l.from.Read(p)
	l.read = append(l.read, p[:n]...)
	if err != nil && l.from.N > 0 {
		l.failure = err
	}
	return n, err
}

// Write drops what crypto/tls has to say to a client that is not its own.
func (l *listening) Write(p []byte) (int, error) { return len(p), nil }
