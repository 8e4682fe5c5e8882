package edge

import (
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"selvage/cache"
)

// maxLogged bounds each piece of a request in a line; the rest of it is cut off.
const maxLogged = 4 << 10

func clip(s string) string { return s[:min(len(s), maxLogged)] }

// verdict is the word for what the cache did, in logs and metrics.
func (r *Result) verdict() string { return verdict(r.Looked, r.Outcome) }

func verdict(looked bool, o cache.Outcome) string {
	if !looked {
		return "none"
	}
	return o.String()
}

func (r *Result) scheme() string {
	if r.Secure {
		return "https"
	}
	return "http"
}

// jsonLine is an object being written, one pair after the other. Names come as they are written: `"name":`.
type jsonLine []byte

func (l *jsonLine) name(name string) {
	*l = append(append(*l, ','), name...) // it is never the first
}

func (l *jsonLine) text(name, value string) {
	l.name(name)
	*l = append(appendEscaped(append(*l, '"'), clip(value), escapeJSON), '"')
}

func (l *jsonLine) number(name string, value int64) {
	l.name(name)
	*l = strconv.AppendInt(*l, value, 10)
}

// millis writes milliseconds with three decimals.
func (l *jsonLine) millis(name string, d time.Duration) {
	l.name(name)
	*l = appendMillis(*l, d)
}

// appendMillis writes no negative duration: a clock that was set back took no time.
func appendMillis(dst []byte, d time.Duration) []byte {
	micros := max(0, d).Microseconds()
	return appendThousandths(strconv.AppendInt(dst, micros/1000, 10), micros%1000)
}

func appendThousandths(dst []byte, n int64) []byte {
	return append(dst, '.', byte('0'+n/100), byte('0'+n/10%10), byte('0'+n%10))
}

// appendTime writes UTC with milliseconds. RFC 3339 is what the time package is quickest at.
func appendTime(dst []byte, t time.Time) []byte {
	dst = t.UTC().AppendFormat(dst, time.RFC3339)
	return append(appendThousandths(dst[:len(dst)-len("Z")], int64(t.Nanosecond()/1e6)), 'Z')
}

// optionalText and flag leave out what says nothing.
func (l *jsonLine) optionalText(name, value string) {
	if value != "" {
		l.text(name, value)
	}
}

func (l *jsonLine) flag(name string, set bool) {
	if set {
		l.name(name)
		*l = append(*l, "true"...)
	}
}

// appendJSON writes r as one JSON object: always valid, on one line, in UTF-8, whatever the client sent.
func appendJSON(dst []byte, r *Result) []byte {
	l := jsonLine(append(appendTime(append(dst, `{"time":"`...), r.Begin), '"'))
	if r.Client.IsValid() {
		l.name(`"client":"`)
		l = append(r.Client.WithZone("").AppendTo(l), '"')
	}
	l.text(`"proto":`, r.Proto)
	l.text(`"method":`, r.Method)
	l.text(`"scheme":`, r.scheme())
	l.text(`"host":`, r.Host)
	l.text(`"target":`, r.Target)
	l.number(`"status":`, int64(r.Status))
	l.number(`"bytes":`, r.Bytes)
	l.optionalText(`"coding":`, r.Coding)
	l.millis(`"first_ms":`, r.First)
	l.millis(`"total_ms":`, r.Total)
	l.optionalText(`"site":`, r.Site)
	l.optionalText(`"route":`, r.Route)
	l.cache(r)
	l.origin(r)
	l.optionalText(`"error":`, r.Error)
	l.flag(`"aborted":`, r.Aborted)
	l.optionalText(`"referer":`, r.Referer)
	l.optionalText(`"agent":`, r.Agent)
	return append(l, '}')
}

func (l *jsonLine) cache(r *Result) {
	l.text(`"cache":`, r.verdict())
	if !r.Looked {
		return
	}
	l.optionalText(`"reason":`, string(r.Reason))
	l.flag(`"stored":`, r.Stored)
	l.optionalText(`"not_stored":`, string(r.NotStored))
	l.flag(`"collapsed":`, r.Collapse)
	if r.HasTTL {
		l.number(`"ttl":`, int64(r.TTL.Seconds()))
	}
}

func (l *jsonLine) origin(r *Result) {
	l.optionalText(`"upstream":`, r.Upstream)
	if r.Origin != 0 {
		l.number(`"origin_status":`, int64(r.Origin))
	}
	if r.Forward != 0 {
		l.millis(`"origin_ms":`, r.Forward)
	}
}

// appendCombined writes r in the Combined Log Format of Apache.
func appendCombined(dst []byte, r *Result) []byte {
	if r.Client.IsValid() {
		dst = r.Client.AppendTo(dst)
	} else {
		dst = append(dst, '-')
	}
	dst = r.Begin.AppendFormat(append(dst, " - - "...), `[02/Jan/2006:15:04:05 -0700] "`)
	dst = appendEscaped(dst, clip(r.Method), escapeHex)
	dst = appendEscaped(append(dst, ' '), clip(r.Target), escapeHex)
	dst = append(appendEscaped(append(dst, ' '), r.Proto, escapeHex), `" `...)
	dst = strconv.AppendInt(dst, int64(r.Status), 10)
	dst = strconv.AppendInt(append(dst, ' '), r.Bytes, 10)
	dst = appendQuotedOrDash(append(dst, ' '), r.Referer)
	return appendQuotedOrDash(append(dst, ' '), r.Agent)
}

func appendQuotedOrDash(dst []byte, s string) []byte {
	if s == "" {
		return append(dst, `"-"`...)
	}
	return append(appendEscaped(append(dst, '"'), clip(s), escapeHex), '"')
}

