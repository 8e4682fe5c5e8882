// Package edge is the rooms a request walks through: accept, read, look up, decide, fill, respond, finish. handler.go is the
// walk itself; edge.go is what stands around it: listeners, the configuration in force, reload and drain.
//
//	accept    listener, TLS; edge/internal/lane checks every HTTP/1 head strictly    listen.go, proxied.go, certificates.go
//	read      request → Site, Route, cache.Query                                     request.go, body.go
//	          which site and route answer, who may, fixed answers                    site.go, route.go, gate.go, fixed.go
//	          what is told about https, and about clients' certificates            https.go
//	          what of the fields is believed, and what goes on                       forwarded.go, fields.go
//	look up   cache.Store.Lookup
//	decide    cache.Decide, and cache.Withhold where the origin cannot be asked          freeze.go
//	fill      claim; the leader fetches, cache.Admit decides on storing              fill.go
//	pass      to the origin and back, nothing stored; upgraded connections           pass.go, tunnel.go
//	respond   preconditions, ranges, write: always from a cache.Object               respond.go, answerhead.go, write.go
//	          codings that have yet to be made                                       coding.go
//	          errors of our own, and the pages of a site for them                    fail.go, errorpage.go
//	          what both ways know, and the head of an answer from what is stored     transaction.go
//	          both for hits on the connection itself, below net/http                 hit.go
//	finish    one Result → access log, metrics, Cache-Status                         result.go, status.go
//	          the log and the metrics                                                log.go, logqueue.go, logline.go, metrics.go, tally.go
//
// Streams walk through none of them: edge/internal/stream passes their connections on. streams.go stands around that, with
// streamconfig.go, streamline.go (the log) and streammetrics.go.
package edge
