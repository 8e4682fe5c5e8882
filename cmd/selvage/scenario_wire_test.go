package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"sync"
	"time"
)

// lineWire is HTTP/1.1, every byte of the request written as the scenario says.
type lineWire struct {
	client *scriptedClient
	raw    *memoryConn
	conn   net.Conn // raw, or TLS over it
	in     *bufio.Reader
	sends  sync.WaitGroup // requests being written: a body may still be under way when its answer has ended
}

func (w *lineWire) exchange(a *scriptedAsk, x *exchange) {
	if !a.next {
		w.sends.Go(func() { w.send(a, x) })
	}
	r, err := w.readHead(a.method, x)
	if err != nil {
		x.end(nil, err)
		return
	}
	x.gotHead(r)
	if r.StatusCode == http.StatusSwitchingProtocols {
		x.end(r, nil)
		return
	}
	err = x.readBody(r.Body)
	x.end(r, err)
}

// readHead reads up to the final response's head.
func (w *lineWire) readHead(method string, x *exchange) (*http.Response, error) {
	for {
		r, err := http.ReadResponse(w.in, &http.Request{Method: method})
		if err != nil {
			return nil, err
		}
		if r.StatusCode >= 200 || r.StatusCode == http.StatusSwitchingProtocols {
			return r, nil
		}
		x.gotInterim(r.StatusCode, r.Header)
	}
}

func (w *lineWire) send(a *scriptedAsk, x *exchange) {
	if a.raw != nil {
		w.conn.Write(a.raw)
		return
	}
	if _, err := w.conn.Write(a.head(w.client.expand)); err != nil {
		return
	}
	if a.message.has("Expect") {
		<-x.goAhead
	}
	for _, piece := range a.message.body {
		if piece.pause(w.raw, nil) != nil {
			w.raw.CloseWrite()
			return
		}
		data := piece.data
		if a.message.framing == byChunks {
			data = chunk(data)
		}
		if _, err := w.conn.Write(data); err != nil {
			return
		}
	}
	if a.message.framing == byChunks {
		w.conn.Write(lastChunk(a.message.trailer))
	}
}

// head renders the request's head: its fields as they stand, Host before them unless they name it.
func (a *scriptedAsk) head(expand func(string) string) []byte {
	out := fmt.Appendf(nil, "%s %s HTTP/1.1\r\n", a.method, a.target)
	if !a.message.has("Host") {
		out = fmt.Appendf(out, "Host: %s\r\n", a.host)
	}
	for _, f := range a.message.fields {
		out = fmt.Appendf(out, "%s: %s\r\n", f.name, expand(f.value))
	}
	switch {
	case a.message.framing == byChunks:
		out = append(out, "Transfer-Encoding: chunked\r\n"...)
	case a.message.length >= 0 || len(a.message.body) > 0:
		out = a.message.appendFraming(out)
	}
	return append(out, "\r\n"...)
}

func (w *lineWire) finished() bool {
	select {
	case <-w.raw.peerGone():
		return true
	default:
		return w.raw.ended()
	}
}

func (w *lineWire) leave() {
	w.raw.Close()
	w.sends.Wait()
}

// streamWire is HTTP/2 over TLS, by the standard library's client.
type streamWire struct {
	client    *scriptedClient
	transport *http.Transport
	ctx       context.Context
	cancel    context.CancelFunc
	mu        sync.Mutex
	raw       *memoryConn // the newest connection
}

func newStreamWire(c *scriptedClient, host string) *streamWire {
	w := &streamWire{client: c}
	w.ctx, w.cancel = context.WithCancel(context.Background())
	w.transport = &http.Transport{ForceAttemptHTTP2: true, DisableCompression: true}
	w.transport.DialTLSContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		raw, err := c.network.dialFrom(ctx, c.from, network, ":443")
		if err != nil {
			return nil, err
		}
		w.mu.Lock()
		w.raw = raw
		w.mu.Unlock()
		return encrypt(ctx, raw, host, "h2")
	}
	return w
}

func (w *streamWire) exchange(a *scriptedAsk, x *exchange) {
	var sends sync.WaitGroup
	defer sends.Wait()
	ctx := httptrace.WithClientTrace(w.ctx, &httptrace.ClientTrace{
		Got1xxResponse: func(code int, header textproto.MIMEHeader) error {
			x.gotInterim(code, http.Header(header))
			return nil
		},
	})
	r, err := w.transport.RoundTrip(w.request(ctx, a, x, &sends))
	if err != nil {
		x.end(nil, err)
		return
	}
	defer r.Body.Close()
	x.gotHead(r)
	err = x.readBody(r.Body)
	x.end(r, err)
}

func (w *streamWire) request(ctx context.Context, a *scriptedAsk, x *exchange, sends *sync.WaitGroup) *http.Request {
	r := &http.Request{
		Method: a.method, Host: a.host, Header: http.Header{},
		URL: &url.URL{Scheme: "https", Host: a.host, Opaque: a.target},
	}
	for _, f := range a.message.fields {
		if f.name != "Host" {
			r.Header[f.name] = append(r.Header[f.name], w.client.expand(f.value))
		}
	}
	if !a.message.has("User-Agent") {
		r.Header["User-Agent"] = nil // none of its own
	}
	if len(a.message.body) > 0 || a.message.framing == byChunks {
		read, write := io.Pipe()
		r.Body, r.ContentLength = read, int64(a.message.size())
		if a.message.framing == byChunks {
			r.ContentLength = -1
		}
		sends.Go(func() { sendPieces(ctx, write, a.message.body, x) })
	}
	return r.WithContext(ctx)
}

// sendPieces writes a request's body, until the answer has ended.
func sendPieces(ctx context.Context, to *io.PipeWriter, pieces []act, x *exchange) {
	stop := context.AfterFunc(ctx, func() { to.CloseWithError(context.Cause(ctx)) })
	defer stop()
	for _, piece := range pieces {
		if piece.wait > 0 {
			select {
			case <-time.After(piece.wait):
			case <-x.done:
			}
		}
		if piece.end != goOn {
			to.CloseWithError(errors.New("client gave up"))
			return
		}
		if _, err := to.Write(piece.data); err != nil {
			return
		}
	}
	to.Close()
}

func (w *streamWire) finished() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.raw == nil {
		return false
	}
	select {
	case <-w.raw.peerGone():
		return true
	default:
		return false
	}
}

func (w *streamWire) leave() {
	w.cancel()
	w.transport.CloseIdleConnections()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.raw != nil {
		w.raw.Close()
	}
}
