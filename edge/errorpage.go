package edge

import (
	"cmp"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// errorPages are the bodies that a site has for errors of our own. Immutable.
type errorPages struct {
	byStatus map[int]*errorPage // and by class: 4 for 4xx
	offline  *errorPage         // for what nobody is left to be asked for; may be nil
}

type errorPage struct{ contentType, body string }

// The keys of `error_pages:` that are no statuses.
const (
	offlineKey   = "offline"
	maxErrorPage = 1 << 20
)

func compileErrorPages(cfg map[string]ErrorPageConfig) errorPages {
	pages := errorPages{byStatus: map[int]*errorPage{}}
	for key, c := range cfg {
		page := &errorPage{contentType: c.contentType(), body: cmp.Or(c.content, c.Body)}
		if key == offlineKey {
			pages.offline = page
			continue
		}
		status, ok := errorStatus(key)
		if !ok {
			panic("edge: error page for " + key)
		}
		pages.byStatus[status] = page
	}
	return pages
}

// find returns the page for a failure: the one that says most of it, nil for none.
func (p *errorPages) find(f failure) *errorPage {
	if f.offline && p.offline != nil {
		return p.offline
	}
	return cmp.Or(p.byStatus[f.status], p.byStatus[f.status/100])
}

// errorStatus reads "404" as 404 and "4xx" as 4.
func errorStatus(key string) (status int, ok bool) {
	switch key {
	case "4xx":
		return 4, true
	case "5xx":
		return 5, true
	}
	status, err := strconv.Atoi(key)
	return status, err == nil && len(key) == 3 && status >= 400 && status < 600
}

// pageTypes are those of the files that error pages come in.
var pageTypes = map[string]string{
	".html": "text/html; charset=utf-8", ".htm": "text/html; charset=utf-8", ".txt": "text/plain; charset=utf-8",
	".json": "application/json", ".xml": "application/xml",
}

// contentType is "" for a file whose name does not tell.
func (c ErrorPageConfig) contentType() string {
	kind := pageTypes[".html"]
	if c.File != "" {
		kind = pageTypes[strings.ToLower(filepath.Ext(c.File))]
	}
	return cmp.Or(c.ContentType, kind)
}

func validateErrorPages(pages map[string]ErrorPageConfig, p problems) {
	for _, key := range slices.Sorted(maps.Keys(pages)) {
		at := p.under("%s", key)
		if _, ok := errorStatus(key); !ok && key != offlineKey {
			at("", "neither an error's status nor a class of them", `write a status from "400" to "599", 4xx, 5xx or offline`)
		}
		pages[key].validate(at)
	}
}

func (c ErrorPageConfig) validate(p problems) {
	switch {
	case c.File != "" && c.Body != "":
		p("", "has both a file and a body", "one of them")
	case c.File == "" && c.Body == "":
		p("", "has neither a file nor a body", "file: /path/to/page.html, or body: with its text")
	case c.contentType() == "":
		p("content_type", "is missing: the name of the file does not tell", "such as text/html; charset=utf-8")
	}
	validateContentType(c.ContentType, p)
}

// ReadErrorPages reads the files of the site's error pages, and reports those that cannot be had. Validate comes before it,
// New and Reload after it.
func (c *SiteConfig) ReadErrorPages(read func(name string) ([]byte, error), report func(path, problem, hint string)) {
	for _, key := range slices.Sorted(maps.Keys(c.ErrorPages)) {
		page := c.ErrorPages[key]
		if page.File == "" {
			continue
		}
		text, err := read(page.File)
		if err == nil && len(text) > maxErrorPage {
			err = fmt.Errorf("%s is larger than 1MiB", page.File)
		}
		if err != nil {
			report("error_pages."+key+".file", err.Error(), "")
		}
		page.content = string(text)
		c.ErrorPages[key] = page
	}
}
