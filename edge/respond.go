package edge

import (
	"cmp"
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"selvage/cache"
)

// farAhead is how far behind the fill a range may begin and still be waited for.
const farAhead = 16 << 20

// respond answers from an Object, stored or still filling: preconditions, range, write.
func (x *exchange) respond(o *cache.Object) {
	m, c := o.Meta, x.store.Choose(o, &x.q, x.route.policy)
	defer func() { c.Release() }()
	if x.precluded(m, c, m.Date) {
		return
	}
	if x.wantsRange(m, c) && x.respondRange(m, c) {
		return
	}
	if c = x.made(o, c); x.sent {
		return
	}
	x.res.Coding = c.Coding
	x.headOf(m, &c, m.Status)
	if hasBody(x.r.Method, m.Status) {
		x.send(c.Body, 0, -1)
		x.store.Learn(o, c, x.now.Mono)
	}
}

// precluded answers 304 where the request's preconditions say that the client has the content (RFC 9110, section 13.2). date is
// that of a stored response.
func (x *exchange) precluded(m *cache.Meta, c cache.Choice, date time.Time) bool {
	if cache.Precondition(&x.q, m.Status, m.ETag, m.LastModified, date) != cache.NotModified {
		return false
	}
	x.headOf(m, &c, http.StatusNotModified)
	return true
}

// contentFields describe content that a 304 does not have (RFC 9110, section 15.4.5). The digests are of what this request would
// be sent; the client may have another coding.
var contentFields = []string{
	"Content-Type", "Content-Length", "Content-Encoding", "Content-Language", "Content-Range",
	"Content-Digest", "Repr-Digest", "Digest", "Content-Md5",
}

// wholeFields are about a message that has the whole content: its digest (RFC 9530, section 2), and that clients may keep it as a
// dictionary.
var wholeFields = []string{"Content-Digest", "Content-Md5", "Use-As-Dictionary"}

// send writes the body from start to end (-1: all of it) as it arrives, flushing what is here before it waits for more, unless
// that comes at once.
func (x *exchange) send(b *cache.Body, start, end int64) bool {
	var r cache.Reader
	b.Open(&r, start)
	defer r.Close()
	write := x.write
	if end < 0 && b.Complete() {
		write = x.writeRest
	}
	for at := start; end < 0 || at < end; {
		limit := int64(piece)
		if end >= 0 {
			limit = min(limit, end-at)
		}
		p, wait, err := r.Next(limit)
		switch {
		case err == io.EOF && end < 0:
			return true
		case err != nil:
			x.cut("origin: " + err.Error())
			return false
		case wait != nil:
			if !isSoon(wait) {
				x.flush()
				if !x.waits(wait) {
					return false
				}
			}
			continue
		}
		if !write(p) {
			return false
		}
		at += int64(len(p))
	}
	return true
}

// isSoon gives what is under way a moment: the head of a small answer and its body make one packet.
func isSoon(wait <-chan struct{}) bool {
	moment := time.NewTimer(flushDelay)
	defer moment.Stop()
	select {
	case <-wait:
		return true
	case <-moment.C:
		return false
	}
}

// wantsRange reports whether the request asks for ranges that may be answered from c (RFC 9110, section 14.2): only those of
// a whole 200 to GET, of bytes that stay what they are. A date is no validator where there are several codings: all have it.
func (x *exchange) wantsRange(m *cache.Meta, c cache.Choice) bool {
	modified := m.LastModified
	if c.Varies {
		modified = time.Time{}
	}
	return x.q.Present.Has(cache.HasRange) && x.r.Method == http.MethodGet && m.Status == http.StatusOK && c.Final &&
		cache.RangeApplies(&x.q, c.ETag, modified, m.Date)
}

