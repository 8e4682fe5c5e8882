// Package lane owns everything between the socket and net/http: the accept loop, TLS handshakes, the strict check of every
// HTTP/1 head, deadlines, and the registry by which connections are bounded, counted and drained.
//
// A head that wants nothing but an answer, as most do, is served by the lane: at the boundary between two requests it asks an
// Answerer, which answers from what is at hand, and runs the handler for what that leaves to it, with a Reply as its
// http.ResponseWriter.
//
// net/http serves the rest: bodies, upgrades, HTTP/1.0. A connection has a goroutine of the lane's until the first such request; then
// it is handed to net/http, for good, which reads it through a conn that hands up exactly one message at a time, so that its
// buffer is empty whenever the next head begins and every head passes the check. The Answerer is asked at every further boundary
// within net/http's Read. So all kinds of requests mix freely, and whoever only ever asks for something is never seen by net/http.
//
// The nouns:
//
//   - link: the raw connection, beneath TLS. Its write deadline means progress.
//   - conn: an HTTP/1 connection on top of a link, or of TLS on a link: the state machine that net/http reads through.
//   - work: what a conn needs while something is under way, and does without while it waits: buffers, the head, the Writer.
//   - Answerer, Request, Writer: who may answer below the handler, what is asked, and where the answer goes.
//   - Reply: the http.ResponseWriter of a request that the lane serves.
//   - vigil: who looks, when a handler takes its time, whether the client is still there.
//   - records: a link as TLS writes to it: the records of one answer leave together.
//   - quicFront: a UDP socket, and quic-go that reads it. Its connections are http3Conns, with links like all others.
//   - calmConn: an HTTP/2 connection on top of TLS, which is cut when it floods.
//   - account: what a client has sent over HTTP/3, and what that was good for; it is cut when it floods.
//   - head, chunks: the strict grammar of a head, and the follower of a chunked body that never decodes it.
//   - fault: why a head was refused. One word for the metric, the log and the answer's body.
//   - front: an http.Server and the door through which it gets its connections. One for HTTP/1, one for HTTP/2.
//
// Deadlines have one owner each. The lane owns the read deadline of a connection from the boundary to the end of the head
// (Timeouts.Idle, then Timeouts.Header), and ignores what net/http sets meanwhile; during a body, a handler and after a
// hijack it belongs to whoever sets it from above. The write deadline is the link's own; what is set from above is a length
// of patience, not a point in time.
//
// The lane knows nothing of sites, caches or origins.
package lane
