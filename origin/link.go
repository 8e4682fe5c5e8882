package origin

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"sync/atomic"
	"time"
)

// link is a plain HTTP/1 connection for requests without a body. Whoever wants an answer writes the request and reads the head
// himself, and whoever reads the body reads the connection: there is no other goroutine. http.Transport hands every request
// to one that writes and takes the answer from one that reads, which costs more than all else it does.
//
// An exchange is made here by the same rules, and what is said of an http.Transport's is said of it, too.
type link struct {
	*conn
	of    *links
	in    *bufio.Reader
	cut   func()    // ends whatever waits for the connection
	since time.Time // idle; guarded by of.mu
}

func newLink(of *links, c *conn) *link {
	k := &link{conn: c, of: of, in: bufio.NewReaderSize(c, maxTrailer)}
	k.cut = func() { k.Close() }
	return k
}

// roundTrip makes an exchange on a kept connection, or on a new one. A kept connection that dies before a byte of the answer
// may have died before it saw the request: another one is tried. Once a request has gone out that is a new one: an upstream that
// hangs up on a request is not asked on each of the kept in turn.
func (l *links) roundTrip(x *exchange) (*http.Response, error) {
	head := requests.Get().(*[]byte)
	defer requests.Put(head)
	var err error
	if *head, err = appendRequest((*head)[:0], &x.outgoing); err != nil {
		return nil, err
	}
	for {
		take := l.take
		if x.isSent() {
			take = l.dial
		}
		k, err := take(x)
		if err != nil {
			return nil, err
		}
		response, err := k.exchange(*head, x)
		if err == nil {
			return response, nil
		}
		k.Close()
		if !k.mayRepeat(x) {
			return nil, err
		}
	}
}

// mayRepeat judges an exchange that failed here. What may have been read by the upstream is sent again only where that changes
// nothing (RFC 9110, section 9.2.2), and only for a connection that had been good before.
func (k *link) mayRepeat(x *exchange) bool {
	return k.kept && !k.follower.started() && x.cause() == nil && (k.unasked || isSafe(x.method))
}

// exchange sends the request, whose head is written, and reads the head of its answer.
func (k *link) exchange(head []byte, x *exchange) (*http.Response, error) {
	x.board(k.conn, true, false)
	x.bind(k.cut)
	stay := context.AfterFunc(x.caller, k.cut)
	response, err := k.answer(head, x)
	if err != nil {
		stay()
		return nil, err
	}
	b := &x.linked
	b.ReadCloser, b.link, b.x, b.stay, b.keep = response.Body, k, x, stay, !response.Close && !x.outgoing.Close
	if response.Body == http.NoBody {
		b.end(true)
		return response, nil
	}
	response.Body = b
	return response, nil
}

func (k *link) answer(head []byte, x *exchange) (*http.Response, error) {
	if err := k.send(head, x); err != nil {
		return nil, err
	}
	if _, err := k.in.Peek(1); err != nil {
		return nil, err
	}
	x.gotByte()
	return k.head(x)
}

// send writes the head of a request.
func (k *link) send(head []byte, x *exchange) error {
	if k.kept && k.socket != nil {
		return k.ask(head)
	}
	x.await(forUpload)
	_, err := k.Write(head)
	x.await(forHead)
	return err
}

// head reads the final head, and tells of those before it. How many there may be is the follower's affair.
func (k *link) head(x *exchange) (*http.Response, error) {
	for {
		response, err := k.readHead(x)
		if err != nil || response.StatusCode >= 200 {
			return response, err
		}
		x.tellInterim(response.StatusCode, response.Header)
	}
}

// reusable reports whether the answer has ended and nothing is left behind it.
func (k *link) reusable() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.err == nil && k.follower.state == idle && len(k.ready) == 0 && k.in.Buffered() == 0
}

// arrived reports whether all of the answer is here, so that no Read of its body waits.
func (k *link) arrived() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.follower.state == idle
}

// linkBody is the body of an answer on a link. Close may be called while another goroutine is in Read.
type linkBody struct {
	io.ReadCloser
	link *link
	x    *exchange
	stay func() bool // the end of the caller's context does not cut the link any more
	keep bool
	over atomic.Bool
}

func (b *linkBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		b.end(err == io.EOF)
	}
	return n, err
}

// Close before the end closes the connection: nothing is drained.
func (b *linkBody) Close() error {
	b.end(false)
	return nil
}

func (b *linkBody) end(whole bool) {
	if b.over.Swap(true) {
		return
	}
	stays := b.stay()
	if b.x.unbind() && stays && whole && b.keep && b.link.reusable() {
		b.link.of.put(b.link)
		return
	}
	b.link.Close()
}
