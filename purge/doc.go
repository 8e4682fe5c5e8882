// Package purge owns what was asked to be purged, and what it invalidates: the journal that numbers every purge, and the
// tables that answer whether one of them concerns an object.
//
// A purge holds from the moment Add returns: numbers only rise, and an object carries the number that was in force before
// its origin was asked (its epoch), so a fill in flight cannot bring back what was purged meanwhile.
//
// A purge has a row in the tables for each of its selectors, found by name: all, site, host, tag and URL. Prefixes stand in a
// radix tree and are all found in one walk along a URL; globs are tried one by one, on each object once. What is bounded:
// a million rows or as many as there is memory for (the oldest raise the floor, a number below which everything counts as purged), a thousand globs (the oldest
// become prefixes), the history (the newest ten thousand). A bound that is met purges more than was asked, never less.
//
// A journal is in memory (NewJournal) or has a file (Open), so that a restart changes nothing of that. Whoever keeps a cache
// over restarts keeps the journal's Identity with it, and drops the cache when it finds another, or an object with an epoch
// beyond Reserved: then the journal that knew its purges is lost.
//
// The file mirrors the tables, a row for a row, and holds the history. It is written in batches (see ledger). Its format is in
// format.go, its proof against damage in file.go.
//
// Who purges comes through an API: over HTTP, described in openapi.yaml, or by PURGE on a site. A Guard knows who they are, by
// token or by address, and of a token keeps its hash alone. The API spells what they name as the cache does, confines them to
// what is theirs, and answers when Add has returned.
//
// It imports cache for the types it judges and nothing else of ours.
package purge
