package cache

import (
	"net/http"
	"time"

	"github.com/dunglas/httpsfv"
)

// targetList names the targeted fields that this cache obeys, in order (RFC 9213, section 2.2): its own, then the one of
// all CDNs. Both go on to clients unchanged, for the caches behind us.
var targetList = [...]string{"Selvage-Cache-Control", "Cdn-Cache-Control"}

// control returns the directives that govern a response: those of the first targeted field that is valid and not empty,
// else those of Cache-Control.
func control(h http.Header, ignore map[string]bool) directives {
	d := selectDirectives(h)
	d.drop(ignore)
	return d
}

func selectDirectives(h http.Header) directives {
	for _, name := range targetList {
		if d, ok := parseTargeted(h[name]); ok {
			return d
		}
	}
	return parseDirectives(h["Cache-Control"])
}

// parseTargeted reads a targeted field (RFC 9213, section 2.1): a Dictionary, which is valid whole or not at all. An empty
// or invalid one is as if absent. Parameters are ignored.
func parseTargeted(lines []string) (directives, bool) {
	if len(lines) == 0 {
		return directives{}, false
	}
	dictionary, err := httpsfv.UnmarshalDictionary(lines)
	if err != nil || len(dictionary.Names()) == 0 {
		return directives{}, false
	}
	d := noDirectives()
	d.targeted = true
	for _, name := range dictionary.Names() {
		member, _ := dictionary.Get(name)
		if item, ok := member.(httpsfv.Item); ok {
			d.addTyped(name, item.Value)
		}
	}
	return d, true
}

// addTyped takes in one member. Each directive has a type: Boolean without an argument, Integer for seconds, String for
// the field names of the qualified forms. A value of another type, or a negative one, is not used.
func (d *directives) addTyped(name string, value any) {
	switch v := value.(type) {
	case bool:
		if flag := d.flag(name); flag != nil {
			*flag = v
		}
	case int64:
		if number := d.number(name); number != nil && v >= 0 {
			*number = seconds(min(v, int64(greatestLifetime/time.Second)))
		}
	case string:
		if name == "no-cache" || name == "private" {
			*d.flag(name) = true
		}
	}
}
