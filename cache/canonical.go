package cache

import (
	"bytes"
	"errors"
	"net/netip"
	"strconv"
	"strings"
)

// The canonical form of a target: one spelling for the key and for the origin, so that no two parties on the way can take
// the same bytes for different resources. Whatever has no safe spelling is an error, and the request a 400.

var (
	errPathRelative = errors.New("path does not begin with a slash")
	errPathClimbs   = errors.New("path climbs above the root")
	errPathByte     = errors.New("path has a byte that no URI may hold")
	errPathPercent  = errors.New("path has an invalid percent-encoding")
	errQueryByte    = errors.New("query has a byte that no URI may hold")
	errHost         = errors.New("host is not a name or an address")
	errPort         = errors.New("port is not a number from 1 to 65535")
)

const (
	unreservedChars = alphanumeric + "-._~" // RFC 3986, section 2.3
	subDelims       = "!$&'()*+,;="         // section 2.2
	pathChars       = unreservedChars + subDelims + ":@/[]"
	queryChars      = pathChars + "?%"
	hostChars       = alphanumeric + "-._"
	upperHex        = "0123456789ABCDEF"
)

var (
	unreservedBytes = bytesOf(unreservedChars)
	// pathBytes and queryBytes stay as they are. The square brackets are reserved in a URI and have no place in a path or
	// query, but browsers send them there, and origins may tell them from their encoded form.
	pathBytes  = bytesOf(pathChars)
	queryBytes = bytesOf(queryChars)
	hostBytes  = bytesOf(hostChars)
	// foreignBytes are those outside the grammar that have one meaning only and are percent-encoded. Controls and the
	// space are not among them: a target that holds one is refused (RFC 9112, section 3.2). Nor is "#", which ends a
	// target.
	foreignBytes = foreign()
)

func foreign() byteSet {
	set := bytesOf("\"<>\\^`{|}")
	for c := 0x80; c <= 0xff; c++ {
		set[c] = true
	}
	return set
}

// CanonicalPath returns the one spelling of a path (RFC 3986, section 6.2.2): dot segments removed, unreserved characters
// decoded, the hex of other percent-encodings in capitals, bytes outside the grammar encoded. An encoded slash, ";" and
// empty segments may mean something to the origin and stay. A path that is canonical already is returned as it is.
//
// An empty path is "/" (section 6.2.3). A path that climbs above the root is refused, where section 5.2.4 would stop at the
// root: no honest client sends one. The asterisk of OPTIONS * is no path.
func CanonicalPath(raw string) (string, error) {
	switch {
	case raw == "":
		return "/", nil
	case raw[0] != '/':
		return "", errPathRelative
	case isCanonicalPath(raw):
		return raw, nil
	}
	path, err := respellPath(raw)
	if err != nil {
		return "", err
	}
	if path, err = removeDotSegments(path); err != nil {
		return "", err
	}
	return string(path), nil
}

// isCanonicalPath is the fast path: it says yes only to what respellPath and removeDotSegments would leave alone.
func isCanonicalPath(path string) bool {
	for i := 0; i < len(path); i++ {
		switch c := path[i]; {
		case c == '/':
			if startsWithDots(path[i+1:]) {
				return false
			}
		case c == '%':
			octet, ok := decodeOctet(path[i:])
			if !ok || octet == 0 || unreservedBytes[octet] || isLower(path[i+1]) || isLower(path[i+2]) {
				return false
			}
			i += 2
		case !pathBytes[c]:
			return false
		}
	}
	return true
}

// startsWithDots reports whether the first segment of s is "." or "..".
func startsWithDots(s string) bool {
	segment, _, _ := strings.Cut(s[:min(len(s), 3)], "/")
	return segment == "." || segment == ".."
}

// respellPath decodes, encodes and capitalises, byte by byte.
func respellPath(raw string) ([]byte, error) {
	path := make([]byte, 0, len(raw)+16)
	for i := 0; i < len(raw); i++ {
		switch c := raw[i]; {
		case c == '%':
			octet, ok := decodeOctet(raw[i:])
			if !ok {
				return nil, errPathPercent
			}
			// An encoded NUL ends the name for whoever decodes it into a C string.
			if octet == 0 {
				return nil, errPathByte
			}
			if i += 2; unreservedBytes[octet] {
				path = append(path, octet)
			} else {
				path = appendEncoded(path, octet)
			}
		case pathBytes[c]:
			path = append(path, c)
		case foreignBytes[c]:
			path = appendEncoded(path, c)
		default:
			return nil, errPathByte
		}
	}
	return path, nil
}

