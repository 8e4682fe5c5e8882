package origin

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
)

// Failure is why an exchange with an upstream came to nothing, or why the body of an answer ended early.
type Failure struct {
	Type     string // error type of RFC 9209, section 2.3
	Status   int    // to answer with: 502, 503 or 504
	Upstream string // address that failed
	// Unreachable: not one byte of an answer came, so that the origin counts as disconnected (RFC 9111, section 4.2.4).
	Unreachable bool
	Repeated    bool // the request went out twice already, since a kept connection had died
	Err         error

	connecting bool // there was no connection to send the request on: another upstream may be asked
}

func (f *Failure) Error() string {
	if f.Upstream == "" {
		return fmt.Sprintf("%s: %v", f.Type, f.Err)
	}
	return fmt.Sprintf("origin %s: %s: %v", f.Upstream, f.Type, f.Err)
}

func (f *Failure) Unwrap() error { return f.Err }

// The error types of RFC 9209, section 2.3, that reaching an origin can end in.
const (
	typeDNSTimeout         = "dns_timeout"
	typeDNSError           = "dns_error"
	typeUnavailable        = "destination_unavailable"
	typeProhibited         = "destination_ip_prohibited"
	typeUnroutable         = "destination_ip_unroutable"
	typeRefused            = "connection_refused"
	typeTerminated         = "connection_terminated"
	typeConnectTimeout     = "connection_timeout"
	typeReadTimeout        = "connection_read_timeout"
	typeWriteTimeout       = "connection_write_timeout"
	typeConnectionLimit    = "connection_limit_reached"
	typeTLSProtocol        = "tls_protocol_error"
	typeTLSCertificate     = "tls_certificate_error"
	typeTLSAlert           = "tls_alert_received"
	typeResponseIncomplete = "http_response_incomplete"
	typeHeaderSectionSize  = "http_response_header_section_size"
	typeTrailerSectionSize = "http_response_trailer_section_size"
	typeTransferCoding     = "http_response_transfer_coding"
	typeResponseTimeout    = "http_response_timeout"
	typeUpgradeFailed      = "http_upgrade_failed"
	typeProtocol           = "http_protocol_error"
)

// fail returns a Failure with the status that goes with its type.
func fail(errorType string, err error) *Failure {
	return &Failure{Type: errorType, Status: statusOf(errorType), Err: err}
}

// fault is a Failure in what the upstream said. The text names the rule, never the bytes: they may be secret.
func fault(errorType, text string) *Failure { return fail(errorType, errors.New(text)) }

// statusOf follows the recommendations of RFC 9209, section 2.3, but for destination_unavailable: to whom an upstream is down
// for the moment of one request, 502 says more than 503.
func statusOf(errorType string) int {
	switch errorType {
	case typeDNSTimeout, typeConnectTimeout, typeReadTimeout, typeWriteTimeout, typeResponseTimeout:
		return 504
	case typeConnectionLimit:
		return 503
	default:
		return 502
	}
}

// connectFailure says why there is no connection. No byte of the request was sent.
func connectFailure(upstream string, err error) *Failure {
	f := fail(connectErrorType(err), err)
	f.Upstream, f.Unreachable, f.connecting = upstream, true, true
	return f
}

func connectErrorType(err error) string {
	var dns *net.DNSError
	var refused prohibitedError
	var certificate *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	switch {
	case errors.As(err, &dns) && dns.IsTimeout:
		return typeDNSTimeout
	case errors.As(err, &dns):
		return typeDNSError
	case errors.As(err, &refused):
		return typeProhibited
	case err == errNoAddress:
		return typeDNSError
	case isTimeout(err):
		return typeConnectTimeout
	case isAny(err, syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.EADDRNOTAVAIL):
		return typeConnectionLimit // ours, not the origin's: out of descriptors or local ports
	case isAny(err, syscall.ECONNREFUSED, syscall.ENOENT): // ENOENT: nobody has made the socket
		return typeRefused
	case isAny(err, syscall.EHOSTUNREACH, syscall.ENETUNREACH):
		return typeUnroutable
	case errors.As(err, &certificate):
		return typeTLSCertificate
	case isAlert(err):
		return typeTLSAlert
	case errors.As(err, &record):
		return typeTLSProtocol
	case isClosed(err):
		return typeTerminated
	case isTLS(err):
		return typeTLSProtocol
	default:
		return typeUnavailable
	}
}

// isTimeout also knows what a dialer other than net.Dialer says when its context ends.
func isTimeout(err error) bool {
	var timeout net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout()
}

func isAny(err error, targets ...error) bool {
	for _, target := range targets {
		if errors.Is(err, target) {
			return true
		}
	}
	return false
}

// isClosed reports whether err says that the other side went away.
func isClosed(err error) bool {
	return isAny(err, io.EOF, io.ErrUnexpectedEOF, io.ErrClosedPipe, net.ErrClosed, syscall.ECONNRESET, syscall.EPIPE)
}

// isAlert: crypto/tls gives an alert of the peer no type of its own outside QUIC, only this operation.
func isAlert(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "remote error"
}

// handshakeError marks an error of a TLS handshake that says nothing else of itself.
type handshakeError struct{ err error }

func (e handshakeError) Error() string { return "TLS handshake: " + e.err.Error() }
func (e handshakeError) Unwrap() error { return e.err }

func isTLS(err error) bool {
	var handshake handshakeError
	return errors.As(err, &handshake)
}
