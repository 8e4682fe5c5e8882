// Package cache is RFC 9111 for a shared cache: the rules as pure functions, and the Store that keeps what they admit.
//
// The nouns:
//
//   - Query: the facts of one request that rules may see.
//   - Policy: what a route's configuration says about caching, compiled.
//   - Response: the head of an origin's answer as it arrived, with the moments of asking and receiving.
//   - Meta: the facts of a stored response. Immutable once published; a 304 publishes a new one.
//   - Object: one origin response for one variant, stored or still filling: a Meta and a Body.
//   - Representation: one coding of an Object's content: the origin's own, or one that was made of it. A delta is one
//     that tells it as what has changed since another version, the dictionary.
//   - Disk: the tier below memory as an operator sees it, of a running Store or of a node that is stopped.
//   - Decision: what to do with a Query, given a Meta or none.
//   - Reason: why. One word for the log, the metric label and the Cache-Status detail.
//
// Rules (Decide, Admit, Freshen, Evaluate, ParseRange, …) do no I/O, take no locks and never ask for the time: now is an
// argument. They are total: every input has an outcome. Each cites the section it comes from.
//
// The package knows nothing of sockets, origins, certificates or purge selectors. Purges reach it through the two-method
// interface Purges.
package cache
