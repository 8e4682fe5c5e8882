package origin

import (
	"net/netip"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
)

// address is where an upstream is.
type address struct {
	name   string // as it is told: host:port, unix:/path or file:///path
	scheme string // http, https, tcp or file
	host   string // authority for the URL of a request
	path   string // of a unix socket or a folder
}

func (a address) isFolder() bool { return a.scheme == "file" }

// isHere reports whether it is on this machine, and so has a path and no name.
func (a address) isHere() bool { return a.path != "" }

// parseAddress reads one of Config.URLs. The problem is "" when there is none.
func parseAddress(text string) (a address, problem, hint string) {
	const shapes = "http://host:port, https://host, tcp://host:port, unix:/path/to/socket or file:///path/to/folder"
	if path, ok := strings.CutPrefix(text, "unix:"); ok {
		if !filepath.IsAbs(path) {
			return a, "the socket's path is not absolute", shapes
		}
		return address{name: text, scheme: "http", host: "localhost", path: path}, "", ""
	}
	if folder, ok := strings.CutPrefix(text, "file://"); ok {
		if !filepath.IsAbs(folder) {
			return a, "the folder's path is not absolute", shapes
		}
		return address{name: "file://" + filepath.Clean(folder), scheme: "file", host: "localhost", path: folder}, "", ""
	}
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return a, "not a URL", shapes
	case u.Scheme != "http" && u.Scheme != "https" && u.Scheme != schemeTCP:
		return a, "scheme " + strconv.Quote(u.Scheme) + " is unknown", shapes
	case u.User != nil:
		return a, "credentials have no place here", "send them with request_headers"
	case u.Opaque != "" || u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return a, "an upstream has no path, query or fragment", "write " + u.Scheme + "://" + u.Host
	case !isHostPort(u.Host):
		return a, "malformed host or port", shapes
	}
	return address{name: hostPort(u.Scheme, u.Host), scheme: u.Scheme, host: u.Host}, "", ""
}

// isHostPort reports whether s is a name or address, and maybe a port.
func isHostPort(s string) bool {
	u := url.URL{Host: s}
	host := u.Hostname()
	if _, port, ok := strings.Cut(strings.TrimPrefix(s, "["+host+"]"), ":"); ok && !isPort(port) {
		return false
	}
	return isHost(host)
}

func isPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && n > 0
}

// isHost reports whether s is an address or a name that can be looked up. Underscores are common in container networks.
func isHost(s string) bool {
	if isAddress(s) {
		return true
	}
	s = strings.TrimSuffix(s, ".")
	if len(s) == 0 || len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if !isLabel(label) {
			return false
		}
	}
	return true
}

func isAddress(s string) bool {
	_, err := netip.ParseAddr(s)
	return err == nil
}

func isLabel(s string) bool {
	if len(s) == 0 || len(s) > 63 || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	for i := range len(s) {
		if c := lower(s[i]); !isDigit(c) && (c < 'a' || c > 'z') && c != '-' && c != '_' {
			return false
		}
	}
	return true
}
