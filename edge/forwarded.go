package edge

import (
	"cmp"
	"crypto/x509"
	"iter"
	"net/http"
	"net/netip"
	"net/textproto"
	"slices"
	"strings"
)

// clientInfo is who asked, how and for which host, after trusted proxies were believed.
type clientInfo struct {
	Addr    netip.Addr // invalid for a unix socket
	Proto   string     // "http" or "https"
	Host    string     // as the client sent it
	Peer    netip.Addr // at the other end of the socket
	Trusted bool       // the peer is a trusted proxy
	// Certs are what the client has shown in the handshake, its own first, if that was verified.
	Certs []*x509.Certificate
}

// address is that of the client as text, "" when there is none.
func (c clientInfo) address() string {
	if !c.Addr.IsValid() {
		return ""
	}
	return c.Addr.String()
}

// trust names the peers whose word about their clients is believed. Immutable.
type trust struct {
	proxies prefixes
	unix    bool // whoever may open a unix socket of ours
}

// compileTrust panics on what Validate refuses.
func compileTrust(list []string) trust {
	list = slices.Clone(list)
	addresses := slices.DeleteFunc(list, func(s string) bool { return s == "unix" })
	return trust{proxies: mustPrefixes(addresses), unix: len(addresses) < len(list)}
}

// client returns who sent r. The fields are believed of a trusted peer only, and of two families one: where any of
// X-Forwarded-For, -Proto and -Host is there, Forwarded is ignored. Nearly every proxy writes the former and hands the
// latter through, so that a client could say what it likes in it.
func (t trust) client(r *http.Request) clientInfo {
	c := clientInfo{Peer: peerAddr(r.RemoteAddr), Proto: "http", Host: r.Host}
	c.Addr = c.Peer
	if r.TLS != nil {
		c.Proto = "https"
		c.Certs = verifiedCerts(r.TLS)
	}
	c.Trusted = t.trusts(c.Peer)
	switch {
	case !c.Trusted:
	case hasXForwarded(r.Header):
		t.believeXForwarded(&c, r.Header)
	default:
		t.believeForwarded(&c, r.Header["Forwarded"])
	}
	return c
}

// peerAddr returns the address of a socket's other end. What is no address is a unix socket.
func peerAddr(remote string) netip.Addr {
	peer, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Addr{}
	}
	return plain(peer.Addr())
}

// plain drops what keeps two spellings of an address from being equal: IPv4 in IPv6 form, and the zone.
func plain(addr netip.Addr) netip.Addr { return addr.Unmap().WithZone("") }

func (t trust) trusts(peer netip.Addr) bool {
	if !peer.IsValid() {
		return t.unix
	}
	return t.proxies.contain(peer)
}

func hasXForwarded(h http.Header) bool {
	return len(h["X-Forwarded-For"]) > 0 || len(h["X-Forwarded-Proto"]) > 0 || len(h["X-Forwarded-Host"]) > 0
}

// believeXForwarded takes scheme and host from the last members: those our own peer wrote.
func (t trust) believeXForwarded(c *clientInfo, h http.Header) {
	nodes := slices.Collect(members(h["X-Forwarded-For"]))
	c.Addr, _ = t.walk(c.Peer, nodes)
	c.believe(lastMember(h["X-Forwarded-Proto"]), lastMember(h["X-Forwarded-Host"]))
}

// believeForwarded takes scheme and host from the element that also names the client. A field that is not RFC 7239 is
// ignored whole.
func (t trust) believeForwarded(c *clientInfo, lines []string) {
	hops, ok := parseForwarded(lines)
	if !ok || len(hops) == 0 {
		return
	}
	nodes := make([]string, len(hops))
	for i, h := range hops {
		nodes[i] = h.node
	}
	addr, at := t.walk(c.Peer, nodes)
	c.Addr = addr
	c.believe(hops[at].proto, hops[at].host)
}

// walk goes from the right, where our peer wrote, to the left for as long as the node named is trusted itself, and returns
// the last one reached and its index. A node that is no address ends it.
func (t trust) walk(peer netip.Addr, nodes []string) (client netip.Addr, at int) {
	client = peer
	for at = len(nodes) - 1; at >= 0; at-- {
		addr, ok := parseNode(nodes[at])
		if !ok {
			return client, at
		}
		client = addr
		if !t.trusts(addr) {
			return client, at
		}
	}
	return client, 0
}

// believe ignores what is no scheme and no host.
func (c *clientInfo) believe(proto, host string) {
	switch proto = strings.ToLower(proto); proto {
	case "http", "https":
		c.Proto = proto
	}
	if isHost(host) {
		c.Host = host
	}
}

// parseNode reads an address, with or without port: 192.0.2.1, 192.0.2.1:80, 2001:db8::1, [2001:db8::1], [2001:db8::1]:80.
func parseNode(s string) (netip.Addr, bool) {
	if bracketed, ok := strings.CutPrefix(s, "["); ok {
		var port string
		s, port, ok = strings.Cut(bracketed, "]")
		if !ok || port != "" && port[0] != ':' {
			return netip.Addr{}, false
		}
	} else if strings.Count(s, ":") == 1 {
		s, _, _ = strings.Cut(s, ":")
	}
	addr, err := netip.ParseAddr(s)
	return plain(addr), err == nil
}

