package purge

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"selvage/cache"
)

// Sites is what purges ask of the configuration in force.
type Sites interface {
	// HasSite reports whether there is a site of that name.
	HasSite(name string) bool
	// PurgeURLs returns the site that answers for a host, "" for none, and the purge URLs that a request for a URL there may
	// have: one for each way in which the routes that may answer it spell the query. All parts are canonical.
	PurgeURLs(host, path, query string, hasQuery bool) (site string, urls []string)
}

// choice makes an Entry of what somebody asks for: names in the form that a cache.Target has, so that a URL may come from the
// address bar of a browser; and nothing that the Caller may not touch.
type choice struct {
	sites  Sites
	caller *Caller
	entry  Entry
	faults []Fault // what is wrong
	denied []Fault // what is not theirs
}

// maxFaults is how many are told at once.
const maxFaults = 20

// choose returns the Entry, or the Problem with it.
func choose(r *Request, who *Caller, sites Sites) (Entry, error) {
	c := &choice{sites: sites, caller: who, entry: Entry{Kind: kindOf(r.Soft), Why: r.Why}}
	if n := r.count(); n > MaxNames {
		return Entry{}, &Problem{Status: 422, Detail: fmt.Sprintf("%d selectors; one purge has at most %d", n, MaxNames)}
	} else if n == 0 && !r.All {
		return Entry{}, &Problem{Status: 422, Detail: "nothing is selected; give one of " + strings.Join(selectorNames, ", ")}
	}
	c.each("urls", r.URLs, c.url)
	c.each("prefixes", r.Prefixes, c.prefix)
	c.each("globs", r.Globs, c.glob)
	c.each("tags", r.Tags, c.tag)
	c.each("hosts", r.Hosts, c.host)
	c.each("sites", r.Sites, c.site)
	if r.All {
		c.all()
	}
	return c.finish()
}

// count is the number of names.
func (s *Selection) count() int {
	return len(s.URLs) + len(s.Prefixes) + len(s.Globs) + len(s.Tags) + len(s.Hosts) + len(s.Sites)
}

// finish returns what came of it. What is wrong is told before what is not theirs, so that nobody learns from a refusal
// whether a host that they misspelt is another's.
func (c *choice) finish() (Entry, error) {
	switch {
	case len(c.denied) > 0:
		return Entry{}, &Problem{Status: 403, Detail: "this is not for " + c.caller.Name + " to purge", Errors: c.denied}
	case len(c.faults) > 0:
		return Entry{}, &Problem{Status: 422, Detail: "nothing was purged, since not all of it makes sense", Errors: c.faults}
	}
	for t := range tableCount {
		names := c.entry.names(t)
		slices.Sort(*names)
		*names = slices.Compact(*names)
	}
	if err := c.entry.check(); err != nil {
		return Entry{}, &Problem{Status: 422, Detail: err.Error()}
	}
	return c.entry, nil
}

var (
	errForeign  = errors.New("not of a site that this token is for")
	errUnserved = errors.New("no site answers for this host")
)

// each takes all selectors of a kind. Those that the Caller may not use are refused as a whole.
func (c *choice) each(kind string, texts []string, take func(string) error) {
	if len(texts) > 0 && !c.caller.maySelect(kind) {
		c.denied = append(c.denied, Fault{kind, "not a selector that this token is for"})
		return
	}
	for i, text := range texts {
		err := take(text)
		list := &c.faults
		if errors.Is(err, errForeign) {
			list = &c.denied
		}
		if err != nil && len(*list) < maxFaults {
			*list = append(*list, Fault{fmt.Sprintf("%s[%d]", kind, i), err.Error()})
		}
	}
}

// mine returns why a site is none that the Caller may touch, or nil. Who is confined is not told which sites there are.
func (c *choice) mine(site string) error {
	switch {
	case c.caller.confined() && !c.caller.mayTouch(site):
		return errForeign
	case site == "":
		return errUnserved
	}
	return nil
}

