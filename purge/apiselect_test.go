package purge

import (
	"errors"
	"strings"
	"testing"

	"selvage/cache"
)

// chosen returns the names that a request becomes, or what is wrong with it.
func chosen(r Request, who *Caller) string {
	e, err := choose(&r, who, twoSites{})
	if err != nil {
		return err.Error()
	}
	var names []string
	if e.All {
		names = append(names, "all")
	}
	for s := range e.selectors {
		names = append(names, s.table.String()+" "+s.name)
	}
	return strings.Join(names, ", ")
}

var anybody = LocalUser("user root")

func urls(text string) Request     { return Request{Selection: Selection{URLs: []string{text}}} }
func prefixed(text string) Request { return Request{Selection: Selection{Prefixes: []string{text}}} }
func globbed(text string) Request  { return Request{Selection: Selection{Globs: []string{text}}} }
func hosted(text string) Request   { return Request{Selection: Selection{Hosts: []string{text}}} }
func tagged(text string) Request   { return Request{Selection: Selection{Tags: []string{text}}} }
func sited(text string) Request    { return Request{Selection: Selection{Sites: []string{text}}} }

// Names come out as the cache has them.
func TestSpelling(t *testing.T) {
	for _, row := range []struct {
		request Request
		want    string
	}{
		{urls("https://shop.example/a"), "url shop.example/a"},
		{urls("http://shop.example/a"), "url shop.example/a"},
		{urls("  HTTPS://Shop.Example./a#top "), "url shop.example/a"},
		{urls("shop.example"), "url shop.example/"},
		{urls("https://shop.example:443/a"), "url shop.example/a"},
		{urls("http://shop.example:80/a"), "url shop.example/a"},
		{urls("http://shop.example:443/a"), "url shop.example:443/a"},
		{urls("shop.example:80/a"), "url shop.example/a, url shop.example:80/a"},
		{urls("shop.example:8080/a"), "url shop.example:8080/a"},
		{urls("https://shop.example/b/../%7ea%2fc"), "url shop.example/~a%2Fc"},
		{urls("https://shop.example/größe"), "url shop.example/gr%C3%B6%C3%9Fe"},
		{urls("https://shop.example/a?utm_source=mail&id=1&gclid=x"), "url shop.example/a?id=1"},
		{urls("https://shop.example/a?utm_source=mail"), "url shop.example/a"},
		{urls("https://shop.example/a?"), "url shop.example/a?"},
		{urls("https://shop.example/?q=http://x"), "url shop.example/?q=http://x"},
		{urls("shop.example/?q=http://x"), "url shop.example/?q=http://x"},
		{prefixed("https://shop.example/blog/"), "prefix shop.example/blog/"},
		{prefixed("shop.example/bl"), "prefix shop.example/bl"},
		{prefixed("shop.example"), "prefix shop.example/"},
		{prefixed("https://Shop.Example"), "prefix shop.example/"},
		{prefixed("shop.example/a/../b"), "prefix shop.example/b"},
		{prefixed("shop.example/.."), "prefix shop.example/.."},
		{prefixed("shop.example/%7Ea%2f"), "prefix shop.example/~a%2F"},
		{prefixed("shop.example/a?id="), "prefix shop.example/a?id="},
		{prefixed(" shop.example/a "), "prefix shop.example/a"},
		{prefixed("shop.example?id="), "prefix shop.example/?id="},
		{prefixed("shop.example/x#top"), "prefix shop.example/x"},
		{prefixed("shop.example/a?"), "prefix shop.example/a?"},
		{prefixed("shop.example/a?id=1&utm_so"), "prefix shop.example/a?id=1&utm_so"},
		{globbed("https://Shop.example/*.css"), "glob shop.example/*.css"},
		{globbed("shop.example/%7Ea/*?page=*"), "glob shop.example/~a/*?page=*"},
		{globbed("*.Blog.example/*"), "glob *.blog.example/*"},
		{globbed("*/favicon.ico"), "glob */favicon.ico"},
		{hosted("Shop.Example."), "host shop.example"},
		{hosted("shop.example:8080"), "host shop.example:8080"},
		{hosted("https://shop.example/"), "host shop.example"},
		{tagged("Größe 7"), "tag Größe 7"},
		{sited("shop"), "site shop"},
		{Request{Selection: Selection{All: true}}, "all"},
		{Request{Selection: Selection{Tags: []string{"b", "a", "b"}, All: true}}, "all, tag a, tag b"},
	} {
		if got := chosen(row.request, anybody); got != row.want {
			t.Errorf("%+v: %q, want %q", row.request.Selection, got, row.want)
		}
	}
}

