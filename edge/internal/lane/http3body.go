package lane

import (
	"errors"
	"io"
	"net/http"
	"os"

	"github.com/quic-go/quic-go"
)

// http3Body is the content of a request. quic-go puts any trailers there are in place of those that were announced.
type http3Body struct {
	io.ReadCloser
	request   *http.Request
	from      *http3Conn
	announced http.Header
	ahead     []byte // has been read
	ended     bool
}

// receive finds out whether a request has content, and has it sent. quic-go hands a request up without a look at whether its
// stream ends with the head, as most do. Where content would be out of place that is waited for; where it is not, a client may
// want to hear from us first.
func (c *http3Conn) receive(w http.ResponseWriter, r *http.Request) (*http3Body, *fault) {
	body := &http3Body{ReadCloser: r.Body, request: r, from: c, announced: r.Trailer}
	r.Body = body
	if r.ContentLength < 0 && r.Method != http.MethodPost && r.Method != http.MethodPut && r.Method != http.MethodPatch {
		if f := body.lookAhead(); f != nil {
			return body, f
		}
		if len(body.ahead) == 0 {
			r.ContentLength = 0
		}
	}
	if r.ContentLength != 0 && len(r.Header["Expect"]) > 0 { // of which checkMessage lets one pass
		w.WriteHeader(http.StatusContinue)
	}
	return body, nil
}

// gaveUp says that a client took its request back. It gets no answer.
var gaveUp = new(fault)

// streamOf is the stream of a request that quic-go has handed up.
func streamOf(r *http.Request) quic.StreamID {
	return r.Body.(interface{ StreamID() quic.StreamID }).StreamID()
}

// lookAhead waits for the first byte, or the end. The stream has the deadline of its head still.
func (b *http3Body) lookAhead() *fault {
	var first [1]byte
	for {
		n, err := b.Read(first[:])
		switch {
		case n > 0:
			b.ahead = first[:n]
			return nil
		case err == io.EOF:
			return nil
		case errors.Is(err, os.ErrDeadlineExceeded):
			return faultSlowHead
		case err != nil:
			return gaveUp
		}
	}
}

// Read reads, and at the end takes over the trailers.
func (b *http3Body) Read(p []byte) (int, error) {
	if len(b.ahead) > 0 {
		n := copy(p, b.ahead)
		b.ahead = b.ahead[n:]
		return n, nil
	}
	n, err := b.ReadCloser.Read(p)
	b.from.worth.Add(contentWorth * int64(n))
	if err == io.EOF {
		b.ended = true
		sent := b.request.Trailer
		for name := range b.announced {
			b.announced[name] = sent[name]
		}
		b.request.Trailer = b.announced
	}
	return n, err
}
