package origin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// resumable is the body of an answer to a GET that goes on from another upstream when it breaks off: its head is with a client
// who could not be answered anew.
//
// What follows has to be the same representation. Before the first byte, that is an answer with the same head. After it, it is
// the part that is missing (RFC 9110, section 14.4), under the same strong validator (section 8.8.3).
type resumable struct {
	pool    *Pool
	request *http.Request
	head    http.Header // of the answer, but for what tells when it was made
	length  int64
	tried   []*upstream
	left    int   // attempts
	arrived int64 // bytes; with the above owned by whoever reads

	mu     sync.Mutex
	part   *body // that is read now; guarded by mu
	closed bool  // guarded by mu
	// of the parts to come, until Close; nil before the first of them; guarded by mu
	ctx  context.Context
	stop context.CancelFunc
}

// resumable returns the body of an answer to a request, which is resumable if it may have to be. Trailers that were promised, as only
// HTTP/2 can beside a length, would be those of another answer.
func (p *Pool) resumable(a *attempts, response *http.Response) io.ReadCloser {
	part, ok := response.Body.(*body)
	if !ok || a.left < 2 || a.r.Method != http.MethodGet || hasBody(a.r) || a.r.Header["Range"] != nil ||
		response.StatusCode != http.StatusOK || response.ContentLength <= 0 || response.Trailer != nil || part.Arrived() {
		return response.Body
	}
	return &resumable{
		pool: p, request: a.r, head: timeless(response.Header), length: response.ContentLength,
		tried: slices.Clone(a.tried), left: a.left, part: part,
	}
}

func (b *resumable) Read(p []byte) (int, error) {
	for {
		part := b.current()
		n, err := part.Read(p)
		b.arrived += int64(n)
		if err == nil || err == io.EOF || !b.resume(part, err) {
			return n, err
		}
		if n > 0 {
			return n, nil
		}
	}
}

// Close may be called while another goroutine is in Read.
func (b *resumable) Close() error {
	b.mu.Lock()
	b.closed = true
	part, stop := b.part, b.stop
	b.mu.Unlock()
	if stop != nil {
		stop()
	}
	return part.Close()
}

func (b *resumable) current() *body {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.part
}

// Arrived is the body's.
func (b *resumable) Arrived() bool            { return b.current().Arrived() }
func (b *resumable) setGap(gap time.Duration) { b.current().setGap(gap) }
func (b *resumable) exchange() *exchange      { return b.current().x }

// resume looks for a part that takes the place of one that broke off.
func (b *resumable) resume(broken *body, err error) bool {
	if !b.mayResume(broken, err) {
		return false
	}
	ctx := b.wanted()
	if ctx == nil {
		return false
	}
	broken.Close()
	a := &attempts{r: b.rest(ctx), tried: b.tried, left: b.left, until: time.Now().Add(b.pool.total)}
	if !a.may() {
		return false
	}
	x := b.pool.afford(b.pool.another(a, broken.x.upstream, anywhere))
	if x == nil {
		return false
	}
	_, response, err := b.pool.persist(a, x)
	b.tried, b.left = a.tried, a.left
	if err != nil {
		return false
	}
	if !b.continues(response) || !b.replace(broken, response) {
		response.Body.Close()
		return false
	}
	return true
}

// wanted returns a context for the parts to come, which ends with Close, or nil where nobody wants them any more: a body that was
// closed while it was read looks as if it had broken off.
func (b *resumable) wanted() context.Context {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil
	}
	if b.ctx == nil {
		b.ctx, b.stop = context.WithCancel(b.request.Context())
	}
	return b.ctx
}

// mayResume: the bytes that came were good, somebody wants the others, and it can be told whether they fit.
func (b *resumable) mayResume(broken *body, err error) bool {
	var f *Failure
	if !errors.As(err, &f) || f.Type != typeResponseIncomplete && f.Type != typeReadTimeout || broken.x.caller.Err() != nil {
		return false
	}
	return b.arrived == 0 || b.strongTag() != ""
}

// strongTag returns the answer's entity tag, "" where it has none that is good for parts of a body.
func (b *resumable) strongTag() string {
	if tag := b.head["Etag"]; len(tag) == 1 && strings.HasPrefix(tag[0], `"`) {
		return tag[0]
	}
	return ""
}

// rest is the request for what has not arrived.
func (b *resumable) rest(ctx context.Context) *http.Request {
	r := b.request.WithContext(ctx)
	if b.arrived == 0 {
		return r
	}
	r.Header = maps.Clone(r.Header)
	delete(r.Header, "If-None-Match")
	delete(r.Header, "If-Modified-Since")
	r.Header["Range"] = []string{"bytes=" + strconv.FormatInt(b.arrived, 10) + "-"}
	r.Header["If-Range"] = []string{b.strongTag()}
	return r
}

// continues reports whether the body of response is what has not arrived. A part need not repeat the coding of the whole (RFC 9110,
// section 15.3.7), but one that has another is no part of it, whatever its tag says.
func (b *resumable) continues(response *http.Response) bool {
	if response.ContentLength != b.length-b.arrived {
		return false
	}
	if b.arrived == 0 {
		return response.StatusCode == http.StatusOK && maps.EqualFunc(timeless(response.Header), b.head, slices.Equal)
	}
	part := fmt.Sprintf("bytes %d-%d/%d", b.arrived, b.length-1, b.length)
	if coding := response.Header["Content-Encoding"]; coding != nil && !slices.Equal(coding, b.head["Content-Encoding"]) {
		return false
	}
	return response.StatusCode == http.StatusPartialContent && slices.Equal(response.Header["Content-Range"], []string{part}) &&
		slices.Equal(response.Header["Etag"], b.head["Etag"])
}

// replace reports false where nobody wants a body any more.
func (b *resumable) replace(broken *body, response *http.Response) bool {
	next, ok := response.Body.(*body)
	if !ok {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return false
	}
	next.setGap(broken.gap())
	b.part = next
	return true
}

// timeless returns the fields of a head that another answer with the same representation has, too.
func timeless(h http.Header) http.Header {
	h = maps.Clone(h)
	for _, name := range []string{"Date", "Age", "Connection", "Keep-Alive"} {
		delete(h, name)
	}
	return h
}