func lastMember(lines []string) string {
	last := ""
	for member := range members(lines) {
		last = member
	}
	return last
}

// hop is one element of Forwarded.
type hop struct{ node, proto, host string }

// parseForwarded reads all lines of a Forwarded field (RFC 7239, section 4).
func parseForwarded(lines []string) (hops []hop, ok bool) {
	for _, line := range lines {
		for element := range listMembers(line) {
			h, ok := parseHop(element)
			if !ok {
				return nil, false
			}
			hops = append(hops, h)
		}
	}
	return hops, true
}

// listMembers yields the members of a list field, cut at the commas outside quoted strings (RFC 9110, section 5.6.1).
func listMembers(line string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for line != "" {
			end := memberEnd(line, ',')
			if member := textproto.TrimString(line[:end]); member != "" && !yield(member) {
				return
			}
			line = line[min(end+1, len(line)):]
		}
	}
}

// memberEnd returns where the first separator outside quoted strings stands, or the length of s.
func memberEnd(s string, separator byte) int {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case c == separator && !quoted:
			return i
		}
	}
	return len(s)
}

// parseHop reads one element; each parameter may occur once in it, and unknown ones are passed over.
func parseHop(element string) (h hop, ok bool) {
	for element != "" {
		end := memberEnd(element, ';')
		pair := textproto.TrimString(element[:end])
		element = element[min(end+1, len(element)):]
		if pair == "" {
			continue
		}
		name, raw, _ := strings.Cut(pair, "=")
		value, ok := unquote(raw)
		if !ok || !isToken(name) {
			return h, false
		}
		if !h.put(strings.ToLower(name), value) {
			return h, false
		}
	}
	return h, true
}

// put reports false for a parameter that is there already.
func (h *hop) put(name, value string) bool {
	var at *string
	switch name {
	case "for":
		at = &h.node
	case "proto":
		at = &h.proto
	case "host":
		at = &h.host
	default:
		return true
	}
	if *at != "" {
		return false
	}
	*at = value
	return true
}

// unquote reads a token or a quoted string (RFC 9110, sections 5.6.2 and 5.6.4).
func unquote(raw string) (string, bool) {
	if isToken(raw) {
		return raw, true
	}
	if len(raw) < 2 || raw[0] != '"' || raw[len(raw)-1] != '"' {
		return "", false
	}
	inner := raw[1 : len(raw)-1]
	var b strings.Builder
	for i := 0; i < len(inner); i++ {
		if inner[i] == '"' {
			return "", false
		}
		if inner[i] == '\\' {
			if i++; i == len(inner) {
				return "", false
			}
		}
		b.WriteByte(inner[i])
	}
	return b.String(), true
}

// appendQuoted writes a token or a quoted string.
func appendQuoted(b []byte, s string) []byte {
	if isToken(s) {
		return append(b, s...)
	}
	b = append(b, '"')
	for i := range len(s) {
		if s[i] == '"' || s[i] == '\\' {
			b = append(b, '\\')
		}
		b = append(b, s[i])
	}
	return append(b, '"')
}

// announced is how many lines announce writes, beside those about certificates.
const announced = 4

// announce tells the origin who asked, in lines that it appends to room. The chain of a trusted peer is continued; anyone else's is
// not passed on.
func (c clientInfo) announce(in, out http.Header, room []string) {
	ours := append(room, c.Proto, c.Host, c.forwarded(), "")
	out["X-Forwarded-Proto"], out["X-Forwarded-Host"], out["Forwarded"] = ours[0:1:1], ours[1:2:2], ours[2:3:3]
	var chain []string
	if c.Trusted {
		chain = in["X-Forwarded-For"]
		if len(chain) == 0 && c.Addr.IsValid() && c.Addr != c.Peer { // it wrote Forwarded
			chain = []string{c.Addr.String()}
		}
	}
	if c.Peer.IsValid() {
		ours[3] = appended(chain, c.Peer.String())
		chain = ours[3:4:4]
	}
	if len(chain) > 0 {
		out["X-Forwarded-For"] = chain
	}
	c.announceCerts(out)
}

// forwarded returns the one element that says of the client what we believe (RFC 7239, sections 4 and 6).
func (c clientInfo) forwarded() string {
	var room [128]byte
	b := append(room[:0], "for="...)
	switch {
	case c.Addr.Is6():
		b = append(c.Addr.AppendTo(append(b, `"[`...)), `]"`...)
	case c.Addr.IsValid():
		b = c.Addr.AppendTo(b)
	default:
		b = append(b, "unknown"...)
	}
	b = appendQuoted(append(b, ";host="...), cmp.Or(c.Host, "unknown"))
	return string(append(append(b, ";proto="...), c.Proto...))
}
