// Package origin reaches the servers that own the content: upstreams, and pools of them that may answer for one origin.
//
// A Pool is an http.RoundTripper. It picks an upstream, sends the request as it is given (it adds, removes and follows
// nothing), holds the connection to strict HTTP, and gives every failure a Failure with the error type of RFC 9209.
//
// It imports nothing of ours.
package origin
