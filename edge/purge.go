package edge

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"selvage/cache"
	"selvage/purge"
)

// methodPurge is what other caches have made of it: the URL falls, all its variants, under both schemes. It is never forwarded.
const methodPurge = "PURGE"

// purge obeys a PURGE request of whoever may, softly with Soft-Purge: 1, and answers when the purge is in force. All others
// get the 405 that they would get if nobody might: whether there is anything to try is not theirs to know. Only who brings a
// token, where some token is good for anything, is told what is wrong with it.
func (x *exchange) purge() bool {
	who, err := x.purger()
	switch {
	case err != nil:
		return x.refusePurge(err)
	case who == nil:
		return x.refuse(http.StatusMethodNotAllowed, "method PURGE")
	}
	if status, reason := checkFields(x.r.Header); status != 0 {
		return x.refuse(status, reason)
	}
	soft, ok := softPurge(x.r.Header)
	if !ok || x.r.ContentLength != 0 {
		return x.refuse(http.StatusBadRequest, "PURGE takes Soft-Purge: 1 or 0, and no body")
	}
	urls, err := x.purgeURLs()
	if err != nil {
		return x.refuse(http.StatusBadRequest, err.Error())
	}
	done, err := x.purges.PurgeURL(who, x.site.name, urls, soft)
	if err != nil {
		return x.refusePurge(err)
	}
	body, err := json.Marshal(done)
	if err != nil { // it has numbers and strings alone
		panic(err)
	}
	x.w.Header().Set("Cache-Control", "no-store")
	x.give(answer{status: http.StatusOK, contentType: "application/json", body: string(body) + "\n"})
	return false
}

// purger returns who asks, or nil for anybody: by the token, else by the address of the peer. What a browser sends on behalf
// of a page is nobody's, wherever it runs (Origin goes with all methods but GET and HEAD).
func (x *exchange) purger() (*purge.Caller, error) {
	h := x.r.Header
	if x.purges == nil || h.Get("Origin") != "" || h.Get("Sec-Fetch-Site") != "" {
		return nil, nil
	}
	guard, authorization := x.purges.Guard(), h.Get("Authorization")
	switch {
	case authorization != "" && guard.WantsTokens():
		if !x.private() {
			return nil, &purge.Problem{Status: http.StatusForbidden, Detail: "a token is taken over https only"}
		}
		return guard.ByToken(authorization, x.client.Addr)
	case relayed(h): // the peer is not who asks
		return nil, nil
	}
	return guard.ByAddress(x.client.Peer), nil
}

// private reports whether nobody on the way could read a token: over TLS, to us or to a trusted proxy, or on this machine.
func (x *exchange) private() bool {
	local := !x.client.Peer.IsValid() || x.client.Peer.IsLoopback()
	return x.client.Proto == "https" || local && !relayed(x.r.Header)
}

// relayed reports whether a proxy says, or is said, to have handed the request on. Anybody may claim it, and gains nothing.
func relayed(h http.Header) bool {
	return slices.ContainsFunc([]string{"Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-Ip"},
		func(name string) bool { return len(h[name]) > 0 })
}

func (x *exchange) refusePurge(err error) bool {
	p := purge.NewProblem(err)
	p.Header(x.w.Header())
	return x.refuse(p.Status, p.Detail)
}

func softPurge(h http.Header) (soft, ok bool) {
	switch strings.Join(h.Values("Soft-Purge"), ", ") { // given twice, it is neither
	case "1":
		return true, true
	case "", "0":
		return false, true
	}
	return false, false
}

// purgeURLs returns what the target is purged by.
func (x *exchange) purgeURLs() ([]string, error) {
	rawPath, rawQuery, hasQuery := splitTarget(x.r)
	path, err := cache.CanonicalPath(rawPath)
	if err != nil {
		return nil, err
	}
	query, err := cache.CanonicalQuery(rawQuery)
	if err != nil {
		return nil, err
	}
	return x.site.purgeURLs(x.client.Host, path, query, hasQuery), nil
}

// purgeURLs returns the purge URLs of all requests for a URL, whatever their method and fields: each of the routes that these
// may come to spells the query in its own way.
func (s *site) purgeURLs(host, path, query string, hasQuery bool) (urls []string) {
	for _, r := range s.routes {
		if !r.match.takesPath(path) {
			continue
		}
		if url, ok := r.purgeURL(host, path, query, hasQuery); ok && !slices.Contains(urls, url) {
			urls = append(urls, url)
		}
		if r.match.takesMethod(http.MethodGet) && len(r.match.headers) == 0 {
			break // nothing that is stored comes from the routes behind it
		}
	}
	if urls == nil {
		q := cache.Query{Host: host, Path: path, RawQuery: query, HasQuery: hasQuery}
		urls = []string{q.PurgeURL()}
	}
	return urls
}

// purgeURL returns what a response of the route is purged by. It is the same while the route's cache is switched off: what was
// stored before is still there.
func (r *route) purgeURL(host, path, query string, hasQuery bool) (url string, ok bool) {
	if r.policy == nil {
		return "", false
	}
	q := cache.Query{Host: host, Path: path}
	if err := q.SetQuery(r.policy, query, hasQuery); err != nil {
		return "", false // no request has it
	}
	return q.PurgeURL(), true
}

// PurgeURLs returns the site that answers for a host, "" for none, and the purge URLs that a request for a URL there may
// have. All parts are canonical.
func (e *Edge) PurgeURLs(host, path, query string, hasQuery bool) (site string, urls []string) {
	s := e.conf.Load().sites.find(host)
	if s == nil {
		return "", nil
	}
	return s.name, s.purgeURLs(host, path, query, hasQuery)
}

// HasSite reports whether there is a site of that name.
func (e *Edge) HasSite(name string) bool { return slices.Contains(e.SiteNames(), name) }

// SiteNames returns the names of the sites in force.
func (e *Edge) SiteNames() []string { return e.conf.Load().SiteNames() }

// SiteNames returns the names of all sites: the labels in logs, metrics and purges.
func (c Config) SiteNames() []string {
	names := make([]string, len(c.Sites))
	for i := range c.Sites {
		names[i] = c.Sites[i].Label()
	}
	return names
}
