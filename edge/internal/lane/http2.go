package lane

import (
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// pingAfter is when a silent HTTP/2 client is asked whether it is still there.
const pingAfter = 30 * time.Second

// newHTTP2 returns a front of HTTP/2. net/http reads those connections itself; what it leaves unbounded or unchecked is
// bounded here, and in serveHTTP2. WriteByteTimeout stays 0: the link keeps that deadline.
func (s *Server) newHTTP2(now *settings) *front {
	srv := s.newFront(http.HandlerFunc(s.serveHTTP2))
	// Nothing else is served here: without the preface of HTTP/2 the connection ends.
	srv.Protocols = new(http.Protocols)
	srv.Protocols.SetUnencryptedHTTP2(true)
	srv.MaxHeaderBytes = int(now.Head)
	srv.IdleTimeout = now.Idle
	srv.ConnState = connState2
	srv.HTTP2 = &http.HTTP2Config{
		MaxConcurrentStreams:          250,
		MaxReadFrameSize:              16 << 10, // the least there is (RFC 9113, section 4.2): a frame is held in memory
		MaxDecoderHeaderTableSize:     4 << 10,
		MaxEncoderHeaderTableSize:     4 << 10,
		MaxReceiveBufferPerConnection: 1 << 20,
		MaxReceiveBufferPerStream:     256 << 10,
		SendPingTimeout:               pingAfter,
		PingTimeout:                   pingAfter / 2,
		CountError:                    func(kind string) { s.count("http2-" + kind) },
	}
	return &front{srv: srv, door: newDoor()}
}

// serveHTTP2 holds an HTTP/2 request to the same grammar and limits as the head of an HTTP/1 one, as far as its fields can
// differ from what net/http has checked.
func (s *Server) serveHTTP2(w http.ResponseWriter, r *http.Request) {
	now := s.settings.Load()
	r.TLS = ConnFrom(r.Context()).TLS
	if f := checkMessage(r, now.Limits); f != nil {
		s.refuseMessage(w, r, f)
		return
	}
	out := &streamWriter{ResponseWriter: w, server: now.Write}
	defer out.finish()
	s.handler.ServeHTTP(out, r)
}

// checkMessage checks the head of a request over HTTP/2 or HTTP/3.
func checkMessage(r *http.Request, limits Limits) *fault {
	if r.Method == http.MethodConnect {
		return faultConnect
	}
	if !isToken([]byte(r.Method)) {
		return faultMethod
	}
	if int64(len(r.RequestURI)) > limits.RequestLine {
		return faultLineTooLong
	}
	if _, f := checkTarget(r.Method, []byte(r.RequestURI)); f != nil {
		return f
	}
	if !isHost([]byte(r.Host)) {
		return faultHost
	}
	fields := 0
	for _, values := range r.Header {
		fields += len(values)
		if slices.ContainsFunc(values, isPadded) {
			return faultFieldValue
		}
	}
	if fields > limits.Fields {
		return faultManyFields
	}
	if hosts := r.Header["Host"]; len(hosts) > 1 || len(hosts) == 1 && !sameAuthority(hosts[0], r.Host) {
		return faultHosts // RFC 9113, section 8.3.1
	}
	if f := checkLength(r); f != nil {
		return f
	}
	return checkSpecialFields(r)
}

// isPadded reports whether a value begins or ends with whitespace (RFC 9113, section 8.2.1: malformed). On the way to an
// HTTP/1 origin it would be lost, and the origin would see another value than the rules did.
func isPadded(value string) bool {
	return value != "" && (isBlank(value[0]) || isBlank(value[len(value)-1]))
}

// checkLength checks Content-Length, of which net/http takes the first it is given, one it cannot read for 0, and any
// for a request without content, where it contradicts the frames (RFC 9113, section 8.1.1).
func checkLength(r *http.Request) *fault {
	lengths := r.Header["Content-Length"]
	if len(lengths) == 0 {
		return nil
	}
	if len(lengths) > 1 {
		return faultLengths
	}
	var h head
	if f := h.contentLength([]byte(lengths[0])); f != nil {
		return f
	}
	if h.length != r.ContentLength {
		return faultLength
	}
	return nil
}

// checkSpecialFields checks further fields as head.field does. net/http has taken the Trailer field apart, and dropped what it
// knows to be forbidden.
func checkSpecialFields(r *http.Request) *fault {
	for name := range r.Trailer {
		if forbiddenTrailer([]byte(name)) {
			return faultTrailer
		}
	}
	if expects := r.Header["Expect"]; len(expects) > 1 || len(expects) == 1 && !named([]byte(expects[0]), "100-continue") {
		return faultExpect
	}
	return nil
}

// refuseMessage answers a request over HTTP/2 or HTTP/3 that no handler sees.
func (s *Server) refuseMessage(w http.ResponseWriter, r *http.Request, f *fault) {
	s.count(f.reason)
	if s.cfg.Refused != nil {
		info := ConnFrom(r.Context())
		line := fmt.Appendf(nil, "%s %s HTTP/%d.0", r.Method, r.RequestURI, r.ProtoMajor)
		s.cfg.Refused(Refusal{
			Conn: info.ID, Remote: info.Remote, Secure: info.Secure, Status: f.status, Reason: f.reason,
			Line: line[:min(len(line), maxRefusalLine)],
		})
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(f.status)
	_, _ = w.Write(f.body()) // the client may be gone
}

// streamWriter gives the write deadline of a stream the meaning that the link gives to that of a connection. The link sees
// nothing of a client that keeps a stream's window shut: no byte waits on the socket then.
type streamWriter struct {
	http.ResponseWriter
	server   time.Duration // Timeouts.Write
	patience time.Duration // as the handler set it; 0 is the server's
	expired  *time.Timer
	worth    *atomic.Int64 // of an account, where there is one

	mu   sync.Mutex
	over bool // guarded by mu: the handler returns, and the stream is no longer ours
}

// streamPiece is how much of an answer must move within the patience.
const streamPiece = 16 << 10

// Write writes in pieces, each with the whole patience.
func (w *streamWriter) Write(p []byte) (int, error) {
	written := 0
	for {
		piece := p[written:min(len(p), written+streamPiece)]
		stop := w.watch()
		n, err := w.ResponseWriter.Write(piece)
		stop()
		if w.worth != nil {
			w.worth.Add(contentWorth * int64(n))
		}
		if written += n; err != nil || written == len(p) {
			return written, err
		}
	}
}

// FlushError flushes, within the patience.
func (w *streamWriter) FlushError() error {
	defer w.watch()()
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// Flush flushes for those who do not ask for the error.
func (w *streamWriter) Flush() { _ = w.FlushError() }

// SetWriteDeadline sets the patience to what is left until t; zero is the server's own. A time that has passed resets the
// stream.
func (w *streamWriter) SetWriteDeadline(t time.Time) error {
	w.patience = 0
	if t.IsZero() {
		return nil
	}
	if left := time.Until(t); left > 0 {
		w.patience = left
		return nil
	}
	return w.reset()
}

// Unwrap is for http.ResponseController.
func (w *streamWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// watch resets the stream when the patience ends before stop is called.
func (w *streamWriter) watch() (stop func()) {
	patience := w.patienceNow()
	if patience == 0 {
		return func() {}
	}
	if w.expired == nil {
		w.expired = time.AfterFunc(patience, func() { _ = w.reset() })
	} else {
		w.expired.Reset(patience)
	}
	return func() { w.expired.Stop() }
}

func (w *streamWriter) patienceNow() time.Duration {
	if w.patience == 0 {
		return w.server
	}
	return w.patience
}

func (w *streamWriter) reset() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over {
		return nil
	}
	return http.NewResponseController(w.ResponseWriter).SetWriteDeadline(time.Unix(1, 0))
}

// finish bounds the writing of what is still buffered when the handler returns.
func (w *streamWriter) finish() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.over = true
	if patience := w.patienceNow(); patience > 0 {
		// HTTP/2 has it (a test holds net/http to that).
		_ = http.NewResponseController(w.ResponseWriter).SetWriteDeadline(time.Now().Add(patience))
	}
}
