// Package origin reaches the servers that own the content: upstreams, and pools of them that may answer for one origin.
//
// A Pool is an http.RoundTripper. It picks an upstream, sends the request as it is given (it adds, removes and follows
// nothing but what the origin's rules say), holds the connection to strict HTTP, and gives every failure a Failure with the
// error type of RFC 9209.
//
// The nouns:
//
//   - Pool: the upstreams of one origin, and the balancer that picks among those that may be asked.
//   - choice: an upstream at one moment. The policies are pure functions over choices.
//   - upstream: one server, the http.Transports and links that keep connections to it, its load and its pace. A directory is
//     one that is a folder of this machine.
//   - health: what is believed of an upstream. Its checker and its outliers say so: what is asked of it on purpose, and how it
//     answers requests. Its breaker keeps requests away whatever becomes of them. A pool of which none is well is out.
//   - addresses: those that an upstream's name stands for; service: the upstreams that SRV records name. Both follow their
//     names while the pool runs.
//   - attempts, budget: what was tried for a request, and how much may be tried for all of them.
//   - rules: what is changed between the edge's names and paths and the origin's; its signer signs.
//   - queue: where requests wait while every upstream is at a limit.
//   - exchange: one request on its way to one upstream, and its answer until the body ends. It owns the timeouts.
//   - Witness: who is told of interim responses.
//   - conn: an HTTP/1 connection below http.Transport, or below a link. What it hands up has kept the rules.
//   - link: a conn without TLS for requests without a body, read and written by who wants the answer. All other requests are
//     http.Transport's.
//   - follower: knows at every byte of a conn where in the framing it is.
//   - Stream: a connection to an upstream on which something else than HTTP is spoken. Who asks for it copies.
//   - Failure: why there is no answer, or not a whole one.
//
// What follows an answer in a later burst than its end cannot be told from an answer to the next request, if that has begun by
// then: HTTP/1.1 has nothing to tell it by. What comes before ends the connection.
//
// It imports nothing of ours.
package origin
