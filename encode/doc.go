// Package encode has content codings as values and machines: encoders and decoders of gzip, Brotli and Zstandard, deltas
// against a dictionary (RFC 9842), and the workshop where in the background the codings are made that are kept.
//
// The nouns:
//
//   - Coding: what a body is encoded as. Its String is the token in Content-Encoding.
//   - Level: Fast while a client waits, Best for what is kept.
//   - Writer: one encoder at work. Pooled; Close gives it back.
//   - Limits: how much a decoder may make of how little.
//   - Meter: what went through encoders, and what that took.
//   - Workshop: a queue of jobs, and the share of a processor that they get.
//   - Dictionary: an old body that a new one is told as the difference from. A Pattern says for which URLs it is good.
//   - Config: a site's `compress:` section. WorkshopConfig is the node's.
//
// The package knows nothing of requests, responses and caches: which body is encoded, for whom, and where it is kept is for
// others to say.
//
// What an encoder or a decoder holds is bounded, whatever goes through it. Fast: 0.8 MiB for gzip, 1.3 MiB for Brotli and
// Zstandard, and 3 MiB and both bodies for a delta. Best: 1 MiB for gzip, 45 MiB for Brotli and Zstandard, twice that for a
// delta, of which the workshop has one at a time. A decoder: its window, which is 32 KiB for gzip, 8 MiB for Zstandard, and
// for Brotli 16 MiB, half as much more while it grows. Whole bodies, as Append, Keep and AppendDelta have them, are the
// caller's to bound.
package encode
