package stream

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"time"

	"selvage/origin"
)

// Account is what is told of a connection when it is over.
type Account struct {
	Begin    time.Time
	Client   netip.Addr // not valid for a unix socket
	Stream   string     // the label of the configuration
	Name     string     // that the client has asked for, as it wrote it; may hold any byte
	Origin   string     // "" when none was chosen
	Upstream string     // address it was connected to, "" for none
	Received int64      // bytes from the client
	Sent     int64      // bytes to the client
	Connect  time.Duration
	Total    time.Duration
	Error    string // why it was refused or cut, "" when both sides have ended
}

// Traffic is what goes through, counted while it goes.
type Traffic struct{ Total, Open, Received, Sent atomic.Int64 }

// Why connections are refused or cut, besides the error types of RFC 9209 that an upstream is not reached for.
const (
	reasonDenied       = "denied"          // by the address rules
	reasonTooMany      = "too_many"        // connections, of one address or in all
	reasonHelloTimeout = "hello_timeout"   // no ClientHello in time
	reasonHelloSize    = "hello_too_large" // no end of the ClientHello
	reasonHello        = "hello_malformed" // no ClientHello
	reasonLeft         = "client_left"     // before the end of the ClientHello
	reasonNoRoute      = "no_route"        // the name has no origin
	reasonIdle         = "idle"            // nothing moved
	reasonReset        = "reset"           // by either side
	reasonDrained      = "drained"         // the node ends
)

// helloReason says why there is no ClientHello.
func helloReason(err error) string {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return reasonHelloTimeout
	case err == errHelloSize:
		return reasonHelloSize
	case err == errNoHello:
		return reasonHello
	}
	return reasonLeft
}

// connectReason says why there is no upstream.
func connectReason(err error) string {
	var f *origin.Failure
	switch {
	case errors.As(err, &f):
		return f.Type
	case errors.Is(err, context.DeadlineExceeded):
		return "connection_timeout"
	}
	return reasonDrained
}

// cutReason says why a joint was cut.
func cutReason(err error) string {
	switch {
	case err == nil:
		return ""
	case errors.Is(err, os.ErrDeadlineExceeded):
		return reasonIdle
	case errors.Is(err, net.ErrClosed): // by us: see Shutdown
		return reasonDrained
	}
	return reasonReset
}