// respondRange answers with the parts of c that the request asks for. False: that is all of it.
func (x *exchange) respondRange(m *cache.Meta, c cache.Choice) bool {
	total, known := x.await(c.Body)
	if !known {
		if c.Body.Streams() { // it will not be stored
			x.passRange()
		}
		return x.sent || x.res.Aborted
	}
	field, _ := x.q.Fields.Value("Range", 0)
	switch spans, result := cache.ParseRange(field, total); {
	case result == cache.Whole:
		return false
	case result == cache.Unsatisfiable:
		x.unsatisfiable(total)
	case tooFarAhead(c.Body, spans):
		x.passRange()
	default:
		x.respondSpans(m, c, spans, total)
	}
	return true
}

// await returns the length of a body, waiting for its end where that alone tells. It is not known of a body that fails, of
// one that is too large to be kept, and when the client leaves.
func (x *exchange) await(b *cache.Body) (length int64, known bool) {
	var r cache.Reader
	b.Open(&r, b.Arrived())
	defer r.Close()
	for {
		if length, known := b.Length(); known || b.Streams() {
			return length, known && !b.Streams()
		}
		_, wait, err := r.Next(piece)
		if wait != nil && !x.waits(wait) || err != nil && err != io.EOF {
			return 0, false
		}
	}
}

func tooFarAhead(b *cache.Body, spans []cache.Span) bool {
	furthest := slices.MaxFunc(spans, func(a, b cache.Span) int { return cmp.Compare(a.Start, b.Start) })
	return !b.Complete() && furthest.Start > b.Arrived()+farAhead
}

// unsatisfiable answers that the body of total bytes has nothing of what was asked for (RFC 9110, section 15.5.17).
func (x *exchange) unsatisfiable(total int64) {
	x.w.Header().Set("Content-Range", fmt.Sprintf("bytes */%d", total))
	x.fail(http.StatusRequestedRangeNotSatisfiable, "", "the body has "+strconv.FormatInt(total, 10)+" bytes")
}

// respondSpans answers 206.
func (x *exchange) respondSpans(m *cache.Meta, c cache.Choice, spans []cache.Span, total int64) {
	l := x.copyHead(m, &c, c.ETag)
	for _, name := range wholeFields {
		delete(l.header, name)
	}
	x.res.Coding = c.Coding
	if len(spans) > 1 {
		x.respondParts(c, spans, total)
		return
	}
	s := spans[0]
	l.set("Content-Range", contentRange(s, total))
	l.set("Content-Length", strconv.FormatInt(s.Len(), 10))
	x.head(http.StatusPartialContent)
	x.send(c.Body, s.Start, s.End)
}

// respondParts answers with several parts (RFC 9110, section 14.6).
func (x *exchange) respondParts(c cache.Choice, spans []cache.Span, total int64) {
	boundary := rand.Text()
	contentType := c.Head.Get("Content-Type")
	heads, length := make([]string, len(spans)), int64(0)
	for i, s := range spans {
		heads[i] = partHead(boundary, contentType, contentRange(s, total))
		length += int64(len(heads[i])) + s.Len()
	}
	tail := "\r\n--" + boundary + "--\r\n"
	h := x.w.Header()
	h.Del("Content-Range") // of an origin that sends one with a 200: of all parts none is it (RFC 9110, section 15.3.7.2)
	h.Set("Content-Type", "multipart/byteranges; boundary="+boundary)
	h.Set("Content-Length", strconv.FormatInt(length+int64(len(tail)), 10))
	x.head(http.StatusPartialContent)
	for i, s := range spans {
		if !x.write([]byte(heads[i])) || !x.send(c.Body, s.Start, s.End) {
			return
		}
	}
	x.write([]byte(tail))
}

func partHead(boundary, contentType, contentRange string) string {
	var b strings.Builder
	b.WriteString("\r\n--" + boundary + "\r\n")
	if contentType != "" {
		b.WriteString("Content-Type: " + contentType + "\r\n")
	}
	b.WriteString("Content-Range: " + contentRange + "\r\n\r\n")
	return b.String()
}

func contentRange(s cache.Span, total int64) string {
	var buf [80]byte
	b := strconv.AppendInt(append(buf[:0], "bytes "...), s.Start, 10)
	b = strconv.AppendInt(append(b, '-'), s.End-1, 10)
	return string(strconv.AppendInt(append(b, '/'), total, 10))
}
