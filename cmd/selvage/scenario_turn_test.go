package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"
)

// errPeerLeft ends a turn whose other side has gone.
var errPeerLeft = errors.New("peer left")

// errDone ends a connection as the answer says.
var errDone = errors.New("connection done")

// turn is one answer under way.
type turn struct {
	origin  *scriptedOrigin
	conn    *memoryConn
	in      *bufio.Reader
	request *received
}

// perform plays an answer. An error ends the connection.
func (t *turn) perform(m *message) error {
	if err := t.play(m.before, false); err != nil {
		return err
	}
	if m.status == 0 {
		return nil
	}
	if t.notModified(m) {
		m = &message{status: http.StatusNotModified, fields: m.fields, noDate: m.noDate, length: -1}
	} else if part := t.partial(m); part != nil {
		m = part
	}
	if m.echo != "" {
		m = m.withBody(t.echo(m.echo))
	}
	if err := t.write(t.head(m)); err != nil {
		return err
	}
	if m.tunnel {
		return t.tunnel()
	}
	return t.body(m)
}

func (t *turn) body(m *message) error {
	if !bodiless(t.request.method, m.status) {
		if err := t.play(m.body, m.framing == byChunks); err != nil {
			return err
		}
		if m.framing == byChunks {
			if err := t.write(lastChunk(m.trailer)); err != nil {
				return err
			}
		}
	}
	closing := slices.ContainsFunc(m.fields, func(f fieldLine) bool { return f.name == "Connection" && f.value == "close" })
	switch {
	case m.early:
		return t.linger()
	case m.framing == byClose || closing:
		return errDone
	}
	return nil
}

// linger ends an early answer as RFC 9112, section 9.6 wants it: the answer first, then what the other side still sends is
// read, so that no reset overtakes the answer.
func (t *turn) linger() error {
	t.conn.CloseWrite()
	io.Copy(io.Discard, t.in)
	return errDone
}

func lastChunk(trailer []fieldLine) []byte {
	out := []byte("0\r\n")
	for _, f := range trailer {
		out = fmt.Appendf(out, "%s: %s\r\n", f.name, f.value)
	}
	return append(out, "\r\n"...)
}

// head renders the status line and the fields, and adds what a server adds.
func (t *turn) head(m *message) []byte {
	out := fmt.Appendf(nil, "HTTP/1.1 %d %s\r\n", m.status, http.StatusText(m.status))
	dated := m.noDate || m.status < 200
	for _, f := range m.fields {
		out = fmt.Appendf(out, "%s: %s\r\n", f.name, t.origin.expand(f.value))
		dated = dated || f.name == "Date"
	}
	if !dated {
		out = fmt.Appendf(out, "Date: %s\r\n", time.Now().UTC().Format(http.TimeFormat))
	}
	if m.status >= 200 && m.status != 204 && m.status != 304 {
		out = m.appendFraming(out)
	}
	return append(out, "\r\n"...)
}

func (m *message) appendFraming(out []byte) []byte {
	switch {
	case m.framing == byChunks:
		return append(out, "Transfer-Encoding: chunked\r\n"...)
	case m.framing == byClose:
		return append(out, "Connection: close\r\n"...)
	case m.length >= 0:
		return fmt.Appendf(out, "Content-Length: %d\r\n", m.length)
	}
	return fmt.Appendf(out, "Content-Length: %d\r\n", m.size())
}

// play performs acts one after another.
func (t *turn) play(acts []act, chunked bool) error {
	for _, a := range acts {
		if err := a.pause(t.conn, t.origin.ctx.Done()); err != nil {
			return err
		}
		data := a.data
		if chunked {
			data = chunk(data)
		}
		if err := t.write(data); err != nil {
			return err
		}
	}
	return nil
}

// pause waits, or ends the connection as the act says. It gives up when the other side has left, or when all is over.
func (a act) pause(conn *memoryConn, over <-chan struct{}) error {
	var timer <-chan time.Time
	switch {
	case a.end == closeHere:
		return errDone
	case a.end == resetHere:
		conn.reset()
		return errDone
	case a.wait > 0:
		timer = time.After(a.wait)
	case a.end != hangHere:
		return nil
	}
	select {
	case <-timer:
		return nil
	case <-conn.peerGone():
		return errPeerLeft
	case <-over:
		return errDone
	}
}

func (t *turn) write(data []byte) error {
	if _, err := t.conn.Write(data); err != nil {
		return errPeerLeft
	}
	return nil
}

// tunnel sends back what comes until the other side has no more.
func (t *turn) tunnel() error {
	io.Copy(t.conn, t.in)
	return errDone
}

// notModified reports whether the request's validators match the answer's (RFC 9110, section 13.2.2), as far as a
// well-behaved origin's own need to be compared: letter by letter.
func (t *turn) notModified(m *message) bool {
	if !m.conditional {
		return false
	}
	if tags := t.request.header.Values("If-None-Match"); len(tags) > 0 {
		own := strings.TrimPrefix(t.value(m, "ETag"), "W/")
		return slices.ContainsFunc(strings.Split(strings.Join(tags, ","), ","), func(tag string) bool {
			tag = strings.TrimPrefix(strings.TrimSpace(tag), "W/")
			return tag == own || tag == "*"
		})
	}
	since := t.request.header.Get("If-Modified-Since")
	return since != "" && since == t.value(m, "Last-Modified")
}

func (t *turn) value(m *message, name string) string {
	for _, f := range m.fields {
		if f.name == name {
			return t.origin.expand(f.value)
		}
	}
	return ""
}

// partial returns the 206 to a single range, or nil.
func (t *turn) partial(m *message) *message {
	if !m.ranges || t.request.header.Get("Range") == "" {
		return nil
	}
	whole, start, end := m.data(), 0, 0
	if n, _ := fmt.Sscanf(t.request.header.Get("Range"), "bytes=%d-%d", &start, &end); n < 1 || start >= len(whole) {
		return nil
	} else if n == 1 {
		end = len(whole) - 1
	}
	end = min(end, len(whole)-1)
	out := m.withBody(whole[start : end+1])
	out.status = http.StatusPartialContent
	out.fields = append(slices.Clone(m.fields), fieldLine{"Content-Range", fmt.Sprintf("bytes %d-%d/%d", start, end, len(whole))})
	return out
}

func (m *message) withBody(data []byte) *message {
	out := *m
	out.body, out.echo, out.length = []act{{data: data}}, "", -1
	return &out
}

// echo returns the request's own head, fields sorted, or its body.
func (t *turn) echo(what string) []byte {
	if what == "body" {
		return t.request.body
	}
	var out bytes.Buffer
	fmt.Fprintf(&out, "%s %s\r\nHost: %s\r\n", t.request.method, t.request.target, t.request.host)
	t.request.header.Write(&out)
	return out.Bytes()
}