// textEncoder writes lines for people: columns that do not change their width from line to line come first.
func textEncoder(colour bool) lineEncoder {
	return func(dst []byte, r *Result) []byte {
		dst = r.Begin.AppendFormat(dst, "15:04:05.000  ")
		dst = appendStatus(dst, r.Status, colour)
		dst = appendColumn(append(dst, "  "...), r.verdict(), 10)
		dst = appendColumn(append(dst, ' '), r.why(), 24)
		dst = appendRight(append(dst, ' '), string(appendMillis(nil, r.Total)), 10)
		dst = appendRight(append(dst, " ms "...), strconv.FormatInt(r.Bytes, 10), 10)
		dst = append(appendEscaped(append(dst, " B  "...), clip(r.Method), escapeHex), ' ')
		dst = append(append(dst, r.scheme()...), "://"...)
		dst = appendEscaped(dst, clip(r.Host), escapeHex)
		dst = appendEscaped(dst, clip(r.Target), escapeHex)
		if r.Client.IsValid() {
			dst = r.Client.AppendTo(append(dst, "  "...))
		}
		if r.Error != "" {
			dst = appendEscaped(append(dst, "  "...), clip(r.Error), escapeHex)
		}
		return dst
	}
}

// why is the one word of the text log: what went wrong with storing, else what led to the outcome.
func (r *Result) why() string {
	switch {
	case !r.Looked:
		return ""
	case r.NotStored != "":
		return string(r.NotStored)
	default:
		return string(r.Reason)
	}
}

func appendColumn(dst []byte, s string, width int) []byte {
	return append(append(dst, s...), strings.Repeat(" ", max(0, width-len(s)))...)
}

func appendRight(dst []byte, s string, width int) []byte {
	return append(append(dst, strings.Repeat(" ", max(0, width-len(s)))...), s...)
}

// appendStatus colours by class: green, cyan, yellow, red for 2xx to 5xx.
func appendStatus(dst []byte, status int, colour bool) []byte {
	class := status / 100
	if !colour || class < 2 || class > 5 {
		return strconv.AppendInt(dst, int64(status), 10)
	}
	dst = append(dst, [...]string{"\x1b[32m", "\x1b[36m", "\x1b[33m", "\x1b[31m"}[class-2]...)
	dst = strconv.AppendInt(dst, int64(status), 10)
	return append(dst, "\x1b[0m"...)
}

// appendEscaped appends s with everything escaped that could end a line or a string, drive a terminal, or is not UTF-8.
func appendEscaped(dst []byte, s string, escape func(dst []byte, bad rune, raw string) []byte) []byte {
	for s != "" {
		plain := plainPrefix(s)
		dst = append(dst, s[:plain]...)
		if s = s[plain:]; s == "" {
			break
		}
		r, size := utf8.DecodeRuneInString(s)
		if r == '"' || r == '\\' || r == utf8.RuneError && size == 1 || !strconv.IsPrint(r) {
			dst = escape(dst, r, s[:size])
		} else {
			dst = append(dst, s[:size]...)
		}
		s = s[size:]
	}
	return dst
}

// plainPrefix returns how many bytes s begins with that need no second look: printable ASCII without quote and backslash.
// That is all of nearly every string, so it takes eight bytes at a time while it can.
func plainPrefix(s string) int {
	i := 0
	for ; i+8 <= len(s); i += 8 {
		if b := s[i : i+8]; !plainEight(uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16 | uint64(b[3])<<24 |
			uint64(b[4])<<32 | uint64(b[5])<<40 | uint64(b[6])<<48 | uint64(b[7])<<56) {
			break
		}
	}
	for i < len(s) && plainByte(s[i]) {
		i++
	}
	return i
}

func plainByte(c byte) bool { return ' ' <= c && c <= '~' && c != '"' && c != '\\' }

// plainEight is plainByte of eight bytes. Each term sets the top bit of a byte that is not plain for one reason; a borrow or
// carry into the next byte only comes from one that is not plain.
func plainEight(w uint64) bool {
	const each, top = 0x0101010101010101, 0x8080808080808080
	control := w - each*' '
	quote := w ^ each*'"' - each
	backslash := w ^ each*'\\' - each
	del := w + each
	return (w|control|quote|backslash|del)&top == 0
}

const hexDigits = "0123456789abcdef"

// escapeJSON writes \u escapes (RFC 8259, section 7). A byte that is not UTF-8 becomes U+FFFD: JSON has no way to say it.
func escapeJSON(dst []byte, bad rune, _ string) []byte {
	if bad == '"' || bad == '\\' {
		return append(dst, '\\', byte(bad))
	}
	if bad > 0xffff {
		bad -= 0x10000
		dst = appendUnit(dst, 0xd800+bad>>10)
		bad = 0xdc00 + bad&0x3ff
	}
	return appendUnit(dst, bad)
}

func appendUnit(dst []byte, unit rune) []byte {
	return append(dst, '\\', 'u', hexDigits[unit>>12&15], hexDigits[unit>>8&15], hexDigits[unit>>4&15], hexDigits[unit&15])
}

// escapeHex writes each byte as \xNN, as Apache does.
func escapeHex(dst []byte, bad rune, raw string) []byte {
	if bad == '"' || bad == '\\' {
		return append(dst, '\\', byte(bad))
	}
	for i := range len(raw) {
		dst = append(dst, '\\', 'x', hexDigits[raw[i]>>4], hexDigits[raw[i]&15])
	}
	return dst
}