// What has no such form is refused, and the refusal says which it is and why.
func TestMisspelling(t *testing.T) {
	for _, row := range []struct {
		request Request
		want    string
	}{
		{urls("/a"), "urls[0]: host is not a name or an address"},
		{urls(""), "urls[0]: host is not a name or an address"},
		{urls("ftp://shop.example/a"), "urls[0]: only http and https"},
		{urls("https://user@shop.example/a"), "urls[0]: host is not a name or an address"},
		{urls("https://shop.example/../a"), "urls[0]: path climbs above the root"},
		{urls("https://shop.example/a b"), "urls[0]: path has a byte that no URI may hold"},
		{urls("https://shpo.example/a"), "urls[0]: no site answers for this host"},
		{prefixed("shop.example/a%2"), "prefixes[0]: path has an invalid percent-encoding"},
		{urls("https://größe.example/a"), "urls[0]: a host is written in ASCII"},
		{prefixed("shop.example/a?utm_source=x"), "prefixes[0]: no URL begins so"},
		{prefixed("shop.example/a?gclid=1&id"), "prefixes[0]: no URL begins so"},
		{prefixed("shop.example/a*"), "prefixes[0]: a prefix has no star"},
		{prefixed("shpo.example/"), "prefixes[0]: no site answers for this host"},
		{prefixed("shop.example/" + strings.Repeat("x", maxPatternBytes)), "too long"},
		{globbed("shop.example*"), "globs[0]: a glob is over host, path and query"},
		{globbed("*.blog example/*"), "globs[0]: a host has letters"},
		{globbed("shpo.example/*"), "globs[0]: no site answers for this host"},
		{hosted("shop.example/a"), "hosts[0]: a host has no path"},
		{hosted("*.blog.example"), "hosts[0]: a host is named whole"},
		{hosted("shpo.example"), "hosts[0]: no site answers for this host"},
		{tagged(""), "tags[0]: a selector without a name"},
		{tagged(strings.Repeat("x", 257)), "tags[0]: longer than 256 bytes"},
		{tagged("a\x00b"), "tags[0]: control characters"},
		{sited("shpo"), "sites[0]: there is no site of that name"},
		{Request{}, "nothing is selected"},
		{Request{Selection: Selection{Tags: make([]string, MaxNames+1)}}, "1001 selectors; one purge has at most 1000"},
	} {
		var p *Problem
		_, err := choose(&row.request, anybody, twoSites{})
		if !errors.As(err, &p) || p.Status != 422 || !strings.Contains(p.Error(), row.want) {
			t.Errorf("%+v: error = %v, want 422, %q", row.request.Selection, err, row.want)
		}
	}
}

// Whoever has a token of the shop cannot touch the blog: each selector is confined, or refused.
func TestScope(t *testing.T) {
	who := &Caller{Name: "token deploy", sites: []string{"shop"}}
	for _, row := range []struct {
		s    Selection
		want string // with a colon: a refusal
	}{
		{Selection{URLs: []string{"shop.example/a"}}, "url shop.example/a"},
		{Selection{URLs: []string{"blog.example/a"}}, "urls[0]: not of a site that this token is for"},
		{Selection{URLs: []string{"shop.example/a", "no.example/"}}, "urls[1]: not of a site that this token is for"},
		{Selection{Prefixes: []string{"shop.example/"}}, "prefix shop.example/"},
		{Selection{Prefixes: []string{"shop.example"}}, "prefix shop.example/"},
		{Selection{Prefixes: []string{"blog.example/"}}, "prefixes[0]: not of a site that this token is for"},
		{Selection{Globs: []string{"shop.example/*"}}, "glob shop.example/*"},
		{Selection{Globs: []string{"blog.example/*"}}, "globs[0]: not of a site that this token is for"},
		{Selection{Globs: []string{"*/*"}}, "globs[0]: not of a site that this token is for: write the host without stars"},
		{Selection{Globs: []string{"shop.example*/*"}}, "globs[0]: not of a site that this token is for: write the host without stars"},
		{Selection{Hosts: []string{"shop.example"}}, "host shop.example"},
		{Selection{Hosts: []string{"a.blog.example"}}, "hosts[0]: not of a site that this token is for"},
		{Selection{Sites: []string{"shop"}}, "site shop"},
		{Selection{Sites: []string{"blog"}}, "sites[0]: not of a site that this token is for"},
		{Selection{Sites: []string{"none"}}, "sites[0]: not of a site that this token is for"},
		{Selection{Tags: []string{"news"}}, "site_tag shop news"},
		{Selection{All: true}, "site shop"},
	} {
		got := chosen(Request{Selection: row.s}, who)
		if got != row.want && !strings.HasSuffix(got, "\n"+row.want) {
			t.Errorf("%+v: %q, want %q", row.s, got, row.want)
		}
	}
	who.selectors = []string{"tags"}
	for _, s := range []Selection{
		{URLs: []string{"shop.example/a"}}, {Prefixes: []string{"shop.example/"}}, {Globs: []string{"shop.example/*"}},
		{Hosts: []string{"shop.example"}}, {Sites: []string{"shop"}}, {All: true},
	} {
		var p *Problem
		if _, err := choose(&Request{Selection: s}, who, twoSites{}); !errors.As(err, &p) || p.Status != 403 {
			t.Errorf("%+v with a token for tags: %v, want 403", s, err)
		}
	}
}

// FuzzURL: whatever text it was made of, a purge URL is one that a request may have, and its own canonical form.
func FuzzURL(f *testing.F) {
	for _, text := range []string{"https://shop.example/a?b=c", "HTTP://shop.example:80/%7e/..;/x", "shop.example:443?x#y", "https://[::1]:8443/"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		e, err := choose(&Request{Selection: Selection{URLs: []string{text}}}, anybody, twoSites{})
		if err != nil {
			return
		}
		for _, url := range e.URLs {
			host, path, query, _ := cutPurgeURL(url)
			if p, err := cache.CanonicalPath(path); err != nil || p != path {
				t.Errorf("%q: path %q of %q is not canonical", text, path, url)
			}
			if q, err := cache.CanonicalQuery(query); err != nil || q != query {
				t.Errorf("%q: query %q of %q is not canonical", text, query, url)
			}
			http, err1 := cache.CanonicalHost(host, false)
			https, err2 := cache.CanonicalHost(host, true)
			if err1 != nil || err2 != nil || http != host && https != host {
				t.Errorf("%q: host %q of %q is not canonical", text, host, url)
			}
		}
	})
}