func (c *choice) all() {
	switch {
	case !c.caller.maySelect("all"):
		c.denied = append(c.denied, Fault{"all", "not a selector that this token is for"})
	case c.caller.confined():
		c.entry.Sites = append(c.entry.Sites, c.caller.sites...) // all that is theirs
	default:
		c.entry.All = true
	}
}

func (c *choice) site(name string) error {
	if err := c.mine(name); err != nil {
		return err
	}
	if !c.sites.HasSite(name) {
		return errors.New("there is no site of that name")
	}
	c.entry.Sites = append(c.entry.Sites, name)
	return nil
}

// tag takes a tag. Another site may have the same, so that of a confined Caller is one of its sites alone.
func (c *choice) tag(name string) error {
	switch {
	case name == "":
		return errNoName
	case strings.ContainsFunc(name, unicode.IsControl):
		return errors.New("control characters, which no tag has")
	case len(name) > cache.MaxTagBytes:
		return fmt.Errorf("longer than %d bytes, which no tag is", cache.MaxTagBytes)
	}
	if !c.caller.confined() {
		c.entry.Tags = append(c.entry.Tags, name)
		return nil
	}
	for _, site := range c.caller.sites {
		c.entry.SiteTags = append(c.entry.SiteTags, siteTag(site, name))
	}
	return nil
}

func (c *choice) host(text string) error {
	if strings.Contains(text, "*") {
		return errors.New("a host is named whole; globs take stars")
	}
	return c.eachSpelling(text, func(url string) error {
		host, path, _, hasQuery := cutPurgeURL(url)
		if path != "/" || hasQuery {
			return errors.New("a host has no path; prefixes have")
		}
		return c.keepHost(host)
	})
}

func (c *choice) keepHost(host string) error {
	site, _ := c.sites.PurgeURLs(host, "/", "", false)
	if err := c.mine(site); err != nil {
		return err
	}
	c.entry.Hosts = append(c.entry.Hosts, host)
	return nil
}

func (c *choice) url(text string) error {
	return c.eachSpelling(text, func(url string) error {
		site, urls := c.sites.PurgeURLs(cutPurgeURL(url))
		if err := c.mine(site); err != nil {
			return err
		}
		c.entry.URLs = append(c.entry.URLs, urls...)
		return nil
	})
}

// prefix takes the beginning of purge URLs, which may end anywhere: it is spelt as a URL that goes on would be. What follows
// a # is the browser's alone, and cannot be gone on with.
func (c *choice) prefix(text string) error {
	text, _, _ = strings.Cut(strings.TrimSpace(text), "#")
	if strings.HasSuffix(text, "*") {
		return errors.New("a prefix has no star at its end; all that begins with it falls")
	}
	if _, rest, _ := cutScheme(text); !strings.ContainsAny(rest, "/?") {
		text += "/" // the host ends here: that of example.com.evil.net is another
	}
	return c.eachSpelling(text+"x", func(url string) error {
		url = strings.TrimSuffix(url, "x")
		if err := c.hostIsMine(url); err != nil {
			return err
		}
		c.entry.Prefixes = append(c.entry.Prefixes, url)
		return c.hasParameters(url)
	})
}

// hasParameters returns why no URL begins with the query of a prefix, or nil: the routes may drop what it names, or sort it
// otherwise. Of the last name it may have a part only, of which nothing can be said.
func (c *choice) hasParameters(url string) error {
	host, path, query, _ := cutPurgeURL(url)
	last := strings.LastIndexByte(query, '&')
	if !strings.Contains(query[last+1:], "=") {
		query = query[:max(0, last)]
	}
	if query == "" {
		return nil
	}
	if _, urls := c.sites.PurgeURLs(host, path, query, true); !slices.Contains(urls, host+path+"?"+query) {
		return errors.New("no URL begins so: these parameters are dropped here, or sorted")
	}
	return nil
}

