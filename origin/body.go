package origin

import (
	"context"
	"io"
	"net/http"
	"sync/atomic"
	"time"
)

type gapKey struct{}

// WithGap replaces Timeouts.Gap for the requests made with the context it returns; 0 lifts it.
func WithGap(ctx context.Context, gap time.Duration) context.Context {
	return context.WithValue(ctx, gapKey{}, gap)
}

func gapOf(ctx context.Context, otherwise time.Duration) time.Duration {
	if gap, ok := ctx.Value(gapKey{}).(time.Duration); ok {
		return gap
	}
	return otherwise
}

// SetGap replaces Timeouts.Gap for the rest of a Pool's response, once its head shows that long silences belong to it; 0 lifts
// it. It holds from the next Read.
func SetGap(r *http.Response, gap time.Duration) {
	if b, ok := r.Body.(interface{ setGap(time.Duration) }); ok {
		b.setGap(gap)
	}
}

// Upstream returns the address of the upstream that gave a Pool's response.
func Upstream(r *http.Response) string {
	if b, ok := r.Body.(interface{ exchange() *exchange }); ok {
		return b.exchange().upstream.name
	}
	return ""
}

// Tie returns the Set-Cookie that keeps the client with the upstream that gave a Pool's response, "" where there is no need
// for one. It is for this client alone: a response that is stored must not have it.
func Tie(r *http.Response) string {
	if b, ok := r.Body.(interface{ exchange() *exchange }); ok {
		return b.exchange().tie
	}
	return ""
}

// body is the body of an answer. Its errors are those of exchange.reason.
type body struct {
	io.ReadCloser
	x  *exchange
	of *http.Response // has the trailers, if there are any; nil after a 101
}

func (b *body) setGap(gap time.Duration) {
	b.x.mu.Lock()
	defer b.x.mu.Unlock()
	b.x.gap = gap
}

func (b *body) gap() time.Duration {
	b.x.mu.Lock()
	defer b.x.mu.Unlock()
	return b.x.gap
}

func (b *body) exchange() *exchange { return b.x }

// Arrived reports whether the whole body is known to be here, so that no Read of it waits.
func (b *body) Arrived() bool {
	below, ok := b.ReadCloser.(*linkBody)
	return ok && (below.over.Load() || below.link.arrived())
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.read(p)
	if err == io.EOF {
		b.x.conceal(b.of.Trailer)
		b.x.judge(good, "")
		b.x.end()
	}
	return n, err
}

func (b *body) read(p []byte) (int, error) {
	if !b.Arrived() {
		b.x.await(forBody)
		defer b.x.rest(forBody)
	}
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		err = b.x.reason(err)
		b.x.judgeError(err)
	}
	return n, err
}

// Close before the end closes the connection, or resets the stream: nothing is drained. To a Read that waits that looks like the
// upstream's doing.
func (b *body) Close() error {
	b.x.judge(unknown, "")
	err := b.ReadCloser.Close()
	b.x.end()
	return err
}

// promised is the body of an HTTP/2 answer with a Content-Length, which is malformed if it ends elsewhere (RFC 9113, section 8.1.1).
// Clients of HTTP/1 have a whole body with the last byte, so that is handed up once the stream has ended there.
type promised struct {
	io.ReadCloser
	left int64
}

func (b *promised) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.left -= int64(n); b.left > 0 || n == 0 {
		return n, err
	}
	if err == nil {
		err = b.end()
	}
	if err != io.EOF {
		return 0, err
	}
	return n, io.EOF
}

// end waits for the end of the stream.
func (b *promised) end() error {
	var more [1]byte
	for {
		switch n, err := b.ReadCloser.Read(more[:]); {
		case n > 0:
			return io.ErrUnexpectedEOF
		case err != nil:
			return err
		}
	}
}

// upgraded is the body of a 101: the connection itself, both ways. The end of one direction does not end the other.
type upgraded struct {
	body
	rw   io.ReadWriteCloser
	stop func() bool // the exchange's context closes the connection until then; http.Transport has let go of it
}

func newUpgraded(rw io.ReadWriteCloser, x *exchange) *upgraded {
	stop := context.AfterFunc(x.context(), func() { rw.Close() })
	return &upgraded{body: body{ReadCloser: rw, x: x}, rw: rw, stop: stop}
}

func (u *upgraded) Read(p []byte) (int, error) { return u.read(p) }

func (u *upgraded) Write(p []byte) (int, error) {
	n, err := u.rw.Write(p)
	if err != nil {
		err = u.x.reason(err)
	}
	return n, err
}

// CloseWrite ends the direction to the upstream.
func (u *upgraded) CloseWrite() error {
	return u.rw.(interface{ CloseWrite() error }).CloseWrite()
}

func (u *upgraded) Close() error {
	u.stop()
	return u.body.Close()
}

// upload is the body of a request. While http.Transport reads it, the client is waited for and not the upstream; from then
// until it reads again, the upstream has to take what was read.
type upload struct {
	io.ReadCloser
	x      *exchange
	closed atomic.Bool
}

func (u *upload) Read(p []byte) (int, error) {
	u.x.rest(forUpload)
	n, err := u.ReadCloser.Read(p)
	if err != nil && err != io.EOF && !u.closed.Load() {
		u.x.spoil(err)
	}
	u.x.await(forUpload)
	return n, err
}

// Close leaves the body open when there was no connection: another upstream may get it.
func (u *upload) Close() error {
	if !u.x.isConnected() {
		return nil
	}
	u.closed.Store(true)
	return u.ReadCloser.Close()
}
