package encode

import "strings"

// Types are the media types worth encoding by default: text in any form, and fonts and images that are not compressed
// already. WOFF, WOFF2, JPEG, PNG, WebP, AVIF, audio, video and archives are.
func Types() []string {
	return []string{
		"text/*", "*+json", "*+xml", "*+text",
		"application/javascript", "application/x-javascript", "application/ecmascript",
		"application/json", "application/x-ndjson", "application/xml", "application/xml-dtd",
		"application/wasm", "application/graphql", "application/sql", "application/rtf", "application/toml", "application/yaml",
		"application/vnd.apple.mpegurl",
		"font/ttf", "font/otf", "font/sfnt", "font/collection",
		"application/vnd.ms-fontobject", "application/x-font-ttf", "application/x-font-opentype",
		"image/bmp", "image/x-icon", "image/vnd.microsoft.icon",
	}
}

// wantsType reports whether one of the patterns matches the media type of a Content-Type field.
func wantsType(patterns []string, contentType string) bool {
	media, _, _ := strings.Cut(contentType, ";")
	media = strings.Trim(media, " \t")
	major, minor, ok := strings.Cut(media, "/")
	if !ok || major == "" || minor == "" || strings.EqualFold(media, eventStream) {
		return false
	}
	for _, p := range patterns {
		if matchesType(p, media) {
			return true
		}
	}
	return false
}

// eventStream is never encoded: it is text, but of a client that waits for every line.
const eventStream = "text/event-stream"

// matchesType compares without regard to case (RFC 9110, section 8.3.1). "text/*" matches a prefix, "*+json" a suffix.
func matchesType(pattern, media string) bool {
	if prefix, ok := strings.CutSuffix(pattern, "*"); ok {
		return len(media) >= len(prefix) && strings.EqualFold(media[:len(prefix)], prefix)
	}
	if suffix, ok := strings.CutPrefix(pattern, "*"); ok {
		return len(media) >= len(suffix) && strings.EqualFold(media[len(media)-len(suffix):], suffix)
	}
	return strings.EqualFold(pattern, media)
}

// isTypePattern reports whether p is "type/subtype", "type/*" or "*+suffix".
func isTypePattern(p string) bool {
	if suffix, ok := strings.CutPrefix(p, "*+"); ok {
		return isTypeToken(suffix)
	}
	major, minor, ok := strings.Cut(p, "/")
	return ok && isTypeToken(major) && (minor == "*" || isTypeToken(minor))
}

// isTypeToken reports whether s is a token of a media type's name (RFC 6838, section 4.2).
func isTypeToken(s string) bool {
	const others = "!#$&-^_.+"
	for _, r := range s {
		letter := r|0x20 >= 'a' && r|0x20 <= 'z'
		if !letter && (r < '0' || r > '9') && !strings.ContainsRune(others, r) {
			return false
		}
	}
	return s != ""
}
