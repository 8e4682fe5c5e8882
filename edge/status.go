package edge

import (
	"math"
	"strconv"

	"selvage/cache"
)

// appendCacheStatus appends this cache's member of Cache-Status (RFC 9211, section 2). A dst that is big enough is all the
// memory it needs.
func appendCacheStatus(dst []byte, r *Result, id string) []byte {
	dst = appendItem(dst, id)
	forward := forwardReason(r)
	switch {
	case forward != "":
		dst = append(append(dst, "; fwd="...), forward...)
		dst = appendForward(dst, r)
	case r.Outcome == cache.Hit || r.Outcome == cache.Stale:
		dst = append(dst, "; hit"...)
	}
	if r.HasTTL {
		dst = append(dst, "; ttl="...)
		dst = strconv.AppendInt(dst, int64(math.Floor(r.TTL.Seconds())), 10)
	}
	if detail := detailOf(r); detail != "" && string(detail) != forward {
		dst = append(dst, "; detail="...)
		dst = appendItem(dst, string(detail))
	}
	return dst
}

func appendForward(dst []byte, r *Result) []byte {
	if r.Origin != 0 {
		dst = append(dst, "; fwd-status="...)
		dst = strconv.AppendInt(dst, int64(r.Origin), 10)
	}
	if r.Stored {
		dst = append(dst, "; stored"...)
	}
	if r.Collapse {
		dst = append(dst, "; collapsed"...)
	}
	return dst
}

// detailOf returns what hit or fwd leave unsaid: why the answer was not stored, else why the stored one was or was not used.
func detailOf(r *Result) cache.Reason {
	switch {
	case r.NotStored != "":
		return r.NotStored
	case r.Reason == cache.Fresh || r.Reason == cache.Stored:
		return ""
	default:
		return r.Reason
	}
}

// forwardReason returns the value of fwd (RFC 9211, section 2.2), or "" for an answer that was not forwarded: a hit, or a
// refusal to ask the origin.
func forwardReason(r *Result) string {
	switch r.Outcome {
	case cache.Hit, cache.Refuse:
		return ""
	case cache.Stale:
		// Section 2.1: a stale response used without going forward is a hit. One used since the origin gave an error, or
		// nothing, went forward.
		if !r.Asked {
			return ""
		}
		return "stale"
	case cache.Pass:
		return passReason(r.Reason)
	case cache.Revalidate:
		if requested(r.Reason) {
			return "request"
		}
		return "stale"
	default:
		return missReason(r.Reason)
	}
}

func missReason(reason cache.Reason) string {
	switch {
	case reason == cache.URIMiss:
		return "uri-miss"
	case reason == cache.VaryMiss:
		return "vary-miss"
	case requested(reason):
		return "request"
	}
	switch reason {
	case cache.Expired, cache.NoCacheStored, cache.MustValidateReason, cache.SoftPurged: // there, but it has no validator
		return "stale"
	default:
		return "miss"
	}
}

// passReason tells requests that the configuration keeps from the cache from those that keep themselves from it.
func passReason(reason cache.Reason) string {
	switch reason {
	case cache.PassMethod:
		return "method"
	case cache.PassNoStore, cache.PassAuthorization, cache.PassBody, cache.PassUpgrade:
		return "request"
	case cache.PassRange:
		return "partial"
	case cache.PassHead, cache.PassHitForMiss:
		return "uri-miss"
	case cache.PassExcluded:
		return "vary-miss"
	default:
		return "bypass"
	}
}

// requested reports the directives of a request that refuse a fresh response.
func requested(reason cache.Reason) bool {
	return reason == cache.RequestNoCache || reason == cache.RequestMaxAge || reason == cache.RequestMinFresh
}

// appendProxyStatus appends this node's member of Proxy-Status (RFC 9209, section 2). It names neither the origin's address
// nor what it answered: they are the operator's business, and in the log.
func appendProxyStatus(dst []byte, r *Result, id string) []byte {
	dst = appendItem(dst, id)
	if r.Error == "" {
		return dst
	}
	dst = append(dst, "; error="...)
	return appendItem(dst, r.Error)
}

// appendItem appends a token, or a string where s is none (RFC 9651, sections 3.3.3 and 3.3.4). A string has no bytes beyond
// printable ASCII; a question mark stands for them.
func appendItem(dst []byte, s string) []byte {
	if isStructuredToken(s) {
		return append(dst, s...)
	}
	dst = append(dst, '"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c < ' ' || c >= 0x7f:
			dst = append(dst, '?')
		default:
			dst = append(dst, c)
		}
	}
	return append(dst, '"')
}

// isStructuredToken reports whether s is an sf-token: unlike a token of HTTP it begins with a letter or a star and may have
// colons and slashes.
func isStructuredToken(s string) bool {
	for i := range len(s) {
		if c := s[i]; !isTokenByte(c) && c != ':' && c != '/' {
			return false
		}
	}
	return s != "" && (s[0] == '*' || 'a' <= s[0]|0x20 && s[0]|0x20 <= 'z')
}
