// Package lane owns everything between the socket and net/http: the accept loop, TLS handshakes, the strict check of every
// HTTP/1 head, deadlines, and the registry by which connections are bounded, counted and drained.
//
// net/http does the rest: it parses what the lane has checked, runs the handler and writes the answer. It reads each
// HTTP/1 connection through a conn that hands up exactly one message at a time, so that its buffer is empty whenever the
// next head begins and every head passes the check.
//
// The boundary between two requests is also the one place where an answer can be given without net/http. There the lane asks
// an Answerer for every head that wants nothing but an answer. A connection has a goroutine of the lane's until the first
// request that the Answerer declines; then it is handed to net/http, for good, and is asked at every further boundary within
// net/http's Read. So hits and misses mix freely, and whoever only ever hits is never seen by net/http.
//
// The nouns:
//
//   - link: the raw connection, beneath TLS. Its write deadline means progress.
//   - conn: an HTTP/1 connection on top of a link, or of TLS on a link: the state machine that net/http reads through.
//   - work: what a conn needs while something is under way, and does without while it waits: buffers, the head, the Writer.
//   - Answerer, Request, Writer: who may answer below net/http, what is asked, and where the answer goes.
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
