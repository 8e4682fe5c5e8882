package edge

import (
	"net/http"
	"strconv"
	"strings"

	"selvage/cache"
)

// read turns the request into a Site, a Route and a Query, or answers it. The order is: who is asking, whom, may they,
// is what they say sound, and which route answers.
func (x *exchange) read() bool {
	x.client = x.conf.trust.client(x.r)
	x.describe()
	host, err := cache.CanonicalHost(x.client.Host, x.client.Proto == "https")
	if err != nil {
		return x.refuse(http.StatusBadRequest, "host: "+err.Error())
	}
	x.res.Host, x.client.Host = host, host // from here on in the one spelling that the key has
	if x.site = x.conf.sites.find(host); x.site == nil {
		return x.refuse(http.StatusMisdirectedRequest, "no site for this host")
	}
	x.res.Site = x.site.name
	if x.challenge() {
		return false
	}
	if x.misdirected() {
		return x.refuse(http.StatusMisdirectedRequest, "this connection is not for this host")
	}
	return x.admit() && x.checkMessage() && x.reduce(host)
}

// describe notes what the log says of any request, sound or not.
func (x *exchange) describe() {
	x.res = Result{
		Begin: x.now.Wall, Conn: x.conn.ID, Client: x.client.Addr, Proto: x.r.Proto, Secure: x.client.Proto == "https",
		Method: x.r.Method, Host: x.r.Host, Target: x.r.RequestURI,
		Referer: x.r.Referer(), Agent: x.r.UserAgent(),
	}
}

// admit asks the site's gate.
func (x *exchange) admit() bool {
	switch status := x.site.gate.enter(x.client, x.site.name, x.visits, connID(x.conn.ID)); status {
	case 0:
		return true
	case http.StatusForbidden:
		return x.refuse(status, "this address may not use this site")
	default:
		return x.refuse(status, "too many connections from this address")
	}
}

// checkMessage refuses what would be forwarded ambiguously, or for ever.
func (x *exchange) checkMessage() bool {
	if x.r.Method == methodPurge {
		return x.purge()
	}
	if status := methodAllowed(x.site, x.r.Method); status != 0 {
		return x.refuse(status, "method "+x.r.Method)
	}
	if status, reason := checkFields(x.r.Header); status != 0 {
		return x.refuse(status, reason)
	}
	if looped(x.r.Header, x.identity) {
		return x.refuse(http.StatusLoopDetected, "CDN-Loop: the request has been here before")
	}
	if limit := x.conf.limits.Body; limit > 0 && x.r.ContentLength > limit {
		return x.refuse(http.StatusRequestEntityTooLarge, "body larger than this site takes")
	}
	dropNominated(x.r.Header)
	if !x.r.ProtoAtLeast(1, 1) {
		delete(x.r.Header, "Expect") // RFC 9110, section 10.1.1: ignored. The origin is asked in HTTP/1.1, and would not
	}
	return true
}

// reduce builds the Query and picks the route.
func (x *exchange) reduce(host string) bool {
	if x.r.RequestURI == "*" || x.isFarthest() { // OPTIONS, and for this node
		x.w.Header().Set("Allow", standardMethods)
		x.give(answer{status: http.StatusNoContent})
		return false
	}
	rawPath, rawQuery, hasQuery := splitTarget(x.r)
	path, err := cache.CanonicalPath(rawPath)
	if err != nil {
		return x.refuse(http.StatusBadRequest, "path: "+err.Error())
	}
	if x.rawQuery, err = cache.CanonicalQuery(rawQuery); err != nil {
		return x.refuse(http.StatusBadRequest, "query: "+err.Error())
	}
	x.q = cache.NewQuery()
	x.q.Method, x.q.Secure, x.q.Host, x.q.Site = x.r.Method, x.client.Proto == "https", host, x.site.name
	x.q.Path, x.q.RawQuery, x.q.HasQuery = path, x.rawQuery, hasQuery
	x.fields = sentFields{x.r.Header, x.client}
	x.q.Fields, x.q.HasBody = &x.fields, x.r.ContentLength != 0
	if x.toHTTPS(path, hasQuery) {
		return false
	}
	if x.route = x.site.match(x.r.Method, path, x.q.Fields); x.route == nil {
		return x.refuse(http.StatusNotFound, "no route for this path")
	}
	x.res.Route = x.route.name
	x.passChallenges(path)
	if x.fixed() {
		return false
	}
	return x.key()
}

// isFarthest counts an OPTIONS down that says how often it may be forwarded, and reports whether it may not be any more: it
// is for this node then, like one of the server as a whole (RFC 9110, sections 7.6.2 and 9.3.7). What is no number bounds
// nothing. TRACE, the other method that counts, is never forwarded.
func (x *exchange) isFarthest() bool {
	if x.r.Method != http.MethodOptions {
		return false
	}
	left, err := strconv.ParseUint(x.r.Header.Get("Max-Forwards"), 10, 64)
	if err != nil {
		return false
	}
	if left > 0 {
		x.r.Header.Set("Max-Forwards", strconv.FormatUint(left-1, 10))
	}
	return left == 0
}

// key reduces the fields by the route's policy and names what the cache has for the request.
func (x *exchange) key() bool {
	for name, values := range x.r.Header {
		for _, v := range values {
			x.q.ReduceField(name, v)
		}
	}
	policy := x.route.policy
	if policy.Enabled && x.q.HasBody && (x.r.Method == http.MethodGet || x.r.Method == http.MethodHead) {
		return x.refuse(http.StatusBadRequest, "a body on "+x.r.Method+" has no meaning here")
	}
	if !x.wantsTunnel() {
		x.q.Present &^= cache.HasUpgrade // an offer that we do not take up (RFC 9110, section 7.8)
	}
	if x.route.keyed {
		x.q.Route = x.route.name
	}
	if policy.Enabled {
		x.q.SetQuery(policy, x.rawQuery, x.q.HasQuery) // canonical by now, so it cannot fail
	}
	x.q.MakeKey(policy, x.store.Seed())
	if x.q.HasBody {
		x.body = newRequestBody(x)
		x.r.Body = x.body
	}
	return true
}

// splitTarget returns path and query as they came. The lane has seen to it that an absolute-form target names the Host.
func splitTarget(r *http.Request) (path, query string, hasQuery bool) {
	target := r.RequestURI
	if r.ProtoMajor >= 2 || strings.HasPrefix(target, "/") || target == "*" {
		path, query, hasQuery = strings.Cut(target, "?")
		return path, query, hasQuery
	}
	path = r.URL.EscapedPath()
	if path == "" {
		path = "/"
	}
	return path, r.URL.RawQuery, r.URL.RawQuery != "" || r.URL.ForceQuery
}

// fixed answers routes that need neither cache nor origin.
func (x *exchange) fixed() bool {
	a, ok := x.route.fixed(x.client.Host, x.q.Path, x.rawQuery, x.q.HasQuery)
	if ok {
		x.give(a)
	}
	return ok
}
