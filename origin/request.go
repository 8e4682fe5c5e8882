package origin

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"

	"golang.org/x/net/http/httpguts"
)

// requests are the memory that heads of requests are written in.
var requests = sync.Pool{New: func() any { return new([]byte) }}

// appendRequest appends r, which has no body, as it goes over the wire (RFC 9112, section 3). It refuses what would not be read at
// the other end as it is meant here. The fields have an order: of requests that are alike an origin gets the same bytes.
func appendRequest(b []byte, r *http.Request) ([]byte, error) {
	b, err := appendStart(b, r)
	if err != nil {
		return b, err
	}
	if r.Close {
		b = appendField(b, "Connection", "close")
	}
	switch r.Method {
	case http.MethodPost, http.MethodPut, http.MethodPatch: // which anticipate content (RFC 9110, section 8.6)
		b = appendField(b, "Content-Length", "0")
	}
	var room [32]string
	for _, name := range sortedNames(room[:0], r.Header) {
		if !httpguts.ValidHeaderFieldName(name) {
			return b, fmt.Errorf("invalid field name %q", name)
		}
		for _, value := range r.Header[name] {
			if !httpguts.ValidHeaderFieldValue(value) {
				return b, fmt.Errorf("invalid value of the field %s", name) // not the value: it may be secret
			}
			b = appendField(b, name, value)
		}
	}
	return append(b, "\r\n"...), nil
}

// appendStart appends the request line and the Host.
func appendStart(b []byte, r *http.Request) ([]byte, error) {
	host, err := httpguts.PunycodeHostPort(cmp.Or(r.Host, r.URL.Host))
	target := r.URL.RequestURI()
	switch {
	case r.URL.Host == "" || host == "":
		return b, errors.New("no host to ask")
	case err != nil, !httpguts.ValidHostHeader(host):
		return b, fmt.Errorf("invalid host %q", host)
	case !httpguts.ValidHeaderFieldName(r.Method): // a token, too
		return b, fmt.Errorf("invalid method %q", r.Method)
	case !isTarget(target):
		return b, fmt.Errorf("invalid target %q", target)
	}
	b = append(append(append(b, r.Method...), ' '), target...)
	return appendField(append(b, " HTTP/1.1\r\n"...), "Host", withoutZone(host)), nil
}

func appendField(b []byte, name, value string) []byte {
	b = append(append(b, name...), ": "...)
	return append(append(b, value...), "\r\n"...)
}

// sortedNames returns the names of the fields that are sent as they are: those of the connection and the framing are not the
// caller's.
func sortedNames(names []string, h http.Header) []string {
	for name := range h {
		switch name {
		case "Host", "Content-Length", "Transfer-Encoding", "Trailer":
			continue
		}
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// isTarget reports whether target is a path with or without a query, or asks about the server (RFC 9112, section 3.2), and cannot
// end before its end: no controls, no blanks.
func isTarget(target string) bool {
	for i := range len(target) {
		if c := target[i]; c <= ' ' || c == 0x7f {
			return false
		}
	}
	return strings.HasPrefix(target, "/") || target == "*"
}

// withoutZone takes the zone off an IPv6 address: it means something on this machine alone (RFC 6874, section 1).
func withoutZone(host string) string {
	end := strings.LastIndexByte(host, ']')
	if end < 0 || host[0] != '[' {
		return host
	}
	zone := strings.LastIndexByte(host[:end], '%')
	if zone < 0 {
		return host
	}
	return host[:zone] + host[end:]
}
