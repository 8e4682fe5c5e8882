package edge

import (
	"cmp"
	"strconv"

	"selvage/edge/internal/stream"
)

// streamEncoder appends the line for a connection of a stream, without a newline at its end.
type streamEncoder func(dst []byte, a *stream.Account) []byte

// streamEncoderFor is the one that goes with the lines of requests.
func streamEncoderFor(format string, terminal bool) streamEncoder {
	switch {
	case format == "combined":
		return appendStreamCombined
	case format == "text", format != "json" && terminal:
		return appendStreamText
	}
	return appendStreamJSON
}

// RecordStream notes a connection that is over.
func (l *accessLog) RecordStream(a *stream.Account) {
	if l.encode != nil {
		l.enqueue(append(l.encodeStream(nil, a), '\n'), 0)
	}
}

func appendStreamJSON(dst []byte, a *stream.Account) []byte {
	l := jsonLine(append(appendTime(append(dst, `{"time":"`...), a.Begin), '"'))
	if a.Client.IsValid() {
		l.name(`"client":"`)
		l = append(a.Client.AppendTo(l), '"')
	}
	l.text(`"proto":`, "TCP")
	l.text(`"stream":`, a.Stream)
	l.optionalText(`"host":`, a.Name)
	l.optionalText(`"origin":`, a.Origin)
	l.optionalText(`"upstream":`, a.Upstream)
	l.number(`"received":`, a.Received)
	l.number(`"bytes":`, a.Sent)
	l.millis(`"connect_ms":`, a.Connect)
	l.millis(`"total_ms":`, a.Total)
	l.optionalText(`"error":`, a.Error)
	return append(l, '}')
}

// appendStreamCombined writes what comes nearest to a request: that of a tunnel, which worked or did not.
func appendStreamCombined(dst []byte, a *stream.Account) []byte {
	if a.Client.IsValid() {
		dst = a.Client.AppendTo(dst)
	} else {
		dst = append(dst, '-')
	}
	status := 200
	if a.Upstream == "" {
		status = 502
	}
	dst = a.Begin.AppendFormat(append(dst, " - - "...), `[02/Jan/2006:15:04:05 -0700] "CONNECT `)
	dst = appendEscaped(dst, clip(cmp.Or(a.Name, a.Stream)), escapeHex)
	dst = strconv.AppendInt(append(dst, ` TCP" `...), int64(status), 10)
	dst = strconv.AppendInt(append(dst, ' '), a.Sent, 10)
	return append(dst, ` "-" "-"`...)
}

// appendStreamText keeps to the columns of requests.
func appendStreamText(dst []byte, a *stream.Account) []byte {
	dst = a.Begin.AppendFormat(dst, "15:04:05.000  ")
	dst = appendColumn(append(dst, "TCP  "...), cmp.Or(a.Origin, "none"), 10)
	dst = appendColumn(append(dst, ' '), a.Error, 24)
	dst = appendRight(append(dst, ' '), string(appendMillis(nil, a.Total)), 10)
	dst = appendRight(append(dst, " ms "...), strconv.FormatInt(a.Sent, 10), 10)
	dst = append(append(dst, " B  "...), a.Stream...)
	if a.Name != "" {
		dst = appendEscaped(append(dst, ' '), clip(a.Name), escapeHex)
	}
	if a.Upstream != "" {
		dst = append(append(dst, " to "...), a.Upstream...)
	}
	if a.Client.IsValid() {
		dst = a.Client.AppendTo(append(dst, "  "...))
	}
	return dst
}