// glob takes a pattern over whole purge URLs. Stars in its path are as good as any byte there. Who is confined writes the
// host out, so that it says which site is meant.
func (c *choice) glob(text string) error {
	_, rest, err := cutScheme(text)
	if err != nil {
		return err
	}
	host, _, hasPath := strings.Cut(rest, "/")
	switch {
	case !hasPath:
		return errors.New("a glob is over host, path and query, such as example.com/img/*.webp")
	case !strings.Contains(host, "*"):
		return c.eachSpelling(text, func(url string) error {
			c.entry.Globs = append(c.entry.Globs, url)
			return c.hostIsMine(url)
		})
	case c.caller.confined():
		return fmt.Errorf("%w: write the host without stars", errForeign)
	}
	return c.globOfHosts(host, strings.TrimPrefix(rest, host))
}

// globOfHosts takes a glob with stars in its host, which so has no canonical form but lower case.
func (c *choice) globOfHosts(host, rest string) error {
	if strings.ContainsFunc(host, func(r rune) bool { return !strings.ContainsRune(globHostChars, r) }) {
		return errors.New("a host has letters, digits, dots, hyphens, and in a glob stars")
	}
	url, err := cache.ParsePurgeURL("x" + rest)
	if err != nil {
		return spellingError(err)
	}
	c.entry.Globs = append(c.entry.Globs, strings.ToLower(host)+strings.TrimPrefix(url, "x"))
	return nil
}

const globHostChars = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._*:[]"

func (c *choice) hostIsMine(url string) error {
	site, _ := c.sites.PurgeURLs(cutPurgeURL(url))
	return c.mine(site)
}

// eachSpelling calls take with the purge URL of a text. Without a scheme it may be of either, whose default ports differ:
// then there can be two.
func (c *choice) eachSpelling(text string, take func(url string) error) error {
	scheme, rest, err := cutScheme(text)
	if err != nil {
		return err
	}
	schemes := []string{scheme}
	if scheme == "" {
		schemes = []string{"http", "https"}
	}
	if strings.ContainsFunc(hostOf(rest), func(r rune) bool { return r > unicode.MaxASCII }) {
		return errForeignLetters
	}
	last := ""
	for _, scheme := range schemes {
		url, err := cache.ParsePurgeURL(scheme + "://" + rest)
		if err != nil {
			return spellingError(err)
		}
		if url == last {
			continue
		}
		if last = url; len(url) > maxNameBytes {
			return errLong
		}
		if err := take(url); err != nil {
			return err
		}
	}
	return nil
}

// cutScheme returns the scheme in lower case, "" for none, and what comes after it.
func cutScheme(text string) (scheme, rest string, err error) {
	text = strings.TrimSpace(text)
	scheme, rest, found := strings.Cut(text, "://")
	if !found || strings.ContainsAny(scheme, "/?#") {
		return "", text, nil
	}
	if scheme = strings.ToLower(scheme); scheme != "http" && scheme != "https" {
		return "", "", errors.New("only http and https are cached")
	}
	return scheme, rest, nil
}

var errForeignLetters = errors.New("a host is written in ASCII: as xn--… when it has other letters")

// hostOf returns the host of a URL without its scheme.
func hostOf(rest string) string {
	if end := strings.IndexAny(rest, "/?#"); end >= 0 {
		return rest[:end]
	}
	return rest
}

// cutPurgeURL cuts a purge URL into its parts.
func cutPurgeURL(url string) (host, path, query string, hasQuery bool) {
	url, query, hasQuery = strings.Cut(url, "?")
	slash := strings.IndexByte(url, '/') // every purge URL has a path
	return url[:slash], url[slash:], query, hasQuery
}

// spellingError is what is wrong with a URL, without the URL: who reads it has that before them.
func spellingError(err error) error {
	if inner := errors.Unwrap(err); inner != nil {
		return inner
	}
	return err
}
