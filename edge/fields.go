package edge

import (
	"crypto/rand"
	"iter"
	"maps"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strings"

	"selvage/cache"
)

// identity is what this node calls itself.
type identity struct {
	name string // in Via and Cache-Status
	loop string // in CDN-Loop: told apart from other nodes, so that a chain of them is no loop
	via  string // member of Via for a message received with HTTP/1.1, as nearly all are
}

func newIdentity(configured string) identity {
	id := identity{name: configured, loop: configured}
	if configured == "" {
		id = identity{name: "Selvage", loop: "selvage-" + rand.Text()}
	}
	id.via = "1.1 " + id.name
	return id
}

// sensitive are the fields, and prefixes of fields, that routing, framing and caching rely on. A client that names one in
// Connection wants a proxy to drop it on the way.
var (
	sensitive         = []string{"Host", "Cache-Control", "Authorization", "Cdn-Loop", "Via", "Forwarded"}
	sensitivePrefixes = []string{"Content-", "X-Forwarded-"}
)

// checkFields returns 0 for a request's fields that may be acted on, else the status to refuse them with and why. The reason
// is a constant, fit for a label.
func checkFields(h http.Header) (status int, reason string) {
	for name := range nominated(h) {
		if slices.Contains(sensitive, name) || hasAnyPrefix(name, sensitivePrefixes) {
			return http.StatusBadRequest, "connection-names-field"
		}
	}
	return 0, ""
}

// dropNominated removes the fields that Connection names (RFC 9110, section 7.6.1), before any rule looks: a route, a key or
// a variant chosen by a field that the origin is then not shown would file the answer for its absence under its presence.
// The fields of the connection itself stay for those who read them.
func dropNominated(h http.Header) {
	for name := range nominated(h) {
		if !cache.HopByHop(name) {
			delete(h, name)
		}
	}
}

// nominated yields what Connection names, in canonical form.
func nominated(h http.Header) iter.Seq[string] {
	return func(yield func(string) bool) {
		for option := range members(h["Connection"]) {
			if !yield(http.CanonicalHeaderKey(option)) {
				return
			}
		}
	}
}

func hasAnyPrefix(s string, prefixes []string) bool {
	return slices.ContainsFunc(prefixes, func(prefix string) bool { return strings.HasPrefix(s, prefix) })
}

// What a request loses on the way to the origin, beside hop-by-hop fields, those named in Connection and names with an
// underscore (which CGI and its heirs take for a hyphen). Applications act on these fields (they choose hosts, schemes,
// methods, paths and client addresses), and no cache key has them: a client that may send them may poison the cache.
var (
	removedFields = []string{
		"Client-Cert", "Client-Cert-Chain", // only who has seen the handshake may speak of it (RFC 9440, section 4)
		"Client-Ip", "Front-End-Https", "Proxy", "True-Client-Ip", "X-Client-Ip", "X-Cluster-Client-Ip", "X-Host",
		"X-Http-Host-Override", "X-Method-Override", "X-Real-Ip", "X-Rewrite-Url", "X-Scheme", "X-Script-Name", "X-Url-Scheme",
		"Http2-Settings", // of an upgrade to h2c, which would open a tunnel past every check (RFC 9113, section 3.1)
		"Content-Length", // written anew by whoever sends the body
	}
	removedPrefixes = []string{"Forwarded-", "X-Forwarded", "X-Http-Method", "X-Original-"}
)

// withheld reports whether a client's field of that name never reaches an origin. Some of the names we send ourselves.
func withheld(name string) bool {
	return slices.Contains(removedFields, name) || hasAnyPrefix(name, removedPrefixes) || strings.Contains(name, "_")
}

// sentFields are the fields of a request as the origin sees them, for Vary and keys: two requests are alike if what was sent
// for them is (RFC 9111, section 4.1), not if their clients claimed the same.
type sentFields struct {
	header http.Header
	client clientInfo
}

// Value returns the i-th line of a field: of those that announce the client, ours.
func (f *sentFields) Value(name string, i int) (string, bool) {
	switch name {
	case "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "Forwarded", "Client-Cert", "Client-Cert-Chain":
		ours := http.Header{}
		f.client.announce(f.header, ours, nil)
		return cache.HeaderFields(ours).Value(name, i)
	}
	if withheld(name) {
		return "", false
	}
	return cache.HeaderFields(f.header).Value(name, i)
}

// outboundHeader returns the fields of a request as they go to the origin: a new map that shares no slice with in that it
// changes. proto is the version the request came with. A protocol upgrade is left out; who wants one adds it.
func outboundHeader(in http.Header, c clientInfo, proto string, id identity) http.Header {
	out := withoutHopByHop(in, in)
	maps.DeleteFunc(out, func(name string, _ []string) bool {
		return withheld(name)
	})
	if acceptsTrailers(in) {
		out["Te"] = []string{"trailers"}
	}
	ours := make([]string, 2, 2+announced) // one piece of memory for all lines
	ours[0], ours[1] = viaWith(in, proto, id), appended(in["Cdn-Loop"], id.loop)
	out["Via"], out["Cdn-Loop"] = ours[0:1:1], ours[1:2:2]
	c.announce(in, out, ours[2:])
	return out
}

// inboundHeader returns the fields of an origin's response as they go to clients: a new map that shares its slices with in.
// Alt-Svc would lead clients past the edge (RFC 7838).
func inboundHeader(in http.Header) http.Header {
	out := withoutHopByHop(in, in)
	delete(out, "Alt-Svc")
	return out
}

