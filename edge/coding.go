package edge

import (
	"bytes"
	"io"
	"net/http"

	"selvage/cache"
	"selvage/edge/internal/lane"
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
	if !lane.BodyAllowed(resp.StatusCode) || len(resp.Trailer) > 0 {
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
	var out bytes.Buffer // an encoder does not wait for clients
	to := x.store.Encoder(&out, coding, resp.ContentLength)
	defer to.Abort()
	if x.copyCoded(to, &out, resp.Body) && to.Close() == nil {
		x.write(out.Bytes())
	}
}

// copyCoded moves a body through an encoder. A read that does not fill the buffer is the last before a pause, as far as one can
// know.
func (x *exchange) copyCoded(to *encode.Writer, out *bytes.Buffer, from io.Reader) bool {
	buf := buffers.get()
	defer buffers.put(buf)
	for {
		n, err := from.Read(*buf)
		if n > 0 {
			_, _ = to.Write((*buf)[:n]) // a buffer takes everything
		}
		if err != nil {
			return x.ended(err)
		}
		pauses := n < len(*buf)
		if pauses {
			_ = to.Flush()
		}
		if !x.write(out.Bytes()) {
			return false
		}
		out.Reset()
		if pauses {
			x.flush()
		}
	}
}
