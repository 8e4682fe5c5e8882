package cache

import (
	"encoding/base64"
	"encoding/binary"
	"strings"
)

// What we code ourselves has a tag of its own: the origin's, the coding, and a sum of the coded bytes, "abc~br~1xKd0c9zQ7Y".
// Two byte sequences so never share a strong tag (RFC 9110, section 8.8.1), whichever node, release or level made them. What
// is coded while it streams goes out before its sum is known, and is weak.

// sumLength is that of a sum of 64 bits in base64.
const sumLength = 11

// codedTag returns the tag of coded content whose plain, or once coded, form has the tag own. From a weak one, or none, no
// strong one can be made; nor from one without quotes, which has no place for what would tell it from the origin's.
func codedTag(own, coding string, sum uint64) string {
	opaque, ok := strings.CutSuffix(own, `"`)
	if !ok || !strings.HasPrefix(opaque, `"`) {
		return weakTag(own)
	}
	var raw [8]byte
	binary.BigEndian.PutUint64(raw[:], sum)
	return opaque + "~" + coding + "~" + base64.RawURLEncoding.EncodeToString(raw[:]) + `"`
}

// weakTag returns the weak form of a tag.
func weakTag(tag string) string {
	if tag == "" || strings.HasPrefix(tag, "W/") {
		return tag
	}
	return "W/" + tag
}

// splitTag takes a tag apart: what the origin called it, without quotes and weakness, and what codedTag added, if anything. A
// tag without quotes is all opaque.
func splitTag(tag string) (opaque, added string) {
	opaque = strings.TrimPrefix(tag, "W/")
	if len(opaque) < 2 || opaque[0] != '"' || opaque[len(opaque)-1] != '"' {
		return opaque, ""
	}
	opaque = opaque[1 : len(opaque)-1]
	at := len(opaque) - sumLength - 1
	if at < 0 || opaque[at] != '~' {
		return opaque, ""
	}
	if at = strings.LastIndexByte(opaque[:at], '~'); at < 0 || !tagCoding(opaque[at+1:len(opaque)-sumLength-1]) {
		return opaque, ""
	}
	return opaque[:at], opaque[at:]
}

// tagCoding reports whether a coding may stand in a tag.
func tagCoding(name string) bool {
	switch name {
	case "br", "gzip", "zstd", "dcz", "identity":
		return true
	}
	return false
}

// sameContent compares two tags weakly, and by what the origin called them: all our codings of one content are equivalent
// (RFC 9110, section 8.8.3.3). An origin that is a Selvage too may have added something itself.
func sameContent(a, b string) bool {
	if weakEqual(a, b) {
		return true
	}
	opaqueA, addedA := splitTag(a)
	opaqueB, addedB := splitTag(b)
	if addedA == "" && addedB == "" || quoted(a) != quoted(b) {
		return false
	}
	return opaqueA == opaqueB || isJoined(opaqueA, opaqueB, addedB) || isJoined(opaqueB, opaqueA, addedA)
}

func isJoined(whole, a, b string) bool {
	return len(whole) == len(a)+len(b) && whole[:len(a)] == a && whole[len(a):] == b
}

func quoted(tag string) bool { return strings.HasSuffix(tag, `"`) }

// OriginTags returns a field value of If-None-Match or If-Match as the origin is to see it: with its own tags in place of those
// of our codings. ours says that there were any.
func OriginTags(list string) (value string, ours bool) {
	var tags []string
	for tag, rest := cutTag(list); tag != ""; tag, rest = cutTag(rest) {
		if opaque, added := splitTag(tag); added != "" {
			ours = true
			tag = tag[:strings.IndexByte(tag, '"')+1] + opaque + `"`
		}
		tags = append(tags, tag)
	}
	if !ours {
		return list, false
	}
	return strings.Join(tags, ", "), true
}

// ConfirmedTag returns the tag of a 304 for a representation with the tag etag: the one by which the client knows what it has,
// where that differs. A client that holds one coding and is told the tag of another would file its bytes under it (RFC 9111,
// section 4.3.4). varies says that there may be several codings: without a tag of the client's the 304 names none of them.
func ConfirmedTag(q *Query, etag string, varies bool) string {
	if !q.Present.Has(HasIfNoneMatch) {
		if varies {
			return weakTag(etag)
		}
		return etag
	}
	if tag := matchedTag(q, etag); tag != "" && tag != "*" {
		return tag
	}
	return etag
}
