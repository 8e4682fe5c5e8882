// Package stream passes connections on to upstreams: TCP, and TLS that stays closed, by the name that its client asks for.
//
//   - Server: accepts connections, as many as it may have open, and sees each to its end.
//   - Config: what is done with those that come from now on. A connection keeps the one it began with.
//   - Target: where a connection goes; its Pool picks the upstream.
//   - hello: the ClientHello, which is read and passed on as it came. Nothing of TLS is ever answered here.
//   - joint: a client and an upstream, once both are there, and the copies both ways; end is one of the two.
//   - Account: what is told of a connection when it is over.
//
// While nothing moves a connection holds neither a buffer nor a pipe, only its two sockets and two goroutines. What comes in
// large amounts is moved within the kernel (splice(2)), where it has that.
//
// An end of one side is passed on to the other, which may go on. Whatever else ends a connection shows at both sides as a
// reset, for on some protocols a clean end would say that all has come.
package stream
