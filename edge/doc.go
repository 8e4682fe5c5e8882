// Package edge is the rooms a request walks through: accept, read, look up, decide, fill, respond, finish.
//
//	accept    listener, TLS; edge/internal/lane checks every HTTP/1 head strictly    listen.go
//	read      request → Site, Route, cache.Query                                     site.go, route.go, request.go
//	look up   cache.Store.Lookup
//	decide    cache.Decide
//	fill      claim; the leader fetches, cache.Admit decides on storing              fill.go, pass.go
//	respond   preconditions, ranges, write: always from a cache.Object               respond.go
//	finish    one Result → access log, metrics, Cache-Status                         result.go, log.go, metrics.go
package edge
