package cache

import "strings"

// The grammar that field values share: lists, parameters and weights (RFC 9110, sections 5.6 and 12.4.2). Everything here
// hands out parts of its argument and allocates nothing.

func trimOWS(s string) string { return strings.Trim(s, " \t") }

// sameToken reports whether got is want, which is ASCII, in any letter case. EqualFold alone would take the Kelvin sign for
// a k, but not at the same length.
func sameToken(got, want string) bool {
	return len(got) == len(want) && strings.EqualFold(got, want)
}

// cutMember cuts the first member off a list. Empty members are skipped, as section 5.6.1.2 asks; an empty member in the
// answer is the end of the list.
func cutMember(list string) (member, rest string) {
	for list != "" {
		member, list = cutUnquoted(list, ',')
		if member = trimOWS(member); member != "" {
			return member, list
		}
	}
	return "", ""
}

// cutUnquoted cuts s at the first sep that is not inside a quoted string. A quote that is never closed is not the start
// of a string, so that one broken member cannot swallow those behind it.
func cutUnquoted(s string, sep byte) (before, after string) {
	quoted, inside := false, -1
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\' && (quoted || i+1 < len(s) && s[i+1] == '"'):
			i++
		case c == '"':
			quoted, inside = !quoted, -1
		case c == sep && !quoted:
			return s[:i], s[i+1:]
		case c == sep && inside < 0:
			inside = i
		}
	}
	if quoted && inside >= 0 {
		return s[:inside], s[inside+1:]
	}
	return s, ""
}

// unquote takes the quotes off a quoted string that needs none: some send max-age="5" (RFC 9111, section 5.2).
func unquote(s string) string {
	if len(s) >= 2 && s[0] == '"' && s[len(s)-1] == '"' {
		return s[1 : len(s)-1]
	}
	return s
}

// fullWeight is the weight of a member that names none, in thousandths.
const fullWeight = 1000

// parseWeight reads a qvalue, in thousandths.
func parseWeight(s string) (int, bool) {
	whole, fraction, _ := strings.Cut(s, ".")
	if whole != "0" && whole != "1" || len(fraction) > 3 {
		return 0, false
	}
	weight := int(whole[0]-'0') * fullWeight
	for i, unit := 0, fullWeight/10; i < len(fraction); i, unit = i+1, unit/10 {
		if fraction[i] < '0' || fraction[i] > '9' {
			return 0, false
		}
		weight += int(fraction[i]-'0') * unit
	}
	return weight, weight <= fullWeight
}

// isToken reports whether s is a token (section 5.6.2), and so may be the name of a field or a cookie.
func isToken(s string) bool {
	for i := range len(s) {
		if !tokenBytes[s[i]] {
			return false
		}
	}
	return s != ""
}

// isQuotedString reports whether s is one quoted string, closed at its end (section 5.6.4).
func isQuotedString(s string) bool {
	for i := 1; i < len(s) && s[0] == '"'; i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return i == len(s)-1
		}
	}
	return false
}

// byteSet is a set of bytes.
type byteSet [256]bool

func bytesOf(members string) (set byteSet) {
	for i := range len(members) {
		set[members[i]] = true
	}
	return set
}

const alphanumeric = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

var tokenBytes = bytesOf(alphanumeric + "!#$%&'*+-.^_`|~")
