package origin

import (
	"net/http"
	"net/textproto"
	"net/url"
	"strings"
)

// rules are what is changed between the edge's names and paths and the origin's. Immutable.
type rules struct {
	pool   *Pool
	path   PathConfig
	hidden []string // canonical names of fields
	signer *signer  // nil without
}

func newRules(p *Pool, c Config) (*rules, error) {
	r := &rules{pool: p, path: PathConfig{strings.TrimSuffix(c.Path.Strip, "/"), strings.TrimSuffix(c.Path.Add, "/")}}
	for _, name := range c.Hide {
		r.hidden = append(r.hidden, textproto.CanonicalMIMEHeaderKey(name))
	}
	var err error
	r.signer, err = newSigner(c.Sign)
	return r, err
}

// out is a path as the origin knows it.
func (c PathConfig) out(path string) string { return c.Add + rebase(path, c.Strip) }

// back is a path of the origin's as clients know it.
func (c PathConfig) back(path string) string {
	if rest := rebase(path, c.Add); c.Add == "" || rest != path {
		return c.Strip + rest
	}
	return path // it lies outside of what is served
}

// rebase takes a prefix of whole segments off a path that has it.
func rebase(path, prefix string) string {
	rest, ok := strings.CutPrefix(path, prefix)
	switch {
	case !ok || rest != "" && rest[0] != '/':
		return path
	case rest == "":
		return "/"
	}
	return rest
}

// changesPaths reports whether out and back do anything.
func (r *rules) changesPaths() bool { return r.path != PathConfig{} }

// target is the URL of a request at an upstream.
func (r *rules) target(u *upstream, from *url.URL) url.URL {
	to := url.URL{
		Scheme: u.scheme, Host: u.host,
		Path: from.Path, RawPath: from.RawPath, RawQuery: from.RawQuery, ForceQuery: from.ForceQuery,
	}
	if r.changesPaths() && to.Path != "*" { // OPTIONS * is about the server
		to.Path = r.path.out(to.Path)
		if to.RawPath != "" {
			to.RawPath = r.path.out(to.RawPath)
		}
	}
	return to
}

// conceal takes out of an answer what is nobody's business outside, and turns the origin's paths and names back.
func (r *rules) conceal(h http.Header, asked string) {
	for _, name := range r.hidden {
		delete(h, name)
	}
	if r.changesPaths() {
		for _, name := range []string{"Location", "Content-Location"} {
			for i, value := range h[name] {
				h[name][i] = r.reference(value, asked)
			}
		}
	}
	for i, line := range h["Set-Cookie"] {
		h["Set-Cookie"][i] = r.cookie(line)
	}
}

// reference turns the path of a reference back, if it leads to the origin.
func (r *rules) reference(value, asked string) string {
	u, err := url.Parse(value)
	if err != nil || u.Opaque != "" || u.Host != "" && !r.owns(*u, asked) {
		return value
	}
	before, path := "", value
	if u.Host != "" {
		_, rest, _ := strings.Cut(value, "//")
		start := strings.IndexByte(rest, '/')
		if start < 0 {
			return value
		}
		before, path = value[:len(value)-len(rest)+start], rest[start:]
	}
	if !strings.HasPrefix(path, "/") { // relative to where it is
		return value
	}
	end := strings.IndexAny(path, "?#")
	if end < 0 {
		end = len(path)
	}
	return before + r.path.back(path[:end]) + path[end:]
}

// owns asks for a reference without scheme ("//host/path") under both.
func (r *rules) owns(u url.URL, asked string) bool {
	if u.Scheme != "" {
		return r.pool.Owns(&u, asked)
	}
	plain, secure := u, u
	plain.Scheme, secure.Scheme = "http", "https"
	return r.pool.Owns(&plain, asked) || r.pool.Owns(&secure, asked)
}

// cookie turns the path of a cookie back, and takes out a domain that is the origin's own: no client would keep it (RFC 6265,
// section 5.3), and it tells an internal name.
func (r *rules) cookie(line string) string {
	attributes := strings.Split(line, ";")
	out := attributes[:1]
	for _, a := range attributes[1:] {
		name, value, _ := strings.Cut(a, "=")
		value = strings.TrimSpace(value)
		switch strings.ToLower(strings.TrimSpace(name)) {
		case "domain":
			if r.isOwn(strings.TrimPrefix(value, ".")) {
				continue
			}
		case "path":
			if r.changesPaths() && strings.HasPrefix(value, "/") {
				a = name + "=" + r.path.back(value)
			}
		}
		out = append(out, a)
	}
	return strings.Join(out, ";")
}

// isOwn reports whether a domain is a name of the origin that clients do not know.
func (r *rules) isOwn(domain string) bool {
	if own := (&url.URL{Host: r.pool.host}).Hostname(); own != "" && strings.EqualFold(domain, own) {
		return true
	}
	for _, u := range r.pool.upstreams() {
		if strings.EqualFold(domain, (&url.URL{Host: u.host}).Hostname()) {
			return true
		}
	}
	return false
}
