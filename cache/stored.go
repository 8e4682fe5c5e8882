package cache

import (
	"net/url"
	"strings"

	"selvage/cache/internal/disk"
)

// StoredResponse is a stored response as an operator sees it. Age and TTL are in seconds, as in Age and Cache-Status.
type StoredResponse struct {
	URL      string   `json:"url"` // as purges name it: host, path and query
	Scheme   string   `json:"scheme"`
	Site     string   `json:"site"`
	Status   int      `json:"status"`
	State    string   `json:"state"`
	Age      int64    `json:"age"`
	TTL      int64    `json:"ttl"` // negative when stale
	Length   int64    `json:"length"`
	Coding   string   `json:"coding,omitempty"`
	Variant  []string `json:"variant,omitempty"` // what the request said in the fields of Vary
	Tags     []string `json:"tags,omitempty"`
	Epoch    uint64   `json:"epoch"`
	Location string   `json:"location"` // segment and offset, as in the log
}

// States of a stored response.
const (
	StateFresh  = "fresh"
	StateStale  = "stale"  // by its age, or by a purge that wants it validated
	StatePurged = "purged" // never served again; the space is not free yet
)

// describe makes one of a record; false for a record that is no response.
func (d *Disk) describe(r *disk.Record, at disk.Location) (StoredResponse, bool) {
	if len(r.Head) == 0 || r.Head[0] != recordMeta {
		return StoredResponse{}, false
	}
	in, now := metaReader{rest: r.Head[1:]}, d.clock.Now().Mono
	target := Target{Site: in.text(), Host: in.text(), URL: in.text()}
	m := &Meta{}
	if in.bad || readMeta(m, in.rest, nil, d.process, now) != nil {
		return StoredResponse{}, false
	}
	target.Tags = m.Tags
	scheme, _, _ := keyURL(r.Key)
	return StoredResponse{
		URL: target.URL, Scheme: scheme, Site: target.Site, Status: m.Status, State: d.state(m, &target, now),
		Age: int64(m.Age(now).Seconds()), TTL: int64(m.TTL(now).Seconds()), Length: r.Length, Coding: m.Coding,
		Variant: readVariant(r.Variant), Tags: m.Tags, Epoch: m.Epoch, Location: at.String(),
	}, true
}

func (d *Disk) state(m *Meta, t *Target, now Instant) string {
	verdict := Valid
	if d.store != nil { // of a stopped node's purges nobody knows here
		verdict = d.store.purges.Verdict(t, m.Epoch, d.store.purges.Applied())
	}
	switch {
	case verdict == Hard:
		return StatePurged
	case verdict != Valid || m.NoCache || m.TTL(now) <= 0:
		return StateStale
	}
	return StateFresh
}

// keyURL reads the scheme and the purge URL back from a cache key: see appendKey.
func keyURL(key string) (scheme, url string, ok bool) {
	r := metaReader{rest: []byte(key)}
	q := Query{Host: r.text(), Secure: r.uint8() != 0, Path: r.text(), HasQuery: r.uint8() != 0, RawQuery: r.text()}
	return q.scheme(), q.PurgeURL(), !r.bad
}

// readVariant reads a VariantKey back, as "Name: value" and "no Name". Values that say who somebody is are not shown: what
// is printed here ends up in tickets.
func readVariant(variant string) (all []string) {
	for r := (metaReader{rest: []byte(variant)}); len(r.rest) > 0 && !r.bad; {
		name := r.text()
		if r.uint8() == 0 {
			all = append(all, "no "+name)
			continue
		}
		value := r.text()
		switch name {
		case "Authorization", "Cookie", "Proxy-Authorization":
			value = "(not shown)"
		}
		all = append(all, name+": "+value)
	}
	return all
}

// ParsePurgeURL reads a URL as an operator writes it, with or without a scheme, into the form that purges compare. Both
// schemes fall together, so the scheme says no more than which port is the default one.
func ParsePurgeURL(text string) (string, error) {
	scheme, rest, found := strings.Cut(text, "://")
	if !found {
		scheme, rest = "https", text
	}
	rest, _, _ = strings.Cut(rest, "#")
	rest, query, hasQuery := strings.Cut(rest, "?")
	host, path := rest, ""
	if slash := strings.IndexByte(rest, '/'); slash >= 0 {
		host, path = rest[:slash], rest[slash:]
	}
	q := Query{HasQuery: hasQuery}
	var err error
	if q.Host, err = CanonicalHost(host, scheme != "http"); err != nil {
		return "", &url.Error{Op: "parse", URL: text, Err: err}
	}
	if q.Path, err = CanonicalPath(path); err != nil {
		return "", &url.Error{Op: "parse", URL: text, Err: err}
	}
	if q.RawQuery, err = CanonicalQuery(query); err != nil {
		return "", &url.Error{Op: "parse", URL: text, Err: err}
	}
	return q.PurgeURL(), nil
}