// inboundTrailers returns the trailers of an origin's answer as they go to clients: what frames a message has no place there
// (RFC 9110, section 6.5.1).
func inboundTrailers(r *http.Response) http.Header {
	if len(r.Trailer) == 0 {
		return nil
	}
	out := withoutHopByHop(r.Trailer, r.Header)
	delete(out, "Alt-Svc")
	delete(out, "Content-Length")
	return out
}

// withoutHopByHop leaves out what concerns one connection (RFC 9110, section 7.6.1): of any section, what the head of its message
// says.
func withoutHopByHop(in, head http.Header) http.Header {
	out := make(http.Header, len(in)+8)
	for name, values := range in {
		if !cache.HopByHop(name) {
			out[name] = values
		}
	}
	for name := range nominated(head) {
		delete(out, name)
	}
	return out
}

// acceptsTrailers reports whether TE has the member "trailers", the one thing it can say of HTTP/2, and that gRPC needs
// (RFC 9110, section 10.1.4).
func acceptsTrailers(h http.Header) bool { return lists(h["Te"], "trailers") }

// lists reports whether the lines of a list of tokens have one, in any letter case.
func lists(lines []string, token string) bool {
	for member := range members(lines) {
		if strings.EqualFold(member, token) {
			return true
		}
	}
	return false
}

// viaWith returns the Via of a message received with proto (RFC 9110, section 7.6.3).
func viaWith(in http.Header, proto string, id identity) string {
	if proto == "HTTP/1.1" {
		return appended(in["Via"], id.via)
	}
	return appended(in["Via"], protoVersion(proto)+" "+id.name)
}

// protoVersion returns the version in the protocol's name, as Via and logs have it.
func protoVersion(proto string) string {
	version := strings.TrimPrefix(proto, "HTTP/")
	if version != "1.0" {
		version = strings.TrimSuffix(version, ".0") // "2", "3": they have no minor version
	}
	return version
}

// appended joins the lines of a list field, and a last member, to one line.
func appended(lines []string, member string) string {
	if len(lines) == 0 {
		return member
	}
	return strings.Join(append(slices.Clip(lines), member), ", ")
}

// maxLoop is how many CDN nodes a request may have come through. Honest chains are short.
const maxLoop = 16

// looped reports whether a request has been here before, or has been passed around for too long (RFC 8586, section 2): 508.
//
// It cuts at every comma, also in a quoted parameter. A quote that a client leaves open would otherwise swallow what nodes
// append behind it, ours too, and the request would go around for ever.
func looped(h http.Header, id identity) bool {
	nodes := 0
	for member := range members(h["Cdn-Loop"]) {
		nodes++
		node, _, _ := strings.Cut(member, ";")
		if nodes > maxLoop || strings.EqualFold(textproto.TrimString(node), id.loop) {
			return true
		}
	}
	return false
}

// members yields the members of a list field over all its lines, cut at every comma.
func members(lines []string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, line := range lines {
			for member := range strings.SplitSeq(line, ",") {
				if member = textproto.TrimString(member); member != "" && !yield(member) {
					return
				}
			}
		}
	}
}

// rewriteLocation turns an absolute reference that names the origin into one under the name the client used. Others, and
// those that do not parse, stay as they are.
//
// A redirect to https of the same name stays: it is meant, and the way back would be a loop.
func rewriteLocation(location string, pool Pool, asked, scheme, host string) string {
	u, err := url.Parse(location)
	if err != nil || u.Host == "" || !owns(pool, *u, asked) {
		return location
	}
	if u.Scheme == "https" && scheme == "http" && hostName(u.Host) == hostName(host) {
		return location
	}
	_, rest, _ := strings.Cut(location, "//")
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	return scheme + "://" + host + rest[end:]
}

// owns asks for a reference without scheme ("//host/path") under both.
func owns(pool Pool, u url.URL, asked string) bool {
	if u.Scheme != "" {
		return pool.Owns(&u, asked)
	}
	plain, secure := u, u
	plain.Scheme, secure.Scheme = "http", "https"
	return pool.Owns(&plain, asked) || pool.Owns(&secure, asked)
}

// headerChanges is a compiled HeaderConfig. Immutable.
type headerChanges struct {
	remove   []string
	set, add []field
}

// field is one field line, its name in canonical form.
type field struct{ name, value string }

func compileChanges(cfg HeaderConfig) headerChanges {
	c := headerChanges{set: sortedFields(cfg.Set), add: sortedFields(cfg.Add)}
	for _, name := range cfg.Remove {
		c.remove = append(c.remove, http.CanonicalHeaderKey(name))
	}
	return c
}

// sortedFields gives a map from the configuration an order that does not change from start to start.
func sortedFields(m map[string]string) []field {
	var out []field
	for _, name := range slices.Sorted(maps.Keys(m)) {
		out = append(out, field{http.CanonicalHeaderKey(name), m[name]})
	}
	return out
}

// none reports whether there is nothing to change.
func (c *headerChanges) none() bool { return len(c.remove)+len(c.set)+len(c.add) == 0 }

// drops reports whether a line with that name, in canonical form, goes before what is set and added.
func (c *headerChanges) drops(name string) bool {
	return slices.Contains(c.remove, name) || hasName(c.set, name)
}

// gives reports whether a line with that name is set or added.
func (c *headerChanges) gives(name string) bool { return hasName(c.set, name) || hasName(c.add, name) }

func hasName(fields []field, name string) bool {
	return slices.ContainsFunc(fields, func(f field) bool { return f.name == name })
}

// apply changes h: remove, then set, then add. Slices that h shares with others are left as they were.
func (c headerChanges) apply(h http.Header) {
	for _, name := range c.remove {
		delete(h, name)
	}
	for _, f := range c.set {
		h[f.name] = []string{f.value}
	}
	for _, f := range c.add {
		h[f.name] = append(slices.Clip(h[f.name]), f.value)
	}
}