// removeDotSegments applies RFC 3986, section 5.2.4 in place. The path begins with a slash, and every round of the loop
// takes one slash and the segment behind it.
func removeDotSegments(path []byte) ([]byte, error) {
	out := path[:0]
	for start := 0; start < len(path); {
		end := len(path)
		if n := bytes.IndexByte(path[start+1:], '/'); n >= 0 {
			end = start + 1 + n
		}
		segment := string(path[start+1 : end])
		switch {
		case segment == ".." && len(out) == 0:
			return nil, errPathClimbs
		case segment == "..":
			out = out[:bytes.LastIndexByte(out, '/')]
		case segment != ".":
			out = append(out, path[start:end]...)
		}
		if start = end; end == len(path) && (segment == "." || segment == "..") {
			out = append(out, '/')
		}
	}
	return out, nil
}

// CanonicalQuery percent-encodes what a query must not hold, and changes nothing else: whether an encoded and a plain
// character mean the same in a query is for the origin to know. It is given without the leading "?".
func CanonicalQuery(raw string) (string, error) {
	return encodeForeign(raw, &queryBytes, errQueryByte)
}

// encodeForeign encodes the foreign bytes of raw and allows no others than those in keep.
func encodeForeign(raw string, keep *byteSet, bad error) (string, error) {
	clean := true
	for i := range len(raw) {
		if c := raw[i]; !keep[c] {
			if !foreignBytes[c] {
				return "", bad
			}
			clean = false
		}
	}
	if clean {
		return raw, nil
	}
	out := make([]byte, 0, len(raw)+16)
	for i := range len(raw) {
		if c := raw[i]; keep[c] {
			out = append(out, c)
		} else {
			out = appendEncoded(out, c)
		}
	}
	return string(out), nil
}

// CanonicalHost returns the one spelling of a Host (RFC 3986, section 6.2.2.1 and 6.2.3): in lower case, without a trailing
// dot, without the default port of the scheme. Another port stays, since another server answers there; who chooses a site
// by host leaves it out. Internationalised names come in their ASCII form or are refused, as are userinfo, lists, and all
// else that is neither a name nor an address.
func CanonicalHost(host string, secure bool) (string, error) {
	name, port, err := splitPort(host)
	if err != nil {
		return "", err
	}
	if strings.HasPrefix(name, "[") {
		name, err = canonicalIPv6(name)
	} else {
		name, err = canonicalName(name)
	}
	switch {
	case err != nil:
		return "", err
	case port == "" || port == "80" && !secure || port == "443" && secure:
		return name, nil
	case strings.HasPrefix(host, name) && len(host) == len(name)+1+len(port):
		return host, nil
	}
	return name + ":" + port, nil
}

// splitPort cuts the port off, and leading zeros off the port. RFC 3986 lets a port be empty, which is the default one.
func splitPort(host string) (name, port string, err error) {
	colon := strings.LastIndexByte(host, ':')
	if colon < 0 || strings.IndexByte(host[colon:], ']') >= 0 {
		return host, "", nil
	}
	name, port = host[:colon], host[colon+1:]
	if port == "" {
		return name, "", nil
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return "", "", errPort
	}
	return name, strings.TrimLeft(port, "0"), nil
}

func canonicalName(name string) (string, error) {
	name = strings.TrimSuffix(name, ".")
	// RFC 1035, section 2.3.4: no longer name can be looked up.
	if name == "" || name[0] == '.' || len(name) > 253 || strings.Contains(name, "..") || name[len(name)-1] == '.' {
		return "", errHost
	}
	for i := range len(name) {
		if !hostBytes[name[i]] {
			return "", errHost
		}
	}
	return strings.ToLower(name), nil
}

// canonicalIPv6 spells an address in brackets as RFC 5952 does. A zone means something on one machine only.
func canonicalIPv6(literal string) (string, error) {
	inner, closed := strings.CutSuffix(literal[1:], "]")
	address, err := netip.ParseAddr(inner)
	if !closed || err != nil || !address.Is6() || address.Zone() != "" {
		return "", errHost
	}
	return "[" + address.String() + "]", nil
}

// decodeOctet reads the percent-encoding that s begins with.
func decodeOctet(s string) (octet byte, ok bool) {
	if len(s) < 3 {
		return 0, false
	}
	high, low := hexDigit(s[1]), hexDigit(s[2])
	return high<<4 | low&0xf, high < 16 && low < 16
}

// hexDigit returns the value of a hex digit, 255 for another byte.
func hexDigit(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10
	}
	return 255
}

func isLower(c byte) bool { return 'a' <= c && c <= 'z' }

func appendEncoded(b []byte, octet byte) []byte {
	return append(b, '%', upperHex[octet>>4], upperHex[octet&0xf])
}
