package cache

import (
	"encoding/binary"
	"slices"
	"strings"
)

// Seed is the secret that keeps others from choosing requests whose keys have the same hash. It lives as long as the cache
// whose hashes it made.
type Seed uint64

// of returns the hash of a key.
func (s Seed) of(key string) uint64 { return hashString(uint64(s), key) }

// TrackingParameters returns the names of query parameters that tell the site's own scripts where a visitor came from and
// change no answer. They leave the query unless the route keeps them. A trailing * matches any rest.
func TrackingParameters() []string {
	return []string{
		"utm_*",                                        // campaign tags of most analytics
		"gclid", "gclsrc", "dclid", "gbraid", "wbraid", // Google Ads
		"gad_source", "gad_campaignid", "_ga", "_gl", // Google Ads and Analytics
		"srsltid",          // Google Merchant Center
		"fbclid", "igshid", // Facebook, Instagram
		"msclkid",                                                   // Microsoft
		"twclid", "ttclid", "li_fat_id", "epik", "rdt_cid", "ScCid", // X, TikTok, LinkedIn, Pinterest, Reddit, Snapchat
		"yclid", "ysclid", "_openstat", // Yandex
		"mc_cid", "mc_eid", "mkt_tok", "_hsenc", "_hsmi", "vero_id", // mail: Mailchimp, Marketo, HubSpot, Vero
	}
}

// NormaliseQuery drops the parameters that the route does not want, and sorts the others by name if it says so. Parameters
// are separated by "&" alone, and names are compared as they are spelt: what an origin may read as another parameter, with
// ";" or percent-encoded, is never taken for one that may go. A query that needs no change is returned as it is.
func (p *Policy) NormaliseQuery(raw string) string {
	if raw == "" || !p.changesQuery(raw) {
		return raw
	}
	var kept []string
	for parameter := range strings.SplitSeq(raw, "&") {
		if !p.dropsParameter(parameterName(parameter)) {
			kept = append(kept, parameter)
		}
	}
	if p.Key.Query.Sort {
		slices.SortStableFunc(kept, func(a, b string) int { return strings.Compare(parameterName(a), parameterName(b)) })
	}
	return strings.Join(kept, "&")
}

func (p *Policy) changesQuery(raw string) bool {
	previous := ""
	for rest, more := raw, true; more; {
		var parameter string
		parameter, rest, more = strings.Cut(rest, "&")
		name := parameterName(parameter)
		if p.dropsParameter(name) || p.Key.Query.Sort && name < previous {
			return true
		}
		previous = name
	}
	return false
}

func (p *Policy) dropsParameter(name string) bool {
	if !p.queryAllow.empty() {
		return !p.queryAllow.has(name)
	}
	return p.queryDrop.has(name) || p.tracking.has(name) && !p.queryKeep.has(name)
}

func parameterName(parameter string) string {
	name, _, _ := strings.Cut(parameter, "=")
	return name
}

// SetQuery sets RawQuery and HasQuery from the query as received, and whether there was a "?". A "?" whose parameters have
// all been dropped goes with them, so that "/?utm_source=x" is "/"; one that never had any stays.
func (q *Query) SetQuery(p *Policy, raw string, present bool) error {
	canonical, err := CanonicalQuery(raw)
	if err != nil {
		return err
	}
	q.RawQuery = p.NormaliseQuery(canonical)
	q.HasQuery = q.RawQuery != "" || present && raw == "" && !p.dropsParameter("")
	return nil
}

// MakeKey sets Key and Hash. It comes last: everything else of q goes into them.
func (q *Query) MakeKey(p *Policy, seed Seed) {
	var room [512]byte
	key := q.appendKey(room[:0], p)
	q.Key, q.Hash = string(key), hashString(uint64(seed), view(key))
}

// MakeKeyIn is MakeKey in room of the caller's: Key points into what it returns, and is good for no longer.
func (q *Query) MakeKeyIn(room []byte, p *Policy, seed Seed) []byte {
	key := q.appendKey(room[:0], p)
	q.Key = view(key)
	q.Hash = hashString(uint64(seed), q.Key)
	return key
}

// appendKey appends the parts of the key. Each carries its length, and those that a policy adds carry their names, so that
// a key made under one configuration cannot pass for another under the next.
func (q *Query) appendKey(key []byte, p *Policy) []byte {
	q.coded = p.Codings != nil
	key = appendPart(key, q.Host)
	key = appendFlag(key, q.Secure)
	key = appendPart(key, q.Path)
	key = appendFlag(key, q.HasQuery)
	key = appendPart(key, q.RawQuery)
	key = appendPart(key, q.Site) // or a site that takes over a host would serve what no purge of that site finds
	key = appendPart(key, q.Route)
	for _, name := range p.keyHeaders {
		key = appendField(appendPart(append(key, 'h'), name), q, name)
	}
	for _, name := range p.keyCookies {
		key = appendCookie(appendPart(append(key, 'c'), name), q, name)
	}
	return key
}

// keyedApart returns the parts of a key, as appendKey makes it, that are no part of the URL.
func keyedApart(key string) string {
	r := metaReader{rest: []byte(key)}
	r.text()  // host
	r.uint8() // scheme
	r.text()  // path
	r.uint8()
	r.text() // query
	return string(r.rest)
}

func appendFlag(key []byte, set bool) []byte {
	if set {
		return append(key, 1)
	}
	return append(key, 0)
}

// appendCookie appends all values of a cookie, after their number: origins differ in which of two they believe.
func appendCookie(key []byte, q *Query, name string) []byte {
	count := uint64(0)
	for each := range cookies(q) {
		if each == name {
			count++
		}
	}
	key = binary.AppendUvarint(key, count)
	for each, value := range cookies(q) {
		if each == name {
			key = appendPart(key, value)
		}
	}
	return key
}

// PurgeURL returns what purge selectors match: the key without scheme, variant, route and extra parts.
func (q *Query) PurgeURL() string {
	var room [256]byte
	return string(q.appendPurgeURL(room[:0]))
}

func (q *Query) appendPurgeURL(dst []byte) []byte {
	dst = append(append(dst, q.Host...), q.Path...)
	if q.HasQuery {
		dst = append(append(dst, '?'), q.RawQuery...)
	}
	return dst
}

// Target returns what a response to q with these tags is purged by.
func (q *Query) Target(tags []string) Target {
	return Target{Site: q.Site, Host: q.Host, URL: q.PurgeURL(), Tags: tags}
}

// field returns the i-th line of a field. A Query without Fields has none.
func (q *Query) field(name string, i int) (string, bool) {
	if q.Fields == nil {
		return "", false
	}
	return q.Fields.Value(name, i)
}
