package cache

import (
	"cmp"
	"encoding/binary"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
)

// ParseVary reads the Vary of a response: the names of the request fields that chose it, canonical, sorted and each once.
// star means that no request can be known to choose it again: "*" anywhere (RFC 9110, section 12.5.5), a member that is no
// field name, since it may stand for anything, or a field that says of the client's address what the request itself does
// not. Host is left out: it is in every key.
func ParseVary(f Fields) (names []string, star bool) {
	for member, rest := cutMember(list(f, "Vary")); member != ""; member, rest = cutMember(rest) {
		name := textproto.CanonicalMIMEHeaderKey(member)
		switch {
		case member == "*" || !isToken(member) || namesClient(name):
			return nil, true
		case name != "Host":
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names), false
}

// namesClient reports whether a field is written by each node on the way, from the connection the request came on: what the
// origin chose by is not what q holds.
func namesClient(name string) bool { return name == "X-Forwarded-For" || name == "Forwarded" }

// VariantKey returns what q says in the fields that a response varies by; two requests with the same VariantKey choose the
// same response (RFC 9111, section 4.1). Every part carries its length, so that no value can pass for two.
func VariantKey(q *Query, vary []string) string {
	return string(appendVariant(nil, q, vary))
}

func appendVariant(key []byte, q *Query, vary []string) []byte {
	for _, name := range vary {
		key = appendField(appendPart(key, name), q, name)
	}
	return key
}

// appendPart appends a part of a key, after its length.
func appendPart(key []byte, part string) []byte {
	return append(binary.AppendUvarint(key, uint64(len(part))), part...)
}

// appendField appends what q says in a field: whether it is there, since an absent field matches an absent one only, and its
// normalised value. Of Accept-Encoding only the class counts, as only that is ever shown to the origin; where we make the
// codings ourselves, all clients are one class. Of dictionaries the origin is shown nothing.
func appendField(key []byte, q *Query, name string) []byte {
	if name == "Accept-Encoding" && q.coded {
		return appendPart(append(key, 1), "*")
	}
	if name == "Available-Dictionary" || name == "Dictionary-Id" {
		return append(key, 0)
	}
	if name == "Accept-Encoding" {
		return appendPart(append(key, 1), q.Coding.AcceptEncoding())
	}
	if _, ok := q.field(name, 0); !ok {
		return append(key, 0)
	}
	return appendPart(append(key, 1), fieldValue(q.Fields, name))
}

// fieldValue combines the lines of a field and normalises the value as far as section 4.1 allows.
func fieldValue(f Fields, name string) string {
	switch name {
	case "Accept", "Accept-Charset", "Accept-Language":
		return sortPreferences(list(f, name))
	case "Cookie":
		return cookieLines(f)
	case "Authorization", "Date", "From", "If-Modified-Since", "If-Range", "If-Unmodified-Since", "Origin",
		"Proxy-Authorization", "Referer", "User-Agent":
		// No lists by their definition: a comma in them separates nothing.
		return trimOWS(list(f, name))
	}
	return spaceMembers(list(f, name))
}

// spaceMembers gives every comma outside quoted strings one space behind it and none before. A recipient may join the lines
// of a field with a comma and any optional whitespace (RFC 9110, section 5.3), so a field cannot mean anything by it. A value
// with a backslash, which may escape a space, is left as it is.
func spaceMembers(value string) string {
	if strings.IndexByte(value, ',') < 0 || strings.IndexByte(value, '\\') >= 0 {
		return trimOWS(value)
	}
	var out strings.Builder
	for {
		member, rest := cutUnquoted(value, ',')
		out.WriteString(trimOWS(member))
		if len(member) == len(value) {
			return out.String()
		}
		out.WriteString(", ")
		value = rest
	}
}

// preference is a member of Accept, Accept-Charset or Accept-Language.
type preference struct {
	text   string // in lower case where case means nothing
	weight int    // in thousandths
}

// sortPreferences orders a list by weight, then by text: what is said twice in another order, another case or with other
// spaces is the same preference (RFC 9110, sections 12.4.2, 12.5.1, 12.5.2 and 12.5.4). The order of equal weights cannot be
// relied upon, as section 12.5.4 says, so it does not count. A list with a malformed member is left as it is.
func sortPreferences(value string) string {
	var all []preference
	for member, rest := cutMember(value); member != ""; member, rest = cutMember(rest) {
		p, ok := parsePreference(member)
		if !ok {
			return trimOWS(value)
		}
		all = append(all, p)
	}
	slices.SortFunc(all, func(a, b preference) int {
		return cmp.Or(cmp.Compare(b.weight, a.weight), strings.Compare(a.text, b.text))
	})
	var out strings.Builder
	for i, p := range all {
		if i > 0 {
			out.WriteString(", ")
		}
		out.WriteString(p.text)
		if p.weight != fullWeight {
			out.WriteString(";q=0." + strconv.Itoa(fullWeight + p.weight)[1:])
		}
	}
	return out.String()
}

// parsePreference reads "range;parameter=value;q=weight". The range and the names of parameters are case-insensitive; the
// values of parameters may not be. The weight comes last (section 12.5.1).
func parsePreference(member string) (preference, bool) {
	subject, params := cutUnquoted(member, ';')
	text, weight, weighted := []byte(strings.ToLower(trimOWS(subject))), fullWeight, false
	if !isRange(string(text)) {
		return preference{}, false
	}
	for params != "" {
		var param string
		param, params = cutUnquoted(params, ';')
		name, value, ok := strings.Cut(trimOWS(param), "=")
		switch {
		case weighted || !ok || !isToken(name):
			return preference{}, false
		case sameToken(name, "q"):
			weighted = true
			if weight, ok = parseWeight(value); !ok {
				return preference{}, false
			}
		case !isToken(value) && !isQuotedString(value):
			return preference{}, false
		default:
			text = append(append(text, ';'), strings.ToLower(name)...)
			text = append(append(text, '='), value...)
		}
	}
	return preference{string(text), weight}, true
}

// isRange reports whether s is a token, or two with a slash between them.
func isRange(s string) bool {
	kind, subtype, media := strings.Cut(s, "/")
	return isToken(kind) && (!media || isToken(subtype))
}
