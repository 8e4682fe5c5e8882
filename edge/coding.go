package edge

import (
	"io"
	"net/http"

	"selvage/cache"
	"selvage/encode"
)

// made gives a choice that has yet to be made its body, and has better ones made of what was made in haste. When it cannot, it
// tells the client.
func (x *exchange) made(o *cache.Object, c cache.Choice) cache.Choice {
	if !c.Pending {
		x.store.Improve(o, x.route.policy, c, x.now.Mono)
		return c
	}
	if !hasBody(x.r.Method, o.Meta.Status) { // HEAD: the fields that GET would get
		return c
	}
	c, err := x.store.Stream(o, x.route.policy, c)
	if err != nil {
		status, kind, _ := judge(err)
		x.fail(status, kind, "no room to decode another body")
	}
	return c
}

// forOrigin makes conditions about what we have coded into such about what the origin sent: its tags are the origin's with
// something added. Ranges of our codings mean nothing to the origin, and bytes of two codings must not be put together: so the
// whole is asked for.
func forOrigin(h http.Header) {
	ours := false
	for _, name := range []string{"If-None-Match", "If-Match", "If-Range"} {
		for i, line := range h[name] {
			value, some := cache.OriginTags(line)
			if !some {
				continue
			}
			lines := append([]string(nil), h[name]...)
			lines[i], ours = value, true
			h[name] = lines
		}
	}
	if ours {
		delete(h, "Range")
		delete(h, "If-Range")
	}
}

// recode decides whether an answer that is not stored is encoded on its way, and makes its fields say so. For what has a body
// there is room for the encoder then, which streamCoded gives back.
func (x *exchange) recode(h http.Header, resp *http.Response) encode.Coding {
	if !bodyAllowed(resp.StatusCode) || len(resp.Trailer) > 0 {
		return encode.Identity
	}
	coding, varies := x.route.policy.Codings.ForOnce(&x.q, resp.StatusCode, h, resp.ContentLength)
	if varies {
		cache.AddVary(h)
	}
	if coding == encode.Identity || hasBody(x.r.Method, resp.StatusCode) && !x.store.EnterEncoder() {
		return encode.Identity
	}
	cache.DescribeOnce(h, coding)
	return coding
}

// streamCoded is stream for a body that is encoded on its way. What the origin has sent reaches the client before it pauses.
func (x *exchange) streamCoded(resp *http.Response, coding encode.Coding) {
	x.res.Coding = coding.String()
	x.head(resp.StatusCode)
	if !hasBody(x.r.Method, resp.StatusCode) {
		return
	}
	defer x.store.LeaveEncoder()
	to := x.store.Encoder(bodyWriter{x}, coding, resp.ContentLength)
	defer to.Abort()
	if x.copyCoded(to, resp.Body) {
		_ = to.Close() // the client's end is told by bodyWriter
	}
}

// copyCoded moves a body through an encoder. A read that does not fill the buffer is the last before a pause, as far as one can
// know.
func (x *exchange) copyCoded(to *encode.Writer, from io.Reader) bool {
	buf := buffers.get()
	defer buffers.put(buf)
	for {
		n, err := from.Read(*buf)
		if n > 0 {
			if _, failed := to.Write((*buf)[:n]); failed != nil {
				return false
			}
		}
		if err != nil {
			return x.ended(err)
		}
		if n < len(*buf) {
			if to.Flush() != nil {
				return false
			}
			x.flush()
		}
	}
}

// bodyWriter writes an answer's body.
type bodyWriter struct{ x *exchange }

func (w bodyWriter) Write(p []byte) (int, error) {
	if !w.x.write(p) {
		return 0, io.ErrClosedPipe
	}
	return len(p), nil
}
