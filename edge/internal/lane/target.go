package lane

import (
	"bytes"
	"net/netip"
	"strconv"
	"strings"
)

// checkTarget checks a request target of origin, absolute or asterisk form (RFC 9112, section 3.2) and returns the
// authority of the absolute form. The bytes that RFC 3986 does not allow but clients send ("|", "^", quotes) are let pass.
func checkTarget(method string, target []byte) (authority []byte, f *fault) {
	for _, c := range target {
		if !targetByte[c] {
			return nil, faultTarget
		}
	}
	path := target
	switch {
	case len(target) == 0:
		return nil, faultTarget
	case string(target) == "*":
		if method != "OPTIONS" {
			return nil, faultTarget // section 3.2.4
		}
		return nil, nil
	case target[0] != '/':
		if authority, path = splitAbsolute(target); !isHost(authority) {
			return nil, faultTarget
		}
	}
	if !validEscapes(path) {
		return nil, faultTarget
	}
	return authority, nil
}

var targetByte = func() (set [256]bool) {
	for c := '!'; c < 0x7f; c++ {
		set[c] = c != '#'
	}
	return set
}()

// splitAbsolute splits an http or https URL into authority and the rest.
func splitAbsolute(target []byte) (authority, rest []byte) {
	scheme, rest, ok := bytes.Cut(target, []byte("://"))
	if !ok || !named(scheme, "http") && !named(scheme, "https") {
		return nil, nil
	}
	end := bytes.IndexAny(rest, "/?")
	if end < 0 {
		end = len(rest)
	}
	return rest[:end], rest[end:]
}

// sameAuthority compares what clients over TLS say in Host and :authority, normalised (RFC 3986, section 6.2; RFC 9113,
// section 8.3.1): case does not count, nor does the port that goes without saying.
func sameAuthority(host, authority string) bool {
	return strings.EqualFold(strings.TrimSuffix(host, ":443"), strings.TrimSuffix(authority, ":443"))
}

// validEscapes reports whether every "%" of the path begins a percent-encoded byte. The query is opaque.
func validEscapes(path []byte) bool {
	path, _, _ = bytes.Cut(path, []byte{'?'})
	for {
		i := bytes.IndexByte(path, '%')
		if i < 0 {
			return true
		}
		if i+2 >= len(path) || !isHex(path[i+1]) || !isHex(path[i+2]) {
			return false
		}
		path = path[i+3:]
	}
}

func isHex(c byte) bool {
	return isDigit(c) || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

const maxHost = 255 + len(":65535")

var hostByte = byteSet("-._0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")

// isHost reports whether b is a host and an optional port. Stricter than uri-host (RFC 3986, section 3.2.2): no
// percent-encoding, no sub-delimiters, no user information, not empty; a port has one to five digits.
func isHost(b []byte) bool {
	if len(b) == 0 || len(b) > maxHost {
		return false
	}
	name, port, bracket := b, []byte(nil), bytes.IndexByte(b, ']')
	if colon := bytes.LastIndexByte(b, ':'); colon > bracket {
		name, port = b[:colon], b[colon+1:]
		if n, err := strconv.ParseUint(string(port), 10, 16); err != nil || len(port) > 5 || n == 0 {
			return false
		}
	}
	if len(name) > 0 && name[0] == '[' {
		return isIPv6(name)
	}
	for _, c := range name {
		if !hostByte[c] {
			return false
		}
	}
	return len(name) > 0
}

func isIPv6(b []byte) bool {
	if b[len(b)-1] != ']' {
		return false
	}
	addr, err := netip.ParseAddr(string(b[1 : len(b)-1]))
	return err == nil && addr.Is6() && addr.Zone() == ""
}
