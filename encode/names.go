package encode

import (
	"regexp"
	"strings"
)

// Pattern returns the pattern for whose paths the response at path is a dictionary, and whether there is one. Versions of one
// resource have the same, so that it also tells who belongs together.
func (c *DictionaryConfig) Pattern(path string) (longest Pattern, ok bool) {
	if !c.Enabled {
		return "", false
	}
	for _, m := range c.Match {
		if p := Pattern(m); len(p) > len(longest) && p.Match(path) {
			longest = p
		}
	}
	if longest != "" {
		return longest, true
	}
	if !c.Names {
		return "", false
	}
	return patternByName(path)
}

// patternByName returns the path with a star for every version in it and for every fingerprint in its last segment:
//
//	/app.4f3a.js                      /app.*.js
//	/assets/index-BxYz12_a.css        /assets/index-*.css
//	/lib/jquery-3.7.1.min.js          /lib/jquery-*.min.js
//	/npm/bootstrap@5.3.8/dist/b.css   /npm/bootstrap@*/dist/b.css
//
// A star too many does no harm: a client then offers a dictionary that is of little use. But a star alone would make every
// file of a folder a dictionary for all others, so the name has to begin with something that stays.
func patternByName(path string) (Pattern, bool) {
	if !isPlainPath(path) || strings.ContainsRune(path, '*') {
		return "", false
	}
	cut := strings.LastIndexByte(path, '/') + 1
	folder, stem, extension := path[:cut], path[cut:], ""
	if dot := strings.LastIndexByte(stem, '.'); dot > 0 {
		stem, extension = stem[:dot], stem[dot:]
	}
	stem = fingerprint.ReplaceAllStringFunc(starVersions(stem), starFingerprint)
	starred := starVersions(folder) + stem + extension
	if strings.HasPrefix(stem, "*") || !strings.ContainsRune(starred, '*') {
		return "", false
	}
	p, err := ParsePattern(starred)
	return p, err == nil
}

var (
	// version is numbers with dots between them, perhaps after a v, perhaps before the name of a preview.
	version = regexp.MustCompile(`(^|[^0-9A-Za-z])v?\d+(?:\.\d+)+(?:-(?:alpha|beta|rc)(?:\.?\d+)*)?`)
	// fingerprint is a piece that may be one: eight characters of base64url at the end, or more than three letters and digits.
	fingerprint = regexp.MustCompile(`[-._~@](?:[0-9A-Za-z_-]{8}$|[0-9A-Za-z]{4,})`)
)

func starVersions(s string) string { return version.ReplaceAllString(s, "$1*") }

// starFingerprint puts a star for what comes after the separator, if it looks like a hash and not like a word.
func starFingerprint(piece string) string {
	if looksRandom(piece[1:]) {
		return piece[:1] + "*"
	}
	return piece
}

// looksRandom reports whether s looks like digits of base 16 or 64 rather than like a word.
func looksRandom(s string) bool {
	digit := strings.ContainsAny(s, "0123456789")
	hex := strings.Trim(s, "0123456789abcdefABCDEF") == ""
	mixed := strings.ToLower(s) != s && strings.ToUpper(s) != s
	return digit && (hex || len(s) >= 8) || mixed && len(s) == 8
}
