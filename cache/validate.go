package cache

import (
	"fmt"
	"maps"
	"net/textproto"
	"path/filepath"
	"selvage/cache/internal/disk"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A reporter is told what is wrong with a Config: where, relative to it ("ttl.status.4x9", "methods[1]"), what, and what to
// write instead.
type reporter func(path, problem, hint string)

// Validate reports every unknown value and every contradiction. Compile is total on a Config that has none.
func (c Config) Validate(report func(path, problem, hint string)) {
	c.TTL.validate(report)
	c.Stale.validate(report)
	c.Bypass.validate(report)
	c.Key.validate(report)
	if len(c.Key.Cookies) > 0 && c.RequestCookies == "strip" {
		report("key.cookies", "the origin never sees the cookies that tell responses apart",
			"remove key.cookies, or write request_cookies: keep")
	}
	oneOf(report, "set_cookie", c.SetCookie, "refuse", "store", "strip")
	oneOf(report, "request_cookies", c.RequestCookies, "keep", "strip")
	oneOf(report, "client_directives", c.ClientDirectives, "ignore", "honour")
	for i, directive := range c.Ignore {
		oneOf(report, nth("ignore", i), directive, ignorable...)
	}
	unique(report, "ignore", c.Ignore)
	if c.MaxObject < 0 {
		report("max_object", "a size below 0", "write a size like 64MiB, or 0 for an eighth of the memory tier")
	}
	for i, name := range c.Tags {
		validateName(report, nth("tags", i), "field", name)
	}
	unique(report, "tags", fold(c.Tags))
	validateMethods(report, c.Methods)
}

// ignorable are the response directives that Ignore knows.
var ignorable = []string{"no-cache", "no-store", "private", "max-age", "s-maxage", "expires", "must-revalidate",
	"proxy-revalidate", "vary"}

func validateMethods(report reporter, methods []string) {
	for i, method := range methods {
		oneOf(report, nth("methods", i), method, "GET", "HEAD")
	}
	unique(report, "methods", methods)
	if !slices.Contains(methods, "GET") {
		report("methods", "GET is missing, and nothing else fills the cache",
			"write [GET, HEAD] or [GET]; to cache nothing write enabled: false")
	}
}

func (c TTLConfig) validate(report reporter) {
	for _, one := range []struct {
		path     string
		lifetime time.Duration
	}{{"ttl.default", c.Default}, {"ttl.override", c.Override}, {"ttl.max", c.Max}} {
		c.validateLifetime(report, one.path, one.lifetime)
	}
	for _, key := range slices.Sorted(maps.Keys(c.Status)) {
		path := "ttl.status." + key
		validateStatus(report, path, key)
		c.validateLifetime(report, path, c.Status[key])
	}
}

func (c TTLConfig) validateLifetime(report reporter, path string, lifetime time.Duration) {
	switch {
	case lifetime < 0:
		report(path, "a lifetime below 0", "write a duration like 10m")
	case c.Max > 0 && lifetime > c.Max:
		report(path, fmt.Sprintf("%v exceeds ttl.max, which is %v", lifetime, c.Max), "lower it, or raise ttl.max")
	}
}

func validateStatus(report reporter, path, key string) {
	switch {
	case !isFinalStatus(key):
		report(path, "neither a status nor a class of them", `write a status from "200" to "599", or "2xx" to "5xx"`)
	case key == "206" || key == "304":
		report(path, "a response with this status is never stored on its own", "remove it")
	}
}

// isFinalStatus accepts the statuses that end a request, and their classes.
func isFinalStatus(key string) bool {
	if class, ok := strings.CutSuffix(key, "xx"); ok {
		return len(class) == 1 && "2" <= class && class <= "5"
	}
	status, err := strconv.Atoi(key)
	return err == nil && len(key) == 3 && 200 <= status && status <= 599
}

func (c StaleConfig) validate(report reporter) {
	for _, one := range []struct {
		path   string
		window time.Duration
	}{{"while_revalidate", c.WhileRevalidate}, {"if_error", c.IfError}, {"unreachable", c.Unreachable}} {
		if one.window < 0 {
			report("stale."+one.path, "a time below 0", "write a duration like 1h, or 0 for never")
		}
	}
}

func (c BypassConfig) validate(report reporter) {
	for i, name := range c.Cookies {
		validateName(report, nth("bypass.cookies", i), "cookie", strings.TrimSuffix(name, "*"))
	}
	unique(report, "bypass.cookies", c.Cookies)
	for i, name := range c.Headers {
		validateHeader(report, nth("bypass.headers", i), name)
	}
	unique(report, "bypass.headers", fold(c.Headers))
	for i, path := range c.Paths {
		validatePath(report, nth("bypass.paths", i), path)
	}
	unique(report, "bypass.paths", c.Paths)
}

// validatePath wants what a canonical path can match.
func validatePath(report reporter, at, path string) {
	literal, prefix := strings.CutSuffix(path, "*")
	canonical, err := CanonicalPath(literal)
	switch {
	case path == "":
		report(at, "an empty path", "write a path like /admin/*, or remove it")
	case literal == "" || prefix && literal == "/":
		report(at, "matches every path", "to cache nothing write enabled: false")
	case strings.Contains(literal, "*"):
		report(at, "a * is a pattern at the end only", "write one path for each case, like /admin/*")
	case err != nil:
		report(at, err.Error(), "write a path like /admin/*, without a query")
	case canonical != literal:
		report(at, "matches nothing, since requests are matched by their canonical path",
			"write "+strings.TrimSuffix(canonical, "*")+strings.Repeat("*", len(path)-len(literal)))
	}
}

func (c KeyConfig) validate(report reporter) {
	c.Query.validate(report)
	for i, name := range c.Headers {
		at := nth("key.headers", i)
		validateHeader(report, at, name)
		if slices.Contains(neverForwarded, textproto.CanonicalMIMEHeaderKey(name)) {
			report(at, name+" is never sent to the origin on a fill", "remove it")
		}
	}
	unique(report, "key.headers", fold(c.Headers))
	for i, name := range c.Cookies {
		validateName(report, nth("key.cookies", i), "cookie", name)
	}
	unique(report, "key.cookies", c.Cookies)
}

// neverForwarded are request fields that no fill carries, so that no stored response depends on them.
var neverForwarded = []string{"Range", "If-Range", "If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since",
	"Upgrade", "Te", "Keep-Alive", "Proxy-Connection", "Proxy-Authorization", "Expect"}

func (c QueryConfig) validate(report reporter) {
	for _, one := range []struct {
		path  string
		names []string
	}{{"key.query.keep", c.Keep}, {"key.query.drop", c.Drop}, {"key.query.allow", c.Allow}} {
		for i, name := range one.names {
			validateParameter(report, nth(one.path, i), name)
		}
		unique(report, one.path, one.names)
	}
	c.validateKeep(report)
	c.validateAllow(report)
	if slices.Contains(c.Drop, "*") && (len(c.Drop) > 1 || len(c.Keep) > 0 || c.Sort) {
		report("key.query.drop", "* drops the whole query, so nothing is left to keep, drop or sort",
			"remove either * or the others")
	}
}

// validateKeep wants names that the default list has and Drop does not.
func (c QueryConfig) validateKeep(report reporter) {
	if slices.Contains(c.Keep, "*") {
		if len(c.Keep) > 1 {
			report("key.query.keep", "* empties the default list, so the others say nothing", "remove either * or the others")
		}
		return
	}
	for i, name := range c.Keep {
		meets := func(other string) bool { return overlap(name, other) }
		if !slices.ContainsFunc(TrackingParameters(), meets) {
			report(nth("key.query.keep", i), name+" is not on the default list of tracking parameters",
				"remove it: it is kept anyway")
		}
		if !slices.Contains(c.Drop, "*") && slices.ContainsFunc(c.Drop, meets) {
			report(nth("key.query.keep", i), name+" is also in key.query.drop", "remove it from one of the two")
		}
	}
}

// validateAllow wants Allow alone: it decides on every name.
func (c QueryConfig) validateAllow(report reporter) {
	if len(c.Allow) == 0 {
		return
	}
	if len(c.Keep) > 0 || len(c.Drop) > 0 {
		report("key.query.allow", "allow decides on every name, so keep and drop say nothing", "remove either allow or the others")
	}
	if slices.Contains(c.Allow, "*") {
		report("key.query.allow", "* allows every name", "write keep: [\"*\"] in place of allow")
	}
}

// overlap reports whether a name can match both patterns.
func overlap(a, b string) bool {
	a, wideA := strings.CutSuffix(a, "*")
	b, wideB := strings.CutSuffix(b, "*")
	return a == b || wideA && strings.HasPrefix(b, a) || wideB && strings.HasPrefix(a, b)
}

func validateParameter(report reporter, at, name string) {
	literal := strings.TrimSuffix(name, "*")
	canonical, err := CanonicalQuery(literal)
	switch {
	case name == "":
		report(at, "an empty name", "write the name of a parameter, or remove it")
	case strings.ContainsAny(literal, "&=*"):
		report(at, "no name of a parameter", "write a name without & and =, with a * at the end only")
	case err != nil:
		report(at, err.Error(), "write the name as it is spelt in a URL")
	case canonical != literal:
		report(at, "matches nothing, since a URL cannot hold it", "write "+canonical)
	}
}

// validateHeader wants a field that every holder of a request's fields can answer for.
func validateHeader(report reporter, at, name string) {
	switch canonical := textproto.CanonicalMIMEHeaderKey(name); canonical {
	case "Host":
		report(at, "the host is in every key", "remove it; to treat a host differently give it a site")
	case "Connection", "Content-Length", "Transfer-Encoding", "Trailer":
		report(at, canonical+" belongs to the connection, not to the request", "remove it")
	default:
		validateName(report, at, "field", name)
	}
}

func validateName(report reporter, at, kind, name string) {
	if !isToken(name) || strings.Contains(name, "*") {
		report(at, fmt.Sprintf("%q is no name of a %s", name, kind), "write letters, digits and dashes, one name for each entry")
	}
}

func oneOf(report reporter, at, value string, known ...string) {
	if !slices.Contains(known, value) {
		report(at, fmt.Sprintf("unknown value %q", value), "write one of: "+strings.Join(known, ", "))
	}
}

func unique(report reporter, path string, values []string) {
	for i, value := range values {
		if slices.Contains(values[:i], value) {
			report(nth(path, i), fmt.Sprintf("%q is there twice", value), "remove one")
		}
	}
}

func fold(names []string) []string {
	folded := make([]string, len(names))
	for i, name := range names {
		folded[i] = textproto.CanonicalMIMEHeaderKey(name)
	}
	return folded
}

func nth(path string, i int) string { return fmt.Sprintf("%s[%d]", path, i) }

// Validate reports what is wrong with a disk section; paths are relative to it.
func (c DiskConfig) Validate(report func(path, problem, hint string)) {
	switch {
	case c.Path == "" && c.Size != 0:
		report("path", "is missing", "name a folder for the cache alone, such as /var/cache/selvage")
	case c.Path == "":
	case !filepath.IsAbs(c.Path):
		report("path", fmt.Sprintf("%q depends on where the program was started", c.Path), "write it from the root: /var/cache/selvage")
	case c.Size < disk.MinLimit:
		report("size", fmt.Sprintf("%d bytes are too few for a disk tier", c.Size), "write at least 16MiB")
	}
}
